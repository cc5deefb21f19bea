"""What is judged are classes: a further column of numbers, a margin or a percentage never becomes one, or another figure."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from tables import call
from vjepa_fer.errors import RunError
from vjepa_fer.judging import read_confusion, read_prediction_table
from vjepa_fer.tables import judge_confusion, judge_table

CLASSES = ("angry", "happy", "sad")
RNG = np.random.default_rng(3)
TRUTH = RNG.integers(0, 3, 90)
SHARES = RNG.dirichlet(np.ones(3), 90) * 0.4 + 0.6 * np.eye(3)[np.where(RNG.random(90) < 0.7, TRUTH, 0)]
WAR = 100 * accuracy_score(TRUTH, SHARES.argmax(axis=1))
EXTRA = {
    "age": RNG.integers(20, 60, 90),
    "duration": RNG.random(90) * 4,
    "Unnamed: 0": np.arange(90),
    "zero": np.zeros(90),
}


def predictions(path, values, heads=CLASSES, further=(), said=None):
    columns = {"clip_id": [f"c{n}" for n in range(90)], "true_label": np.array(CLASSES)[TRUTH]}
    if said is not None:
        columns["predicted_label"] = np.array(CLASSES)[said]
    columns |= dict(zip(heads, np.asarray(values).T, strict=True)) if len(heads) else {}
    columns |= {name: EXTRA[name] for name in further}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def war(result):
    return result["war"]["pooled"]


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(list(EXTRA)[:3]), min_size=1), st.sampled_from(["", "prob_", "p:"]))
def test_a_further_column_of_numbers_is_left_out_of_probabilities(tmp_path_factory, further, beginning):
    path = tmp_path_factory.mktemp("judged") / "p.csv"
    predictions(path, SHARES, [beginning + name for name in CLASSES], sorted(further))
    table = read_prediction_table(path)
    assert set(table.columns["left_out"]) == further
    assert table.predictions.classes == CLASSES
    assert war(judge_table(path)[0]) == pytest.approx(WAR, abs=1e-4)


def test_a_class_that_no_clip_has_stays_one(tmp_path):
    wide = np.column_stack([SHARES * 0.9, np.full(90, 0.1)])
    table = read_prediction_table(predictions(tmp_path / "p.csv", wide, [*CLASSES, "c7"], ["age"]))
    assert (table.known, table.columns["left_out"]) == ((*CLASSES, "c7"), ("age",))


@pytest.mark.parametrize("values", [10 * SHARES - 3, 6 * SHARES], ids=["scores", "sums"])
def test_beside_scores_a_column_is_refused_unless_the_classes_are_named(tmp_path, values):
    path = predictions(tmp_path / "p.csv", values, further=["age"])
    with pytest.raises(RunError, match=r"row 1: is 'age' a class\?.*--classes angry,happy,sad"):
        judge_table(path, scores=True)
    assert war(judge_table(path, scores=True, classes=CLASSES)[0]) == pytest.approx(WAR, abs=1e-4)


def test_an_expression_that_no_clip_shows_may_stand_among_scores(tmp_path):
    path = predictions(tmp_path / "p.csv", np.column_stack([10 * SHARES, np.zeros(90)]), [*CLASSES, "calm"])
    assert read_prediction_table(path, scores=True).known == (*CLASSES, "calm")


def test_decisions_with_measurements_beside_them_are_decisions(tmp_path):
    path = predictions(tmp_path / "p.csv", [], [], ["age", "duration"], said=SHARES.argmax(axis=1))
    table = read_prediction_table(path)
    assert (table.kind, table.columns["left_out"]) == ("decisions", ("age", "duration"))
    assert war(judge_table(path)[0]) == pytest.approx(WAR, abs=1e-4)


def test_the_command_names_what_every_column_was_taken_as(tmp_path):
    done = call("evaluate", predictions(tmp_path / "p.csv", SHARES, further=["age"]))
    for line in (
        "columns (2): clip_id, true_label",
        "classes (3): angry, happy, sad",
        "left out, being no class (1): age",
    ):
        assert line in done.stderr


# --- confusion matrices

COUNTS = confusion_matrix(TRUTH, np.where(RNG.random(90) < 0.3, 2, SHARES.argmax(axis=1)))


def matrix(path, values, columns=CLASSES, rows=CLASSES, mark=""):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true_label", *columns])
        writer.writerows([name, *(f"{v:.10g}{mark}" for v in row)] for name, row in zip(rows, values, strict=True))
    return path


def truths(counts):
    """scikit-learn's figures for the clips that the counts stand for."""
    truth, said = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    return (
        100 * accuracy_score(truth, said),
        100 * recall_score(truth, said, average="macro"),
        100 * f1_score(truth, said, average="macro"),
    )


def figures(result):
    return tuple(result[name] and result[name]["pooled"] for name in ("war", "uar", "macro_f1"))


@pytest.mark.parametrize("name", ["Total", "All", "sum", "Σ", "support"])
@pytest.mark.parametrize("sides", ["column", "row", "both"])
def test_margins_are_no_classes(tmp_path, name, sides):
    values, columns, rows = COUNTS, list(CLASSES), list(CLASSES)
    if sides != "row":
        values, columns = np.column_stack([values, values.sum(axis=1)]), [*columns, name]
    if sides != "column" and name != "support":
        values, rows = np.vstack([values, values.sum(axis=0)]), [*rows, name]
    path = matrix(tmp_path / "m.csv", values, columns, rows)
    (result,) = judge_confusion(path)
    assert figures(result) == pytest.approx(truths(COUNTS), abs=1e-3)
    assert result["n_clips"] == COUNTS.sum()
    if sides != "row":
        assert name in result["columns"]["left_out"]


@pytest.mark.parametrize(("unit", "digits", "mark"), [(100, 2, ""), (100, 0, "%"), (1, 4, ""), (100, 1, "%")])
def test_percentages_tell_recalls_only_and_all_else_with_the_sizes(tmp_path, unit, digits, mark):
    uneven = COUNTS * np.array([[1], [3], [2]])
    rows = np.round(unit * uneven / uneven.sum(axis=1, keepdims=True), digits)
    path = matrix(tmp_path / "m.csv", rows, mark=mark)
    bare = figures(judge_confusion(path)[0])
    war_, uar, f1 = truths(uneven)
    assert bare == (None, pytest.approx(uar, abs=0.6 if not digits else 0.05), None)
    sizes = dict(zip(CLASSES, uneven.sum(axis=1).tolist(), strict=True))
    whole = (war_, uar, f1)
    assert figures(judge_confusion(path, sizes=sizes)[0]) == pytest.approx(whole, abs=0.6 if not digits else 0.05)
    beside = matrix(tmp_path / "n.csv", np.column_stack([rows, uneven.sum(axis=1)]), [*CLASSES, "support"])
    assert figures(judge_confusion(beside)[0]) == pytest.approx(whole, abs=0.6 if not digits else 0.05)


def test_percentages_with_their_margins_and_figures_are_percentages(tmp_path):
    rows = np.round(100 * COUNTS / COUNTS.sum(axis=1, keepdims=True), 2)
    path = matrix(
        tmp_path / "m.csv", np.column_stack([rows, rows.sum(axis=1), np.diag(rows)]), [*CLASSES, "Total", "Recall (%)"]
    )
    result = judge_confusion(path)[0]
    assert figures(result) == (None, pytest.approx(truths(COUNTS)[1], abs=0.02), None)
    assert result["columns"]["left_out"] == ["Recall (%)", "Total"]


@pytest.mark.parametrize(
    ("values", "columns", "message"),
    [
        (
            np.column_stack([COUNTS, COUNTS.sum(axis=1) + 3]),
            [*CLASSES, "Total"],
            "'Total' is not the sum of the classes",
        ),
        (100 * COUNTS / COUNTS.sum(axis=0), CLASSES, "its columns sum to 100: percentages of what was said"),
    ],
)
def test_a_margin_that_is_none_and_percentages_of_what_was_said_are_refused(tmp_path, values, columns, message):
    with pytest.raises(RunError, match=message):
        read_confusion(matrix(tmp_path / "m.csv", values, columns))


def test_the_command_takes_sizes_and_prints_no_figure_that_it_does_not_know(tmp_path):
    path = matrix(tmp_path / "m.csv", 100 * COUNTS / COUNTS.sum(axis=1, keepdims=True))
    bare = call("evaluate", path, "--confusion")
    assert "WAR" not in bare.stdout
    assert "recalls and UAR only" in bare.stderr
    sizes = ",".join(f"{name}={size}" for name, size in zip(CLASSES, COUNTS.sum(axis=1), strict=True))
    done = json.loads(call("evaluate", path, "--confusion", "--class-sizes", sizes, "--json").stdout)
    assert figures(done["results"][0]) == pytest.approx(truths(COUNTS), abs=1e-3)
