"""Streams are aligned by clip, say what drops out, and are scaled and fused without looking at the test part."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.errors import CacheError, RunError
from vjepa_fer.evaluation import cross_validate
from vjepa_fer.evaluation.fusion import average_probabilities
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.features import join, open_streams
from vjepa_fer.folds import make_folds
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.runs import read_run
from vjepa_fer.sweep import sweep

RAVDESS = Path(__file__).resolve().parents[3] / "shared" / "data" / "ravdess" / "openface_au_mean.csv"


def clips(numbers):
    return Manifest(clips=tuple(Clip(f"c{n}", "", "sad" if n % 2 else "happy", f"s{n // 4}") for n in numbers))


def stream(root, numbers, *, shift=0.0, dim=3, manifest=None):
    """A cache of imported features in which odd clips lie higher."""
    rng = np.random.default_rng(dim)
    values = {n: (rng.standard_normal(dim) + 2 * (n % 2) + shift).astype(np.float32) for n in range(40)}
    ids = tuple(f"c{n}" for n in numbers)
    columns = tuple(f"f{n}" for n in range(dim))
    table = FeatureTable(ids, columns, np.stack([values[n] for n in numbers]), root.name, "0" * 64)
    return import_features(table, root, manifest or clips(numbers))[0]


def test_streams_meet_in_the_clips_that_all_have_whatever_their_order(tmp_path):
    a = stream(tmp_path / "a", range(10))
    b = stream(tmp_path / "b", range(11, 3, -1), dim=2)
    joined = join({"a": a, "b": b})
    assert [c.clip_id for c in joined.clips] == [f"c{n}" for n in range(4, 10)]
    assert joined.dropped == {"a": ("c0", "c1", "c2", "c3"), "b": ("c11", "c10")}
    assert "a without 4, b without 2" in repr(joined)
    features = joined.features()
    np.testing.assert_array_equal(features.X[:, :3], a.features().X[4:])
    np.testing.assert_array_equal(features.X[:, 3:], b.features().X[2:][::-1])
    assert joined.blocks() == {"a": slice(0, 3), "b": slice(3, 5)}
    assert [c.clip.clip_id for c in joined] == features.clip_ids.tolist()


def test_streams_that_do_not_fit_are_refused(tmp_path):
    a = stream(tmp_path / "a", range(4))
    with pytest.raises(CacheError, match="no clip id in common: a has 'c0', b has 'c9'"):
        join([a, stream(tmp_path / "b", [9])])
    other = Manifest(clips=(Clip("c1", "", "happy", "s0"),))
    with pytest.raises(CacheError, match="clip c1: label 'sad' in a, but 'happy' in b"):
        join([a, stream(tmp_path / "c", [1], manifest=other)])
    with pytest.raises(CacheError, match="at least two streams, got 1"):
        join([a])
    for text in ("au", "=x", "au="):
        with pytest.raises(CacheError, match="is not NAME=CACHE"):
            open_streams([text])


def test_streams_are_opened_by_name(tmp_path):
    stream(tmp_path / "a", range(8))
    stream(tmp_path / "b", range(8), dim=2)
    joined = open_streams([f"au={tmp_path / 'a'}", f"vj={tmp_path / 'b'}"])
    assert list(joined.streams) == ["au", "vj"]
    other = open_streams([f"vj={tmp_path / 'a'}", f"au={tmp_path / 'b'}"])
    assert joined.fingerprint != other.fingerprint


def test_a_stream_in_other_units_does_not_change_the_decision(tmp_path):
    a, b = stream(tmp_path / "a", range(40)), stream(tmp_path / "b", range(40), dim=2)
    far = stream(tmp_path / "far", range(40), dim=2, shift=500)
    near, shifted = join([a, b]).features(), join([a, far]).features()
    folds = make_folds("subject-kfold:5", near.subjects, near.y, 0)
    decided = [cross_validate(f, folds, Cell()).predictions.predicted for f in (near, shifted)]
    np.testing.assert_array_equal(*decided)


def test_late_fusion_is_the_mean_of_the_streams(tmp_path):
    joined = join([stream(tmp_path / "a", range(40)), stream(tmp_path / "b", range(40), dim=2)])
    parts = joined.stream_features()
    folds = make_folds("subject-kfold:5", parts["a"].subjects, parts["a"].y, 0)
    a, b = (cross_validate(part, folds, Cell()).predictions for part in parts.values())
    fused = average_probabilities([a, b])
    np.testing.assert_allclose(fused.probabilities, (a.probabilities + b.probabilities) / 2)
    assert (fused.predicted == fused.truth).mean() > 0.8
    with pytest.raises(RunError, match="no streams"):
        average_probabilities([])
    other = cross_validate(parts["a"], make_folds("loso", parts["a"].subjects, parts["a"].y, 0), Cell()).predictions
    with pytest.raises(RunError, match="stream 1 was judged on other clips, classes or folds"):
        average_probabilities([a, other])


@pytest.mark.skipif(not RAVDESS.is_file(), reason=f"needs the Action Units of RAVDESS at {RAVDESS}")
def test_action_units_of_ravdess_join_with_a_second_stream(tmp_path):
    with RAVDESS.open(newline="") as file:
        ids = [row["name"] for row in csv.DictReader(file, delimiter=";")]
    manifest = Manifest(clips=tuple(Clip(i, "", i.split("-")[2], i.split("-")[-1]) for i in ids))
    units, _ = import_features(read_feature_csv(RAVDESS, id_column="name", columns=["AU*"]), tmp_path / "au", manifest)
    some = Manifest(clips=manifest.clips[60:])
    noise = np.random.default_rng(0).standard_normal((len(some), 16)).astype(np.float32)
    table = FeatureTable(tuple(ids[60:]), tuple(f"n{n}" for n in range(16)), noise, "noise", "0" * 64)
    joined = join({"au": units, "noise": import_features(table, tmp_path / "noise", some)[0]})
    assert len(joined) == len(ids) - 60 == len(units) - len(joined.dropped["au"])
    np.testing.assert_array_equal(joined.features().X[:, : units.features().X.shape[1]], units.features().X[60:])


def test_a_sweep_fuses_late_as_if_each_stream_were_fitted_alone(tmp_path):
    streams = [stream(tmp_path / "a", range(40)), stream(tmp_path / "b", range(40), dim=2)]
    joined, protocol = join(streams, fusion="late"), Protocol(folds="subject-kfold:5")
    parts = joined.stream_features()
    folds = make_folds("subject-kfold:5", parts["a"].subjects, parts["a"].y, 0)
    alone = [cross_validate(part, folds, Cell()).predictions for part in parts.values()]
    fused = sweep(joined, [Cell()], protocol).cells[0].evaluation.predictions
    np.testing.assert_allclose(fused.probabilities, average_probabilities(alone).probabilities, atol=1e-12)
    np.testing.assert_array_equal(fused.predicted, average_probabilities(alone).predicted)
    early = sweep(join(streams), [Cell()], protocol).cells[0].evaluation.predictions
    assert not np.allclose(early.probabilities, fused.probabilities)


def test_the_honest_choice_is_made_of_fused_answers_and_runs_say_their_fusion(tmp_path):
    streams = [stream(tmp_path / "a", range(40)), stream(tmp_path / "b", range(40), dim=2)]
    cells = [Cell(probe="knn", params={"k": k}) for k in (1, 3)]
    swept = sweep(join(streams, fusion="late"), cells, Protocol(), out=tmp_path / "runs", jobs=2)
    assert len(swept.nested[0].evaluation.choices) == 5
    assert read_run(swept.cells[0].run).settings["fusion"] == "late"
    with pytest.raises(RunError, match="fusion: 'late' there, 'early' asked for"):
        sweep(join(streams), cells, Protocol(), out=tmp_path / "runs")
    with pytest.raises(CacheError, match="fusion 'middle' is not one of early, late"):
        join(streams, fusion="middle")
