"""Numbers as a file has them go in; float32 comes out, or a refusal of the columns of which it would leave nothing.

1e8 + 0.3 is 1e8 in float32: a column that lies far from zero loses what sets its rows apart, and a probe on it is a coin toss.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.errors import CacheError

SMALLEST_ERROR = 1e-3
"""Of the middle half of a column's values: a rounding error below it cannot matter, whatever meets by chance."""

LARGEST_LOSS = 0.01
"""Of a column's distinct values that may become others."""

_BLOCK = 256
"""Columns that are looked at together."""


def to_float32(
    rows: np.ndarray | Sequence[np.ndarray], names: Sequence[str], clip_ids: Sequence[str], source: Path
) -> np.ndarray:
    """The rows as float32 (N, D).

    Parameters
    ----------
    rows : ndarray of any numbers, shape (N, D), or N rows of them
    names, clip_ids : sequences of str
        For messages.
    source : Path
        The same.

    Raises
    ------
    CacheError
        A number that float32 has not, with its clip and column; or columns whose values become constant or fall together.
    """
    table = np.empty((len(rows), len(names)), np.float32)
    lost: list[str] = []
    for start in range(0, len(names), _BLOCK):
        block = slice(start, start + _BLOCK)
        exact = rows[:, block] if isinstance(rows, np.ndarray) else np.stack([row[block] for row in rows])
        with np.errstate(over="ignore"):
            table[:, block] = exact
        _refuse_infinite(table[:, block], names[block], clip_ids, source)
        if exact.dtype.itemsize > 2 and exact.dtype != np.float32:
            lost += [names[start + number] for number in _fallen_together(exact, table[:, block])]
    if lost:
        more = f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""
        raise CacheError(
            f"{source}: in float32, as features are kept, different values of {', '.join(lost[:3])}{more} become the same: they "
            "are large beside their differences. Subtract each column's mean in the file, or leave them out by --columns"
        )
    return table


def _refuse_infinite(table: np.ndarray, names: Sequence[str], clip_ids: Sequence[str], source: Path) -> None:
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        row, column = bad[0]
        raise CacheError(f"{source}: clip {clip_ids[row]}: {names[column]} is not a finite number in float32")


def _fallen_together(exact: np.ndarray, rounded: np.ndarray) -> list[int]:
    """Columns of which float32 keeps fewer values, and not only because two of many lay close by chance."""
    wide = rounded.astype(np.float64 if exact.dtype.kind == "f" else np.longdouble)  # 2**53 + 1 is no float64
    error = np.abs(exact - wide).max(axis=0)
    low, high = np.percentile(rounded, (25, 75), axis=0)
    low_exact, high_exact = np.percentile(exact, (25, 75), axis=0)
    suspect = error > SMALLEST_ERROR * np.minimum(high - low, high_exact - low_exact)
    return [number for number in np.flatnonzero(suspect).tolist() if _loses(exact[:, number], rounded[:, number])]


def _loses(exact: np.ndarray, rounded: np.ndarray) -> bool:
    before, after = len(np.unique(exact)), len(np.unique(rounded))
    return before - after > LARGEST_LOSS * before or after == 1 < before
