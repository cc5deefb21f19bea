"""Processes that are given one experiment and one folder divide its fits, and end with the runs that one process would have made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caches import write_counted_cache
from sharers import CELLS, FOLDS, NUM_FITS, start
from vjepa_fer.cache import open_cache
from vjepa_fer.errors import RunError
from vjepa_fer.evaluation import Answer, Decided
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.sweep import UNFINISHED, Shared, run_experiment, sweep
from vjepa_fer.sweep.answers import answer_bytes, read_answer


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_counted_cache(tmp_path_factory.mktemp("counted") / "cache")


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory):
    """What one process makes of it."""
    out = tmp_path_factory.mktemp("undisturbed")
    run_experiment(Experiment(cache=str(cache), cells=CELLS, protocol=FOLDS, refit=True), out=out)
    return contents(out)


def contents(out: Path) -> dict[str, bytes]:
    """Every file below that does not say when it was made, and of ``run.json`` the figures."""
    found = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file() and p.name != "predictions.npz"):
        name = str(path.relative_to(out))
        found[name] = path.read_bytes()
        if path.name == "run.json":
            said = json.loads(found[name])
            found[name] = json.dumps([said["settings"], said["result"]["confusion"], said["result"]["war"]]).encode()
        elif "/fitted/" in name:
            found[name] = b""
    return found


def test_processes_divide_the_fits_and_end_with_the_runs_of_one(cache, undisturbed, tmp_path):
    sharers = start(cache, tmp_path / "runs", 3)
    assert [sharer.ended() for sharer in sharers] == [0, 0, 0]
    assert len({fit for own in sharers for fit in own.fits}) == sum(len(own.fits) for own in sharers) == NUM_FITS
    assert min(len(own.fits) for own in sharers) > 0
    assert len({own.lines[-1] for own in sharers}) == 1
    assert contents(tmp_path / "runs") == undisturbed


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_the_fits_of_a_killed_process_are_taken_over(cache, undisturbed, tmp_path):
    killed, other = start(cache, tmp_path / "runs", 2)
    killed.wait_for(3)
    killed.process.kill()
    assert (killed.ended(), other.ended()) == (-signal.SIGKILL, 0)
    assert len({*killed.fits, *other.fits}) == NUM_FITS
    assert len(set(killed.fits) & set(other.fits)) <= 1, "the one that it was at, and no more"
    assert contents(tmp_path / "runs") == undisturbed


DEADLY = """
import os, signal, sys
from pathlib import Path
from vjepa_fer.evaluation import Study
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.sweep import run_experiment

def run(self, task, real=Study.run):
    return os.kill(os.getpid(), signal.SIGKILL) if (task.cells[0].probe, task.outer) == ("centroid", 2) else real(self, task)

Study.run = run
cells = (Cell(probe="knn", params={"k": 1}), Cell(probe="centroid"))
asked = Experiment(cache=sys.argv[1], cells=cells, protocol=Protocol(folds="subject-kfold:4", nested=False))
for _ in range(4):
    if not (pid := os.fork()):
        print(*run_experiment(asked, out=Path(sys.argv[2])).swept.lost, flush=True)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_a_fit_that_kills_its_process_is_tried_three_times_and_listed_and_the_rest_is_done(cache, tmp_path):
    words = [sys.executable, "-c", DEADLY, cache, tmp_path / "runs"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert said[:3] == ["-9", "-9", "-9"]
    assert said[3].startswith("centroid on mean, fold 2: 3 processes died of it")
    assert said[4] == "0"
    assert [path.name.split("-")[0] for path in (tmp_path / "runs").iterdir() if path.name != UNFINISHED] == ["knn"]


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_a_sleeper_neither_overwrites_nor_doubles_what_others_did_meanwhile(cache, undisturbed, tmp_path):
    sleeper, other = start(cache, tmp_path / "runs", 2)
    sleeper.wait_for(1)
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    assert other.ended() == 0
    before = sleeper.fits
    written = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.name != sleeper.log.name}
    os.kill(sleeper.process.pid, signal.SIGCONT)
    assert sleeper.ended() == 0
    assert sleeper.fits == before
    assert sleeper.lines[-1] == other.lines[-1]
    after = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in tmp_path.rglob("*") if p.name != sleeper.log.name}
    assert {p: after[p] for p in after if p.is_file()} == {p: written[p] for p in written if p.is_file()}
    assert contents(tmp_path / "runs") == undisturbed


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_what_a_killed_process_had_answered_is_not_fitted_again(cache, undisturbed, tmp_path):
    (killed,) = start(cache, tmp_path / "runs")
    killed.wait_for(7)
    killed.process.kill()
    killed.ended()
    assert len(list((tmp_path / "runs" / UNFINISHED / "answers").glob("*.npz"))) >= 6
    (again,) = start(cache, tmp_path / "runs", seconds=0)
    assert again.ended() == 0
    assert NUM_FITS <= len(killed.fits) + len(again.fits) <= NUM_FITS + 1
    assert contents(tmp_path / "runs") == undisturbed


def fitting(monkeypatch, then):
    """Call `then` in the middle of the first fit."""
    from vjepa_fer.evaluation import Study

    real, called = Study.run, []

    def run(self, task):
        if not called:
            called.append(then())
        return real(self, task)

    monkeypatch.setattr(Study, "run", run)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"protocol": Protocol(folds="subject-kfold:4", seed=7)}, r"seed: 0 there, 7 asked for"),
        ({"cells": (Cell(probe="knn"),)}, r"cells: also .*centroid.* there, also knn · mean · standard asked for"),
        ({"protocol": Protocol(folds="loso")}, r"folds: 'subject-kfold:4' there, 'loso' asked for"),
        ({"protocol": Protocol(folds="subject-kfold:4", by=("sex",))}, r"by: nothing else there, also sex asked for"),
    ],
)
def test_another_experiment_is_refused_by_field_while_one_is_at_work(cache, tmp_path, monkeypatch, other, field):
    asked = {"cache": str(cache), "cells": CELLS, "protocol": FOLDS}
    refused = []

    def second():
        with pytest.raises(RunError, match=rf"holds another run, which a process is at:\n(.*\n)*  {field}") as said:
            run_experiment(Experiment(**{**asked, **other}), out=tmp_path)
        refused.append(str(said.value))

    fitting(monkeypatch, second)
    run_experiment(Experiment(**asked), out=tmp_path)
    assert refused[0].startswith(str(tmp_path))
    assert refused[0].endswith("Choose another --out, or wait until it is done.")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name == UNFINISHED) == []


def test_what_another_experiment_left_unfinished_holds_nobody_up_and_goes(cache, tmp_path, monkeypatch):
    from vjepa_fer.evaluation import Study

    with monkeypatch.context() as patched:
        real, count = Study.run, []

        def run(self, task):
            count.append(task)
            if len(count) == 3:
                raise RuntimeError("stopped")
            return real(self, task)

        patched.setattr(Study, "run", run)
        with pytest.raises(RuntimeError, match="stopped"):
            sweep(open_cache(cache), CELLS, FOLDS, out=tmp_path)
    assert len(list((tmp_path / UNFINISHED / "answers").iterdir())) == 2
    sweep(open_cache(cache), [Cell(probe="svm")], FOLDS, out=tmp_path)
    assert not (tmp_path / UNFINISHED).exists()


def test_an_error_before_the_first_answer_leaves_nothing(cache, tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("broken")

    fitting(monkeypatch, broken)
    with pytest.raises(RuntimeError, match="broken"):
        sweep(open_cache(cache), CELLS, FOLDS, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("protocol", "field"),
    [
        (Protocol(folds="subject-kfold:4", seed=7), "seed: 0 there, 7 asked for"),
        (Protocol(folds="subject-kfold:4", inner_folds=2), "inner_folds: 4 there, 2 asked for"),
        (Protocol(folds="loso"), "folds: 'subject-kfold:4' there, 'loso' asked for"),
    ],
)
def test_a_finished_experiment_s_folder_takes_no_other_clips_folds_or_seeds(cache, tmp_path, protocol, field):
    sweep(open_cache(cache), CELLS, FOLDS, out=tmp_path)
    with pytest.raises(RunError, match=rf"holds another run:\n(.*\n)*  {field}"):
        sweep(open_cache(cache), [Cell(probe="svm", params={"C": c}) for c in (1, 2)], protocol, out=tmp_path)
    assert not list(tmp_path.glob("svm*"))


def test_more_cells_of_the_same_protocol_join_a_finished_experiment(cache, tmp_path):
    sweep(open_cache(cache), CELLS[:1], FOLDS, out=tmp_path)
    assert sweep(open_cache(cache), CELLS, FOLDS, out=tmp_path).cells[0].resumed


def test_repeats_are_divided_as_well(cache, tmp_path, monkeypatch):
    """What another process answered of a later seed is taken from it."""
    from vjepa_fer.evaluation import Study

    asked = Experiment(
        cache=str(cache), cells=CELLS[:1], protocol=Protocol(folds="subject-kfold:4", repeats=3), refit=False
    )
    ran: list[int] = []
    real, nested = Study.run, []

    def run(self, task):
        if not nested:
            nested.append(None)
            nested[0] = run_experiment(asked, out=tmp_path)  # another process does all but what this one is at
        ran.append(self.protocol.seed)
        return real(self, task)

    monkeypatch.setattr(Study, "run", run)
    monkeypatch.setattr("vjepa_fer.sweep.sharing.POLL_SECONDS", 0.0)
    waits = []

    def wait(self, num_left):
        waits.append(num_left)
        raise KeyboardInterrupt  # it waits for the fit that the outer one is at, as it should

    with monkeypatch.context() as patched:
        patched.setattr(Shared, "wait", wait)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(asked, out=tmp_path)
    assert waits == [1]
    assert ran.count(0) == 3
    nested[:] = [None]
    run_experiment(asked, out=tmp_path)
    assert sorted(ran) == sorted([seed for seed in (0, 1, 2) for _ in range(4)])


@given(
    num_cells=st.integers(1, 4),
    num_rows=st.integers(0, 5),
    classes=st.lists(
        st.text(min_size=1, max_size=4).filter(lambda t: "\0" not in t), min_size=1, max_size=4, unique=True
    ),
    seconds=st.floats(0, 1e6),
    data=st.data(),
)
@settings(max_examples=30, deadline=None)
def test_an_answer_comes_back_equal(tmp_path_factory, num_cells, num_rows, classes, seconds, data):
    names = np.array(sorted(classes))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    decided = [
        Decided(
            names,
            rng.random((num_rows, len(names))),
            names[rng.integers(len(names), size=num_rows)],
            {"k": data.draw(st.none() | st.integers(0, 9))},
        )
        for _ in range(num_cells)
    ]
    path = tmp_path_factory.mktemp("answer") / "a.npz"
    numbers = list(range(0, 2 * num_cells, 2))
    path.write_bytes(answer_bytes(Answer(decided, None, seconds), numbers))
    read = read_answer(path, numbers[::-1], num_rows=num_rows)
    assert read is not None
    assert read.seconds == seconds
    for one, own in zip(read.decided[::-1], decided, strict=True):
        np.testing.assert_array_equal(one.classes, own.classes)
        np.testing.assert_array_equal(one.labels, own.labels)
        assert one.probabilities.tobytes() == own.probabilities.tobytes()
        assert dict(one.settled) == dict(own.settled)
    assert read_answer(path, [1], num_rows=num_rows) is None
    assert read_answer(path, numbers, num_rows=num_rows + 1) is None
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert read_answer(path, numbers, num_rows=num_rows) is None


def test_counted_hits_come_back_equal(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(answer_bytes(Answer([], np.array([3, 1], np.int64), 0.5, 4), []))
    read = read_answer(path, [], num_rows=2)
    assert read is not None
    assert read.hits is not None
    assert read.hits.tolist() == [3, 1]
    assert read.num_judged == 4
    assert read_answer(path, [], num_rows=3) is None


def test_an_answer_that_was_damaged_is_fitted_again(cache, tmp_path, monkeypatch):
    from vjepa_fer.evaluation import Study

    real, count = Study.run, []

    def run(self, task):
        count.append(task)
        if len(count) == 4:
            raise RuntimeError("stopped")
        return real(self, task)

    monkeypatch.setattr(Study, "run", run)
    with pytest.raises(RuntimeError, match="stopped"):
        sweep(open_cache(cache), CELLS[:1], FOLDS, out=tmp_path)
    one, two, _ = sorted((tmp_path / UNFINISHED / "answers").iterdir())
    one.write_bytes(one.read_bytes()[:-20])
    two.write_bytes(b"")
    count[:] = [None] * 4
    sweep(open_cache(cache), CELLS[:1], FOLDS, out=tmp_path)
    assert len(count) == 4 + 3
    assert not (tmp_path / UNFINISHED).exists()
