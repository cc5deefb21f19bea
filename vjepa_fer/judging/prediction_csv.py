"""Predictions go in and a CSV table that people can read comes out, and the other way: anyone's table, checked row by row."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import as_number, csv_text
from vjepa_fer.errors import RunError
from vjepa_fer.judging.class_columns import COLUMNS, TOLERANCE, columns_of, meets, require_classes, without_beginning
from vjepa_fer.judging.predictions import MOST_CLASSES, Predictions
from vjepa_fer.judging.table_names import Spelling, changed_names, settle_names
from vjepa_fer.manifest import (
    MOST_SHOWN,
    Table,
    abridged,
    common_names,
    natural_order,
    nearest,
    read_table,
    rename_columns,
    require_other_names,
)

LONGEST_NAME = 1000
"""Characters of a clip, subject, fold or class; arrays give every name the room of the longest."""

Kind = Literal["probabilities", "sums", "scores", "decisions"]


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the table: :data:`COLUMNS`, then a probability a class, with every digit that it has.

    Where a class is called like one of these columns, ``p_`` stands in front of all classes.

    Raises
    ------
    RunError
        There are no probabilities to write.
    """
    if predictions.probabilities is None:
        raise RunError(f"{path}: predictions without probabilities cannot be written as a table of probabilities")
    names, folds = np.array(predictions.classes), map(predictions.name_of_fold, predictions.fold.tolist())
    said = (predictions.clip_ids, names[predictions.truth], names[predictions.predicted], folds, predictions.subjects)
    rows = ([*row, *shares] for *row, shares in zip(*said, predictions.probabilities.tolist(), strict=True))
    write_durably(path, csv_text([*COLUMNS, *columns_of(predictions.classes)], rows))


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """A table of predictions, read.

    Attributes
    ----------
    predictions : Predictions
    kind : {"probabilities", "sums", "scores", "decisions"}
        What the class columns hold; "decisions" where there are none. Sums over windows were divided by their row's total: they are mean probabilities then.
        Scores were used to decide and forgotten.
    known : tuple of str
        The class columns: what the classifier could say.
    columns : mapping of str to tuple of str
        What the table's columns were taken as: ``read`` (with a meaning of their own), ``classes`` and ``left_out``.
    united : tuple of (str, str)
        Names that were taken for another spelling of them, and that; sorted.
    """

    predictions: Predictions
    kind: Kind
    known: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    united: tuple[tuple[str, str], ...] = ()


def read_predictions(
    path: str | os.PathLike[str], *, scores: bool | None = False, spelling: Spelling = "refuse"
) -> Predictions:
    """The predictions of :func:`read_prediction_table`."""
    return read_prediction_table(path, scores=scores, spelling=spelling).predictions


def read_prediction_table(
    path: str | os.PathLike[str],
    *,
    scores: bool | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    foreign: bool = False,
    names: Mapping[str, str] | None = None,
    spelling: Spelling = "refuse",
) -> PredictionTable:
    """Read anyone's table of predictions, a row a clip.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it: UTF-8 with or without BOM, commas, semicolons or tabs,
        ``.gz`` or not; decimal commas are points, and ``'=x`` is ``=x``. Columns ``clip_id``, ``true_label``; optional ``predicted_label`` (else the class with the largest
        value, the first of equals), ``fold`` and ``subject``; then one column a class, named like the label, or all with one
        beginning in front of it (``prob_sad``). With ``predicted_label`` they may all be absent. A further column of numbers is a class
        only if the rows sum to one with it, or it is called like an expression; otherwise it is left out, or refused.
    scores
        True: the class columns are scores of any size; only their order counts, and what needs probabilities is not reported.
        False: they are probabilities. None: probabilities, unless most rows add up to more than one and none to less, with
        nothing negative: then they are sums of probabilities over windows, as the paper's logs hold.
    columns
        Which of the table's columns is what: ``{"clip_id": "clip"}``.
    classes
        The class columns; otherwise they are found.
    foreign
        The classifier was trained on another corpus: call all classes by their common names, accept true labels that are no class
        column, and a clip once a fold, each fold being a model.
    names
        Label to common name, before the built-in ones; for `foreign`.
    spelling
        What becomes of names that differ only in spelling: see :func:`vjepa_fer.judging.table_names.settle_names`.

    Raises
    ------
    ManifestError
        Not a readable table, or a column to rename that it lacks.
    RunError
        Missing columns, a clip twice, unknown classes, values that are not numbers, negative, or do not sum to one.
    """
    table = read_table(path, check=lambda headed: _require_columns(rename_columns(headed, columns or {})))
    table = rename_columns(table, columns or {})
    _refuse_long(table)
    as_read = table
    table = settle_names(table, [name for name in table.header if name not in COLUMNS], spelling, foreign=foreign)
    united = changed_names(as_read, table)
    column = {name: [row[name] for _, row in table.rows] for name in COLUMNS if name in table.header}
    for name in set(column) - {"subject"}:
        _refuse_empty(table, name)
    _refuse_twice(table, ("clip_id", "fold") if foreign and "fold" in column else ("clip_id",))
    labels: set[str] = {*column["true_label"], *column.get("predicted_label", ())}
    compared = names if foreign else {}
    headed, only_decisions = _class_columns(table, labels, compared, classes)
    if only_decisions and foreign:
        raise RunError(f"{table.path}: across corpora a column a class is needed, to know what could have been said")
    left_out: tuple[str, ...] = ()
    if only_decisions:
        bare, values = headed, _decisions(table, headed)
        left_out = tuple(name for name in table.header if name not in COLUMNS)
    else:
        found = without_beginning(headed, labels, compared)
        if not classes:
            asked = found.headed
            found = require_classes(
                found, labels, compared, lambda: _values(table, asked), are_scores=scores, where=str(table.path)
            )
        headed, bare = found.headed, found.bare
        left_out = tuple(name for name in table.header if name not in (*COLUMNS, *headed))
        values = _values(table, headed)
    kind = "decisions" if only_decisions else _kind(values, scores)
    if kind == "probabilities":
        _check_probabilities(table, values)
    called = common_names([*labels, *bare], names) if foreign else {name: name for name in [*labels, *bare]}
    require_other_names(bare, called)
    known = tuple(called[name] for name in bare)
    abroad = sorted({called[label] for label in column["true_label"]} - set(known)) if foreign else []
    everything = (*known, *abroad)
    _refuse_many(table, everything)
    values = np.column_stack([values, np.zeros((len(values), len(abroad)))])
    truth, predicted = _class_numbers(table, "true_label", everything, called), values[:, : len(known)].argmax(axis=1)
    if "predicted_label" in column:
        predicted = _class_numbers(table, "predicted_label", everything, called)
    if kind == "sums":  # a row's total is its number of windows, so this is their mean
        values /= values.sum(axis=1, keepdims=True)
    fold, fold_names = _numbered(column.get("fold", ["0"] * len(truth)))
    predictions = Predictions(
        classes=everything,
        clip_ids=np.array(column["clip_id"]),
        subjects=np.array(column.get("subject", [""] * len(truth))),
        fold=fold,
        fold_names=fold_names,
        truth=truth,
        predicted=predicted,
        probabilities=None if kind in ("scores", "decisions") else values,
    )
    taken = {
        "read": tuple(name for name in table.header if name in COLUMNS),
        "classes": () if only_decisions else headed,
        "left_out": left_out,
    }
    return PredictionTable(predictions, kind, known, taken, united)


def _class_columns(
    table: Table, labels: set[str], names: Mapping[str, str] | None, asked: Sequence[str]
) -> tuple[tuple[str, ...], bool]:
    """The columns that may be classes; or where there are only decisions, all labels, sorted, and True."""
    absent = [name for name in asked if name not in table.header]
    if absent:
        raise RunError(f"{table.path}, row 1: no column {absent[0]!r} for --classes{nearest(absent[0], table.header)}")
    classes = tuple(name for name in table.header if name in (asked or table.header) and name not in COLUMNS)
    only_decisions = "predicted_label" in table.header and not (
        asked or meets(without_beginning(classes, labels, names).bare, labels, names)
    )
    if only_decisions:
        classes = tuple(sorted({row[name] for _, row in table.rows for name in ("true_label", "predicted_label")}))
    elif len(classes) < 2:
        raise RunError(
            f"{table.path}, row 1: one column a class is expected beside {', '.join(COLUMNS)}; {len(classes)} is there"
        )
    if not table.rows:
        raise RunError(f"{table.path}: a header without a row; there is not one clip to score")
    _refuse_many(table, classes)
    return classes, only_decisions


def _require_columns(table: Table) -> None:
    for needed in ("clip_id", "true_label"):
        if needed not in table.header:
            raise RunError(
                f"{table.path}, row 1: no column {needed!r}; the columns are {abridged(table.header, MOST_SHOWN)}"
                f"{nearest(needed, table.header)}"
            )


def _values(table: Table, classes: Sequence[str]) -> np.ndarray:
    return np.array([[_number(table, number, row, name) for name in classes] for number, row in table.rows])


def _decisions(table: Table, classes: Sequence[str]) -> np.ndarray:
    return np.array([[float(row["predicted_label"] == name) for name in classes] for _, row in table.rows])


def _refuse_many(table: Table, classes: Sequence[str]) -> None:
    if len(classes) > MOST_CLASSES:
        raise RunError(
            f"{table.path}: {len(classes):,} classes, over {MOST_CLASSES:,}; is it a table of features? Every column but "
            f"{', '.join(COLUMNS)} is a class"
        )


def _refuse_long(table: Table) -> None:
    said = [(1, name) for name in table.header]
    said += [(number, row[name]) for number, row in table.rows for name in COLUMNS if name in row]
    for number, text in said:
        if len(text) > LONGEST_NAME:
            raise RunError(
                f"{table.path}, row {number}: {text[:20]!r}… has {len(text):,} characters, too many for a name"
            )


def _refuse_empty(table: Table, column: str) -> None:
    for number, row in table.rows:
        if not row[column]:
            raise RunError(f"{table.path}, row {number}: {column} is empty")


def _refuse_twice(table: Table, columns: Sequence[str]) -> None:
    rows_of: dict[str, list[int]] = {}
    for number, row in table.rows:
        rows_of.setdefault(" of fold ".join(row[name] for name in columns), []).append(number)
    twice = {clip: rows for clip, rows in rows_of.items() if len(rows) > 1}
    if twice:
        shown = "; ".join(f"{clip} in rows {', '.join(map(str, rows[:4]))}" for clip, rows in list(twice.items())[:3])
        more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
        raise RunError(
            f"{table.path}: {len(twice)} clips have more than one row: {shown}{more}; a clip is decided once"
        )


def _number(table: Table, number: int, row: dict[str, str], name: str) -> float:
    value = as_number(row[name])
    if not math.isfinite(value):
        raise RunError(
            f"{table.path}, row {number}: {row[name]!r} in class column {name!r} is not a finite number; "
            f"every column but {', '.join(COLUMNS)} is a class"
        )
    return value


def _kind(values: np.ndarray, scores: bool | None) -> Kind:
    if scores:
        return "scores"
    total = values.sum(axis=1)
    is_sum = (values >= 0).all() and (total >= 1 - TOLERANCE).all() and np.mean(total > 1 + TOLERANCE) > 0.5
    return "sums" if scores is None and is_sum else "probabilities"


def _check_probabilities(table: Table, values: np.ndarray) -> None:
    hint = "if the columns are scores or sums and not probabilities, say --scores"
    for wrong, what in (
        ((values < 0).any(axis=1), "a probability is negative"),
        (np.abs(values.sum(axis=1) - 1) > TOLERANCE, "the probabilities do not sum to one"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            shown = ", ".join(f"{v:g}" for v in values[row])
            raise RunError(f"{table.path}, row {table.rows[row][0]}: {what} ({shown}); {hint}")


def _class_numbers(table: Table, column: str, classes: Sequence[str], called: Mapping[str, str]) -> np.ndarray:
    number_of = {name: number for number, name in enumerate(classes)}
    for number, row in table.rows:
        if called[row[column]] not in number_of:
            raise RunError(
                f"{table.path}, row {number}: {column} {row[column]!r} is not one of the class columns "
                f"{abridged(classes, MOST_SHOWN)}{nearest(row[column], classes)}"
            )
    return np.array([number_of[called[row[column]]] for _, row in table.rows], np.int64)


def _numbered(folds: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Folds numbered in the natural order of their names, and these; () where the names are these numbers."""
    names = tuple(natural_order(set(folds)))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = tuple(map(str, range(len(names))))
    return np.array([number_of[name] for name in folds], np.int64), () if names == numbers else names
