"""Promises of vjepa_fer.fitted: a run's probe comes back equal, and refuses features that it was not fitted on."""

import json
import subprocess
import sys

import numpy as np
import pytest

from caches import write_small_cache
from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.cache import open_cache
from vjepa_fer.errors import ProbeError, RecipeMismatchError, RunError
from vjepa_fer.evaluate import fit_predict
from vjepa_fer.protocol import Cell
from vjepa_fer.recipe import recipe_to_json
from vjepa_fer.runs import load_fitted
from vjepa_fer.splits import Split


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


@pytest.fixture
def run(cache, tmp_path):
    """The folder of a logistic regression that was fitted on all clips."""
    answer = call_json("probe", cache, "--out", tmp_path / "runs", "--refit")
    assert answer["fitted"] == str(tmp_path / "runs" / "logreg-mean" / "fitted")
    return tmp_path / "runs" / "logreg-mean"


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
    assert best["params"] == {"k": 1}
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
        load_fitted(tmp_path / "logreg-mean")
    with pytest.raises(RunError, match="not a run folder"):
        load_fitted(tmp_path)


@pytest.mark.parametrize(
    ("file", "error", "message"),
    [
        ("recipe.json", RunError, "recipe.json: cannot be read"),
        ("probe/probe.json", ProbeError, "not the description of a probe"),
        ("probe/arrays.safetensors", ProbeError, "was changed after it was written"),
    ],
)
def test_a_tampered_probe_is_refused_by_file(run, file, error, message):
    (run / "fitted" / file).write_text("{")
    with pytest.raises(error, match=message):
        load_fitted(run)


def test_a_recipe_of_another_probe_is_refused(run, tmp_path):
    write_small_cache(tmp_path / "videos")
    (run / "fitted" / "recipe.json").write_text(recipe_to_json(open_cache(tmp_path / "videos").recipe))
    with pytest.raises(RunError, match="not the recipe that the probe was fitted with"):
        load_fitted(run)


def test_refit_needs_a_place(cache):
    with pytest.raises(AssertionError, match="--refit needs --out"):
        call("probe", cache, "--refit")
