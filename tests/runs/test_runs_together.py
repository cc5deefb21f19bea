"""Several processes may fill one folder of runs at once: one of them writes a run, the others take it, and the dead leave nothing."""

import importlib
import json
import os
import signal

import pytest
import typer
from typer.testing import CliRunner

from caches import write_counted_cache
from sharers import SERVER
from vjepa_fer.cli import probe
from vjepa_fer.runs import list_runs, load_fitted

app = typer.Typer()
app.command()(probe.probe)
FOLDS = ("--folds", "subject-kfold:4", "--json")
GRID = ("-p", "knn", "--param", "k=1,3", "--refit", *FOLDS)
ROUNDS = 3


def call(*arguments):
    """Exit status, and what was printed, or the error that the main program would print."""
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    error = outcome.exception
    return outcome.exit_code, outcome.stdout if error is None else f"{type(error).__name__}: {error}"


def work(barrier, answers, number, commands):
    """Give the commands, each at the moment when the others give theirs."""

    def together(command):
        barrier.wait(60)
        return call(*command)

    answers.put((number, [together(command) for command in commands]))


def at_once(*commands):
    """What each process answers that is given its list of commands."""
    barrier, answers = SERVER.Barrier(len(commands)), SERVER.Queue()
    processes = [SERVER.Process(target=work, args=(barrier, answers, n, list(own))) for n, own in enumerate(commands)]
    for process in processes:
        process.start()
    said = dict(answers.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    return [said[number] for number in range(len(processes))]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_counted_cache(tmp_path_factory.mktemp("counted") / "cache")


def test_two_processes_that_do_the_same_both_have_it(cache, tmp_path):
    outs = [tmp_path / str(number) / "runs" for number in range(ROUNDS)]
    first, second = at_once(*([(str(cache), *GRID, "--out", str(out)) for out in outs] for _ in range(2)))
    for out, one, other in zip(outs, first, second, strict=True):
        assert (one[0], other[0]) == (0, 0), (one, other)
        assert json.loads(one[1]) == json.loads(other[1])
        listed = list_runs(out)
        assert (len(listed.runs), listed.unread) == (3, [])
        folders = sorted([*out.glob("knn-*"), *out.glob("best/*")])
        assert folders == sorted(run.path for run in listed.runs)
        assert {p.name for p in out.iterdir()} == {"best", *(p.name for p in out.glob("knn-*"))}
        (fitted,) = out.glob("*/fitted")
        assert load_fitted(fitted.parent).classes == ("angry", "happy", "sad")
        assert sorted(p.name for p in fitted.parent.iterdir()) == [
            "experiment.toml",
            "fitted",
            "folds.json",
            "predictions.csv",
            "predictions.npz",
            "run.json",
        ]


def test_of_two_experiments_in_one_folder_one_is_refused_field_by_field(cache, tmp_path):
    outs = [tmp_path / str(number) for number in range(ROUNDS)]
    said = at_once(*([(str(cache), *FOLDS, "--seed", seed, "--out", str(out)) for out in outs] for seed in "07"))
    for out, *both in zip(outs, *said, strict=True):
        (winner,) = (number for number, (status, _) in enumerate(both) if status == 0)
        status, message = both[1 - winner]
        there, asked = "07"[winner], "07"[1 - winner]
        assert status == 1
        assert message.startswith(f"RunError: {out}")
        assert "holds another run" in message
        assert f"\n  seed: {there} there, {asked} asked for" in message
        assert [p.name for p in out.iterdir()] == ["logreg-mean-standard"]


def die_writing(cache, out, module, function):
    """Be killed in the middle of a folder."""
    setattr(importlib.import_module(module), function, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    call(str(cache), *FOLDS, "--out", str(out), "--refit")


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize(
    ("module", "function", "num_runs"),
    [("vjepa_fer.disk.durable", "_sync_tree", 0), ("vjepa_fer.evaluation.fitted", "save_probe", 1)],
    ids=["run", "fitted"],
)
def test_what_a_killed_process_left_is_never_read_and_goes_with_the_next(cache, tmp_path, module, function, num_runs):
    process = SERVER.Process(target=die_writing, args=(cache, tmp_path, module, function))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.rglob(".*.partial"))) == 1
    assert len(list_runs(tmp_path).runs) == num_runs
    assert call(str(cache), *FOLDS, "--out", str(tmp_path), "--refit")[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["logreg-mean-standard"]
    assert list(tmp_path.rglob("*.partial")) == []
