"""Predictions go in and a CSV table that people can read comes out, and the other way: anyone's table, checked row by row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import csv_text, nearest
from vjepa_fer.errors import RunError
from vjepa_fer.features import decide
from vjepa_fer.judging.class_columns import COLUMNS, columns_of
from vjepa_fer.judging.class_order import name_columns
from vjepa_fer.judging.class_values import Asked, ClassValues, Kind, class_values, refuse_many
from vjepa_fer.judging.prediction_rows import (
    cells,
    check_rows_of_predictions,
    read_rows_of_predictions,
    with_truths,
)
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.judging.table_names import Spelling, changed_names, settle_names
from vjepa_fer.judging.vocabulary import in_words_of
from vjepa_fer.manifest import MOST_SHOWN, Table, abridged, common_names, natural_order, require_other_names


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
    kind : {"probabilities", "sums", "logits", "scores", "decisions"}
        What the class columns hold; "decisions" where there are none. Sums over windows were divided by their row's total: they are mean probabilities then.
        Logits became probabilities by softmax.
        Scores were used to decide and forgotten.
    known : tuple of str
        The class columns: what the classifier could say.
    columns : mapping of str to tuple of str
        What the table's columns were taken as: ``read`` (with a meaning of their own), ``classes`` and ``left_out``.
    united : tuple of (str, str)
        Names that were taken for another spelling of them, and that; sorted.
    reworded : tuple of (str, str)
        Labels that are a class in other words (ANG), and that (anger); sorted.
    contradicted : tuple of str
        Clips whose ``predicted_label`` is not the class with the largest value; the label counts.
    """

    predictions: Predictions
    kind: Kind
    known: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    united: tuple[tuple[str, str], ...] = ()
    reworded: tuple[tuple[str, str], ...] = ()
    contradicted: tuple[str, ...] = ()


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
    truths: Mapping[str, str] | None = None,
    class_order: Sequence[str] = (),
    logits: bool = False,
) -> PredictionTable:
    """Read anyone's table of predictions, a row a clip.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it: UTF-8 with or without BOM, commas, semicolons or tabs,
        ``.gz`` or not; decimal commas are points, and ``'=x`` is ``=x``. Columns ``clip_id``, ``true_label``; optional ``predicted_label`` (else the class with the largest
        value, of equals the first by name: :mod:`vjepa_fer.features.ties`), ``fold`` and ``subject``; then one column a class, named like the label, or all with one
        beginning in front of it (``prob_sad``). With ``predicted_label`` they may all be absent. Labels that name a class in other words (ANG,
        anger) are that class. A further column of numbers is a class
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
        Label to common name, before the built-in ones.
    spelling
        What becomes of names that differ only in spelling: see :func:`vjepa_fer.judging.table_names.settle_names`.
    truths
        The true label of each clip, for a table that has none.
    class_order
        Which class each of the numbered columns is; see :mod:`vjepa_fer.judging.class_order`.
    logits
        The class columns are logits, of which softmax makes probabilities; a table whose rows are probabilities already stays as it is.

    Raises
    ------
    ManifestError
        Not a readable table, or a column to rename that it lacks.
    RunError
        Missing columns, a clip twice, unknown classes, true and predicted labels of which nobody can tell which are one class, values that
        are not numbers, negative, or do not sum to one.
    """
    asked = Asked(scores, tuple(class_order or classes), foreign, names, logits)
    own = read_rows_of_predictions(path, columns or {}, has_truths=truths is None)
    as_read = own if truths is None else with_truths(own, truths)
    as_read = name_columns(as_read, class_order) if class_order else as_read
    heads = [name for name in as_read.header if name not in COLUMNS]
    table = settle_names(as_read, heads, spelling, foreign=foreign)
    check_rows_of_predictions(table, by_fold=foreign)
    found = class_values(table, asked)
    words = _words(table, found, asked)
    predictions = _predictions(table, found, words)
    return PredictionTable(
        predictions,
        found.kind,
        words.known,
        {
            "read": tuple(name for name in own.header if name in COLUMNS),
            "classes": found.columns,
            "left_out": found.left_out,
        },
        changed_names(as_read, table),
        words.reworded,
        _contradicted(table, predictions, found),
    )


class _Words(NamedTuple):
    """What every label of a table is called, what the classifier could say, and all classes: these first."""

    called: Mapping[str, str]
    known: tuple[str, ...]
    classes: tuple[str, ...]
    reworded: tuple[tuple[str, str], ...] = ()


def _words(table: Table, found: ClassValues, asked: Asked) -> _Words:
    truths, said = cells(table, "true_label"), cells(table, "predicted_label")
    if not asked.foreign:
        others = in_words_of([*truths, *said], found.names, asked.names)
        called = {name: name for name in (*truths, *said, *found.names)} | others
        return _Words(called, found.names, found.names, tuple(sorted(others.items())))
    called = common_names([*truths, *said, *found.names], asked.names)
    require_other_names(found.names, called)
    known = tuple(called[name] for name in found.names)
    classes = (*known, *sorted({called[label] for label in truths} - set(known)))
    refuse_many(table, classes)
    return _Words(called, known, classes)


def _predictions(table: Table, found: ClassValues, words: _Words) -> Predictions:
    truth = _class_numbers(table, "true_label", words)
    equals: np.ndarray | None = None  # a label that is said is taken at its word
    if "predicted_label" in table.header:
        predicted = _class_numbers(table, "predicted_label", words)
    else:
        predicted, equals = decide(_padded(found, len(words.classes)), words.classes, among=_spoken_of(words))
    fold, fold_names = _numbered(cells(table, "fold") or ["0"] * len(truth))
    return Predictions(
        classes=words.classes,
        clip_ids=np.array(cells(table, "clip_id")),
        subjects=np.array(cells(table, "subject") or [""] * len(truth)),
        fold=fold,
        fold_names=fold_names,
        truth=truth,
        predicted=predicted,
        equals=equals,
        probabilities=_probabilities(found, len(words.classes)),
    )


def _probabilities(found: ClassValues, num_classes: int) -> np.ndarray | None:
    """None where the values are none; zeros for classes that have no column."""
    if found.kind in ("scores", "decisions"):
        return None
    values = _padded(found, num_classes)
    if found.kind == "sums":  # a row's total is its number of windows, so this is their mean
        values /= values.sum(axis=1, keepdims=True)
    return values


def _padded(found: ClassValues, num_classes: int) -> np.ndarray:
    """The values with zeros for classes that have no column."""
    return np.pad(found.values, ((0, 0), (0, num_classes - found.values.shape[1])))


def _spoken_of(words: _Words) -> np.ndarray:
    """Which classes have a column, and so may be decided for."""
    return np.arange(len(words.classes)) < len(words.known)


def _contradicted(table: Table, predictions: Predictions, found: ClassValues) -> tuple[str, ...]:
    """Clips whose decision has not the largest value, as it is written; one of equals is no contradiction."""
    if "predicted_label" not in table.header or found.kind == "decisions":
        return ()
    values = np.zeros((len(predictions), len(predictions.classes)))
    values[:] = found.values.min(axis=1, keepdims=True) - 1  # a class without a column is never the largest
    values[:, : found.values.shape[1]] = found.values
    less = values[np.arange(len(values)), predictions.predicted] < values.max(axis=1)
    return tuple(predictions.clip_ids[less].tolist())


def _class_numbers(table: Table, column: str, words: _Words) -> np.ndarray:
    number_of = {name: number for number, name in enumerate(words.classes)}
    for number, row in table.rows:
        if words.called[row[column]] not in number_of:
            raise RunError(
                f"{table.path}, row {number}: {column} {row[column]!r} is not one of the class columns "
                f"{abridged(words.classes, MOST_SHOWN)}{nearest(row[column], words.classes)}"
            )
    return np.array([number_of[words.called[row[column]]] for _, row in table.rows], np.int64)


def _numbered(folds: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Folds numbered in the natural order of their names, and these; () where the names are these numbers."""
    names = tuple(natural_order(set(folds)))
    number_of = {name: number for number, name in enumerate(names)}
    numbers = tuple(map(str, range(len(names))))
    return np.array([number_of[name] for name in folds], np.int64), () if names == numbers else names
