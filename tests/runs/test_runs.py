"""Promises of vjepa_fer.runs: a run folder holds everything, appears whole, and never replaces another."""

import json
import os
import re
import shutil

import numpy as np
import pytest

from test_evaluate import faces, judge
from vjepa_fer.disk import on_disk
from vjepa_fer.errors import RunError, RunExistsError
from vjepa_fer.experiment import Cell, folder_name
from vjepa_fer.runs import finished_run, list_runs, read_run, run_folders, write_run

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
    with pytest.raises(RunExistsError, match="first exists already; a run never replaces another"):
        write_run(run.path, evaluation, source=SOURCE)
    assert (run.path / "run.json").read_bytes() == before


def test_a_run_that_cannot_be_finished_leaves_nothing(tmp_path, evaluation, monkeypatch):
    def full_disk(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("vjepa_fer.runs.folder.write_predictions", full_disk)
    with pytest.raises(RunError, match=r"cannot be written .*no space left"):
        write_run(tmp_path / "runs" / "first", evaluation, source=SOURCE)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_cache_whose_name_is_no_unicode_is_kept_in_words(tmp_path, evaluation):
    run = write_run(tmp_path / "first", evaluation, source=SOURCE, cache=os.fsdecode(b"cache/caf\xe9"))
    assert read_run(run.path).cache == "cache/caf\\udce9"
    with pytest.raises(RunError, match="give it finite numbers and plain names"):
        write_run(tmp_path / "second", evaluation, source={**SOURCE, "streams": "\udce9"})


def test_a_file_in_the_way_is_no_run_that_exists(tmp_path, evaluation):
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(
        RunError, match=r"the run cannot be written \(.*Not a directory.*choose another --out"
    ) as caught:
        write_run(tmp_path / "runs" / "first", evaluation, source=SOURCE)
    assert not isinstance(caught.value, RunExistsError)


def test_a_finished_run_is_known_by_its_settings(run):
    assert finished_run(run.path, run.settings).path == run.path
    assert finished_run(run.path.parent / "second", run.settings) is None
    with pytest.raises(RunError, match=r"holds another run:\n  seed: 0 there, 5 asked for"):
        finished_run(run.path, {**run.settings, "seed": 5})


def test_a_name_says_probe_and_level_and_hashes_what_is_not_default():
    assert folder_name(Cell(probe="logreg", level="grid:4")) == "logreg-grid4-standard"
    names = {folder_name(Cell(probe="knn", params={"k": k}, scale=s)) for k in (1, 2) for s in ("none", "standard")}
    assert len(names) == 4
    assert all(re.match(r"knn-k[12]-mean-(none|standard)-[0-9a-f]{8}$", name) for name in names)


def test_names_that_differ_in_letter_case_alone_are_told_apart_by_their_hash():
    names = [folder_name(Cell(probe=probe, level=level)) for probe in ("mine", "Mine") for level in ("mean", "Mean")]
    assert names[0] == "mine-mean-standard"
    assert len({on_disk(name) for name in names}) == 4


def test_runs_are_found_at_any_depth_and_partial_ones_are_not(run, evaluation):
    second = write_run(run.path.parent / "deeper" / "second", evaluation, source=SOURCE)
    partial = run.path.parent / ".third.1.partial"
    shutil.copytree(run.path, partial)  # killed between the last file and the rename
    assert [found.path for found in list_runs(run.path.parent).runs] == [second.path, run.path]
    assert list_runs(run.path.parent).unread == []
    assert run_folders(run.path.parent) == [run.path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_no_link_leads_out_of_the_folder_or_round_and_round(run, evaluation, tmp_path):
    write_run(tmp_path / "elsewhere" / "second", evaluation, source=SOURCE)
    (run.path.parent / "out").symlink_to(tmp_path / "elsewhere")
    (run.path.parent / "second").symlink_to(tmp_path / "elsewhere" / "second")
    (run.path / "round").symlink_to(run.path.parent)
    listed = list_runs(run.path.parent)
    assert ([found.path for found in listed.runs], listed.unread) == ([run.path], [])
    assert run_folders(run.path.parent) == [run.path]
    assert [found.path for found in list_runs(run.path.parent / "out").runs] == [run.path.parent / "out" / "second"]


def test_a_broken_run_hides_no_other(run, evaluation):
    second = write_run(run.path.parent / "second", evaluation, source=SOURCE)
    (run.path / "run.json").unlink()
    listed = list_runs(run.path.parent)
    assert [found.path for found in listed.runs] == [second.path]
    assert [(path, why.partition("; ")[0]) for path, why in listed.unread] == [
        (run.path, f"{run.path}: not a run folder (no run.json in it)")
    ]


def test_a_folder_that_is_closed_is_named(run, monkeypatch):
    walk = os.walk

    def closed(folder, onerror):
        onerror(PermissionError(13, "Permission denied", "private"))
        return walk(folder, onerror=onerror)

    monkeypatch.setattr(os, "walk", closed)
    (unread,) = list_runs(run.path.parent).unread
    assert unread.why == "private: cannot be looked into (Permission denied)"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("run.json", "{", r"run\.json: cannot be read as JSON"),
        ("run.json", "{}", "not the description of a run"),
        ("run.json", '{"format": "vjepa-fer/run/1"}', r"run\.json: 'result' is missing; put the file back from a copy"),
        ("folds.json", "[]", r"folds\.json: was changed after the run was written"),
        ("predictions.csv", "clip_id,true_label,a,b\n", r"predictions\.csv: was changed after the run was written"),
    ],
)
def test_a_damaged_run_is_refused_by_name(run, file, text, message):
    (run.path / file).write_text(text)
    with pytest.raises(RunError, match=message):
        read_run(run.path)


def test_files_of_another_run_are_refused(run, tmp_path):
    other = write_run(tmp_path / "other", judge(faces(), "loso"), source=SOURCE)
    for name in ("folds.json", "predictions.csv"):
        with_theirs = shutil.copytree(run.path, tmp_path / name)
        shutil.copy(other.path / name, with_theirs)
        with pytest.raises(RunError, match=f"{name}: was changed after the run was written"):
            read_run(with_theirs)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        read_run(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        list_runs(tmp_path / "absent")
