"""A grid of numbers goes in; its classes come out, without what people write beside the counts: sums, sizes of classes, figures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.judging.confusion_grid import Grid
from vjepa_fer.judging.confusion_unit import rows_sum_to

MARGINS = frozenset(
    {"", "total", "totals", "all", "sum", "sums", "overall", "margin", "Σ".casefold(), "∑", "gesamt", "summe"}
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
    {
        *("recall", "precision", "accuracy", "acc", "f1", "f1-score", "f1_score", "uar", "war", "sensitivity", "ppv"),
        *("mean", "means", "average", "avg", "median", "sd", "std", "min", "max", "mittelwert", "moyenne", "macro avg"),
        *("weighted avg", "error", "errors", "specificity", "tpr", "fpr"),
    }
)
"""What people write beside the counts, by its name in lower case and without a unit."""

FEWEST_ROWS = 3
"""Rows of which a column without a telling name must be the sum before it is a margin."""


class Inner(NamedTuple):
    """The classes only; which columns and rows are none; the column that may hold the sizes of classes, with its numbers."""

    grid: Grid
    left_out: tuple[str, ...]
    sizes: tuple[str, np.ndarray] | None


def without_margins(grid: Grid, where: str) -> Inner:
    """Take out what is no class.

    Raises
    ------
    RunError
        A row that is called like a margin and is none.
    """
    figures = [n for n in grid.columns if _plain(n) in FIGURES and n not in grid.rows]
    figure_rows = [n for n in grid.rows if _plain(n) in FIGURES and n not in grid.columns]
    margin_rows = [n for n in grid.rows if _plain(n) in SIZES and n not in figure_rows and n not in _classes(grid)]
    inner = grid.without([*figure_rows, *margin_rows], figures)
    margins, sizes = _margin_columns(inner)
    classes = inner.without((), [*margins, *([sizes[0]] if sizes else [])])
    for name in margin_rows:
        _require_sum(grid, name, classes)
    _refuse_fractions(classes, where)
    rows = [f"the row {name}" for name in (*figure_rows, *margin_rows)]
    return Inner(classes, (*figures, *margins, *rows), sizes)


def _classes(grid: Grid) -> set[str]:
    """Names of both a row and a column, but for sums of both."""
    return {name for name in grid.rows if name in grid.columns and _plain(name) not in MARGINS}


def _margin_columns(inner: Grid) -> tuple[list[str], tuple[str, np.ndarray] | None]:
    margins: list[str] = []
    sizes = None
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
    return margins, sizes


def _refuse_fractions(classes: Grid, where: str) -> None:
    """A column of fractions beside whole counts that no row is called like is a figure that nobody knows, and no class."""
    whole = {name: bool((classes.column(name) == np.rint(classes.column(name))).all()) for name in classes.columns}
    strange = [name for name in classes.columns if not whole[name] and name not in classes.rows]
    if len(strange) == 1 and sum(whole.values()) == len(whole) - 1:
        raise RunError(
            f"{where}: is {strange[0]!r} a class? No row is called so, and it holds fractions where the others hold whole counts; take the "
            "column out of the table"
        )


def _require_sum(grid: Grid, name: str, classes: Grid) -> None:
    """A row called like a margin is one: the sum of the others, or of percentages anything."""
    place = grid.rows.index(name)
    said = np.array([grid.values[place, grid.columns.index(column)] for column in classes.columns])
    if rows_sum_to(classes.values) is None and not np.allclose(said, classes.values.sum(axis=0), rtol=5e-3, atol=0.05):
        raise RunError(
            f"{grid.places[place]}: {name!r} is called like a margin, but is not the sum of the other rows; is it a "
            "class, or is a count wrong?"
        )


def is_beside(name: str) -> bool:
    """Whether the name is what people write beside classes."""
    return _plain(name) in SIZES | FIGURES


def _plain(name: str) -> str:
    return name.casefold().replace("(%)", "").strip(" %.:")
