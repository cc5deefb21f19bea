"""Results are pasted as they are: the same figures in every form, what must be read beside them in their row, and frames like the CSV."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from caches import write_counted_cache
from tables import call
from test_evaluate import faces, judge
from test_runs import SOURCE
from vjepa_fer.evaluation import Evaluation
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.judging import compare_predictions
from vjepa_fer.runs import PARTS, read_run, result_of, write_run
from vjepa_fer.sweep import run_experiment

GRID = ("--probe", "knn", "--param", "k=1,3", "--folds", "loso", "--by", "sex")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return write_counted_cache(tmp_path_factory.mktemp("counted") / "cache")


@pytest.fixture(scope="module")
def swept(cache, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "swept"
    done = call("probe", cache, *GRID, "--out", out, "--format", "csv")
    return out, done


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_probe_and_runs_list_print_the_figures_of_json_with_what_must_be_read(swept):
    out, done = swept
    listed = json.loads(call("runs", "list", out, "--json").stdout)["results"]
    for text in (done.stdout, call("runs", "list", out, "--format", "csv").stdout):
        assert [(row["name"], row["to_report"]) for row in rows(text)] == [
            (one["name"], str(one["to_report"])) for one in listed
        ]
        for row, one in zip(rows(text), listed, strict=True):
            assert (float(row["war"]), float(row["war_mean"]), float(row["war_sd"])) == (
                one["war"]["pooled"],
                one["war"]["mean"],
                one["war"]["sd"],
            )
            assert [float(row["war_low"]), float(row["war_high"])] == one["war"]["interval"]
            assert ("not the figure to report" in row["note"]) == (not one["to_report"])


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_picked_figure_says_so_where_it_is_pasted(swept, form):
    text = call("runs", "list", swept[0], "--format", form).stdout
    assert text.count("picked from several, not the figure to report") == 2
    one = call("runs", "show", next(swept[0].glob("best/*")), "--format", form).stdout
    assert "note" not in one


@pytest.mark.parametrize("part", list(PARTS))
def test_each_part_of_a_run_is_a_frame_like_its_csv(swept, part):
    pandas = pytest.importorskip("pandas")
    (folder,) = swept[0].glob("best/*")
    text = call("runs", "show", folder, "--part", part, "--format", "csv").stdout
    made = read_run(folder).to_frame(part)
    assert list(made.columns) == next(csv.reader(io.StringIO(text)))
    for row, (_, known) in zip(rows(text), made.iterrows(), strict=True):
        for name, value in known.items():
            assert row[name] == ("" if pandas.isna(value) else str(value)), name
    assert len(call("runs", "show", folder, "--part", part).stdout.splitlines()) > 3


def test_a_confusion_matrix_is_that_of_the_predictions(swept):
    (folder,) = swept[0].glob("best/*")
    said = read_run(folder).evaluation.predictions
    table = rows(call("evaluate", folder, "--part", "confusion", "--format", "csv").stdout)
    assert [[int(row[label]) for label in said.classes] for row in table] == said.confusion.tolist()
    assert [row["true_label"] for row in table] == list(said.classes)


def test_policies_are_a_row_each(swept):
    (folder,) = swept[0].glob("best/*")
    table = rows(call("evaluate", folder, "--policy", "strict,merge", "--format", "csv").stdout)
    assert [(row["policy"], float(row["scored"])) for row in table] == [("strict", 100.0), ("merge", 100.0)]


def test_a_table_in_percent_has_what_is_known(tmp_path):
    (tmp_path / "c.csv").write_text("true_label,a,b\na,80,20\nb,40,60\n")
    (row,) = rows(call("evaluate", tmp_path / "c.csv", "--confusion", "--format", "csv").stdout)
    assert (row["war"], float(row["uar"]), row["n_clips"]) == ("", 70.0, "")


def test_what_does_not_go_together_is_wrong_usage(swept):
    for words in (
        ["runs", "list", swept[0]],
        ["runs", "compare", swept[0]],
        ["models", "list"],
        ["cache", "info", swept[0]],
    ):
        assert "choose one" in call(*words, "--json", "--format", "csv", status=2).output
    run = next(swept[0].glob("best/*"))
    text = call("runs", "show", run, "--part", "groups", "--format", "markdown").stdout
    assert "| sex | f | 12 | 2 |" in text


def test_figures_by_no_group_are_refused(cache, tmp_path):
    call("probe", cache, "--probe", "knn", "--folds", "loso", "--out", tmp_path)
    assert "by no group" in call("runs", "show", next(tmp_path.glob("knn*")), "--part", "groups", status=2).output


def test_a_comparison_has_both_values_their_difference_and_what_must_be_read(swept):
    cells = sorted(swept[0].glob("knn*"))
    table = rows(call("runs", "compare", *cells, "--format", "csv").stdout)
    said = json.loads(call("runs", "compare", *cells, "--json").stdout)["differences"]
    for row, one in zip(table, said, strict=True):
        assert float(row["second_value"]) - float(row["first_value"]) == pytest.approx(one["value"], abs=1e-3)
        assert float(row["difference"]) == one["value"]
        assert row["note"] == "both: picked from several, not the figure to report"
    compared = compare_predictions({str(path): read_run(path).evaluation.predictions for path in cells})
    pytest.importorskip("pandas")
    assert compared.to_frame()["difference"].tolist() == [float(row["difference"]) for row in table]


def test_an_outcome_is_a_frame_of_all_that_came_of_it(cache):
    pytest.importorskip("pandas")
    cells = tuple(Cell(probe="knn", params={"k": k}) for k in (1, 3))
    done = run_experiment(Experiment(cache=str(cache), cells=cells, protocol=Protocol(folds="loso")))
    made = done.to_frame()
    assert made["to_report"].tolist() == [True, False, False]
    assert made["war"].tolist() == sorted(made["war"], reverse=True)
    assert len(done.to_frame("classes")) == 9
    assert len(repr(done)) < 120
    assert "best of 2 knn cells" in done._repr_html_()


@pytest.fixture
def evaluation() -> Evaluation:
    return judge(faces(), probe="knn", params={"k": 3})


def test_an_evaluation_is_a_frame_of_its_folds(evaluation):
    pytest.importorskip("pandas")
    made = evaluation.to_frame()
    assert made["fold"].tolist() == ["0", "1", "2"]
    assert made["n_clips"].sum() == 48
    np.testing.assert_allclose(made["war"], [100 * value for value in evaluation.scores["war"].folds])


def test_predictions_are_a_frame_like_their_file(evaluation, tmp_path):
    pandas = pytest.importorskip("pandas")
    run = write_run(tmp_path / "run", evaluation, source=SOURCE)
    read = pandas.read_csv(run.path / "predictions.csv", dtype={"fold": str})
    pandas.testing.assert_frame_equal(evaluation.predictions.to_frame(), read, check_dtype=False)


def test_a_leaky_result_says_so_in_every_form(evaluation):
    result = {**result_of(evaluation), "leaky": True}
    for form in ("markdown", "latex", "csv"):
        assert "LEAKY, not comparable" in PARTS["figures"]([result]).to_text(form)


def test_caches_and_models_are_tables_too(cache):
    facts = json.loads(call("cache", "info", cache, "--json").stdout)
    table = rows(call("cache", "info", cache, "--part", "labels", "--format", "csv").stdout)
    assert {row["label"]: int(row["clips"]) for row in table} == facts["labels"]
    said = {row["fact"]: row["value"] for row in rows(call("cache", "info", cache, "--format", "csv").stdout)}
    assert said["clips_done"] == "24"
    assert said["fingerprint"] == facts["fingerprint"]
    for part in ("levels", "subjects", "absent"):
        call("cache", "info", cache, "--part", part, "--format", "latex")
    models = rows(call("models", "list", "--format", "csv").stdout)
    assert {row["name"] for row in models} == {
        m["name"] for m in json.loads(call("models", "list", "--json").stdout)["models"]
    }
