"""Promises of vjepa_fer.evaluation.fitted: a run's probe comes back equal, and refuses features that it was not fitted on."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from caches import small_recipe, write_small_cache
from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.cache import open_cache
from vjepa_fer.errors import ProbeError, RecipeMismatchError, RunError, VjepaFerError
from vjepa_fer.evaluation import FittedProbe, fit_predict, read_fitted, save_fitted
from vjepa_fer.experiment import Cell
from vjepa_fer.features import fit_scaler
from vjepa_fer.folds import Split
from vjepa_fer.probes import PROBES, make_probe
from vjepa_fer.probes.saving import SavedProbe
from vjepa_fer.recipe import fingerprint, recipe_to_json
from vjepa_fer.runs import load_fitted


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


@pytest.fixture
def run(cache, tmp_path):
    """The folder of a logistic regression that was fitted on all clips."""
    answer = call_json("probe", cache, "--out", tmp_path / "runs", "--refit")
    assert answer["fitted"] == str(tmp_path / "runs" / "logreg-mean-standard" / "fitted")
    return tmp_path / "runs" / "logreg-mean-standard"


@pytest.mark.parametrize("scale", ["standard", "none"])
@pytest.mark.parametrize("probe", ["logreg", "knn", "lightgbm"])
def test_a_fitted_probe_decides_as_one_fitted_on_all_clips(cache, tmp_path, probe, scale):
    call("probe", cache, "--probe", probe, "--scale", scale, "--out", tmp_path, "--refit", "--folds", "subject-kfold:2")
    opened = open_cache(cache)
    features, rows = opened.features("mean"), np.arange(48)
    (expected,) = fit_predict(features, Split(rows, rows), [Cell(probe=probe, scale=scale)], 0)
    fitted = load_fitted(next(tmp_path.iterdir()))
    found = fitted.predict_proba(features.X, level="mean", recipe=opened.recipe)
    np.testing.assert_allclose(found, expected.probabilities, rtol=1e-6)
    assert (fitted.classes, fitted.level) == (("angry", "happy", "sad"), "mean")


def test_another_process_reads_the_same_probe(cache, run):
    code = (
        "import json, sys; from vjepa_fer.cache import open_cache; from vjepa_fer.runs import load_fitted\n"
        "cache, fitted = open_cache(sys.argv[1]), load_fitted(sys.argv[2])\n"
        "p = fitted.predict_proba(cache.features('mean').X, level='mean', recipe=cache.recipe); print(json.dumps(p.tolist()))"
    )
    told = subprocess.run([sys.executable, "-c", code, cache, run], check=True, capture_output=True, text=True)
    opened = open_cache(cache)
    own = load_fitted(run).predict_proba(opened.features("mean").X, level="mean", recipe=opened.recipe)
    np.testing.assert_array_equal(json.loads(told.stdout), own)


def test_the_best_cell_of_a_sweep_is_fitted_and_no_other(cache, tmp_path):
    answer = call_json("probe", cache, "--probe", "knn", "--param", "k=20,1", "--out", tmp_path, "--refit")
    best = max(answer["results"], key=lambda result: result["war"]["pooled"])
    assert best["params"]["n_neighbors"] == 1
    assert answer["fitted"] == f"{best['run']}/fitted"
    assert len(list(tmp_path.glob("*/fitted"))) == 1


def test_a_probe_that_is_there_is_not_fitted_again(cache, run):
    before = (run / "fitted" / "probe" / "probe.json").stat().st_mtime_ns
    call("probe", cache, "--out", run.parent, "--refit")
    assert (run / "fitted" / "probe" / "probe.json").stat().st_mtime_ns == before


def test_features_of_another_level_are_refused_by_name(cache, run):
    opened = open_cache(cache)
    with pytest.raises(ProbeError, match="level 'frames', not 'mean'"):
        load_fitted(run).predict_proba(opened.features("mean").X, level="frames", recipe=opened.recipe)


def test_features_of_another_recipe_are_refused_field_by_field(run, tmp_path):
    recipe = write_small_cache(tmp_path / "videos")
    with pytest.raises(RecipeMismatchError, match=r"encoder\.name: 'tiny' there"):
        load_fitted(run).predict_proba(np.zeros((1, 5), np.float32), level="mean", recipe=recipe)


def test_a_run_without_a_fitted_probe_says_how_to_get_one(cache, tmp_path):
    call("probe", cache, "--out", tmp_path)
    with pytest.raises(RunError, match=r"holds no fitted probe; `vjepa-fer probe … --out .* --refit` leaves one"):
        load_fitted(tmp_path / "logreg-mean-standard")
    with pytest.raises(RunError, match="not a run folder"):
        load_fitted(tmp_path)


@pytest.mark.parametrize(
    ("file", "error", "message"),
    [
        ("recipe.json", RunError, "recipe.json: cannot be read"),
        ("probe/probe.json", ProbeError, "probe.json: cannot be read as JSON"),
        ("probe/arrays.safetensors", ProbeError, "was changed after it was written"),
    ],
)
def test_a_tampered_probe_is_refused_by_file(run, file, error, message):
    (run / "fitted" / file).write_text("{")
    with pytest.raises(error, match=message):
        load_fitted(run)


def in_one_byte(rng, content):
    """Another byte in place of one, and one bit turned."""
    for number in range(200):  # benchmarks/fuzz_probe.py tries 600
        place, altered = rng.integers(len(content)), bytearray(content)
        altered[place] ^= 1 << rng.integers(8) if number % 2 else rng.integers(1, 256)
        yield bytes(altered)


@pytest.mark.parametrize("kind", PROBES)
def test_no_file_differs_in_a_byte_and_the_answers_in_silence(kind, tmp_path):
    rng, recipe = np.random.default_rng(0), small_recipe()
    X, y = rng.normal(size=(40, 4)).astype(np.float32), np.arange(40) % 2
    probe = make_probe(
        kind,
        {
            "lightgbm": {"n_estimators": 1},
            "attentive": {"epochs": 1},
            "efficient": {"epochs": 1},
            "mlp": {"max_iter": 2},
        }.get(kind),
    )
    expects = {"level": "mean", "recipe": fingerprint(recipe)}
    saved = SavedProbe(probe.fit(X, y), fit_scaler("standard", X), expects)
    save_fitted(tmp_path / "fitted", FittedProbe(saved, "mean", recipe))
    expected, refused = saved.predict_proba(X, **expects), Counter()
    for path in filter(Path.is_file, (tmp_path / "fitted").rglob("*")):
        content = path.read_bytes()
        for altered in in_one_byte(rng, content):
            path.write_bytes(altered)
            try:
                found = read_fitted(tmp_path / "fitted")
            except (RunError, ProbeError):
                refused[path.name] += 1
                continue
            assert found.recipe == recipe
            np.testing.assert_array_equal(found.predict_proba(X, level="mean", recipe=recipe), expected)
        path.write_bytes(content)
    assert refused.pop("probe.json") > 120  # the rest is white space
    assert set(refused.values()) == {200}


@pytest.mark.parametrize(
    "content", [b"\xff", b"[]", b'{"kind": 1}', b'{"kind": "imported", "kind": "x"}', b'"\\ud800"', b" " * 2**21]
)
def test_a_recipe_that_is_none_is_refused(run, content):
    (run / "fitted" / "recipe.json").write_bytes(content)
    with pytest.raises(RunError, match=r"recipe\.json: .*fit again with --refit"):
        load_fitted(run)


@pytest.mark.parametrize(
    ("expects", "message"),
    [
        ({"level": "../x"}, r"which level it reads cannot be told \(level '../x' is not one of mean"),
        ({"level": None}, "which level it reads cannot be told"),
        ({"decision": "coin"}, "decides by 'coin', which this version does not know"),
        ({"recipe": "0" * 64}, "not the recipe that the probe was fitted with"),
    ],
)
def test_a_probe_that_expects_what_cannot_be_is_refused(tmp_path, expects, message):
    recipe, X = small_recipe(), np.eye(4, dtype=np.float32)
    told = {"level": "mean", "recipe": fingerprint(recipe)} | expects
    told = {name: value for name, value in told.items() if value is not None}
    probe = make_probe("centroid").fit(X, [0, 0, 1, 1])
    save_fitted(tmp_path / "fitted", FittedProbe(SavedProbe(probe, None, told), "mean", recipe))
    with pytest.raises((ProbeError, RunError), match=message):
        read_fitted(tmp_path / "fitted")


def test_a_recipe_that_was_laid_out_anew_is_refused(run):
    path = run / "fitted" / "recipe.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    with pytest.raises(RunError, match="not the recipe that the probe was fitted with"):
        load_fitted(run)


@pytest.mark.parametrize("name", ["", "probe", "recipe.json", "probe/probe.json", "probe/arrays.safetensors"])
def test_no_link_is_followed_out_of_the_folder(run, tmp_path, name):
    path = run / "fitted" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VjepaFerError, match=f"{name}: is a link"):
        load_fitted(run)


def test_a_link_in_place_of_the_fitted_probe_is_not_written_through(cache, run, tmp_path):
    (run / "fitted").rename(tmp_path / "elsewhere")
    (run / "fitted").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VjepaFerError, match="fitted: is a link"):
        call("probe", cache, "--out", run.parent, "--refit")


def test_a_recipe_of_another_probe_is_refused(run, tmp_path):
    write_small_cache(tmp_path / "videos")
    (run / "fitted" / "recipe.json").write_text(recipe_to_json(open_cache(tmp_path / "videos").recipe))
    with pytest.raises(RunError, match="not the recipe that the probe was fitted with"):
        load_fitted(run)


def test_refit_needs_a_place(cache):
    with pytest.raises(AssertionError, match="--refit needs --out"):
        call("probe", cache, "--refit")
