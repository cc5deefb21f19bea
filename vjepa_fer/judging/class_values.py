"""The rows of a table of predictions go in; a number a class comes out, checked, and what these numbers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vjepa_fer.doors import as_number, nearest
from vjepa_fer.errors import RunError
from vjepa_fer.judging.class_columns import COLUMNS, TOLERANCE, meets, require_classes, tolerance_of, without_beginning
from vjepa_fer.judging.class_order import refuse_unnamed
from vjepa_fer.judging.prediction_rows import cells
from vjepa_fer.judging.predictions import MOST_CLASSES
from vjepa_fer.judging.vocabulary import one_vocabulary
from vjepa_fer.manifest import (
    ROW_NAMES,
    Table,
    canonical,
    common_names,
    is_missing,
    refuse_parted_otherwise,
    rows_of,
)

MOST_WINDOWS = 1e6
"""A clip of days has not as many, so a larger total is none of probabilities."""

Kind = Literal["probabilities", "sums", "logits", "scores", "decisions"]


@dataclass(frozen=True)
class Asked:
    """What a person said of a table's classes; see :func:`vjepa_fer.judging.prediction_csv.read_prediction_table`."""

    scores: bool | None = None
    classes: tuple[str, ...] = ()
    foreign: bool = False
    names: Mapping[str, str] | None = None
    logits: bool = False


@dataclass(frozen=True, eq=False)
class ClassValues:
    """A number a class for each row.

    Attributes
    ----------
    names : tuple of str
        The classes, without what stands before all of their columns.
    columns : tuple of str
        Those of the table; () where there are decisions only.
    left_out : tuple of str
        Columns that are no class.
    values : ndarray of float64, shape (num_rows, num_classes)
        Of logits the probabilities that they stand for.
    kind : {"probabilities", "sums", "logits", "scores", "decisions"}
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    values: np.ndarray
    kind: Kind


def class_values(table: Table, asked: Asked) -> ClassValues:
    """Find the classes of a table and read their numbers; where only decisions are, each has 1 for its class.

    Raises
    ------
    RunError
        Nobody can tell what the classes are, or a value is none of its kind.
    """
    absent = [name for name in asked.classes if name not in table.header]
    if absent:
        raise RunError(f"{table.path}, row 1: no column {absent[0]!r} for --classes{nearest(absent[0], table.header)}")
    among = asked.classes or [name for name in table.header if name != ROW_NAMES and not _holds_words(table, name)]
    heads = tuple(name for name in table.header if name in among and name not in COLUMNS)
    labels = {*cells(table, "true_label"), *cells(table, "predicted_label")}
    if not asked.foreign:
        _refuse_one_class_twice(table, asked)
    compared = _compared(heads, labels, asked)
    if (
        "predicted_label" in table.header
        and not asked.classes
        and not meets(without_beginning(heads, labels, compared).bare, labels, compared)
    ):
        return _decisions(table, asked)
    _refuse_few(table, heads)
    if not asked.classes and not meets(without_beginning(heads, labels, compared).bare, labels, compared):
        refuse_unnamed(table)
    return _numbers(table, heads, labels, compared, asked)


def _holds_words(table: Table, name: str) -> bool:
    """Whether a column is about something else, as a sex or a part of a split is: it has no number in any row, and not for want of values."""
    texts = [row[name] for _, row in table.rows[:1]]
    if name in COLUMNS or not texts or not math.isnan(_number_in(texts[0])):
        return False
    cells = {row[name] for _, row in table.rows}
    return all(math.isnan(_number_in(text)) for text in cells) and not all(map(is_missing, cells))


def _refuse_one_class_twice(table: Table, asked: Asked) -> None:
    """Refuse two words for one class in a column, ``angry`` and ``anger`` or ``very sad`` and ``very_sad``: one would count as wrong for the other."""
    for column in ("true_label", "predicted_label"):
        said = cells(table, column)
        places = rows_of((number, label) for (number, _), label in zip(table.rows, said, strict=False))
        refuse_parted_otherwise("labels", places, f"{table.path}: {column}: ", error=RunError)
        first: dict[str, str] = {}
        for label, name in common_names(places, asked.names).items():
            other = first.setdefault(name, label)
            if canonical(other) != canonical(label) and name not in (asked.names or {}).values():
                raise RunError(
                    f"{table.path}: {column}: {other!r} ({places[other]}) and {label!r} ({places[label]}) are two words for one class, {name}; "
                    "expected one word a class: write one of them, or give them names of their own by --label-map"
                )


def _compared(heads: Sequence[str], labels: set[str], asked: Asked) -> Mapping[str, str] | None:
    """By which names columns and labels are compared: letter by letter, unless they are of two corpora or nothing is alike then."""
    if not asked.foreign and meets(without_beginning(heads, labels, {}).bare, labels, {}):
        return {}
    return asked.names


def _refuse_few(table: Table, heads: Sequence[str]) -> None:
    if len(heads) < 2:
        raise RunError(
            f"{table.path}, row 1: one column a class is expected beside {', '.join(COLUMNS)}; {len(heads)} is there"
        )
    _refuse_empty_table(table)
    refuse_many(table, heads)


def _refuse_empty_table(table: Table) -> None:
    if not table.rows:
        raise RunError(f"{table.path}: a header without a row; there is not one clip to score")


def refuse_many(table: Table, classes: Sequence[str]) -> None:
    """Raise :class:`RunError` where there are more classes than anybody has."""
    if len(classes) > MOST_CLASSES:
        raise RunError(
            f"{table.path}: {len(classes):,} classes, over {MOST_CLASSES:,}; is it a table of features? Every column but "
            f"{', '.join(COLUMNS)} is a class"
        )


def _decisions(table: Table, asked: Asked) -> ClassValues:
    if asked.foreign:
        raise RunError(f"{table.path}: across corpora a column a class is needed, to know what could have been said")
    _refuse_empty_table(table)
    truths, said = cells(table, "true_label"), cells(table, "predicted_label")
    words = one_vocabulary(sorted(set(truths)), sorted(set(said)), asked.names, where=str(table.path))
    classes = tuple(sorted({*truths, *(words.get(label, label) for label in said)}))
    refuse_many(table, classes)
    values = np.array([[float(words.get(label, label) == name) for name in classes] for label in said])
    return ClassValues(classes, (), tuple(name for name in table.header if name not in COLUMNS), values, "decisions")


def _numbers(
    table: Table, heads: Sequence[str], labels: set[str], compared: Mapping[str, str] | None, asked: Asked
) -> ClassValues:
    found = without_beginning(heads, labels, compared)
    if not asked.classes:
        candidates, are_scores = found.headed, asked.scores or asked.logits
        found = require_classes(
            found, labels, compared, lambda: _values(table, candidates), are_scores=are_scores, where=str(table.path)
        )
    values = _values(table, found.headed)
    kind = _kind(values, asked)
    if kind == "logits":
        values = _shares(values)
    if kind == "probabilities":
        _check_probabilities(table, values)
    left_out = tuple(name for name in table.header if name not in (*COLUMNS, *found.headed))
    return ClassValues(found.bare, found.headed, left_out, values, kind)


def _values(table: Table, classes: Sequence[str]) -> np.ndarray:
    return np.array([[_number(table, number, row, name) for name in classes] for number, row in table.rows])


def _number(table: Table, number: int, row: dict[str, str], name: str) -> float:
    value = _number_in(row[name])
    if not math.isfinite(value):
        raise RunError(
            f"{table.path}, row {number}: {row[name]!r} in class column {name!r} is not a finite number; "
            f"every column but {', '.join(COLUMNS)} and those of words is a class; --classes A,B,… says which columns are"
        )
    return value


def _number_in(text: str) -> float:
    """The number that a cell holds, per cent as a share; NaN where there is none."""
    return as_number(text[:-1].rstrip()) / 100 if text.endswith("%") else as_number(text)


def _kind(values: np.ndarray, asked: Asked) -> Kind:
    if asked.scores:
        return "scores"
    total, tolerance = values.sum(axis=1), tolerance_of(values)
    if asked.logits:
        return "probabilities" if (values >= 0).all() and (np.abs(total - 1) <= tolerance).all() else "logits"
    is_sum = (values >= 0).all() and (total >= 1 - tolerance).all() and np.mean(total > 1 + tolerance) > 0.5
    return "sums" if asked.scores is None and is_sum and _are_of_windows(values) else "probabilities"


def _are_of_windows(values: np.ndarray) -> bool:
    """Whether rows add up to whole numbers, of windows or of per cent, and are no ranks: of distances and ranks the least may be the best."""
    total, num_classes = values.sum(axis=1), values.shape[1]
    ranks = np.sort(values, axis=1) - values.min(axis=1, keepdims=True)
    if num_classes > 2 and (ranks == np.arange(num_classes)).all():
        return False
    off = np.abs(total - np.rint(total))
    return bool((total < MOST_WINDOWS).all() and (off <= num_classes * 0.005 + TOLERANCE * total).all())


def _shares(logits: np.ndarray) -> np.ndarray:
    """Softmax, row by row."""
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return likely / likely.sum(axis=1, keepdims=True)


def _check_probabilities(table: Table, values: np.ndarray) -> None:
    hint = "if the columns are scores or sums and not probabilities, the largest the decision, say --scores; if they are logits, --logits"
    for wrong, what in (
        ((values < 0).any(axis=1), "a probability is negative"),
        (np.abs(values.sum(axis=1) - 1) > tolerance_of(values), "the probabilities do not sum to one"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            shown = ", ".join(f"{v:g}" for v in values[row])
            raise RunError(f"{table.path}, row {table.rows[row][0]}: {what} ({shown}); {hint}")
