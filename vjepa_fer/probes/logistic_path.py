"""Features, labels and a grid of C come in; every logistic regression of the grid comes out, for little more than one.

The objective is scikit-learn's: ``C · Σ s_i · CE_i + |W|² / 2``. Everything is learnt from the clips given and from nothing
else: neither a basis nor a start may be carried from fold to fold, as either would tell a fold about its test subjects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic_descent import Problem, minimise
from vjepa_fer.probes.logistic_spaces import (
    Basis,
    ClipSpace,
    FeatureSpace,
    LeadingSpace,
    Space,
    clip_basis,
    feature_basis,
)

LOOSE = 20
"""How much sooner the first round, along the leading directions alone, may stop than the whole."""


@dataclass(frozen=True)
class LogisticPath:
    """The fitted grid: J values of C, weights ``(J, K, D)``, intercepts ``(J, K)``, iterations and success ``(J,)``.

    Two classes have weights ``(-w/2, w/2)``, where w is scikit-learn's one row.
    """

    C: NDArray[np.float64]
    weights: NDArray
    intercepts: NDArray
    n_iter: NDArray[np.intp]
    converged: NDArray[np.bool_]


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
        Features; sums run in float64 whatever their precision.
    codes : ndarray (N,) of int
        Classes 0 … K-1, each with some weight.
    C : sequence of float
        Inverse strengths of the penalty.
    sample_weight : ndarray (N,), optional
        What each clip counts (scikit-learn's meaning: weight 2 is the clip twice).
    tol : float
        Error in the mean loss to stop at. 5e-6 keeps the worst C of a grid from 1e-5 to 10 within 5e-6 of the optimum.
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
    centred, centre = _centre(X, weights)
    C_values = np.asarray(C, np.float64)
    # scikit-learn penalises one row of weights for two classes; two rows hold half of it each, so a half of its square
    penalties = (2 if num_classes == 2 else 1) / (C_values * total)
    problem = Problem(codes, weights, penalties)
    found = _fit_by_clip if len(centred) < centred.shape[1] else _fit_by_feature
    W, intercepts, n_iter, converged = found(centred, problem, num_classes, tol, max_iter)
    intercepts = intercepts - W.reshape(-1, W.shape[2]).dot(centre).reshape(intercepts.shape)
    return LogisticPath(C_values, W, intercepts, n_iter, converged)


def _centre(X: NDArray, weights: NDArray) -> tuple[NDArray, NDArray]:
    """Features around zero and what was taken off, ``(D,)``; features that are nearly there are not copied.

    Intercepts are free, so this changes no optimum: it only spares the descent one very long direction.
    """
    centre = weights @ X if X.dtype == np.float64 else weights.astype(X.dtype) @ X
    size = np.sqrt(np.vdot(X, X) / len(X))  # of a typical clip
    if np.linalg.norm(centre) < 0.01 * size:
        return X, np.zeros_like(centre)
    return X - centre, centre


_Fit = tuple[NDArray, NDArray, NDArray, NDArray]


def _fit_by_feature(X: NDArray, problem: Problem, num_classes: int, tol: float, max_iter: int) -> _Fit:
    basis = feature_basis(X, problem.weights)
    complete = len(basis.variances) == X.shape[1]
    first_tol = tol if complete else LOOSE * tol
    leading = _fit_leading(X @ basis.directions, basis, problem, num_classes, first_tol, max_iter)
    if complete:
        vectors, n_iter, converged = leading
        return *_as_weights(vectors, basis.directions.T, num_classes), n_iter, converged
    weights, intercepts = _as_weights(leading[0], basis.directions.T, num_classes)
    start = np.concatenate([weights.reshape(len(weights), -1), intercepts], axis=1)
    vectors, n_iter, converged = minimise(
        FeatureSpace(X, basis, num_classes), problem, start, tol=tol, max_iter=max_iter
    )
    weights = vectors[:, :-num_classes].reshape(len(vectors), num_classes, -1)
    return weights, vectors[:, -num_classes:], leading[1] + n_iter, converged


def _fit_by_clip(X: NDArray, problem: Problem, num_classes: int, tol: float, max_iter: int) -> _Fit:
    gram = X @ X.T
    basis = clip_basis(gram, problem.weights)
    assert basis.images is not None
    leading, first_iter, _ = _fit_leading(basis.images, basis, problem, num_classes, LOOSE * tol, max_iter)
    clips, intercepts = _as_weights(leading, basis.directions.T, num_classes)
    images, _ = _as_weights(leading, basis.images.T, num_classes)
    size = len(clips)
    start = np.concatenate([clips.reshape(size, -1), images.reshape(size, -1), intercepts], axis=1)
    space: Space = ClipSpace(gram, basis, num_classes)
    vectors, n_iter, converged = minimise(space, problem, start, tol=tol, max_iter=max_iter)
    clips = vectors[:, : num_classes * len(X)].reshape(size * num_classes, len(X))
    weights = (clips @ X).reshape(size, num_classes, -1)
    return weights, vectors[:, -num_classes:], first_iter + n_iter, converged


def _fit_leading(
    scores: NDArray, basis: Basis, problem: Problem, num_classes: int, tol: float, max_iter: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Solve along the leading directions first, ``scores (N, R)``: most of the way at a fraction of the cost."""
    prior = np.log(np.bincount(problem.codes, weights=problem.weights, minlength=num_classes))
    start = np.zeros((len(problem.penalties), num_classes * scores.shape[1] + num_classes), scores.dtype)
    start[:, -num_classes:] = prior - prior.mean()
    return minimise(LeadingSpace(scores, basis, num_classes), problem, start, tol=tol, max_iter=max_iter)


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
