"""What two classifiers did for each person goes in; how easily chance alone does as much comes out, as p values.

The person is the unit: clips of one person are alike, so tests over clips find differences that other actors would undo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

MAX_EXACT_PATTERNS = 2**14
NUM_DRAWS = 19_999


def sign_flip_p(differences: np.ndarray, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> float:
    """Two-sided p of the sum of `differences` when each subject's sign is a coin toss.

    If both classifiers are equally good, swapping all their answers for one subject changes nothing but that subject's sign.
    Every pattern of signs is counted where there are at most 2¹⁴; otherwise `num_draws` are drawn, and the observed one is
    counted among them, so that p is never 0.

    Parameters
    ----------
    differences : ndarray of float64, shape (num_subjects,)
        What each subject adds to the difference; those that add nothing need no sign.
    """
    moved = np.asarray(differences, np.float64)
    moved = moved[moved != 0]
    if len(moved) == 0:
        return 1.0
    reached = abs(moved.sum()) - 1e-9 * np.abs(moved).sum()  # sums of equal parts may round differently
    if len(moved) <= math.log2(MAX_EXACT_PATTERNS):
        patterns = (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved))) & 1
        return float(np.mean(np.abs((1 - 2 * patterns) @ moved) >= reached))
    hits = np.count_nonzero(np.abs(_drawn_signs(num_draws, len(moved), seed) @ moved) >= reached)
    return float((hits + 1) / (num_draws + 1))


@lru_cache(maxsize=16)
def _drawn_signs(num_draws: int, num_subjects: int, seed: int) -> np.ndarray:
    """Kept, since pairs of runs of one corpus ask for the same again and again; a byte a sign."""
    signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (num_draws, num_subjects), dtype=np.int8)
    signs.setflags(write=False)
    return signs


def smallest_p(num_subjects: int) -> float:
    """The least that :func:`sign_flip_p` can be: all subjects on one side."""
    return 2 / 2**num_subjects if num_subjects <= math.log2(MAX_EXACT_PATTERNS) else 1 / (NUM_DRAWS + 1)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Exact two-sided McNemar p, from how many clips only the first, and only the second classifier got right."""
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail, term = 0, 1
    for k in range(fewer + 1):  # whole numbers: no rounding, however many clips
        tail += term
        term = term * (discordant - k) // (k + 1)
    return min(1.0, 2 * tail / 2**discordant)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment, in the order given: compare each with 0.05 as if it were the only one."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = running
    return adjusted
