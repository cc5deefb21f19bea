"""A published confusion matrix as a table goes in; its classes and counts come out, rows = truth, without margins, percentages as shares."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from vjepa_fer.doors import as_number, nearest
from vjepa_fer.errors import RunError
from vjepa_fer.judging.predictions import MOST_CLASSES
from vjepa_fer.manifest import (
    MOST_SHOWN,
    Table,
    abridged,
    common_names,
    read_table,
    refuse_spelled_twice,
    require_other_names,
    rows_of,
)

TRUTH = "true_label"
MARGINS = frozenset(
    {"total", "totals", "all", "sum", "sums", "overall", "margin", "Σ".casefold(), "∑", "gesamt", "summe"}
)
SIZES = MARGINS | {
    "n",
    "num",
    "support",
    "count",
    "counts",
    "size",
    "sizes",
    "clips",
    "samples",
    "num_clips",
    "n_clips",
}
FIGURES = frozenset(
    {"recall", "precision", "accuracy", "acc", "f1", "f1-score", "f1_score", "uar", "war", "sensitivity"}
)
"""What people write beside the counts, by its name in lower case and without a unit."""

FEWEST_ROWS = 3
"""Rows of which a column without a telling name must be the sum before it is a margin."""

PERCENT_ROUNDING, SHARE_ROUNDING = 1.0, 0.02
"""How far a row of rounded percentages may be from 100, and of shares from one."""


class ConfusionTable(NamedTuple):
    """A confusion matrix, read.

    Attributes
    ----------
    classes, known : tuple of str
        All classes, those of the columns first; those of the columns.
    counts : ndarray of float64, shape (C, C)
        Over all classes, rows = truth; each row's shares, which sum to one, where the sizes of the classes are not known.
    unit : {"counts", "shares"}
    columns : mapping of str to tuple of str
        What the table's columns and rows were taken as: ``read``, ``classes``, ``sizes`` and ``left_out``.
    """

    classes: tuple[str, ...]
    known: tuple[str, ...]
    counts: np.ndarray
    unit: Literal["counts", "shares"]
    columns: Mapping[str, tuple[str, ...]]


class _Grid(NamedTuple):
    """Numbers with the names of their rows and columns; `row_numbers` as a spreadsheet shows them."""

    rows: tuple[str, ...]
    row_numbers: tuple[int, ...]
    columns: tuple[str, ...]
    values: np.ndarray

    def without(self, rows: Sequence[str], columns: Sequence[str]) -> _Grid:
        keep_rows = [n for n, name in enumerate(self.rows) if name not in rows]
        keep_columns = [n for n, name in enumerate(self.columns) if name not in columns]
        return _Grid(
            tuple(self.rows[n] for n in keep_rows),
            tuple(self.row_numbers[n] for n in keep_rows),
            tuple(self.columns[n] for n in keep_columns),
            self.values[np.ix_(keep_rows, keep_columns)],
        )

    def column(self, name: str) -> np.ndarray:
        return self.values[:, self.columns.index(name)]


def read_confusion(
    path: str | os.PathLike[str],
    *,
    sizes: Mapping[str, float] | None = None,
    foreign: bool = False,
    names: Mapping[str, str] | None = None,
) -> ConfusionTable:
    """Read a table with one row a true class and one column a predicted class.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it, with a column ``true_label``; all others are predicted
        classes, but for margins (``Total``, ``All``), sizes of classes and figures (``recall``). Counts need not be whole: a mean
        over folds has none. Rows of percentages, or of shares of one, become counts by the sizes of the classes.
    sizes
        How many clips each true class has, where the table is in percent and does not tell.
    foreign
        The classifier was trained on another corpus: call all classes by their common names, and accept true ones that are no
        column.
    names
        Label to common name, before the built-in ones; for `foreign`.

    Raises
    ------
    ManifestError
        Not a readable table, or two columns with one common name.
    RunError
        No column ``true_label``, a true class twice or without a column, numbers that are no counts, a margin that is not the sum,
        percentages of the predicted classes, or not one clip.
    """
    table = read_table(path, check=_require_columns)
    spelt = rows_of((n, row[TRUTH]) for n, row in table.rows)
    grid = _numbers(table)
    grid, left_out, size_column = _without_margins(grid, str(table.path))
    refuse_spelled_twice("classes", dict.fromkeys(grid.columns, ""), f"{table.path}, row 1: ", error=RunError)
    refuse_spelled_twice(
        "classes", {k: v for k, v in spelt.items() if k in grid.rows}, f"{table.path}: ", error=RunError
    )
    unit: Literal["counts", "shares"] = "counts"
    if _is_in_percent(table, grid):
        grid, unit = _by_sizes(grid, size_column, sizes or {}, str(table.path))
    elif size_column is not None or sizes:
        what = f"column {size_column[0]!r}" if size_column is not None else "--sizes"
        raise RunError(
            f"{table.path}: {what} is not the sum of the classes' columns, and their rows are no percentages: is it a class, or is a "
            "count wrong? Take it out of the table"
        )
    taken = {
        "read": (TRUTH,),
        "classes": grid.columns,
        "sizes": () if size_column is None else (size_column[0],),
        "left_out": left_out,
    }
    return _named(table, grid, unit, taken, foreign, names)


def _named(
    table: Table,
    grid: _Grid,
    unit: Literal["counts", "shares"],
    taken: Mapping[str, tuple[str, ...]],
    foreign: bool,
    names: Mapping[str, str] | None,
) -> ConfusionTable:
    """The matrix over all classes by their names."""
    called = (
        common_names([*grid.columns, *grid.rows], names) if foreign else {n: n for n in (*grid.columns, *grid.rows)}
    )
    require_other_names(grid.columns, called)
    said, truths = tuple(called[name] for name in grid.columns), [called[name] for name in grid.rows]
    position = {name: place for place, name in enumerate(dict.fromkeys([*said, *truths]))}
    if len(position) > MOST_CLASSES:
        raise RunError(f"{table.path}: {len(position):,} classes, over {MOST_CLASSES:,}; is it a confusion matrix?")
    counts, known, seen = np.zeros((len(position), len(position))), set(said), set[str]()
    for number, spelt, truth, values in zip(grid.row_numbers, grid.rows, truths, grid.values, strict=True):
        where = f"{table.path}, row {number}"
        if not truth or truth in seen:
            raise RunError(f"{where}: {TRUTH} {spelt!r} is empty or has a row already; one row a true class")
        seen.add(truth)
        if not foreign and truth not in known:
            raise RunError(
                f"{where}: {TRUTH} {spelt!r} is not one of the columns {abridged(said, MOST_SHOWN)}{nearest(truth, said)}"
            )
        counts[position[truth], : len(said)] = values
    if not counts.sum():
        raise RunError(f"{table.path}: not one clip in this confusion matrix")
    return ConfusionTable(tuple(position), said, counts, unit, taken)


def _numbers(table: Table) -> _Grid:
    columns = tuple(name for name in table.header if name != TRUTH)
    values = [
        [_count(row[name], f"{table.path}, row {number}, column {name!r}") for name in columns]
        for number, row in table.rows
    ]
    rows, numbers = tuple(row[TRUTH] for _, row in table.rows), tuple(number for number, _ in table.rows)
    return _Grid(rows, numbers, columns, np.array(values).reshape(len(rows), len(columns)))


def _without_margins(grid: _Grid, where: str) -> tuple[_Grid, tuple[str, ...], tuple[str, np.ndarray] | None]:
    """Only classes, and which columns and rows are none; the column that may hold the sizes of classes, with its numbers."""
    beside = [n for n in grid.columns if _plain(n) in FIGURES and n not in grid.rows]
    margin_rows = [n for n in grid.rows if _plain(n) in MARGINS]
    inner = grid.without(margin_rows, beside)
    margins, sizes = [], None
    for name in inner.columns:
        if name in inner.rows:
            continue
        special = [n for n in inner.columns if n == name or (_plain(n) in SIZES and n not in inner.rows)]
        rest = inner.without((), special).values.sum(axis=1)
        is_sum = len(rest) > 0 and np.allclose(inner.column(name), rest, rtol=5e-3, atol=0.05) and rest.any()
        if is_sum and (_plain(name) in SIZES or len(rest) >= FEWEST_ROWS):
            margins.append(name)
        elif _plain(name) in SIZES:
            sizes = (name, inner.column(name))
    classes = inner.without((), [*margins, *([sizes[0]] if sizes else [])])
    for name in margin_rows:
        _require_sum(grid, name, classes, where)
    rows = [f"the row {name}" for name in margin_rows]
    return classes, (*beside, *margins, *rows), sizes


def _require_sum(grid: _Grid, name: str, classes: _Grid, where: str) -> None:
    """A row called like a margin is one: the sum of the others, or of percentages anything."""
    place = grid.rows.index(name)
    said = np.array([grid.values[place, grid.columns.index(column)] for column in classes.columns])
    if _rows_sum_to(classes.values) is None and not np.allclose(said, classes.values.sum(axis=0), rtol=5e-3, atol=0.05):
        raise RunError(
            f"{where}, row {grid.row_numbers[place]}: {name!r} is called like a margin, but is not the sum of the other rows; is it a "
            "class, or is a count wrong?"
        )


def _is_in_percent(table: Table, grid: _Grid) -> bool:
    """Whether each row is its class' percentages, or shares of one.

    Raises
    ------
    RunError
        The columns are: of what was said, which tells no recall.
    """
    whole = bool((grid.values == np.rint(grid.values)).all())
    if _rows_sum_to(grid.values) is not None:
        return True  # it may be counts of a hundred clips each, but whoever took percentages for them would give another WAR
    if not whole and len(grid.columns) > 1 and _rows_sum_to(grid.values.T) is not None:
        raise RunError(
            f"{table.path}: its columns sum to {_rows_sum_to(grid.values.T):g}: percentages of what was said, from which no recall can "
            "be computed; counts are needed, or percentages of each true class"
        )
    if any("%" in row[name] for _, row in table.rows for name in grid.columns):
        raise RunError(f"{table.path}: percentages whose rows do not sum to 100; of what are they?")
    return False


def _rows_sum_to(values: np.ndarray) -> float | None:
    """100 or 1, if all rows do as far as rounding goes."""
    sums, whole = values.sum(axis=1), (values == np.rint(values)).all()
    if len(sums) and (np.abs(sums - 100) <= PERCENT_ROUNDING).all():
        return 100.0
    return 1.0 if len(sums) and not whole and (np.abs(sums - 1) <= SHARE_ROUNDING).all() else None


def _by_sizes(
    grid: _Grid, column: tuple[str, np.ndarray] | None, asked: Mapping[str, float], where: str
) -> tuple[_Grid, Literal["counts", "shares"]]:
    """Each row's shares, times how many clips its class has, where that is known."""
    shares = grid.values / grid.values.sum(axis=1, keepdims=True)
    if asked:
        odd = sorted(set(asked) ^ set(grid.rows))
        if odd:
            raise RunError(
                f"{where}: --sizes needs the clips of {', '.join(grid.rows)}, and of no others; {odd[0]!r} is odd"
            )
        return grid._replace(values=shares * np.array([[asked[name]] for name in grid.rows])), "counts"
    if column is not None:
        return grid._replace(values=shares * column[1][:, None]), "counts"
    return grid._replace(values=shares), "shares"


def _plain(name: str) -> str:
    return name.casefold().replace("(%)", "").strip(" %.:")


def _require_columns(table: Table) -> None:
    if TRUTH not in table.header or len(table.header) < 3:
        raise RunError(
            f"{table.path}, row 1: a confusion matrix has a column {TRUTH} and a column a predicted class; "
            f"the columns are {abridged(table.header, MOST_SHOWN)}"
        )


def _count(text: str, where: str) -> float:
    value = as_number(text.removesuffix("%"))
    if not 0 <= value < math.inf:
        raise RunError(f"{where}: {text!r} is not a count of clips")
    return value
