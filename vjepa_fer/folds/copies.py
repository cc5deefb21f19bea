"""Feature rows go in; which of them are of one recording comes out, where there is no file to compare."""

from __future__ import annotations

import hashlib

import numpy as np

MOST_COLUMNS = 64
"""Columns that are counted, spread over all."""

FEWEST_COLUMNS = 3
"""Columns whose value nobody but the copies has: whole numbers of a questionnaire meet by chance, these do not."""


def identical_rows(x: np.ndarray) -> np.ndarray:
    """A name that rows share which are copies, str (num_rows,); "" for a row of which there is no copy, or none can be told.

    Equal rows are copies if what they share is shared by no other row, in three columns at least. A row of one number all over (no
    face found) is nobody's.

    Parameters
    ----------
    x : ndarray of float, shape (num_rows, dim)
    """
    columns = x.T[np.unique(np.linspace(0, x.shape[1] - 1, MOST_COLUMNS).astype(int))]
    names = np.full(len(x), "", dtype="<U32")
    rows = _may_be_copies(columns)
    if len(rows):
        names[rows] = _names_of_copies(x, columns, rows)
    return names


def _may_be_copies(columns: np.ndarray) -> np.ndarray:
    """Rows of which no number is theirs alone: copies are among them, and of measurements few others, so that few rows are read whole."""
    rows = np.arange(columns.shape[1])
    for column in columns:
        _, place, count = np.unique(column[rows], return_inverse=True, return_counts=True)
        rows = rows[count[place] > 1]
    return rows


def _names_of_copies(x: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    digests = np.array(
        [hashlib.blake2b((x[row] + 0.0).tobytes(), digest_size=16).hexdigest() for row in rows]
    )  # -0 is 0
    _, first, group, size = np.unique(digests, return_index=True, return_inverse=True, return_counts=True)
    first = rows[first]
    empty = np.array([(x[row] == x[row, 0]).all() for row in first])
    own = np.zeros(len(first), np.int64)
    for column in columns:
        _, place, count = np.unique(column, return_inverse=True, return_counts=True)
        own += count[place[first]] == size
    copied = (size > 1) & ~empty & (own >= FEWEST_COLUMNS)
    return np.where(copied[group], digests, "")
