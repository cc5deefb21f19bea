"""Promises of vjepa_fer.experiment: a value that goes to TOML and JSON and back, one fingerprint for two spellings, one way to run it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import vjepa_fer
from caches import write_counted_cache
from vjepa_fer.cli import evaluate, experiments, probe, report, runs
from vjepa_fer.errors import CacheError, ExperimentError, ProbeError, VjepaFerError
from vjepa_fer.experiment import (
    DECISIONS,
    Cell,
    Experiment,
    Nest,
    Protocol,
    Statistics,
    cell_titles,
    experiment_from_dict,
    experiment_from_json,
    experiment_from_toml,
    experiment_to_json,
    experiment_to_toml,
    folder_name,
    plan_title,
    read_experiment,
    shipped_experiments,
    write_experiment,
)
from vjepa_fer.features import RULES
from vjepa_fer.report.results_table import FORMATS, OF_SUFFIX, result_rows
from vjepa_fer.runs import list_runs, read_run
from vjepa_fer.sweep import run_experiment

app = typer.Typer()
app.command()(probe.probe)
app.command()(evaluate.evaluate)
app.command()(report.report)
app.add_typer(runs.app, name="runs")
app.add_typer(experiments.app, name="experiments")


def call(*arguments, status=0):
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(outcome.exception, VjepaFerError):
        raise outcome.exception
    assert outcome.exit_code == status, outcome.output
    return outcome.stdout if status == 0 else outcome.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_counted_cache(tmp_path_factory.mktemp("counted") / "cache")


# --- there and back

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS
VALUES = SCALARS | st.lists(SCALARS, max_size=3).map(tuple)
CELLS = st.builds(
    Cell,
    probe=WORDS,
    params=st.dictionaries(NAMES, VALUES, max_size=3),
    level=WORDS,
    scale=WORDS,
    decision=WORDS,
)
PROTOCOLS = st.builds(
    Protocol,
    folds=WORDS,
    seed=st.integers(0, 2**40),
    nested=st.booleans(),
    inner_folds=st.integers(2, 99),
    allow_leak=st.booleans(),
    by=st.lists(WORDS, max_size=3).map(tuple),
    exclude=st.none() | st.just("damaged"),
)
STATISTICS = st.builds(Statistics, confidence=st.floats(0, 1, exclude_min=True, exclude_max=True))
FIELDS = {
    "cache": WORDS,
    "streams": st.dictionaries(NAMES, WORDS, max_size=3),
    "fusion": st.sampled_from(["early", "late"]),
    "labels": st.just("intended") | WORDS,
    "ties": WORDS,
    "cells": st.lists(CELLS, min_size=1, max_size=3).map(tuple),
    "protocol": PROTOCOLS,
    "statistics": STATISTICS,
    "test_on": st.just("") | WORDS,
    "policies": st.lists(WORDS, max_size=3).map(tuple),
    "label_names": st.dictionaries(NAMES, WORDS, max_size=3),
    "refit": st.booleans(),
}


@settings(max_examples=300, deadline=None)
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_whatever_can_be_built_goes_to_toml_and_json_and_back(fields):
    try:
        asked = Experiment(**fields)
    except ExperimentError:
        return
    assert experiment_from_toml(experiment_to_toml(asked)) == asked
    assert experiment_from_json(experiment_to_json(asked)) == asked
    assert experiment_from_dict(asked.to_dict()) == asked


def test_it_prints_as_the_call_that_makes_it():
    asked = Experiment(cache="c", cells=(Cell(probe="knn", params={"k": 3}),), protocol=Protocol(by=("sex",)))
    assert eval(repr(asked), vars(vjepa_fer.experiment)) == asked


# --- one fingerprint

BASE = Experiment(cache="here", cells=(Cell(params={"C": 1}),))


@pytest.mark.parametrize(
    "same",
    [
        Experiment(cells=(Cell(params={"C": 1.0}),)),
        Experiment(cells=(Cell(params={"C": 1, "tol": 5e-6}),)),
        Experiment(cells=(Cell(),)),
        Experiment(cache="there", cells=(Cell(params={"max_iter": 1000.0}),)),
        experiment_from_toml("cache = 'x'\nprobe = 'logreg'\n[param]\nC = 1.0\n"),
        experiment_from_toml("[[cells]]\nprobe = 'logreg'\nparams = {C = '1e0', class_weight = 'none'}\n"),
        experiment_from_dict({"inner-folds": 4, "by": "", "policies": "strict"}),
    ],
)
def test_two_spellings_have_one_fingerprint(same):
    assert same.fingerprint == BASE.fingerprint


def test_short_names_and_presets_are_spellings_too():
    short = Experiment(cells=(Cell(probe="knn", params={"k": 3}),))
    assert short.fingerprint == Experiment(cells=(Cell(probe="knn", params={"n_neighbors": 3}),)).fingerprint
    preset = Experiment(cells=(Cell(probe="attentive", params={"preset": "vjepa2"}, scale="none"),))
    unfolded = preset.resolved.cells[0].params
    assert unfolded["depth"] == 4
    assert "preset" not in unfolded
    assert preset.resolved == preset.resolved.resolved


@pytest.mark.parametrize(
    "other",
    [
        Experiment(cells=(Cell(params={"C": 2}),)),
        Experiment(cells=(Cell(), Cell(scale="none"))),
        Experiment(protocol=Protocol(seed=1)),
        Experiment(protocol=Protocol(nested=False)),
        Experiment(protocol=Protocol(by=("sex",))),
        Experiment(statistics=Statistics(confidence=0.9)),
        Experiment(labels="perceived"),
        Experiment(test_on="there"),
        Experiment(streams={"a": "x", "b": "y"}),
    ],
)
def test_another_question_has_another_fingerprint(other):
    assert other.fingerprint != BASE.fingerprint


def test_the_order_of_ties_is_the_rules_own():
    assert DECISIONS[2:] == tuple(RULES)


# --- what cannot be


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prob = 'knn'", r"e\.toml: prob = 'knn': there is no such key; did you mean 'probe'\?"),
        ("[[cells]]\nlevel = 'mean'", r"e\.toml, cells\[0\]: level = 'mean': there is no such key"),
        (
            "[statistics]\nconfidences = 3",
            r"e\.toml, statistics: confidences = 3: there is no such key; did you mean 'confidence'",
        ),
        ("seed = 'x'", r"e\.toml: 'seed' is \"x\", expected a whole number"),
        ("seed = 1979-05-27", r"e\.toml: 'seed' is \"1979-05-27\", expected a whole number"),
        ("cells = []", r"e\.toml: cells is empty: expected at least one"),
        (
            "probe = 'knn'\n[[cells]]\nprobe = 'knn'",
            r"e\.toml: 'probe' is \"knn\", expected nothing: the file lists its cells",
        ),
        ("jobs = 4", r"e\.toml: jobs = 4 is no part of an experiment: it changes no figure; type --jobs instead"),
        (
            "cache = 'a'\nstreams = {x = 'b', y = 'c'}",
            r"e\.toml: cache = 'a' and streams = x, y: expected one of the two",
        ),
        ("fusion = 'late'", r"e\.toml: fusion = 'late' is for two or more streams"),
        ("[statistics]\nconfidence = 1", r"e\.toml: statistics\.confidence = 1.*: expected between 0 and 1"),
        ("inner_folds = 1", r"e\.toml: inner_folds = 1: expected 2 or more"),
        ("[param]\nC = 'logspace:1'", r"e\.toml: parameter C=logspace:1 is not logspace:FIRST:LAST:COUNT"),
        ("this is no TOML", r"e\.toml: cannot be read as TOML"),
        ("exclude = 'all'", r"e\.toml: exclude = 'all': expected 'damaged'"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_key_and_value(tmp_path, text, message):
    (tmp_path / "e.toml").write_text(text)
    with pytest.raises(ExperimentError, match=message):
        read_experiment(tmp_path / "e.toml")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", "none", " x", {"a": 1}, [1], ((1,),), b"x"])
def test_a_value_that_would_come_back_as_another_is_refused(value):
    with pytest.raises(ExperimentError, match=r"cells\[0\]\.params\.C = .*: expected a finite number, a word"):
        Experiment(cells=(Cell(params={"C": value}),))


def test_half_a_letter_is_refused():
    with pytest.raises(ExperimentError, match=r"ties = .*holds half a letter"):
        Experiment(ties="\ud800")


def test_a_cell_twice_is_refused():
    twice = Experiment(cells=(Cell(), Cell(params={"C": 1.0})))
    with pytest.raises(ExperimentError, match=r"cells\[1\] is cells\[0\] again"):
        run_experiment(twice)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("cache = 'nowhere'", CacheError, "The experiment says cache = 'nowhere'."),
        ("features = ['mean', 'grid:9']", CacheError, "The experiment says cells[1].features = 'grid:9'."),
        ("probe = 'knn'\n[param]\nkk = 3", ProbeError, "kk"),
        ("test_on = 'nowhere'", CacheError, "The experiment says test_on = 'nowhere'."),
        ("streams = {a = 'nowhere', b = 'nowhere'}", CacheError, "The experiment says streams"),
    ],
)
def test_what_its_caches_cannot_give_is_said_with_file_and_key_and_nothing_is_written(
    cache, tmp_path, text, error, said
):
    path, out = tmp_path / "e.toml", tmp_path / "out"
    path.write_text(text)
    typed = [] if text.startswith(("cache", "streams")) else [cache]
    with pytest.raises(error) as caught:
        call("probe", *typed, "--config", path, "--out", out)
    assert said in "\n".join(caught.value.lines)
    assert f"This was asked for by {path}." in caught.value.lines
    assert not out.exists()


def test_a_cache_of_a_newer_version_is_refused(cache, tmp_path):
    newer = Path(shutil.copytree(cache, tmp_path / "newer"))
    text = (newer / "cache.json").read_text()
    (newer / "cache.json").write_text(text.replace('"format_version": 2', '"format_version": 99'))
    with pytest.raises(CacheError) as caught:
        run_experiment(Experiment(cache=str(newer)), out=tmp_path / "out")
    assert f"The experiment says cache = {str(newer)!r}." in caught.value.lines
    assert not (tmp_path / "out").exists()


# --- options, files and Python are one

GRID = ("--probe", "knn,centroid", "--param", "k=1,3", "--folds", "subject-kfold:4", "--by", "sex")


@pytest.fixture(scope="module")
def done(cache, tmp_path_factory):
    """The folder of a finished sweep, its file, and what was printed."""
    out = tmp_path_factory.mktemp("done")
    printed = json.loads(call("probe", cache, *GRID, "--out", out / "runs", "--save", out / "e.toml", "--json"))
    return out / "runs", out / "e.toml", printed


def predictions(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("predictions.csv")}


def test_what_was_saved_repeats_it_to_the_byte(done, tmp_path):
    out, saved, printed = done
    call("probe", "--config", saved, "--out", tmp_path / "again")
    assert len(predictions(out)) == 6  # three cells, two families, the choice among all
    assert predictions(tmp_path / "again") == predictions(out)
    outcome = run_experiment(read_experiment(saved), out=tmp_path / "python")
    assert predictions(tmp_path / "python") == predictions(out)
    assert outcome.experiment.fingerprint == printed["experiment"]["fingerprint"]
    assert outcome.best.evaluation.scores["war"].pooled * 100 == pytest.approx(printed["winner"]["war"]["pooled"])


def test_each_run_keeps_what_repeats_it(done, tmp_path):
    out, _, _ = done
    for number, run in enumerate(list_runs(out).runs):
        assert run.experiment.resolved == run.experiment
        call("probe", "--config", run.path / "experiment.toml", "--out", tmp_path / str(number))
        again = predictions(tmp_path / str(number)).values()
        assert (run.path / "predictions.csv").read_bytes() in again


def test_json_is_a_spelling_too(done, tmp_path):
    _, saved, _ = done
    write_experiment(tmp_path / "e.json", read_experiment(saved))
    assert read_experiment(tmp_path / "e.json") == read_experiment(saved)
    call("probe", "--config", tmp_path / "e.json", "--out", tmp_path / "again")
    assert predictions(tmp_path / "again")


def test_what_is_typed_comes_before_the_file(done, tmp_path):
    _, saved, _ = done
    answer = json.loads(call("probe", "--config", saved, "--folds", "loso", "--json"))
    assert {result["folds"] for result in answer["results"]} == {"loso"}
    assert "--probe goes with no --config that lists its cells" in call(
        "probe", "--config", saved, "-p", "knn", status=2
    )


# --- one figure, wherever it is read


def test_the_figure_to_report_is_one_wherever_it_is_read(done, tmp_path):
    out, _, printed = done
    war = printed["winner"]["war"]["pooled"]
    listed = json.loads(call("runs", "list", out, "--json"))["results"]
    assert (listed[0]["to_report"], listed[0]["war"]["pooled"]) == (True, war)
    assert not any(result["to_report"] for result in listed[1:])
    (table,) = out.glob("best/*/predictions.csv")
    (scored,) = json.loads(call("evaluate", table, "--json"))["results"]
    assert scored["war"]["pooled"] == war
    call("report", out, "-o", tmp_path / "page.html", "--projection", "pca")
    page = (tmp_path / "page.html").read_text()
    assert f"<b>{war:.1f} %</b>" in page[page.index('id="run0"') : page.index('id="run1"')]
    assert page.index("best of 3 cells") < page.index("best of 2 knn cells")
    assert f"{war:.2f}" in call("runs", "compare", out).splitlines()[4]


def test_what_was_one_of_several_is_never_the_figure_to_report(done):
    out, _, _ = done
    text = call("runs", "list", out)
    assert (
        text.index("best of 3 cells") < text.index("not the figure to report") < text.index("knn k=3 · mean · standard")
    )
    outcome = CliRunner().invoke(app, ["runs", "compare", str(out)])
    assert "best of 2 knn cells · mean" in outcome.stderr
    assert "not the figure to report" in outcome.stderr
    for run in list_runs(out).runs:
        expected = "nested" if isinstance(run.evaluation.cell, Nest) else "grid"
        assert run.evaluation.selection == expected


def test_the_rule_of_a_run_is_checked_when_it_is_read(done, tmp_path):
    from vjepa_fer.doors import canonical_json
    from vjepa_fer.runs.settings import digest

    cell = next(done[0].glob("knn-*"))
    copy = Path(shutil.copytree(cell, tmp_path / "copy"))
    said = json.loads((copy / "run.json").read_text())
    said["result"]["selection"] = "nested"
    said.pop("sha256")
    (copy / "run.json").write_text(json.dumps({**said, "sha256": digest(canonical_json(said))}))
    with pytest.raises(
        VjepaFerError, match="'selection' is \"nested\", expected 'grid': the run is of one cell among 3"
    ):
        read_run(copy)


def test_a_cell_that_was_one_of_several_stays_so_when_it_is_asked_for_alone(cache, tmp_path):
    call("probe", cache, *GRID, "--no-nested", "--out", tmp_path)
    (alone,) = json.loads(call("probe", cache, "-p", "knn", "--param", "k=3", *GRID[4:], "--out", tmp_path, "--json"))[
        "results"
    ]
    assert (alone["selection"], alone["among"]) == ("grid", 3)


def test_names_are_for_people_and_folders_start_with_them():
    cell = Cell(probe="logreg", params={"C": 10}, level="frames")
    assert plan_title(cell) == "logreg C=10 · frames · standard"
    assert folder_name(cell).startswith("logreg-C10-frames-standard-")
    assert folder_name(Cell()) == "logreg-mean-standard"
    odd = Cell(probe="mlp", params={"hidden": (80, 40)}, level="grid:4", scale="none", decision="vote")
    assert plan_title(odd) == "mlp hidden=(80, 40) · grid:4 · none · vote"
    names = {folder_name(Cell(params={"C": c})) for c in (1, 0.1, 0.01, 10, 100.0)}
    assert len(names) == 5
    assert cell_titles([Cell(params={"C": 1}), Cell(params={"C": 10})], leave_out=["features", "scale"]) == [
        "logreg C=1",
        "logreg C=10",
    ]


def test_piped_output_is_never_folded_or_cut(done, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = call("runs", "list", done[0]).splitlines()
    assert all(
        sum(run.path.name in line for line in lines) == 1 for run in list_runs(done[0]).runs if not run.repeats_a_cell
    )


# --- those that come along, and the table of results


@pytest.mark.parametrize("name", list(shipped_experiments()))
def test_every_experiment_that_comes_along_can_be_read(name):
    asked = read_experiment(shipped_experiments()[name])
    assert asked.resolved.cells
    assert call("experiments", "show", name).startswith("# ")
    assert name in call("experiments", "list")


def test_the_papers_experiments_are_its_folds_its_classifier_and_one_cell():
    ravdess, crema_d = (read_experiment(shipped_experiments()[f"eing-2026-{name}"]) for name in ("ravdess", "crema-d"))
    assert (ravdess.protocol.folds, crema_d.protocol.folds) == ("ravdess-5fold", "crema-d-eing")
    assert ravdess.cells == crema_d.cells
    (cell,) = ravdess.resolved.cells
    schedule = {
        name: cell.params[name] for name in ("lr", "weight_decay", "final_weight_decay", "epochs", "batch_size")
    }
    assert schedule == {"lr": 0.001, "weight_decay": 0.01, "final_weight_decay": 1e-6, "epochs": 20, "batch_size": 256}


def test_a_name_that_comes_along_is_a_config(cache, tmp_path):
    answer = json.loads(call("probe", cache, "--config", "encoders", "--folds", "subject-kfold:4", "--json"))
    assert len(answer["results"]) == 7
    assert answer["winner"]["among"] == 7


@pytest.mark.parametrize("suffix", list(OF_SUFFIX))
def test_a_table_is_checked_against_the_runs(done, tmp_path, suffix):
    out, _, printed = done
    made = call("experiments", "table", out, "--format", OF_SUFFIX[suffix])
    assert f"{printed['winner']['war']['pooled']:.2f} [" in made
    page = tmp_path / f"README{suffix}"
    page.write_text(made if suffix == ".csv" else f"# Ours\n\n{made}\nand more\n")
    call("experiments", "table", out, "--check", page)
    page.write_text(page.read_text().replace(f"{printed['winner']['war']['pooled']:.2f} [", "99.99 ["))
    assert "99.99" in call("experiments", "table", out, "--check", page, status=1)
    page.write_text("nothing\n")
    assert "there is no table" in call("experiments", "table", out, "--check", page, status=1)


def test_a_row_has_its_command_and_its_predictions_hash(done):
    (row,) = result_rows([done[0]])
    (folder,) = done[0].glob("best/*")
    assert f"vjepa-fer probe --config {folder}/experiment.toml" in row.cells
    for form in FORMATS.values():
        assert row.cells[-1] in form([row])


def test_figures_picked_from_several_make_no_row(cache, tmp_path):
    call("probe", cache, *GRID, "--no-nested", "--out", tmp_path)
    with pytest.raises(VjepaFerError, match="no figure in it is one to report: each is one of several"):
        result_rows([tmp_path])
