"""What cells get right on one inner fold after the other goes in; who can still come first comes out, and the hits of all.

::

    inner fold    1      2      3      4
    C = 0.001   100    190                  so far behind after two folds that the other two will not make up for it
    C = 0.1     130    255    380    507    chosen: it has been judged on every fold
    C = 1       131    250    379    500

A cell that has left keeps the hits of its folds, which are fewer than those of whoever was ahead of it. Once one is left the choice is made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CERTAIN = 3.0
"""Standard deviations by which a cell must be behind, of what the clips to come may change."""

UNKNOWN = 1 << 60
"""A variance beside which no number of clips is certain."""


class Race:
    """Cells ``running``, int (num_running,), towards most hits on `num_clips` clips; ``hits`` int64 (num_cells,)."""

    def __init__(self, num_cells: int, num_clips: int) -> None:
        self.running, self.hits, self.num_clips = np.arange(num_cells), np.zeros(num_cells, np.int64), num_clips
        self.right, self.subjects = np.zeros((num_cells, 0), bool), np.array([], str)

    @property
    def num_judged(self) -> int:
        """Clips on which those who are still running were judged."""
        return self.right.shape[1]

    @property
    def is_over(self) -> bool:
        """Whether one is left, or no clip."""
        return len(self.running) == 1 or self.num_judged == self.num_clips

    def judge(self, right: NDArray[np.bool_], subjects: NDArray) -> None:
        """What the running cells get right, (num_running, num_rows), on the next fold's clips; those that cannot win leave."""
        self.hits[self.running] += right.sum(axis=1)
        self.right = np.concatenate([self.right, right], axis=1)
        self.subjects = np.concatenate([self.subjects, subjects.astype(str)])
        stay = ~_beaten(self.right, self.subjects, self.num_clips - self.num_judged)
        self.running, self.right = self.running[stay], self.right[stay]


def _beaten(right: NDArray[np.bool_], subjects: NDArray, left: int) -> NDArray[np.bool_]:
    """Who is further behind than the `left` clips to come can be thought to change, (num_running,).

    Clips on which a cell and the first one differ tell how much that is; or subjects, where some have it all their way.
    """
    seen = right.shape[1]
    behind = right[right.sum(axis=1).argmax()].astype(np.int8) - right.astype(np.int8)
    total = behind.sum(axis=1, dtype=np.int64).astype(float)
    spread = np.maximum(np.abs(behind).sum(axis=1, dtype=np.int64), _between(behind, subjects))
    return (total > 0) & (total**2 * (seen + left) >= CERTAIN**2 * spread * left) & (left > 0)


def _between(behind: NDArray, subjects: NDArray) -> NDArray:
    """The variance of a sum over subjects, by how much their parts of it differ, (num_running,)."""
    names, codes = np.unique(subjects, return_inverse=True)
    parts = np.array([np.bincount(codes, weights=row, minlength=len(names)) for row in behind])
    if len(names) == 1:  # who knows what others would bring
        return np.full(len(behind), float(UNKNOWN))
    return len(names) * parts.var(axis=1, ddof=1)
