"""Published confusion matrices as tables go in; their classes and counts come out, rows = truth, percentages as shares.

In reading order: `confusion_grid` (a table as numbers) · `confusion_names` (rows and columns called alike) · `confusion_margins` (what
stands beside the classes) · `confusion_unit` (counts or percent).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vjepa_fer.doors import nearest
from vjepa_fer.errors import RunError
from vjepa_fer.judging.confusion_grid import TRUTH, Grid, Headed, Rows, by_fold, grid_of, headed, mixed_thousands
from vjepa_fer.judging.confusion_margins import without_margins
from vjepa_fer.judging.confusion_names import barely_named
from vjepa_fer.judging.confusion_unit import Unit, with_unit
from vjepa_fer.judging.predictions import MOST_CLASSES
from vjepa_fer.judging.vocabulary import in_words_of
from vjepa_fer.manifest import (
    MOST_SHOWN,
    Table,
    abridged,
    common_names,
    read_table,
    refuse_spelled_twice,
    rename_columns,
    require_other_names,
)


class ConfusionTable(NamedTuple):
    """A confusion matrix, read.

    Attributes
    ----------
    classes, known : tuple of str
        All classes, those of the columns first; those of the columns.
    counts : ndarray of float64, shape (C, C)
        Over all classes, rows = truth; shares where the sizes of the classes are not known.
    unit : {"counts", "shares", "parts"}
        Clips; each row's shares, which sum to one; shares of all clips, which sum to one together.
    columns : mapping of str to tuple of str
        What the table's columns and rows were taken as: ``read``, ``classes``, ``sizes`` and ``left_out``.
    fold : str
        What a column ``fold`` says; "" without one.
    reworded : tuple of (str, str)
        True classes that are a predicted one in other words (ANG), and that (anger).
    """

    classes: tuple[str, ...]
    known: tuple[str, ...]
    counts: np.ndarray
    unit: Unit
    columns: Mapping[str, tuple[str, ...]]
    fold: str = ""
    reworded: tuple[tuple[str, str], ...] = ()


def read_confusion(path: str | os.PathLike[str], **how: object) -> ConfusionTable:
    """The only matrix of a file; parameters as of :func:`read_confusions`.

    Raises
    ------
    ManifestError, RunError
        As there, or several matrices, one a fold.
    """
    found = read_confusions(path, **how)  # type: ignore[arg-type]
    if len(found) > 1:
        raise RunError(f"{path}: {len(found)} matrices, one a fold; expected one")
    return found[0]


def read_confusions(
    path: str | os.PathLike[str],
    *,
    rows: Rows | None = None,
    sizes: Mapping[str, float] | None = None,
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    foreign: bool = False,
    names: Mapping[str, str] | None = None,
) -> tuple[ConfusionTable, ...]:
    """Read a table with one row a true class and one column a predicted class.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it. Its column ``true_label``, or else the first, whatever it is called, names
        the rows; all others are predicted classes, but for margins (``Total``, ``All``), sizes of classes and figures (``recall``). A
        column ``fold`` says of several matrices which row is whose. Counts need not be whole: a mean over folds has none. Rows of
        percentages, or of shares of one, become counts by the sizes of the classes.
    rows : {None, "true", "predicted"}
        What a row is; "predicted" transposes. None goes by the name of the column that names them: ``predicted`` says it.
    sizes
        How many clips each true class has, where the table is in percent and does not tell.
    columns
        Which of the table's columns is what: ``{"true_label": "truth"}``.
    classes
        The classes of a bare square of numbers, in their order.
    foreign
        The classifier was trained on another corpus: call all classes by their common names, and accept true ones that are no
        column.
    names
        Label to common name, before the built-in ones.

    Raises
    ------
    ManifestError
        Not a readable table, or two columns with one common name.
    RunError
        A true class twice or without a column, numbers that are no counts, a margin that is not the sum, percentages of the predicted
        classes, or not one clip.
    """
    table = _bare_square(path, classes) if classes else read_table(path, corner=TRUTH, check=_require_columns)
    parts = by_fold(rename_columns(table, columns or {}))
    return tuple(
        _read_one(headed(part, rows), sizes or {}, foreign, names)._replace(fold=fold) for fold, part in parts.items()
    )


def _bare_square(path: str | os.PathLike[str], classes: Sequence[str]) -> Table:
    """A square of numbers without names, under the names of its classes."""
    table = read_table(path, header=classes)
    if len(table.rows) != len(classes):
        raise RunError(
            f"{table.path}: {len(table.rows)} rows for the {len(classes)} classes of --classes, which names rows and columns of a bare "
            "square of numbers"
        )
    rows = tuple((n, {TRUTH: name, **row}) for (n, row), name in zip(table.rows, classes, strict=True))
    return Table(table.path, (TRUTH, *classes), rows)


def _require_columns(table: Table) -> None:
    headed(table, None)


def _read_one(
    head: Headed, sizes: Mapping[str, float], foreign: bool, names: Mapping[str, str] | None
) -> ConfusionTable:
    where = str(head.table.path)
    grid = grid_of(head)
    _refuse_other_spelling(grid, where)
    inner = without_margins(barely_named(grid, names), where)
    words = {} if foreign else in_words_of(inner.grid.rows, inner.grid.columns, names)
    _refuse_rows_twice(inner.grid)
    called = inner.grid._replace(rows=tuple(words.get(name, name) for name in inner.grid.rows))
    scaled, unit = with_unit(called, head, inner.sizes, sizes)
    if unit == "counts" and (text := mixed_thousands(head)):
        raise RunError(
            f"{where}: {text!r} beside whole numbers: is it a thousand and more, or a mean with three decimals? Write thousands without a "
            "point, and of means every number with its decimals"
        )
    taken = {
        "read": (head.names,),
        "classes": inner.grid.columns,
        "sizes": () if inner.sizes is None else (inner.sizes[0],),
        "left_out": inner.left_out,
        "rows": (f"{head.rows} classes",),
    }
    return _named(scaled, unit, taken, foreign, names, where)._replace(reworded=tuple(sorted(words.items())))


def _refuse_other_spelling(grid: Grid, where: str) -> None:
    places = (place.removeprefix(f"{where}, ") for place in grid.places)
    for known in (dict.fromkeys(grid.columns, ""), dict(zip(grid.rows, places, strict=True))):
        refuse_spelled_twice("classes", known, f"{where}: ", error=RunError)


def _refuse_rows_twice(grid: Grid) -> None:
    seen = set[str]()
    for name, place in zip(grid.rows, grid.places, strict=True):
        if not name or name in seen:
            raise RunError(
                f"{place}: {TRUTH} {name!r} is empty or has a row already; one row a true class, or a column fold beside"
            )
        seen.add(name)


def _named(
    grid: Grid,
    unit: Unit,
    taken: Mapping[str, tuple[str, ...]],
    foreign: bool,
    names: Mapping[str, str] | None,
    where: str,
) -> ConfusionTable:
    """The matrix over all classes by their names."""
    both = (*grid.columns, *grid.rows)
    called = common_names(both, names) if foreign else {name: name for name in both}
    require_other_names(grid.columns, called)
    said, truths = tuple(called[name] for name in grid.columns), [called[name] for name in grid.rows]
    position = {name: place for place, name in enumerate(dict.fromkeys([*said, *truths]))}
    if len(position) > MOST_CLASSES:
        raise RunError(f"{where}: {len(position):,} classes, over {MOST_CLASSES:,}; is it a confusion matrix?")
    _refuse_strangers(grid, truths, said, foreign)
    counts = np.zeros((len(position), len(position)))
    for truth, values in zip(truths, grid.values, strict=True):
        counts[position[truth], : len(said)] = values
    if not counts.sum():
        raise RunError(f"{where}: not one clip in this confusion matrix")
    return ConfusionTable(tuple(position), said, counts, unit, taken)


def _refuse_strangers(grid: Grid, truths: Sequence[str], said: Sequence[str], foreign: bool) -> None:
    for place, spelt, truth in zip(grid.places, grid.rows, truths, strict=True):
        if truths.count(truth) > 1:
            raise RunError(f"{place}: {TRUTH} {spelt!r} is {truth}, which has a row already; one row a true class")
        if not foreign and truth not in said:
            raise RunError(
                f"{place}: {TRUTH} {spelt!r} is not one of the columns {abridged(said, MOST_SHOWN)}{nearest(truth, said)}"
            )
