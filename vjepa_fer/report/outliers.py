"""One vector a clip goes in; pairs that are nearly the same, and clips that are far from all others, come out.

Distances are Euclidean, over columns that are standardised over the clips. The unit is the cache's own: the **usual distance** is
that from a clip to its tenth-nearest, at the median over clips. Near and far are shares of it, so no encoder needs its own numbers.

The limits were set by looking: the same video encoded again, smaller, or 0.2 s later comes to 0.06 – 0.11 of the usual distance,
and the closest pairs of different clips to 0.18 and more (RAVDESS' Action Units, three-second pieces of one film, the drawn set).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_SHARE = 0.15
"""Two clips closer than this share of the usual distance are nearly the same."""
FENCE_IQRS, FAR_TIMES = 3.0, 1.5
"""Far: above the upper quartile by so many interquartile ranges (Tukey's "far out"), and so many times the median."""
NUM_NEIGHBOURS = 10
FEWEST = 10
"""With fewer clips, none is called far."""


@dataclass(frozen=True)
class Pair:
    """Two clips that are nearly the same: row numbers, the smaller first, and their distance as a share of the usual."""

    first: int
    second: int
    share: float


@dataclass(frozen=True)
class Far:
    """A clip far from all others: row number, its nearest other clip, and the distance as a share of the usual."""

    row: int
    nearest: int
    share: float


@dataclass(frozen=True)
class Outliers:
    """What stands out among vectors.

    Attributes
    ----------
    pairs : tuple of Pair
        Closest first.
    far : tuple of Far
        Farthest first.
    usual_distance : float
        In standard deviations of a column; 0 if most clips are equal.
    """

    pairs: tuple[Pair, ...]
    far: tuple[Far, ...]
    usual_distance: float


def find_outliers(x: np.ndarray) -> Outliers:
    """Near-duplicate pairs and far clips.

    Of a group of more than ten near-duplicates, each clip is paired with its ten nearest only. Clips that are near-duplicates of
    one another do not keep each other from being far.

    Parameters
    ----------
    x : ndarray, shape (num_clips, dim)
        Finite.

    References
    ----------
    The fence: J. W. Tukey, Exploratory Data Analysis (1977), section 2C.
    """
    if len(x) < 3:
        return Outliers((), (), 0.0)
    distance, neighbour = _nearest(_standardised(x))
    usual = float(np.median(distance[:, -1]))
    if usual == 0:
        return Outliers(_pairs(distance == 0, neighbour, np.zeros_like(distance)), (), 0.0)
    near = distance < NEAR_SHARE * usual
    return Outliers(_pairs(near, neighbour, distance / usual), _far(near, neighbour, distance / usual), usual)


def _standardised(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(axis=0, dtype=np.float64).astype(x.dtype)
    spread = x.std(axis=0)
    return x / np.where(spread > 0, spread, 1)


def _nearest(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances and row numbers of each clip's nearest others, nearest first: two arrays (num_clips, k)."""
    from sklearn.neighbors import NearestNeighbors

    k = min(NUM_NEIGHBOURS, len(x) - 1)
    neighbour = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x).kneighbors(x, return_distance=False)
    own = neighbour == np.arange(len(x))[:, None]
    own[~own.any(axis=1), -1] = True  # among equal clips, it may not be in its own list
    neighbour = neighbour[~own].reshape(len(x), k)
    # measured again: the search computes |a|² + |b|² − 2ab, which is not exactly 0 for equal clips
    distance = np.stack([np.linalg.norm(x - x[neighbour[:, n]], axis=1) for n in range(k)], axis=1)
    order = np.argsort(distance, axis=1, kind="stable")
    return np.take_along_axis(distance, order, axis=1), np.take_along_axis(neighbour, order, axis=1)


def _pairs(near: np.ndarray, neighbour: np.ndarray, share: np.ndarray) -> tuple[Pair, ...]:
    found = {
        (min(row, other), max(row, other)): float(share[row, n])
        for row, n in np.argwhere(near).tolist()
        for other in [int(neighbour[row, n])]
    }
    return tuple(
        sorted((Pair(*rows, value) for rows, value in found.items()), key=lambda pair: (pair.share, pair.first))
    )


def _far(near: np.ndarray, neighbour: np.ndarray, share: np.ndarray) -> tuple[Far, ...]:
    rows = np.flatnonzero(~near.all(axis=1))  # the rest has ten near-duplicates, and nothing is known beyond
    if len(near) < FEWEST or not len(rows):
        return ()
    first = near[rows].sum(axis=1)  # sorted by distance: the first that is no near-duplicate
    apart = share[rows, first]
    low, median, high = np.percentile(apart, [25, 50, 75])
    limit = max(high + FENCE_IQRS * (high - low), FAR_TIMES * median)
    found = [
        Far(int(rows[n]), int(neighbour[rows[n], first[n]]), float(apart[n])) for n in np.flatnonzero(apart > limit)
    ]
    return tuple(sorted(found, key=lambda one: -one.share))
