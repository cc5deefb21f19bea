"""Small logistic regressions go in; Newton's method with its whole second derivative brings them to the optimum, and proves it.

Nothing is estimated here. The objective is strongly convex in the weights: its minimum lies at most ``|g|² / (2 penalty)``
further down, g being the gradient. Copies, rows of zeros, constants or more features than clips do not weaken that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.descent import Problem, cross_entropy
from vjepa_fer.probes.logistic.spaces import Space, polynomial

LARGEST = 2000
"""Weights, along what the clips span, of the largest problem whose second derivative is written out."""

SAFETY = 10
"""How far below the tolerance both the proof and the last step's promise must be."""

RIDGES = (0.0, 1e-14, 1e-11, 1e-8, 1e-5, 1e-2)
"""Of the scaled second derivative: the next where rounding has left it without an inverse."""

LEVEL = 1e-3
"""Part of the tolerance below which the slope by an intercept is none: it carries no penalty, and so has no such proof."""

MANY = 15
"""Conjugate gradient steps with an inverse second derivative after which a new one is worth its price."""

ROUGH = 1e-4
"""Part of the residual, in squares, that a step's conjugate gradients may leave."""

BEHIND = 3
"""Values of C that tell where the next one's weights are."""

ROWS = 1024
"""Clips whose part of a second derivative is taken at a time."""

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
    count = len(weights)
    steps, certain = np.zeros(count, np.intp), np.zeros(count, bool)
    if min(X.shape) > LARGEST:  # to see what they span would itself take long
        return weights, intercepts, steps, certain
    span = _Span.of(X)
    weights, intercepts = weights.copy(), intercepts.copy()
    if weights.shape[1] * (span.clips.shape[1] + 1) > LARGEST:
        return weights, intercepts, steps, certain
    for number in range(count):
        penalty = problem.penalties[number] / span.size**2
        begun = Place(weights[number] @ span.right.T * span.size, intercepts[number])
        place = _better(span.clips, begun, problem, penalty)
        place, steps[number], certain[number], _ = _minimise(span.clips, place, problem, penalty, tol, max_iter)
        weights[number], intercepts[number] = place.weights @ span.right / span.size, place.intercepts
    return weights, intercepts, steps, certain


def solve_small(
    X: NDArray, problem: Problem, num_classes: int, *, tol: float, max_iter: int
) -> tuple[NDArray, NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    """As :func:`prove`, from clips and falling penalties alone: each is begun where those before it say that it lies.

    A second derivative that is written out serves for several.
    """
    span, inverse = _Span.of(X), None
    known: list[tuple[float, Place]] = []
    weights, intercepts = np.zeros((len(problem.penalties), num_classes, X.shape[1])), []
    steps, certain = np.zeros(len(weights), np.intp), np.zeros(len(weights), bool)
    for number, penalty in enumerate(problem.penalties / span.size**2):
        start = _begin(span.clips, problem, penalty, known[-BEHIND:], num_classes)
        ended = _minimise(span.clips, start, problem, penalty, tol, max_iter, inverse)
        place, steps[number], certain[number], inverse = ended
        known.append((-np.log(penalty), place))
        weights[number] = place.weights @ span.right / span.size
        intercepts.append(place.intercepts)
    return weights, np.stack(intercepts), steps, certain


def _begin(
    clips: NDArray, problem: Problem, penalty: float, known: Sequence[tuple[float, Place]], num_classes: int
) -> Place:
    """Where the objective is least of where the last values of C, one or several, say that the next one lies."""
    if not known:
        return _without_weights(clips, problem, num_classes)
    places = [_predicted(known[-count:], -np.log(penalty)) for count in range(1, len(known) + 1)]
    return min(places, key=lambda place: _look(clips, place, problem, penalty)[0])


class _Span(NamedTuple):
    """Clips ``(N, R)`` over their `size` in as few coordinates as they need, and the features that each stands for ``(R, D)``."""

    clips: NDArray
    right: NDArray
    size: float

    @classmethod
    def of(cls, X: NDArray) -> _Span:
        size = max(float(np.abs(X).max()), 1.0)  # squares of the largest numbers that there are would be infinite
        left, lengths, right = np.linalg.svd(X / size, full_matrices=False)
        keep = lengths > np.finfo(np.float64).eps * lengths[0]
        return cls(left[:, keep] * lengths[keep], right[keep], size)


def _predicted(known: Sequence[tuple[float, Place]], log: float) -> Place:
    """Where the polynomial in the logs of C through places is at another one."""
    shares = polynomial(np.array([at for at, _ in known]), log)
    arrays = zip(*(place for _, place in known), strict=True)
    return Place(*(np.tensordot(shares, np.stack(own), 1) for own in arrays))


def _better(clips: NDArray, place: Place, problem: Problem, penalty: float) -> Place:
    """The place, or that without any weights where a descent has lost itself so far that its loss is none, or larger."""
    plain = _without_weights(clips, problem, len(place.weights))
    with np.errstate(over="ignore", invalid="ignore"):
        reached = _look(clips, place, problem, penalty)[0]
    return place if reached < _look(clips, plain, problem, penalty)[0] else plain


def _without_weights(clips: NDArray, problem: Problem, num_classes: int) -> Place:
    logs = np.log(np.bincount(problem.codes, weights=problem.weights, minlength=num_classes))
    return Place(np.zeros((num_classes, clips.shape[1])), logs - logs.mean())


def finish_densely(
    space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, int, bool]:
    """A vector ``(1, V)`` within `tol` of the optimum, Newton steps, and whether it is, from one to start at."""
    clips, parts = space.coordinates()
    free = space.num_classes
    begun = Place(_in_coordinates(space.weights(start)[0], space, clips), start[0, -free:].copy())
    place, steps, certain, _ = _minimise(clips, begun, problem, problem.penalties[0], tol, max_iter)
    flat = place.weights @ parts
    vector = np.zeros((1, start.shape[1]))
    vector[0, : flat.size], vector[0, -free:] = flat.ravel(), place.intercepts
    return vector, steps, certain


def _minimise(
    clips: NDArray,
    place: Place,
    problem: Problem,
    penalty: float,
    tol: float,
    max_iter: int,
    inverse: NDArray | None = None,
) -> tuple[Place, int, bool, NDArray | None]:
    """Where the objective is proven to be within `tol`, steps, whether it is, and the inverse second derivative last used.

    One that is handed in, of another place or penalty, is used for as long as conjugate gradients from it take few steps.
    """
    loss, shares = _look(clips, place, problem, penalty)
    idle, fresh, turns = 0, False, 0
    for step in range(max_iter + 1):
        gradient = _gradient(clips, place, shares, problem, penalty)
        proven = float(np.square(gradient[:, :-1]).sum()) / (2 * penalty)
        if proven <= tol / SAFETY and np.abs(gradient[:, -1]).max() <= LEVEL * tol:
            return place, step, True, inverse
        if inverse is None or turns > MANY:
            inverse, fresh = _inverse(_second_derivative(clips, shares, problem, penalty)), True
        move, turns = _direction(clips, shares, problem, penalty, gradient, inverse)
        promised = -float((move * gradient).sum()) / 2
        idle = idle + 1 if promised <= 1e-13 * loss else 0
        found = _along(clips, place, move, promised, loss, problem, penalty)
        if (idle > IDLE or found is None) and fresh:
            break
        if found is None:
            inverse = None
        else:
            place, loss, shares = found
        fresh = False
    return place, step, False, inverse


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


def _inverse(second: NDArray) -> NDArray:
    """The inverse, with as small a ridge as lets rounding have one."""
    sizes = np.sqrt(np.maximum(np.diag(second), np.finfo(np.float64).tiny))
    scaled = second / sizes / sizes[:, None]
    for ridge in RIDGES:
        try:
            lower = np.linalg.cholesky(scaled + ridge * np.eye(len(scaled)))
            half = np.linalg.inv(lower)
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(half).all():
            return (half.T @ half) / sizes / sizes[:, None]
    return np.diag(1 / sizes**2)


def _direction(
    clips: NDArray, shares: NDArray, problem: Problem, penalty: float, gradient: NDArray, inverse: NDArray
) -> tuple[NDArray, int]:
    """Newton's step ``(K, R + 1)``, by conjugate gradients from an inverse that is nearly that of this place, and their number."""
    found, left = np.zeros_like(gradient), -gradient
    conditioned = (inverse @ left.ravel()).reshape(left.shape)
    size = begun = float((left * conditioned).sum())
    search, steps = conditioned, 0
    while steps < 2 * MANY:
        steps += 1
        curved = _bent(clips, shares, problem, penalty, search)
        bend = float((search * curved).sum())
        if not (bend > 0 and size > 0):
            break
        found, left = found + size / bend * search, left - size / bend * curved
        conditioned = (inverse @ left.ravel()).reshape(left.shape)
        last, size = size, float((left * conditioned).sum())
        if size <= ROUGH * begun:
            break
        search = conditioned + size / last * search
    return (found if found.any() else conditioned), steps


def _bent(clips: NDArray, shares: NDArray, problem: Problem, penalty: float, move: NDArray) -> NDArray:
    """The second derivative times ``(K, R + 1)``."""
    along = shares * (move[:, :-1] @ clips.T + move[:, -1:])
    along -= shares * along.sum(axis=0)
    along *= problem.weights
    return np.concatenate([along @ clips + penalty * move[:, :-1], along.sum(axis=1)[:, None]], axis=1)


def _second_derivative(clips: NDArray, shares: NDArray, problem: Problem, penalty: float) -> NDArray:
    """``(K·(R+1), K·(R+1))``; all intercepts alike are no direction at all, and get a slope so that it has an inverse."""
    size, count = clips.shape[1] + 1, len(shares)
    second = np.zeros((count * size, count * size))
    blocks = second.reshape(count, size, count, size)
    for first in range(0, len(clips), ROWS):
        rows = slice(first, first + ROWS)
        wide = np.concatenate([clips[rows], np.ones((len(clips[rows]), 1))], axis=1)
        own, roots = shares[:, rows].T, np.sqrt(problem.weights[rows])[:, None]
        pairs = ((roots * own)[:, :, None] * wide[:, None]).reshape(len(wide), -1)
        second -= pairs.T @ pairs
        for k in range(count):
            blocks[k, :, k] += wide.T @ ((problem.weights[rows] * own[:, k])[:, None] * wide)
    blocks[:, -1, :, -1] += 1
    second[np.diag_indices(len(second))] += np.tile(np.r_[np.full(size - 1, penalty), 0.0], count)
    return second
