"""A grid of classes goes in; what its numbers are comes out, and as far as the sizes of the classes are known, counts.

Papers print each true class in percent. Then recalls and their mean are known and nothing else: WAR and F1 depend on how many clips each
class has. Taken for counts, the percentages would give each class a hundred clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.judging.confusion_grid import Grid, Headed
from vjepa_fer.judging.vocabulary import in_words_of

Unit = Literal["counts", "shares", "parts"]
"""Counts of clips; each true class' shares of one, as far as rounding goes; or shares of all clips, of which only the number is not known."""

PERCENT_ROUNDING, SHARE_ROUNDING = 1.0, 0.02
"""How far a row of rounded percentages may be from 100, and of shares from one, where it has no more cells than that."""

FEWEST_WHOLE = 3
"""Columns of whole numbers that must all sum to 100 before they are percentages: of two, counts may."""


def with_unit(
    grid: Grid, head: Headed, column: tuple[str, np.ndarray] | None, asked: Mapping[str, float]
) -> tuple[Grid, Unit]:
    """The grid in counts, or in shares where nobody knows how many clips a class has.

    Parameters
    ----------
    grid : Grid
        Classes only.
    head : Headed
        Where it is from.
    column : (str, ndarray), or None
        A column of the table that may hold the sizes of the classes.
    asked : mapping
        The sizes of the classes as a person gives them.

    Raises
    ------
    RunError
        Percentages of the predicted classes, percentages of nothing, or sizes that are not these classes'.
    """
    where = str(head.table.path)
    sizes = _sizes(grid, column, asked, where)
    if sizes is not None and np.allclose(grid.values.sum(axis=1), sizes, rtol=5e-3, atol=0.05):
        return grid, "counts"
    of_all = _sums_to_all(grid.values, head.has_percent_signs)
    if rows_sum_to(grid.values) is not None or (
        of_all and sizes is not None
    ):  # counts of a hundred clips each may look so
        return _by_sizes(grid, sizes)
    _refuse_percent_of_said(grid, where)
    if sizes is not None:
        what = "--class-sizes" if asked else f"column {column[0]!r}" if column else ""
        raise RunError(
            f"{where}: {what} is not the sum of the classes' columns, and their rows are no percentages: is it a class, or is a "
            "count wrong? Take it out of the table"
        )
    if of_all:
        return grid._replace(values=grid.values / grid.values.sum()), "parts"
    if head.has_percent_signs:
        raise RunError(f"{where}: percentages whose rows do not sum to 100; of what are they?")
    return grid, "counts"


def rows_sum_to(values: np.ndarray) -> float | None:
    """100 or 1, if all rows do as far as rounding goes; a class without clips has a row of zeros."""
    sums = values.sum(axis=1)
    sums = sums[sums > 0]
    if not len(sums):
        return None
    if (np.abs(sums - 100) <= max(PERCENT_ROUNDING, _rounding(values, values.shape[1]))).all():
        return 100.0
    within = max(SHARE_ROUNDING, _rounding(values, values.shape[1]))
    return 1.0 if not _is_whole(values) and (np.abs(sums - 1) <= within).all() else None


def _rounding(values: np.ndarray, cells: int) -> float:
    """Four standard deviations of a sum of so many cells, each rounded to the digits that they have."""
    return float(4 * np.sqrt(cells / 12) * 10.0 ** -_digits(values))


def _digits(values: np.ndarray) -> int:
    """Digits behind the point that the numbers are written with, seven at most."""
    return next((d for d in range(7) if np.allclose(values, np.round(values, d), rtol=0, atol=1e-9)), 7)


def _is_whole(values: np.ndarray) -> bool:
    return bool((values == np.rint(values)).all())


def _sums_to_all(values: np.ndarray, has_percent_signs: bool) -> bool:
    """Whether all cells together are 100 % or 1; whole numbers without a sign are counts."""
    total = float(values.sum())
    if _is_whole(values) and not has_percent_signs:
        return False
    return any(abs(total - whole) <= max(whole / 100, _rounding(values, values.size)) for whole in (100, 1))


def _refuse_percent_of_said(grid: Grid, where: str) -> None:
    if len(grid.columns) < (FEWEST_WHOLE if _is_whole(grid.values) else 2):
        return
    total = rows_sum_to(grid.values.T)
    if total is not None:
        raise RunError(
            f"{where}: its columns sum to {total:g}: percentages of what was said, from which no recall can be computed; counts are "
            "needed, or percentages of each true class. If its rows are predicted classes, say --rows predicted; if these are counts, "
            "--class-sizes"
        )


def _sizes(
    grid: Grid, column: tuple[str, np.ndarray] | None, asked: Mapping[str, float], where: str
) -> np.ndarray | None:
    """How many clips each row's class has."""
    if not asked:
        return None if column is None else column[1]
    words = in_words_of(asked, grid.rows)
    sizes = {words.get(name, name): size for name, size in asked.items()}
    odd = sorted(set(sizes) ^ set(grid.rows))
    if odd:
        raise RunError(
            f"{where}: --class-sizes needs the clips of {', '.join(grid.rows)}, and of no others; {odd[0]!r} is odd"
        )
    return np.array([sizes[name] for name in grid.rows])


def _by_sizes(grid: Grid, sizes: np.ndarray | None) -> tuple[Grid, Unit]:
    """Each row's shares, as printed; or times how many clips its class has, where that is known."""
    if sizes is None:
        return grid._replace(values=grid.values / (rows_sum_to(grid.values) or 100.0)), "shares"
    total = grid.values.sum(axis=1, keepdims=True)
    shares = grid.values / np.where(total > 0, total, 1)
    counts = _before_rounding(grid.values, sizes)
    return grid._replace(values=shares * sizes[:, None] if counts is None else counts), "counts"


def _before_rounding(values: np.ndarray, sizes: np.ndarray) -> np.ndarray | None:
    """The whole counts that were printed as these percentages; None where there are none, as in a mean over folds."""
    whole = rows_sum_to(values)
    if whole is None:
        return None
    exact, step = values / whole * sizes[:, None], 10.0 ** -_digits(values) / whole
    counts = np.rint(exact)
    fits = np.abs(counts - exact) <= 0.5 * step * sizes[:, None] + 1e-6
    return counts if fits.all() and (counts.sum(axis=1) == sizes).all() else None
