"""Promises of deciding by windows: trained on windows, one prediction a clip, no clip's window on the other side."""

import dataclasses
import json

import numpy as np
import pytest

import vjepa_fer.probes
from caches import small_recipe, small_rows
from test_cli_probe import call, call_json
from test_evaluate import Recorder, faces, judge
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.errors import ProbeError
from vjepa_fer.evaluation import cross_validate
from vjepa_fer.experiment import Cell
from vjepa_fer.features import RULES, Windowed
from vjepa_fer.folds import make_folds
from vjepa_fer.manifest import Clip, Manifest

NUM_SUBJECTS = 4


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """24 clips of four subjects and two labels, with one to three windows each."""
    root, recipe = tmp_path_factory.mktemp("windows") / "cache", small_recipe()
    clips = [Clip(f"c{n}", f"/v/c{n}.mp4", "ab"[n // 4 % 2], f"s{n % NUM_SUBJECTS}") for n in range(24)]
    prepare_cache(root, recipe, Manifest(clips=tuple(clips)))
    writer = ShardWriter(root, recipe)
    for n, clip in enumerate(clips):
        rows = small_rows(clip.clip_id, recipe, num_rows=n % 3 + 1)
        writer.add(dataclasses.replace(rows, source_sha256=f"{n:064x}"))
    writer.flush()
    return root


def windowed(features, repeats):
    """Clip features as windows: each row as often as told."""
    index = np.repeat(np.arange(len(features.y)), repeats)
    return Windowed(features.X[index], features.y, features.subjects, features.clip_ids, index)


def judge_windows(features, rule, **cell):
    folds = make_folds("subject-kfold:3", features.subjects, features.y)
    return cross_validate(features, folds, Cell(decision=rule, **cell))


@pytest.mark.parametrize("rule", RULES)
def test_one_window_a_clip_decides_as_the_clip_does(rule):
    features = faces()
    plain = judge(features).predictions
    one = judge_windows(windowed(features, 1), rule).predictions
    assert one.predicted.tolist() == plain.predicted.tolist()
    assert one.clip_ids.tolist() == plain.clip_ids.tolist()
    assert one.fold.tolist() == plain.fold.tolist()
    if rule not in ("vote",):
        np.testing.assert_allclose(one.probabilities, plain.probabilities, atol=1e-6)


def test_no_window_of_a_tested_clip_is_trained_on(monkeypatch):
    Recorder.seen = []
    monkeypatch.setattr(vjepa_fer.probes, "make_probe", lambda *args, **kwargs: Recorder())
    features = windowed(faces(), np.tile([1, 2, 3, 4], 12))
    features.X[:, 0] = features.clip_index  # each window carries the number of its clip
    predictions = judge_windows(features, "vote", scale="none").predictions
    for fold in range(3):
        test = set(np.flatnonzero(predictions.fold == fold).tolist())
        assert Recorder.seen[2 * fold] == ("fit", set(range(48)) - test)
        assert Recorder.seen[2 * fold + 1] == ("predict", test)


def test_window_features_are_needed_where_windows_decide():
    with pytest.raises(ProbeError, match="decision 'vote' needs window features"):
        judge(faces(), decision="vote")
    with pytest.raises(ProbeError, match="decision 'mean-feature' needs clip features"):
        judge_windows(windowed(faces(), 2), "mean-feature")


def test_rules_are_a_sweep_axis_that_shares_one_fit(cache, monkeypatch):
    fitted, fit_probes = [], vjepa_fer.probes.fit_probes
    monkeypatch.setattr(
        vjepa_fer.probes,
        "fit_probes",
        lambda probes, *args, **kwargs: fitted.append(len(probes)) or fit_probes(probes, *args, **kwargs),
    )
    rules = ",".join(["mean-feature", *RULES])
    answer = call_json("probe", cache, "--decision", rules, "--folds", "loso", "--no-nested")
    assert [r["decision"] for r in answer["results"]] == rules.split(",")
    assert all(r["n_clips"] == 24 for r in answer["results"])
    assert fitted == [1] * 2 * NUM_SUBJECTS
    mean, total = (next(r for r in answer["results"] if r["decision"] == d) for d in ("mean-probability", "sum"))
    assert mean["confusion"] == total["confusion"]


def test_each_rule_has_its_run_and_the_default_is_todays(cache, tmp_path):
    arguments = ("probe", cache, "--decision", "mean-feature,vote", "--folds", "loso", "--out", tmp_path)
    first = call_json(*arguments)
    assert len({r["run"] for r in first["results"]}) == 2
    assert call_json(*arguments)["results"] == first["results"]
    (plain,) = call_json("probe", cache, "--folds", "loso")["results"]
    assert plain["decision"] == "mean-feature"
    assert plain["confusion"] == first["results"][0]["confusion"]
    kept = {json.loads(path.read_text())["settings"]["decision"] for path in tmp_path.glob("*/run.json")}
    assert {"mean-feature", "vote"} <= kept
    assert "vote" in call(*arguments)


def test_processes_decide_as_one_does(cache):
    arguments = ("probe", cache, "--decision", "vote,mean-logit", "--folds", "loso")
    assert call_json(*arguments)["results"] == call_json(*arguments, "--jobs", "2")["results"]


def test_an_unknown_rule_is_refused_with_the_nearest(cache):
    with pytest.raises(ProbeError, match=r"decision 'votes' is not one of mean-feature, .*; did you mean 'vote'"):
        call("probe", cache, "--decision", "votes")


def test_windows_are_the_caches_own_rows(cache):
    opened = open_cache(cache)
    windows = opened.window_features("mean")
    assert len(windows.X) == sum(len(clip) for clip in opened) == 48
