"""Features, labels and a grid of C come in; every logistic regression of the grid comes out, for little more than one.

The objective is scikit-learn's: ``C · Σ s_i · CE_i + |W|² / 2``. Everything is learnt from the clips given and from nothing
else: neither a basis nor a start may be carried from fold to fold, as either would tell a fold about its test subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.bases import BLOCK, Basis, feature_basis
from vjepa_fer.probes.logistic.curve import Run, heads, plan, walk
from vjepa_fer.probes.logistic.dense import prove, solve_small
from vjepa_fer.probes.logistic.descent import Problem, minimise
from vjepa_fer.probes.logistic.spaces import ClipSpace, FeatureSpace, LeadingSpace, Space

LOOSE, NEAR = 100, 1
"""How much sooner the first round, along the leading directions alone, and the second may stop than the last."""

SMALL, WORK = 1000, 4e8
"""Weights, and products in the second derivative, of the largest problem whose end is proven, and mended where it is not."""

FAR = 30
"""How many times as long as a typical clip the longest may be, in squares, for a problem up to twice as large not to be proven:
what is far from all others bends the preconditioner, and with it the estimates of the error."""

MOST_DESCENT = 100
"""Steps of either; where they do not do, the last round goes on with second derivatives."""


@dataclass(frozen=True)
class LogisticPath:
    """The fitted grid: J values of C, weights ``(J, K, D)`` and intercepts ``(J, K)`` float64, steps and success ``(J,)``.

    Two classes have weights ``(-w/2, w/2)``, where w is scikit-learn's one row.
    """

    C: NDArray[np.float64]
    weights: NDArray
    intercepts: NDArray
    n_iter: NDArray[np.intp]
    converged: NDArray[np.bool_]

    def take(self, numbers: NDArray[np.intp]) -> LogisticPath:
        if np.array_equal(numbers, np.arange(len(self.C))):
            return self
        return LogisticPath(*(getattr(self, one.name)[numbers] for one in fields(self)))


def fit_logistic_path(
    X: NDArray,
    codes: NDArray[np.intp],
    *,
    C: Sequence[float],
    sample_weight: NDArray | None = None,
    tol: float = 5e-6,
    max_iter: int = 1000,
) -> LogisticPath:
    """Multinomial logistic regression with an L2 penalty for every C of a grid at once.

    Parameters
    ----------
    X : ndarray (N, D), float32 or float64
        Features; the descent runs in their precision, and is finished in float64. Small problems are float64 throughout.
    codes : ndarray (N,) of int
        Classes 0 … K-1, each with some weight.
    C : sequence of float
        Inverse strengths of the penalty.
    sample_weight : ndarray (N,), optional
        What each clip counts (scikit-learn's meaning: weight 2 is the clip twice).
    tol : float
        How far above its minimum, in units of the mean loss, the objective may end.
    max_iter : int
        Most steps; a C that needs more is reported as not converged.

    Returns
    -------
    LogisticPath
    """
    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    counted = weights > 0
    if not counted.all():
        X, codes, weights = X[counted], codes[counted], weights[counted]
    num_classes, total = int(codes.max()) + 1, weights.sum()
    weights = weights / total
    C_values, asked = np.unique(np.asarray(C, np.float64), return_inverse=True)
    # scikit-learn penalises one row of weights for two classes; two rows hold half of it each, so a half of its square
    penalties = (2 if num_classes == 2 else 1) / (C_values * total)
    problem = Problem(codes, weights, penalties)
    small = _is_small(X, num_classes)
    centred, centre = _centre(X, weights, exact=small)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # what comes of it is looked at
        if small:
            found = solve_small(centred, problem, num_classes, tol=tol, max_iter=max_iter)
        else:
            found = _fit(centred, problem, num_classes, tol, max_iter)
        W, intercepts, n_iter, converged = found
        unsure = _unsure(W, intercepts, converged)
        if unsure.any():
            own = replace(problem, penalties=penalties[unsure])
            start = np.nan_to_num(W[unsure]), np.nan_to_num(intercepts[unsure])
            begun = prove(centred.astype(np.float64, copy=False), own, *start, tol=tol, max_iter=max_iter)
            W[unsure], intercepts[unsure], more, converged[unsure] = begun
            n_iter[unsure] += more
    intercepts = intercepts - W.reshape(-1, W.shape[2]).dot(centre).reshape(intercepts.shape)
    return LogisticPath(C_values, W, intercepts, n_iter, converged).take(asked)


def _is_small(X: NDArray, num_classes: int) -> bool:
    size = num_classes * (min(X.shape) + 1)
    if size > 2 * SMALL or size**2 * len(X) > WORK * (1 + (size > SMALL)):
        return False
    squares = np.square(X - X.mean(axis=0, dtype=np.float64)).sum(axis=1)
    return size <= SMALL or bool(squares.max() > FAR * squares.mean())


def _centre(X: NDArray, weights: NDArray, *, exact: bool) -> tuple[NDArray, NDArray]:
    """Features around zero and what was taken off, ``(D,)``: float64 where `exact`, else those that are nearly there as they are.

    Intercepts are free, so this changes no optimum: it only spares the descent one very long direction.
    """
    centre = np.zeros(X.shape[1])
    for first in range(0, len(X), BLOCK):
        rows = slice(first, first + BLOCK)
        centre += weights[rows] @ X[rows].astype(np.float64)
    if exact:
        return X - centre, centre
    centre = centre.astype(X.dtype)
    size = np.sqrt(np.vdot(X, X) / len(X))  # of a typical clip
    if np.linalg.norm(centre) < 0.01 * size:
        return X, np.zeros_like(centre)
    return X - centre, centre


_Fit = tuple[NDArray, NDArray, NDArray, NDArray]


def _fit(X: NDArray, problem: Problem, num_classes: int, tol: float, max_iter: int) -> _Fit:
    """By clip or by feature, whichever is smaller; NaN where rounding leaves nothing to go on with."""
    found = _fit_by_clip if len(X) < X.shape[1] else _fit_by_feature
    count = len(problem.penalties)
    try:
        return found(X, problem, num_classes, tol, max_iter)
    except np.linalg.LinAlgError:
        weights, intercepts = np.full((count, num_classes, X.shape[1]), np.nan), np.full((count, num_classes), np.nan)
        return weights, intercepts, np.zeros(count, np.intp), np.zeros(count, bool)


def _unsure(weights: NDArray, intercepts: NDArray, converged: NDArray) -> NDArray[np.bool_]:
    """Which problems have to be begun anew: copies and rows of zeros span less than their number, so that it may be cheap."""
    finite = np.isfinite(weights).all(axis=(1, 2)) & np.isfinite(intercepts).all(axis=1)
    return ~finite | ~converged


def _fit_by_feature(X: NDArray, problem: Problem, num_classes: int, tol: float, max_iter: int) -> _Fit:
    basis = feature_basis(X, problem.weights)
    whole = len(basis.variances) == X.shape[1]
    loose = NEAR if whole else LOOSE
    runs, first = _runs(problem, basis, num_classes, min(X.shape))
    leading, first_iter = _fit_leading(basis, first, num_classes, loose * tol, max_iter)
    weights, intercepts = _as_weights(leading, basis.directions.T, num_classes)
    start = np.concatenate([weights.reshape(len(weights), -1), intercepts], axis=1)
    basis = replace(basis, images=None)  # it has served, and is large
    del leading, weights
    space = FeatureSpace(X, basis, num_classes)
    if not whole:
        start, n_iter = _descend(space, first, start, tol, max_iter)
        first_iter += n_iter
    return _walk(space, problem, runs, start, first_iter, tol, max_iter)


def _fit_by_clip(X: NDArray, problem: Problem, num_classes: int, tol: float, max_iter: int) -> _Fit:
    space = ClipSpace(X, problem.weights, num_classes, X.dtype)
    basis = space.basis
    assert basis.images is not None
    runs, first = _runs(problem, basis, num_classes, min(X.shape))
    leading, first_iter = _fit_leading(basis, first, num_classes, LOOSE * tol, max_iter)
    clips, intercepts = _as_weights(leading, basis.directions.T, num_classes)
    images, _ = _as_weights(leading, basis.images.T, num_classes)
    size = len(clips)
    start = np.concatenate([clips.reshape(size, -1), images.reshape(size, -1), intercepts], axis=1)
    start, n_iter = _descend(space, first, start, tol, max_iter)
    return _walk(space, problem, runs, start, first_iter + n_iter, tol, max_iter)


def _runs(problem: Problem, basis: Basis, num_classes: int, rank: int) -> tuple[list[Run], Problem]:
    """The grid's runs, and the problem of the stations that are begun anew."""
    runs = plan(problem, basis.mean_variance(rank), num_classes)
    return runs, replace(problem, penalties=problem.penalties[heads(runs)])


def _descend(
    space: Space, problem: Problem, start: NDArray, tol: float, max_iter: int
) -> tuple[NDArray, NDArray[np.intp]]:
    return minimise(space, problem, start, tol=NEAR * tol, max_iter=min(max_iter, MOST_DESCENT))[:2]


def _walk(
    space: Space, problem: Problem, runs: list[Run], start: NDArray, begun: NDArray, tol: float, max_iter: int
) -> _Fit:
    vectors, n_iter, converged = walk(space, problem, runs, start, tol=tol, max_iter=max_iter)
    n_iter[heads(runs)] += begun
    return space.weights(vectors), vectors[:, -space.num_classes :], n_iter, converged


def _fit_leading(
    basis: Basis, problem: Problem, num_classes: int, tol: float, max_iter: int
) -> tuple[NDArray, NDArray]:
    """Solve along the leading directions first: most of the way at a fraction of the cost."""
    scores = basis.images
    assert scores is not None
    prior = np.log(np.bincount(problem.codes, weights=problem.weights, minlength=num_classes))
    start = np.zeros((len(problem.penalties), num_classes * scores.shape[1] + num_classes), scores.dtype)
    start[:, -num_classes:] = prior - prior.mean()
    space = LeadingSpace(scores, basis, num_classes)
    return minimise(space, problem, start, tol=tol, max_iter=min(max_iter, MOST_DESCENT))[:2]


def _as_weights(vectors: NDArray, directions: NDArray, num_classes: int) -> tuple[NDArray, NDArray]:
    """Weights ``(J, K, M)`` and intercepts ``(J, K)`` of vectors along R directions ``(R, M)``."""
    leading = vectors[:, :-num_classes].reshape(len(vectors) * num_classes, -1)
    return (leading @ directions).reshape(len(vectors), num_classes, -1), vectors[:, -num_classes:]


def class_weights(
    class_weight: str | Mapping | None, classes: NDArray, codes: NDArray, sample_weight: NDArray | None
) -> NDArray | None:
    """Weights ``(N,)`` of clips with their class's weight in; "balanced" is ``N / (K · count)``, as scikit-learn's."""
    if class_weight is None:
        return sample_weight
    own = np.ones(len(codes)) if sample_weight is None else sample_weight
    if class_weight == "balanced":
        counts = np.bincount(codes, weights=own, minlength=len(classes))
        factors = own.sum() / (len(classes) * counts)
    else:
        assert isinstance(class_weight, Mapping)
        factors = np.array([class_weight.get(label, 1.0) for label in classes.tolist()], np.float64)
    return own * factors[codes]
