"""Promises of vjepa_fer.runs: a run folder holds everything, appears whole, and never replaces another."""

import json

import numpy as np
import pytest

from test_evaluate import faces, judge
from vjepa_fer.errors import RunError, SplitError
from vjepa_fer.protocol import Cell
from vjepa_fer.runs import finished_run, list_runs, read_run, run_name, write_run

SOURCE = {"fingerprint": "f" * 64, "clips": "c" * 64}


@pytest.fixture
def evaluation():
    return judge(faces(), probe="knn", params={"k": 3})


@pytest.fixture
def run(tmp_path, evaluation):
    return write_run(tmp_path / "runs" / "first", evaluation, source=SOURCE, cache="cache/faces")


def test_a_run_reads_back_with_every_prediction_equal(run, evaluation):
    read = read_run(run.path)
    assert read.evaluation.cell == evaluation.cell
    assert read.evaluation.folds == evaluation.folds
    assert read.settings == run.settings
    for name in ("clip_ids", "subjects", "fold", "truth", "predicted", "probabilities"):
        np.testing.assert_array_equal(getattr(read.evaluation.predictions, name), getattr(evaluation.predictions, name))
    assert read.evaluation.scores == evaluation.scores


def test_parameters_that_are_tuples_read_back_as_tuples(tmp_path):
    evaluation = judge(faces(), probe="mlp", params={"hidden": (4, 3)})
    assert read_run(write_run(tmp_path / "r", evaluation, source=SOURCE).path).evaluation.cell == evaluation.cell


def test_the_figures_in_the_file_are_percent(run, evaluation):
    result = json.loads((run.path / "run.json").read_text())["result"]
    assert result["war"]["mean"] == pytest.approx(100 * evaluation.scores["war"].mean, abs=1e-4)
    assert result["params"] == {"k": 3}


def test_a_run_never_replaces_another(run, evaluation):
    before = (run.path / "run.json").read_bytes()
    with pytest.raises(RunError, match="first exists already; a run never replaces another"):
        write_run(run.path, evaluation, source=SOURCE)
    assert (run.path / "run.json").read_bytes() == before


def test_a_run_that_cannot_be_finished_leaves_nothing(tmp_path, evaluation, monkeypatch):
    def full_disk(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("vjepa_fer.runs.write_predictions", full_disk)
    with pytest.raises(RunError, match=r"cannot be written .*no space left"):
        write_run(tmp_path / "runs" / "first", evaluation, source=SOURCE)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_finished_run_is_known_by_its_settings(run):
    assert finished_run(run.path, run.settings).path == run.path
    assert finished_run(run.path.parent / "second", run.settings) is None
    with pytest.raises(RunError, match=r"holds another run:\n  seed: 0 there, 5 asked for"):
        finished_run(run.path, {**run.settings, "seed": 5})


def test_a_name_says_probe_and_level_and_hashes_what_is_not_default():
    assert run_name(Cell(probe="logreg", level="grid:4")) == "logreg-grid4"
    names = {run_name(Cell(probe="knn", params={"k": k}, scale=s)) for k in (1, 2) for s in ("none", "standard")}
    assert len(names) == 4
    assert all(name.startswith("knn-mean-") for name in names)


def test_runs_are_found_at_any_depth_and_partial_ones_are_not(run, evaluation):
    second = write_run(run.path.parent / "deeper" / "second", evaluation, source=SOURCE)
    (run.path.parent / ".third.1.partial").mkdir()
    (run.path.parent / ".third.1.partial" / "run.json").write_text("{")
    assert [found.path for found in list_runs(run.path.parent)] == [second.path, run.path]


@pytest.mark.parametrize(
    ("file", "text", "error", "message"),
    [
        ("run.json", "{", RunError, "run.json: cannot be read"),
        ("run.json", "{}", RunError, "not the description of a run"),
        ("run.json", '{"format": "vjepa-fer/run/1"}', RunError, "first: a damaged run"),
        ("folds.json", "[]", SplitError, "folds.json: not a folds file"),
        ("predictions.csv", "clip_id,true_label,a,b\n", RunError, "not one clip"),
    ],
)
def test_a_damaged_run_is_refused_by_name(run, file, text, error, message):
    (run.path / file).write_text(text)
    with pytest.raises(error, match=message):
        read_run(run.path)


def test_folds_of_another_run_are_refused(run, tmp_path):
    other = write_run(tmp_path / "other", judge(faces(), "loso"), source=SOURCE)
    (run.path / "folds.json").write_bytes((other.path / "folds.json").read_bytes())
    with pytest.raises(RunError, match=r"folds.json holds other folds"):
        read_run(run.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        list_runs(tmp_path / "absent")
