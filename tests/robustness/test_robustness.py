"""Robustness: which caches belong together, who is trained on, and that every figure is what its definition says."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from caches import small_recipe, small_rows
from tables import call
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.mirror import mirror_cache
from vjepa_fer.errors import CacheError, ExperimentError, RecipeMismatchError, RunError, SplitError
from vjepa_fer.experiment import Cell, Experiment, Protocol, experiment_to_toml
from vjepa_fer.judging import subject_numbers
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Perturbation, Preprocessing, Storage
from vjepa_fer.robustness import read_robustness, robustness_of, write_robustness
from vjepa_fer.robustness.conditions import CLEAN, open_conditions
from vjepa_fer.robustness.drift import correlations, one_minus_cosine
from vjepa_fer.robustness.figures import relative_drops
from vjepa_fer.robustness.judge import choose_cells, features_of, joined_rows, judge, only_clips
from vjepa_fer.sweep import run_experiment

LABELS, PEOPLE, TIMES = ("angry", "happy", "sad"), 6, 3


def clips() -> list[Clip]:
    return [
        Clip(f"p{person}-{label}-{time}", f"/v/{person}{label}{time}.mp4", label, f"p{person}", {})
        for person in range(PEOPLE)
        for label in LABELS
        for time in range(TIMES)
    ]


def write(root, *steps: str, noise: float = 1.0, seed: int = 0, manifest=None, shift=0.0, **changes):
    """A cache whose features tell the label, more or less: `noise` blurs it, `shift` moves all of them."""
    perturb = Perturbation(steps=steps, seed=seed) if steps else None
    parts = {"storage": Storage(levels=("mean", "frames", "tokens")), **changes}
    recipe = small_recipe(**parts, preprocessing=Preprocessing(crop_size=32, perturb=perturb))
    manifest = manifest or Manifest(clips=tuple(clips()))
    prepare_cache(root, recipe, manifest)
    writer = ShardWriter(root, recipe)
    for number, clip in enumerate(manifest):
        rows = small_rows(clip.clip_id, recipe, seed=len(steps) + seed)
        place = LABELS.index(clip.label)
        levels = {
            kind: (noise * array + 2 * (np.arange(array.shape[-1]) == place) + shift).astype(np.float32)
            for kind, array in rows.levels.items()
        }
        writer.add(dataclasses.replace(rows, levels=levels, source_sha256=f"{number:064x}"))
    writer.flush()
    return root


ASKED = Experiment(cells=(Cell(probe="logreg", level="mean"),), protocol=Protocol(folds="subject-kfold:3"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    return [
        write(folder / "clean", noise=1.5),
        write(folder / "dark2", "dark:2", noise=3.0),
        write(folder / "dark5", "dark:5", noise=6.0, shift=1.0),
        write(folder / "flip", "flip:1", noise=1.5),
    ]


@pytest.fixture(scope="module")
def found(three):
    return robustness_of(ASKED, three)


def condition(found, name: str):
    return next(one for one in found.encoders[0]["conditions"] if one["name"] == name)


def predictions(paths, cell=ASKED.cells[0], **options):
    (encoder,) = open_conditions(paths)
    asked = dataclasses.replace(ASKED, cells=(cell,)).resolved
    folds, cells = choose_cells(encoder.clean, asked)
    return judge(encoder.conditions, folds, cells, **options)


@pytest.mark.parametrize(
    "cell",
    [
        Cell(probe="logreg", level="mean"),
        Cell(probe="knn", level="frames", scale="none"),
        Cell(probe="logreg", level="mean", decision="mean-probability"),
        Cell(probe="attentive", level="tokens", scale="none", params={"epochs": 1, "num_heads": 2}),
    ],
    ids=lambda cell: f"{cell.probe}-{cell.decision}",
)
def test_the_clean_condition_is_what_probe_says_clip_by_clip(three, cell):
    if cell.probe == "attentive":
        pytest.importorskip("torch")
    asked = dataclasses.replace(ASKED, cells=(cell,), cache=str(three[0]))
    ours = predictions(three[:2], cell)[CLEAN]
    theirs = run_experiment(asked).best.evaluation.predictions
    assert ours.clip_ids.tolist() == theirs.clip_ids.tolist()
    assert np.array_equal(ours.fold, theirs.fold)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)


def test_perturbed_clips_are_predicted_by_a_probe_of_other_peoples_clean_clips(three):
    """By hand, with scikit-learn's own names: fit on clean rows of the other folds, predict the perturbed rows of this one."""
    said = predictions(three)
    clean, dark = (open_cache(path).features("mean") for path in three[:2])
    (encoder,) = open_conditions(three)
    folds, cells = choose_cells(encoder.clean, ASKED.resolved)
    from vjepa_fer.features import fit_scaler
    from vjepa_fer.probes import make_probe

    for split in folds.rows(clean):
        scaler = fit_scaler("standard", clean.X[split.train])
        probe = make_probe("logreg", dict(cells[0].params), random_state=0)
        probe.fit(scaler.apply(clean.X[split.train].copy()), clean.y[split.train])
        expected = probe.predict_proba(scaler.apply(dark.X[split.test].copy()))
        rows = [said["dark:2"].clip_ids.tolist().index(clip) for clip in clean.clip_ids[split.test]]
        np.testing.assert_allclose(said["dark:2"].probabilities[rows], expected, atol=1e-5)


def test_augmented_rows_are_of_training_clips_alone(three, tmp_path):
    """The poisoned fold: whatever the perturbed cache says of test clips, the probe of that fold is the same."""
    (encoder,) = open_conditions(three)
    folds, cells = choose_cells(encoder.clean, ASKED.resolved)
    dark = next(one for one in encoder.perturbed if one.name == "dark:2")
    test = set(
        open_cache(three[0])
        .features("mean")
        .clip_ids[folds.rows(open_cache(three[0]).features("mean"))[0].test]
        .tolist()
    )
    poisoned = poison(dark, test)
    plain, bad = (judge(encoder.conditions[:1], folds, cells, augment=[one]) for one in (dark, poisoned))
    first = plain[CLEAN].fold == 0
    assert np.array_equal(plain[CLEAN].probabilities[first], bad[CLEAN].probabilities[first])
    assert not np.array_equal(plain[CLEAN].probabilities[~first], bad[CLEAN].probabilities[~first])


def poison(one, clip_ids):
    """The condition with absurd features of some clips."""

    class Poisoned:
        clips, recipe = one.cache.clips, one.cache.recipe

        def features(self, level):
            found = one.cache.features(level)
            x = found.X.copy()
            x[np.isin(found.clip_ids, sorted(clip_ids))] = 1e4
            return found._replace(X=x)

    return dataclasses.replace(one, cache=Poisoned())


def test_augmented_training_is_that_of_both_sets_of_rows(three):
    said = predictions(three, augment=[next(o for o in open_conditions(three)[0].perturbed if o.name == "dark:5")])
    clean, dark = (open_cache(path).features("mean") for path in (three[0], three[2]))
    from vjepa_fer.features import fit_scaler
    from vjepa_fer.probes import make_probe

    (encoder,) = open_conditions(three)
    folds, cells = choose_cells(encoder.clean, ASKED.resolved)
    for split in folds.rows(clean):
        x = np.concatenate([clean.X[split.train], dark.X[split.train]])
        scaler = fit_scaler("standard", x)
        probe = make_probe("logreg", dict(cells[0].params), random_state=0)
        probe.fit(scaler.apply(x.copy()), np.concatenate([clean.y[split.train]] * 2))
        expected = probe.predict_proba(scaler.apply(dark.X[split.test].copy()))
        rows = [said["dark:5"].clip_ids.tolist().index(clip) for clip in clean.clip_ids[split.test]]
        np.testing.assert_allclose(said["dark:5"].probabilities[rows], expected, atol=1e-5)


def test_windows_of_augmented_clips_stay_with_their_clips(three):
    kind = ("mean", "window", False)
    parts = [features_of(open_cache(path), kind) for path in (three[0], three[2])]
    some = parts[0].clip_ids[[2, 7, 30]]
    joined = joined_rows([only_clips(part, some) for part in parts])
    assert joined.clip_ids.tolist() == [*some, *some]
    assert joined.clip_index.tolist() == [n for n in range(6) for _ in range(2)]  # two windows each
    expected = [open_cache(path)[str(clip)].level("mean") for path in (three[0], three[2]) for clip in some]
    np.testing.assert_allclose(joined.X, np.concatenate(expected).astype(np.float32), atol=1e-6)


def test_figures_are_those_of_their_definitions(three, found):
    said = predictions(three)
    clean, dark = said[CLEAN], said["dark:5"]
    right = [one.predicted == one.truth for one in (clean, dark)]
    war = [100 * one.mean() for one in right]
    recalls = [[100 * one[clean.truth == c].mean() for c in range(3)] for one in right]
    worst = condition(found, "dark:5")
    assert worst["war"]["value"] == pytest.approx(war[1], abs=1e-3)
    assert worst["uar"]["value"] == pytest.approx(np.mean(recalls[1]), abs=1e-3)
    assert worst["war"]["change"]["value"] == pytest.approx(war[1] - war[0], abs=1e-3)
    for c, label in enumerate(clean.classes):
        assert worst["classes"][label]["recall"] == pytest.approx(recalls[1][c], abs=1e-3)
        assert worst["classes"][label]["change"] == pytest.approx(recalls[1][c] - recalls[0][c], abs=1e-3)
    low, high = worst["war"]["change"]["interval"]
    assert low <= worst["war"]["change"]["value"] <= high
    drops = found.encoders[0]["relative_drop"]
    lost = {name: 1 - (one.predicted == one.truth).mean() / right[0].mean() for name, one in said.items()}
    curves = {"dark": (lost["dark:2"] + lost["dark:5"]) / 2, "flip": lost["flip:1"]}
    assert drops["dark"]["war"]["value"] == pytest.approx(100 * curves["dark"], abs=1e-3)
    assert drops["all"]["war"]["value"] == pytest.approx(100 * np.mean(list(curves.values())), abs=1e-3)


def test_a_relative_drops_interval_leaves_each_subject_out_once(three):
    from scipy import stats

    said = {name: one for name, one in predictions(three).items() if name in (CLEAN, "dark:5")}
    told = relative_drops(said, {"dark": ["dark:5"]})["dark"]["war"]
    right = [(one.predicted == one.truth) for one in said.values()]
    subject = subject_numbers(said[CLEAN])
    without = np.array([1 - right[1][subject != s].mean() / right[0][subject != s].mean() for s in range(PEOPLE)])
    value = 1 - right[1].mean() / right[0].mean()
    pulls = (PEOPLE - 1) * (value - without)
    error = np.sqrt((pulls**2).sum() / (PEOPLE * (PEOPLE - 1)))
    reach = (told["interval"][1] - told["interval"][0]) / 200
    assert told["value"] == pytest.approx(100 * value, abs=1e-3)
    fewest = stats.t.ppf(0.975, PEOPLE - 1) * error
    assert fewest - 1e-4 <= reach <= stats.t.ppf(0.975, 1) * error


def test_drift_is_one_minus_the_cosine_clip_by_clip(three, found):
    clean, dark = (open_cache(path).features("frames") for path in (three[0], three[2]))
    expected = [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(clean.X, dark.X, strict=True)]
    assert condition(found, "dark:5")["drift"]["frames"]["value"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert list(condition(found, "dark:5")["drift"]) == ["mean", "frames"]  # tokens only where they are read
    zero = np.zeros((1, 3))
    assert one_minus_cosine(zero, zero).tolist() == [0]
    assert one_minus_cosine(zero, zero + 1).tolist() == [1]


def test_correlations_are_numpys_within_conditions_and_between_them(three):
    said = predictions(three)
    rng = np.random.default_rng(0)
    drift = {name: rng.random(len(one)) + number for number, (name, one) in enumerate(said.items()) if name != CLEAN}
    told = correlations(drift, said, subject_numbers(said[CLEAN]))
    wrong = {name: (one.predicted != one.truth).astype(float) for name, one in said.items()}
    x = np.concatenate([drift[name] - drift[name].mean() for name in drift])
    y = np.concatenate([wrong[name] - wrong[name].mean() for name in drift])
    assert told["clips"]["value"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    means = [(drift[name].mean(), wrong[name].mean() - wrong[CLEAN].mean()) for name in drift]
    assert told["conditions"]["value"] == pytest.approx(np.corrcoef(np.array(means).T)[0, 1], abs=1e-6)
    low, high = told["clips"]["interval"]
    assert -1 <= low < told["clips"]["value"] < high <= 1
    few = {name: drift[name] for name in list(drift)[:2]}
    assert correlations(few, said, subject_numbers(said[CLEAN]))["conditions"] is None


def test_a_flipped_cache_is_a_second_view(three, found):
    said = predictions(three)
    both = (said[CLEAN].probabilities + said["flip:1"].probabilities) / 2
    war = 100 * (both.argmax(axis=1) == said[CLEAN].truth).mean()
    assert found.encoders[0]["flip_view"]["war"]["value"] == pytest.approx(war, abs=1e-3)


def test_several_cells_are_chosen_on_clean_training_clips(three):
    cells = tuple(Cell(probe="knn", level="mean", params={"k": k}) for k in (1, 3))
    asked = dataclasses.replace(ASKED, cells=cells)
    (encoder,) = robustness_of(asked, three[:2]).encoders
    best = run_experiment(dataclasses.replace(asked, cache=str(three[0]))).best.to_dict()
    clean = next(one for one in encoder["conditions"] if one["name"] == CLEAN)
    assert clean["war"]["value"] == pytest.approx(best["war"]["pooled"], abs=1e-3)
    assert set(encoder["cells"]) <= {f"knn k={k} · mean · standard" for k in (1, 3)}


def test_several_encoders_stand_side_by_side(three, tmp_path):
    spec = dataclasses.replace(small_recipe().encoder, name="other")
    other = [
        write(tmp_path / "clean", encoder=spec),
        write(tmp_path / "dark2", "dark:2", noise=2.0, encoder=spec),
    ]
    found = robustness_of(ASKED, [three[1], other[0], three[0], other[1]])
    assert [one["name"] for one in found.encoders] == ["other", "tiny"]
    assert [[c["name"] for c in one["conditions"]] for one in found.encoders] == [["clean", "dark:2"]] * 2


def test_it_goes_to_a_file_and_back(found, tmp_path):
    write_robustness(found, tmp_path / "r.json")
    assert read_robustness(tmp_path / "r.json").to_dict() == json.loads(json.dumps(found.to_dict()))
    (tmp_path / "other.json").write_text('{"schema": "vjepa-fer/compare/1"}')
    with pytest.raises(RunError, match=r"other\.json: no robustness figures in it"):
        read_robustness(tmp_path / "other.json")
    with pytest.raises(RunError, match=r"none\.json: no robustness figures there"):
        read_robustness(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda facts: facts.update(encoders=3), r"r\.json: encoders is '3'"),
        (lambda facts: facts["encoders"][0].pop("curves"), r"encoders\[0\]\.curves is 'None'"),
        (
            lambda facts: facts["encoders"][0]["conditions"][1]["war"].update(value="x"),
            r"conditions\[1\]\.war\.value is 'x'",
        ),
        (
            lambda facts: facts["encoders"][0]["conditions"][1]["drift"].pop("mean"),
            r"conditions\[1\]\.drift\.mean is 'None'",
        ),
        (lambda facts: facts["encoders"][0]["conditions"][0]["classes"].clear(), r"classes\.angry is 'None'"),
        (lambda facts: facts["encoders"][0]["conditions"][0]["war"].update(interval=[1]), r"war\.interval is '\[1\]'"),
        (lambda facts: facts["encoders"][0].update(n_clips=True), r"n_clips is 'True'"),
    ],
)
def test_a_file_that_is_not_whole_is_refused_by_its_place(found, tmp_path, spoil, message):
    facts = json.loads(json.dumps(found.to_dict()))
    spoil(facts)
    (tmp_path / "r.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match=message):
        read_robustness(tmp_path / "r.json")


def test_caches_that_do_not_belong_together_are_refused(three, tmp_path):
    clean, dark = three[:2]
    few = Manifest(clips=tuple(clips()[:-2]))
    renamed = Manifest(
        clips=tuple(dataclasses.replace(c, subject="x" if c.subject == "p1" else c.subject) for c in clips())
    )
    cases = [
        ([dark], CacheError, "none of these caches is of frames as they are"),
        ([clean], CacheError, "no perturbed cache here was made like it"),
        ([clean, dark, dark], CacheError, "hold the same features: name one of them"),
        ([clean, write(tmp_path / "few", "dark:3", manifest=few)], CacheError, r"few: lacks 2 of the clips .*p5-sad-1"),
        (
            [clean, write(tmp_path / "who", "dark:3", manifest=renamed)],
            CacheError,
            r"9 clips have another subject .*p1-",
        ),
        (
            [clean, write(tmp_path / "other", "dark:3", storage=Storage(levels=("mean",)))],
            RecipeMismatchError,
            r"its perturbation aside, was written with another recipe[\s\S]*storage\.levels",
        ),
    ]
    for paths, error, message in cases:
        with pytest.raises(error, match=message):
            open_conditions(paths)


def test_films_that_differ_under_one_name_are_refused(three, tmp_path):
    other = Manifest(clips=tuple(reversed(clips())))
    with pytest.raises(CacheError, match="54 clips are of other video files than"):
        open_conditions([three[0], write(tmp_path / "x", "dark:4", manifest=other)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_on": "cache/b"}, "the experiment has test_on"),
        ({"streams": {"a": "a", "b": "b"}}, "the experiment has streams"),
        ({"labels": "perceived"}, "the experiment has labels = 'perceived'"),
        ({"protocol": Protocol(folds="subject-kfold:3", repeats=3)}, "the experiment has repeats = 3"),
        (
            {"cells": (Cell(), Cell(level="frames")), "protocol": Protocol(nested=False)},
            "the experiment has 2 cells and nested = false",
        ),
    ],
)
def test_an_experiment_that_it_does_not_do_is_refused(three, changes, message):
    with pytest.raises(ExperimentError, match=message):
        robustness_of(dataclasses.replace(ASKED, **changes), three)


def test_augmenting_by_a_cache_that_is_not_judged_is_refused(three):
    with pytest.raises(CacheError, match=r"--augment .*dark5: none of the perturbed caches that are judged"):
        robustness_of(ASKED, three[:2], augment=[three[2]])


def test_a_probe_that_reads_tokens_takes_no_augmented_clips(three):
    pytest.importorskip("torch")
    cell = Cell(probe="attentive", level="tokens", scale="none", params={"epochs": 1})
    with pytest.raises(ExperimentError, match=r"reads tokens \(attentive\) takes no augmented clips"):
        robustness_of(dataclasses.replace(ASKED, cells=(cell,)), three[:2], augment=[three[1]])


def test_folds_that_share_a_subject_are_refused(tmp_path):
    mixed = Manifest(
        clips=tuple(dataclasses.replace(clip, extra={"part": "abc"[n % 3]}) for n, clip in enumerate(clips())),
        columns=("clip_id", "path", "label", "subject", "part"),
    )
    paths = [write(tmp_path / "clean", manifest=mixed), write(tmp_path / "dark", "dark:3", manifest=mixed)]
    leaky = Protocol(folds="column:part")
    with pytest.raises(SplitError, match=r"subjects? "):
        robustness_of(dataclasses.replace(ASKED, protocol=leaky), paths)
    allowed = dataclasses.replace(leaky, allow_leak=True)
    assert robustness_of(dataclasses.replace(ASKED, protocol=allowed), paths).encoders[0]["leaks"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(experiment_to_toml(ASKED))
    return path


def test_the_command_prints_tables_and_json_and_keeps_a_file_that_a_report_draws(three, study, tmp_path):
    kept = tmp_path / "r.json"
    shown = call("robustness", study, *three, "--augment", three[1], "-o", kept)
    for words in (
        "3 perturbed caches of 54 clips",
        "tiny: logreg · mean · standard, subject-kfold:3, 54 clips",
        "drift of the features of each level",
        "mean over severities",
        "correlation of drift with error",
        "two views: WAR",
        "trained on dark:2 of the training clips too",
    ):
        assert words in shown.output
    answer = json.loads(call("robustness", study, *three, "--augment", three[1], "--json").stdout)
    assert answer == json.loads(kept.read_text())
    assert answer["schema"] == "vjepa-fer/robustness/1"
    run_experiment(dataclasses.replace(ASKED, cache=str(three[0])), out=tmp_path / "runs")
    pytest.importorskip("jinja2")
    call("report", tmp_path / "runs", "--robustness", kept, "-o", tmp_path / "page.html", "--projection", "pca")
    page = (tmp_path / "page.html").read_text()
    assert page.count("WAR against the severity of") == 2  # dark and flip
    assert page.count("WAR lost against drift") == 2  # mean and frames
    for name in ("clean", "dark:2", "dark:5", "flip:1"):
        assert f'<th scope="row">{name}</th>' in page


def test_several_encoders_have_a_line_each_and_a_table_side_by_side(three, study, tmp_path):
    spec = dataclasses.replace(small_recipe().encoder, name="other")
    other = [write(tmp_path / "clean", encoder=spec), write(tmp_path / "dark2", "dark:2", encoder=spec)]
    shown = call("robustness", study, *three[:2], *other, "-o", tmp_path / "r.json").output
    assert "encoders side by side" in shown
    from vjepa_fer.report.curves import curves_of

    run_experiment(dataclasses.replace(ASKED, cache=str(three[0])), out=tmp_path / "runs")
    call(
        "report",
        tmp_path / "runs",
        "--robustness",
        tmp_path / "r.json",
        "-o",
        tmp_path / "page.html",
        "--projection",
        "pca",
    )
    assert "Drift of mean and loss: other" in (tmp_path / "page.html").read_text()
    (curve,) = curves_of(read_robustness(tmp_path / "r.json")).curves
    assert [(line.name, [p["name"] for p in line.points]) for line in curve.lines] == [
        ("tiny", ["clean", "dark:2"]),
        ("other", ["clean", "dark:2"]),
    ]


def test_an_experiment_that_is_not_there_is_named(three):
    done = call("robustness", "eing-2026-ravdes", *three[:2], status=2)
    assert "did you mean 'eing-2026-ravdess'" in " ".join(done.output.split())


def test_a_probe_of_perturbed_frames_predicts_no_film(three, tmp_path):
    asked = dataclasses.replace(ASKED, cache=str(three[1]), refit=True)
    outcome = run_experiment(asked, out=tmp_path / "runs")
    from vjepa_fer.predict import load_predictor

    with pytest.raises(RunError, match=r"its features are of frames perturbed by dark:2 \(seed 0\)"):
        load_predictor(outcome.fitted[1].parent)


def test_caches_in_a_store_have_the_figures_of_those_on_a_disk(three):
    fsspec = pytest.importorskip("fsspec")
    addresses = [f"memory://three/{path.name}" for path in three[:2]]
    try:
        for path, address in zip(three, addresses, strict=False):
            mirror_cache(path, address)
        here, there = (
            json.dumps(robustness_of(ASKED, paths, augment=paths[1:]).to_dict()) for paths in (three[:2], addresses)
        )
        assert addresses[1] in there
        assert there.replace(addresses[1], str(three[1])) == here
    finally:
        fsspec.filesystem("memory").store.clear()
