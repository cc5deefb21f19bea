"""Predictions go in and a CSV table that people can read comes out, and the other way: anyone's table, checked row by row."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.manifest import nearest, read_table
from vjepa_fer.manifest.tables import Table
from vjepa_fer.predictions import Predictions
from vjepa_fer.splits import shortlist

COLUMNS = ("clip_id", "true_label", "predicted_label", "fold", "subject")
"""Columns with a meaning; every other one is a class."""


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the table: :data:`COLUMNS`, then a probability a class, with every digit that it has.

    Raises
    ------
    RunError
        There are no probabilities to write.
    """
    if predictions.probabilities is None:
        raise RunError(f"{path}: predictions without probabilities cannot be written as a table of probabilities")
    names, folds = np.array(predictions.classes), predictions.fold.tolist()
    said = (predictions.clip_ids, names[predictions.truth], names[predictions.predicted], folds, predictions.subjects)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *predictions.classes])
        for row, probabilities in zip(zip(*said, strict=True), predictions.probabilities.tolist(), strict=True):
            writer.writerow([*row, *map(repr, probabilities)])


def read_predictions(path: str | os.PathLike[str], *, scores: bool = False) -> Predictions:
    """Read anyone's table of predictions, a row a clip.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it: UTF-8 with or without BOM, commas, semicolons or tabs,
        ``.gz`` or not. Columns ``clip_id``, ``true_label``; optional ``predicted_label`` (else the class with the largest
        value, the first of equals), ``fold`` and ``subject``; then one column a class.
    scores
        The class columns are scores of any size, such as summed confidences: only their order counts, and what needs
        probabilities is not reported.

    Raises
    ------
    ManifestError
        Not a readable table.
    RunError
        Missing columns, a clip twice, unknown classes, values that are not numbers, negative, or do not sum to one.
    """
    table = read_table(path)
    classes = _class_columns(table)
    column = {name: [row[name] for _, row in table.rows] for name in COLUMNS if name in table.header}
    _refuse_twice(table, column["clip_id"])
    values = np.array([[_number(table, number, row, name) for name in classes] for number, row in table.rows])
    if not scores:
        _check_probabilities(table, values)
    truth, predicted = _class_numbers(table, "true_label", classes), values.argmax(axis=1)
    if "predicted_label" in column:
        predicted = _class_numbers(table, "predicted_label", classes)
    return Predictions(
        classes=classes,
        clip_ids=np.array(column["clip_id"]),
        subjects=np.array(column.get("subject", [""] * len(truth))),
        fold=_fold_numbers(column.get("fold", ["0"] * len(truth))),
        truth=truth,
        predicted=predicted,
        probabilities=None if scores else values,
    )


def _class_columns(table: Table) -> tuple[str, ...]:
    for needed in ("clip_id", "true_label"):
        if needed not in table.header:
            raise RunError(f"{table.path}, row 1: no column {needed!r}; the columns are {', '.join(table.header)}")
    classes = tuple(name for name in table.header if name not in COLUMNS)
    if len(classes) < 2:
        raise RunError(
            f"{table.path}, row 1: one column a class is expected beside {', '.join(COLUMNS)}; {len(classes)} is there"
        )
    if not table.rows:
        raise RunError(f"{table.path}: a header without a row; there is not one clip to score")
    return classes


def _refuse_twice(table: Table, clip_ids: Sequence[str]) -> None:
    twice = [clip for clip, count in Counter(clip_ids).items() if count > 1]
    if twice:
        raise RunError(
            f"{table.path}: {len(twice)} clips have more than one row: {shortlist(twice)}; a clip is decided once"
        )


def _number(table: Table, number: int, row: dict[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RunError(f"{table.path}, row {number}: {row[name]!r} in class column {name!r} is not a finite number")
    return value


def _check_probabilities(table: Table, values: np.ndarray) -> None:
    hint = "if the columns are scores or sums and not probabilities, say --scores"
    for wrong, what in (
        ((values < 0).any(axis=1), "a probability is negative"),
        (np.abs(values.sum(axis=1) - 1) > 1e-3, "the probabilities do not sum to one"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            shown = ", ".join(f"{v:g}" for v in values[row])
            raise RunError(f"{table.path}, row {table.rows[row][0]}: {what} ({shown}); {hint}")


def _class_numbers(table: Table, column: str, classes: Sequence[str]) -> np.ndarray:
    for number, row in table.rows:
        if row[column] not in classes:
            raise RunError(
                f"{table.path}, row {number}: {column} {row[column]!r} is not one of the class columns "
                f"{', '.join(classes)}{nearest(row[column], classes)}"
            )
    return np.array([classes.index(row[column]) for _, row in table.rows], np.int64)


def _fold_numbers(names: Sequence[str]) -> np.ndarray:
    """Folds numbered in the order of their names, numbers by size."""
    order = sorted(set(names), key=lambda name: (0, int(name), name) if name.isdecimal() else (1, 0, name))
    return np.array([order.index(name) for name in names], np.int64)
