"""A training part goes in; what the parameters that are ``"auto"`` become for it comes out.

Nothing but the training part is looked at. What became of them is told in every table and kept in every run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.checks import check_whole
from vjepa_fer.probes.reduction import Reduction, fit_reduction

AUTO = "auto"

NETWORK_DIRECTIONS = 256
"""What a perceptron learns on where there are clips enough to know the directions by."""

CLIPS_A_DIRECTION = 4
"""Fewer training clips than this a direction, and the last of them are the clips' own noise: features are better left as they are."""

LEAST_KEPT = 0.85
"""Share of the variance that directions must hold: of features that vary alike everywhere they would be a choice at random."""

TREE_DIRECTIONS = 128
"""What trees see of features that say little singly."""

LEAF_SHARE, LARGEST_LEAF = 10, 20
"""A leaf holds a tenth of the training clips at least, and LightGBM's own 20 from 200 clips on."""

LOOKED_AT = 16
"""Columns of either kind that are compared."""

RIDGE = 1.0
"""Of the regression that compares them, in units of a standardised column's variance by clip."""


def check_directions(value: Any) -> None:
    """Refuse a number of directions that is none of a whole number, None and "auto".

    Raises
    ------
    ProbeError
    """
    if value is not None and value != AUTO:
        check_whole("n_components", value, least=1)


def network_reduction(X: NDArray) -> Reduction | None:
    """The directions of ``X (N, D)`` that a perceptron learns on; None, features as they are, where these leave out too much."""
    if len(X) < CLIPS_A_DIRECTION * NETWORK_DIRECTIONS:
        return None
    reduction = fit_reduction(X, NETWORK_DIRECTIONS)
    if reduction is None:
        return None
    kept = reduction.apply(X).var(axis=0, dtype=np.float64).sum()
    return reduction if kept >= LEAST_KEPT * X.var(axis=0, dtype=np.float64).sum() else None


def smallest_leaf(num_clips: int) -> int:
    """Clips that a leaf of a tree must hold: on few clips LightGBM's 20 leave no tree a single split."""
    return max(1, min(LARGEST_LEAF, num_clips // LEAF_SHARE))


def tree_reduction(X: NDArray, codes: NDArray[np.intp]) -> Reduction | None:
    """Principal directions of ``X (N, D)`` where they tell the classes ``(N,)`` apart better than as many columns; else None.

    An embedding spreads what it knows over all its columns, and a tree reads one at a time; of a table of measures each column
    is something, and directions mix it with noise. Those that are compared
    are picked on one half of the clips and judged on the other.
    """
    reduction = fit_reduction(X, TREE_DIRECTIONS)
    if reduction is None:
        return None
    return None if _hits(X, codes) > _hits(reduction.apply(X), codes) else reduction


def _hits(X: NDArray, codes: NDArray[np.intp]) -> int:
    """Clips of either half that a regression on the other half's best columns decides rightly."""
    first = _places(codes) % 2 == 0
    return sum(_hits_of(X[a], codes[a], X[~a], codes[~a]) for a in (first, ~first) if a.any() and not a.all())


def _places(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many clips of its class come before each clip."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order])
    places = np.empty(len(codes), np.intp)
    places[order] = np.arange(len(codes)) - starts
    return places


def _hits_of(X: NDArray, codes: NDArray[np.intp], X_other: NDArray, codes_other: NDArray[np.intp]) -> int:
    best = np.argsort(-between_share(X, codes), kind="stable")[:LOOKED_AT]
    train, test = X[:, best].astype(np.float64), X_other[:, best].astype(np.float64)
    centre, spread = train.mean(axis=0), train.std(axis=0)
    spread[spread == 0] = 1
    train, test = (train - centre) / spread, (test - centre) / spread
    targets = np.eye(max(codes.max(), codes_other.max()) + 1)[codes]
    prior = targets.mean(axis=0)
    square = train.T @ train / len(train) + RIDGE * np.eye(len(best)) / np.sqrt(len(train))
    weights = np.linalg.solve(square, train.T @ (targets - prior) / len(train))
    return int((((test @ weights) + prior).argmax(axis=1) == codes_other).sum())


def between_share(X: NDArray, codes: NDArray[np.intp]) -> NDArray[np.float64]:
    """Of each column's variance the share that lies between classes, ``(D,)``, 0 for constants."""
    members = np.eye(codes.max() + 1)[codes].T
    members = members[members.any(axis=1)]
    counts = members.sum(axis=1, keepdims=True)
    centred = X - X.mean(axis=0, dtype=np.float64)
    between = (counts * np.square(members @ centred / counts)).sum(axis=0)
    whole = np.square(centred).sum(axis=0)
    return np.where(whole > 0, between / np.where(whole > 0, whole, 1), 0.0)
