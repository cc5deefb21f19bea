"""Small logistic regressions go in; Newton's method with its whole second derivative brings them to the optimum, and proves it.

Nothing is estimated here. The objective is strongly convex in the weights: its minimum lies at most ``|g|² / (2 penalty)``
further down, g being the gradient. Copies, rows of zeros, constants or more features than clips do not weaken that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.descent import Problem, cross_entropy
from vjepa_fer.probes.logistic.spaces import Space

LARGEST = 2000
"""Weights, along what the clips span, of the largest problem whose second derivative is written out."""

SAFETY = 10
"""How far below the tolerance both the proof and the last step's promise must be."""

RIDGES = (0.0, 1e-14, 1e-11, 1e-8, 1e-5, 1e-2)
"""Of the scaled second derivative: the next where rounding has left it without an inverse."""

LEVEL = 1e-3
"""Part of the tolerance below which the slope by an intercept is none: it carries no penalty, and so has no such proof."""

IDLE = 4
"""Steps that gain nothing but rounding before a problem is given up."""


class Place(NamedTuple):
    """Weights ``(K, R)`` and intercepts ``(K,)``."""

    weights: NDArray
    intercepts: NDArray


def prove(
    X: NDArray, problem: Problem, weights: NDArray, intercepts: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    """Weights ``(J, K, D)`` and intercepts ``(J, K)`` of clips ``(N, D)`` come in, good or bad; those within `tol` come out.

    With them the Newton steps taken, and whether each is proven to be within, ``(J,)``. Nothing is done to what is so already.
    """
    if min(X.shape) > LARGEST:  # to see what they span would itself take long
        return weights, intercepts, np.zeros(len(weights), np.intp), np.zeros(len(weights), bool)
    size = max(np.abs(X).max(), 1.0)  # squares of the largest numbers that there are would be infinite
    left, lengths, right = np.linalg.svd(X / size, full_matrices=False)
    keep = lengths > np.finfo(np.float64).eps * lengths[0]
    clips, right, count = left[:, keep] * lengths[keep], right[keep], len(weights)
    weights, intercepts = weights.copy(), intercepts.copy()
    steps, certain = np.zeros(count, np.intp), np.zeros(count, bool)
    if weights.shape[1] * (clips.shape[1] + 1) > LARGEST:
        return weights, intercepts, steps, certain
    for number in range(count):
        penalty = problem.penalties[number] / size**2
        place = _better(clips, Place(weights[number] @ right.T * size, intercepts[number]), problem, penalty)
        place, steps[number], certain[number] = _minimise(clips, place, problem, penalty, tol, max_iter)
        weights[number], intercepts[number] = place.weights @ right / size, place.intercepts
    return weights, intercepts, steps, certain


def _better(clips: NDArray, place: Place, problem: Problem, penalty: float) -> Place:
    """The place, or that without any weights where a descent has lost itself so far that its loss is none, or larger."""
    logs = np.log(np.bincount(problem.codes, weights=problem.weights, minlength=len(place.weights)))
    plain = Place(np.zeros_like(place.weights), logs - logs.mean())
    with np.errstate(over="ignore", invalid="ignore"):
        reached = _look(clips, place, problem, penalty)[0]
    return place if reached < _look(clips, plain, problem, penalty)[0] else plain


def finish_densely(
    space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, int, bool]:
    """A vector ``(1, V)`` within `tol` of the optimum, Newton steps, and whether it is, from one to start at."""
    clips, parts = space.coordinates()
    free = space.num_classes
    begun = Place(_in_coordinates(space.weights(start)[0], space, clips), start[0, -free:].copy())
    place, steps, certain = _minimise(clips, begun, problem, problem.penalties[0], tol, max_iter)
    flat = place.weights @ parts
    vector = np.zeros((1, start.shape[1]))
    vector[0, : flat.size], vector[0, -free:] = flat.ravel(), place.intercepts
    return vector, steps, certain


def _minimise(
    clips: NDArray, place: Place, problem: Problem, penalty: float, tol: float, max_iter: int
) -> tuple[Place, int, bool]:
    loss, shares = _look(clips, place, problem, penalty)
    idle = 0
    for step in range(max_iter + 1):
        gradient = _gradient(clips, place, shares, problem, penalty)
        proven = float(np.square(gradient[:, :-1]).sum()) / (2 * penalty)
        if proven <= tol / SAFETY and np.abs(gradient[:, -1]).max() <= LEVEL * tol:
            return place, step, True
        move = _direction(_second_derivative(clips, shares, problem, penalty), gradient)
        promised = -float((move * gradient).sum()) / 2
        idle = idle + 1 if promised <= 1e-13 * loss else 0
        if max(proven, promised) <= tol / SAFETY:
            return place, step, True
        found = _along(clips, place, move, promised, loss, problem, penalty)
        if idle > IDLE or found is None:
            break
        place, loss, shares = found
    return place, step, False


def _along(
    clips: NDArray, place: Place, move: NDArray, promised: float, before: float, problem: Problem, penalty: float
) -> tuple[Place, float, NDArray] | None:
    """Where a step leads, halved until the loss falls as it should, but for rounding; None where it never does."""
    length = 1.0
    while length > 1e-9:
        trial = Place(place.weights + length * move[:, :-1], place.intercepts + length * move[:, -1])
        loss, shares = _look(clips, trial, problem, penalty)
        if before - loss >= 1e-4 * length * promised - 1e-14 * before:
            return trial, loss, shares
        length /= 2
    return None


def _in_coordinates(weights: NDArray, space: Space, clips: NDArray) -> NDArray:
    """Weights ``(K, D)`` as weights ``(K, R)`` with the same logits."""
    if clips.shape[1] == weights.shape[1]:
        return weights
    logits = space.exact_logits(weights[None], np.zeros((1, len(weights))))[0]
    return logits @ clips / np.square(clips).sum(axis=0)


def _look(clips: NDArray, place: Place, problem: Problem, penalty: float) -> tuple[float, NDArray]:
    """The objective, and probabilities ``(K, N)``."""
    losses, shares = cross_entropy((place.weights @ clips.T + place.intercepts[:, None])[None], problem)
    return float(losses[0] + penalty / 2 * np.square(place.weights).sum()), shares[0]


def _gradient(clips: NDArray, place: Place, shares: NDArray, problem: Problem, penalty: float) -> NDArray:
    """``(K, R + 1)``, that of the intercepts last."""
    residuals = shares * problem.weights
    residuals[problem.codes, np.arange(len(problem.codes))] -= problem.weights
    slopes = residuals @ clips + penalty * place.weights
    return np.concatenate([slopes, residuals.sum(axis=1)[:, None]], axis=1)


def _direction(second: NDArray, gradient: NDArray) -> NDArray:
    """Newton's step ``(K, R + 1)``, down in any case."""
    sizes = np.sqrt(np.maximum(np.diag(second), np.finfo(np.float64).tiny))
    scaled, slopes = second / sizes / sizes[:, None], gradient.ravel() / sizes
    for ridge in RIDGES:
        try:
            move = -np.linalg.solve(scaled + ridge * np.eye(len(scaled)), slopes)
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(move).all() and move @ slopes <= 0:
            return (move / sizes).reshape(gradient.shape)
    return (-slopes / sizes).reshape(gradient.shape)


def _second_derivative(clips: NDArray, shares: NDArray, problem: Problem, penalty: float) -> NDArray:
    """``(K·(R+1), K·(R+1))``; all intercepts alike are no direction at all, and get a slope so that it has an inverse."""
    wide = np.concatenate([clips, np.ones((len(clips), 1))], axis=1)
    size, count = wide.shape[1], len(shares)
    second = np.empty((count, size, count, size))
    for i in range(count):
        for j in range(i + 1):
            own = problem.weights * shares[i] * ((i == j) - shares[j])
            second[i, :, j] = wide.T @ (own[:, None] * wide)
            second[j, :, i] = second[i, :, j]
    second[:, -1, :, -1] += 1
    flat = second.reshape(count * size, count * size)
    penalties = np.tile(np.r_[np.full(size - 1, penalty), 0.0], count)
    flat[np.diag_indices(len(flat))] += penalties
    return flat
