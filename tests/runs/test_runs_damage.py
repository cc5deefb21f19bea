"""A run folder that was changed, put together or made up ends in a sentence that names the file, or shows what it showed before."""

import json
import os
import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from caches import write_counted_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cli import evaluate, report, runs
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.experiment import Protocol, make_cells
from vjepa_fer.runs import check_run, description, facts_of_table, list_runs, read_run, result_of
from vjepa_fer.sweep import sweep

pytest.importorskip("jinja2")
V1 = Path(__file__).parents[1] / "data" / "runs_v1"
FILES = ("run.json", "folds.json", "predictions.csv", "groups.csv")
OWN = (*FILES, "experiment.toml", "predictions.npz")
PROTOCOL = Protocol(folds="subject-kfold:4", by=("sex",))
CELLS = make_cells(["knn"], ["mean"], {"k": [1, 3]}, scales=["standard"])

app = typer.Typer()
app.command()(evaluate.evaluate)
app.command()(report.report)
app.add_typer(runs.app, name="runs")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return open_cache(write_counted_cache(tmp_path_factory.mktemp("counted") / "cache"))


@pytest.fixture(scope="module")
def swept(cache, tmp_path_factory):
    """The sweep of ``tests/data/runs_v1`` as it is written now: two cells and their nested run, with groups."""
    out = tmp_path_factory.mktemp("runs")
    sweep(cache, CELLS, PROTOCOL, out=out)
    return out


@pytest.fixture
def out(swept, tmp_path):
    return Path(shutil.copytree(swept, tmp_path / "runs"))


@pytest.fixture
def nested(out):
    return next(out.glob("best/*"))


def everything(run):
    """All that a run says, as plain values."""
    evaluation = run.evaluation
    predictions = evaluation.predictions
    columns = ("clip_ids", "subjects", "fold", "truth", "predicted", "probabilities")
    return [
        run.settings,
        run.cache,
        run.created,
        dict(run.versions),
        evaluation.cell,
        evaluation.folds,
        evaluation.seconds,
        evaluation.groups,
        evaluation.choices,
        result_of(evaluation),
        [getattr(predictions, name).tolist() for name in columns],
    ]


def flips(path, count, seed=0):
    """The file's bytes with one bit turned over, or one byte replaced, at a random place."""
    rng, data = random.Random(f"{path.name} {seed}"), path.read_bytes()
    for number in range(count):
        changed, place = bytearray(data), rng.randrange(len(data))
        while changed[place] == data[place]:
            changed[place] = data[place] ^ 1 << rng.randrange(8) if number % 2 else rng.randrange(256)
        yield bytes(changed)


def edit(table):
    """Let the classifier say sad in place of some angers."""
    table.write_text(table.read_text().replace(",angry,angry,", ",angry,sad,", 3))


def call(*arguments):
    """Exit status, or the error that the main program prints, and the output."""
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit | VjepaFerError):
        raise outcome.exception
    return outcome.exit_code, outcome.stdout, outcome.stderr or str(outcome.exception)


# --- what was changed


@pytest.mark.parametrize("name", OWN)
def test_a_flipped_bit_is_refused_or_changes_nothing(nested, name):
    before, path = everything(read_run(nested)), nested / name
    messages = []
    for changed in flips(path, 150):
        path.write_bytes(changed)
        try:
            assert everything(read_run(nested)) == before
        except VjepaFerError as error:
            messages.append(str(error))
    assert len(messages) > 100  # what is left are blanks of run.json
    assert all(f"{path}: " in message or f"{path}, " in message for message in messages)


@pytest.mark.parametrize("name", OWN)
def test_no_command_shows_a_flipped_bit(out, nested, name, tmp_path, monkeypatch):
    noon = type("Noon", (), {"now": lambda zone: datetime(2026, 1, 1, 12, tzinfo=UTC)})
    monkeypatch.setattr("vjepa_fer.report.page.datetime", noon)
    page, other = tmp_path / "page.html", next(out.glob("knn-*"))
    commands = {
        "list": ("runs", "list", out),
        "show": ("runs", "show", nested),
        "compare": ("runs", "compare", nested, other),
        "report": ("report", nested, "-o", page, "--projection", "pca"),
        "evaluate": ("evaluate", nested / "predictions.csv"),
        "table": ("runs", "compare", nested / "predictions.csv", other),
    }

    def seen(command):
        page.unlink(missing_ok=True)
        status, shown, _ = call(*commands[command])
        return status, shown, page.read_text() if page.exists() else ""

    before = {command: seen(command) for command in commands}
    assert {status for status, *_ in before.values()} == {0}
    for changed in flips(nested / name, 2, seed=1):
        (nested / name).write_bytes(changed)
        for command in commands:
            after = seen(command)
            assert after[0] in (1, 4) or after == before[command], (command, changed)


def test_edited_predictions_are_refused_with_a_way_to_judge_them(nested, tmp_path):
    table = nested / "predictions.csv"
    edit(table)
    for command in (("runs", "show", nested), ("evaluate", table), ("runs", "compare", table, next(V1.iterdir()))):
        status, _, said = call(*command)
        assert status == 1
        assert f"{table}: was changed after the run was written" in said
        assert "move it out of the run's folder: vjepa-fer evaluate edited.csv" in said
    assert call("evaluate", shutil.move(table, tmp_path / "edited.csv"))[0] == 0
    with pytest.raises(RunError, match=r"predictions\.csv: is missing, and the run is not whole without it"):
        read_run(nested)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
def test_another_name_for_the_runs_own_table_hides_nothing(nested):
    table = nested / "predictions.csv"
    (nested / "mine.csv").hardlink_to(table)
    assert call("evaluate", nested / "mine.csv")[0] == 0
    edit(table)
    with pytest.raises(RunError, match="was changed after the run was written"):
        facts_of_table(nested / "mine.csv")


def test_what_a_person_puts_beside_does_no_harm(cache, out, nested):
    single = next(out.glob("knn-*"))
    (single / "groups.csv").unlink()
    before = everything(read_run(nested))
    (nested / "notes.txt").write_text("the good one")
    (nested / "edited.csv").write_text((nested / "predictions.csv").read_text())
    assert everything(read_run(nested)) == before
    with pytest.raises(
        RunError, match=r"groups\.csv: is missing, and the run is not whole without it; put the file back"
    ):
        read_run(single)
    with pytest.raises(RunError, match=r"groups\.csv: is missing"):
        sweep(cache, CELLS, PROTOCOL, out=out)


def test_a_table_of_groups_that_was_put_there_later_is_none_of_the_run(cache, tmp_path):
    run = sweep(cache, CELLS[:1], Protocol(folds="subject-kfold:4"), out=tmp_path).cells[0].run
    (run / "groups.csv").write_text("clip_id,sex\nc0,x\n")
    assert read_run(run).evaluation.groups == {}


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", OWN)
def test_a_link_is_not_followed(nested, tmp_path, name):
    shutil.move(nested / name, tmp_path / name)
    (nested / name).symlink_to(tmp_path / name)
    with pytest.raises(RunError, match=rf"{name}: is a link, which could lead anywhere"):
        read_run(nested)


@pytest.mark.skipif(os.name == "nt", reason="POSIX")
@pytest.mark.parametrize("name", OWN)
def test_a_pipe_makes_nobody_wait(nested, name):
    (nested / name).unlink()
    os.mkfifo(nested / name)
    with pytest.raises(RunError, match=rf"{name}: cannot be read .*not a regular file"):
        read_run(nested)


@pytest.mark.parametrize("name", OWN[1:-1])
def test_a_file_of_any_size_is_not_read(nested, monkeypatch, name):
    monkeypatch.setitem(description.LARGEST, name, 100)
    with pytest.raises(RunError, match=rf"{name}: cannot be read \(over 100 bytes\)"):
        read_run(nested)


# --- runs of before there were hashes


def without_intervals(said):
    """A result's figures alone."""
    if isinstance(said, list):
        return [without_intervals(one) for one in said]
    if not isinstance(said, dict):
        return said
    return {name: without_intervals(value) for name, value in said.items() if "interval" not in name}


def test_runs_of_format_1_are_read(cache, swept, tmp_path):
    shutil.copytree(V1, tmp_path / "runs")
    now = {run.evaluation.cell.to_dict()["probe"]: run for run in list_runs(swept).runs}
    assert set(now) == {"knn"}
    for old in list_runs(tmp_path / "runs").runs:
        said = json.loads((old.path / "run.json").read_text())["result"]
        told = result_of(old.evaluation)
        told = without_intervals({name: told[name] for name in said})  # they are reckoned otherwise now
        new = {"absent": None, "notes": []}  # what was not said then
        assert {**told, **new} == {**without_intervals(said), **new}
        assert old.evaluation.groups["sex"]["c0"] == "f"
        assert old.experiment is None
        assert (old.evaluation.selection == "nested") == bool(old.evaluation.choices)


def test_what_format_1_kept_is_found_again_to_the_byte(cache, swept):
    kept = {(folder / "predictions.csv").read_bytes() for folder in V1.iterdir()}
    assert kept == {path.read_bytes() for path in swept.rglob("predictions.csv")}


def test_a_missing_file_of_format_1_is_named(tmp_path):
    shutil.copytree(V1, tmp_path / "runs")
    for run, name in zip((tmp_path / "runs").iterdir(), FILES[1:], strict=True):
        (run / name).unlink()
        for look in (read_run, check_run):
            with pytest.raises(RunError, match=rf"{run / name}: is missing"):
                look(run)


def test_no_single_character_makes_a_run_of_format_2_one_of_format_1(nested):
    text = (nested / "run.json").read_text()
    (nested / "run.json").write_text(text.replace("vjepa-fer/run/2", "vjepa-fer/run/1"))
    for run in (nested, nested / "predictions.csv"):
        with pytest.raises(RunError, match=r"run\.json: was changed after it was written"):
            read_run(run) if run.is_dir() else facts_of_table(run)


def test_edited_predictions_of_format_1_are_known_by_their_figures(tmp_path):
    shutil.copytree(V1, tmp_path / "runs")
    single = tmp_path / "runs" / "knn-mean-0a29ea04"
    table = single / "predictions.csv"
    edit(table)
    message = r"predictions\.csv: its predictions show WAR 79\.17 .* where run\.json says 91\.67; .*vjepa-fer evaluate"
    with pytest.raises(RunError, match=message):
        read_run(single)
    assert call("evaluate", table)[0] == 1
