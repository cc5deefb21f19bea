"""Promises of vjepa_fer.workers: results come back whatever happens to a process, and mistakes are raised here."""

import os
from functools import partial
from pathlib import Path

import pytest

from vjepa_fer.errors import ProbeError
from vjepa_fer.workers import Lost, run_tasks


def square(task):
    return task * task


def die_on(deadly, task):
    if task == deadly:
        os._exit(9)
    return task


def die_once(marker, task):
    """Killed the first time it is asked for 1, well the second time."""
    if task == 1 and not Path(marker).exists():
        Path(marker).touch()
        os._exit(9)
    return task


def refuse(task):
    raise ProbeError(f"task {task} is not to be done")


def threads(task):
    return os.environ["OMP_NUM_THREADS"]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_every_task_is_done_once(jobs):
    assert sorted(run_tasks(square, range(4), jobs=jobs)) == [(0, 0), (1, 1), (2, 4), (3, 9)]


def test_a_task_that_kills_its_process_is_lost_alone():
    results = dict(run_tasks(partial(die_on, 2), range(4), jobs=2))
    assert {n: r for n, r in results.items() if n != 2} == {0: 0, 1: 1, 3: 3}
    assert results[2] == Lost(9)
    assert "its process died 2 times, exit code 9" in str(results[2])


def test_a_task_whose_process_died_by_chance_is_done_again(tmp_path):
    assert dict(run_tasks(partial(die_once, str(tmp_path / "died")), range(3), jobs=2)) == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_mistake_is_raised_here_with_its_own_words(jobs):
    with pytest.raises(ProbeError, match="is not to be done"):
        list(run_tasks(refuse, range(3), jobs=jobs))


def test_processes_share_the_cores_and_this_one_keeps_its_settings(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert dict(run_tasks(threads, range(2), jobs=2)) == {0: "4", 1: "4"}
    assert "OMP_NUM_THREADS" not in os.environ
