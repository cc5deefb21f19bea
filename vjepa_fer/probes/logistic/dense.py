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
from vjepa_fer.probes.logistic.search import Search
from vjepa_fer.probes.logistic.spaces import Space, polynomial

LARGEST = 2000
"""Weights, along what the clips span, of the largest problem whose second derivative is written out."""

SAFETY = 10
"""How far below the tolerance the proof must be."""

OF_GAIN, STRICTEST = 1e-6, 1e-3
"""And below which part of what the weights gain, labels where C is small hanging on little; and the least part of the tolerance
that this may come to."""

LEVEL = 1e-3
"""Part of the tolerance below which the slope by an intercept is none: it carries no penalty, and so has no such proof."""

BEHIND = 3
"""Values of C that tell where the next one's weights are."""

IDLE = 4
"""Steps that gain nothing but rounding before a problem is given up."""

MOST_SINGLE = 10
"""Steps of one problem after which single precision is given up: it may be what keeps it from its goal."""

LEVELS = 3
"""Steps of the intercepts alone before the weights are moved again."""


class Place(NamedTuple):
    """Weights ``(K, R)`` and intercepts ``(K,)``."""

    weights: NDArray
    intercepts: NDArray

    @classmethod
    def centred(cls, weights: NDArray, intercepts: NDArray) -> Place:
        """Less what all classes have in common, which is only penalised, and along which no search goes."""
        return cls(weights - weights.mean(axis=0), intercepts - intercepts.mean())


class _Seen(NamedTuple):
    """A place, its logits ``(K, N)``, the objective there, and probabilities ``(K, N)``."""

    place: Place
    logits: NDArray
    loss: float
    shares: NDArray


class _Objective(NamedTuple):
    """What one C minimises on clips ``(N, R)``, and what it is of the best `plain` intercepts without weights."""

    clips: NDArray
    problem: Problem
    penalty: float
    plain: float

    @classmethod
    def of(cls, clips: NDArray, problem: Problem, penalty: float, num_classes: int) -> _Objective:
        shares = _shares(problem, num_classes)
        return cls(clips, problem, penalty, -float(shares @ np.log(shares)))

    def look(self, place: Place) -> _Seen:
        return self._with(place, place.weights @ self.clips.T + place.intercepts[:, None])

    def _with(self, place: Place, logits: NDArray) -> _Seen:
        losses, shares = cross_entropy(logits[None], self.problem)
        return _Seen(place, logits, float(losses[0] + self.penalty / 2 * np.square(place.weights).sum()), shares[0])

    def gradient(self, seen: _Seen) -> NDArray:
        """``(K, R + 1)``, that of the intercepts last."""
        weights, codes = self.problem.weights, self.problem.codes
        residuals = seen.shares * weights
        residuals[codes, np.arange(len(codes))] -= weights
        slopes = residuals @ self.clips + self.penalty * seen.place.weights
        return np.concatenate([slopes, residuals.sum(axis=1)[:, None]], axis=1)

    def is_proven(self, seen: _Seen, gradient: NDArray, tol: float) -> bool:
        """Whether the minimum is at most a part of `tol` further down, once the intercepts are level."""
        part = np.clip(OF_GAIN * (self.plain - seen.loss), STRICTEST * tol / SAFETY, tol / SAFETY)
        return bool(np.square(gradient[:, :-1]).sum() / (2 * self.penalty) <= part)

    def level(self, seen: _Seen) -> _Seen:
        """Newton's step of the intercepts alone; all of them alike are no direction, and get a slope."""
        weighted = seen.shares * self.problem.weights
        totals = weighted.sum(axis=1)
        second = np.diag(totals) - weighted @ seen.shares.T + 1
        step = np.linalg.lstsq(second, totals - _shares(self.problem, len(totals)), rcond=None)[0]
        return self._with(seen.place._replace(intercepts=seen.place.intercepts - step), seen.logits - step[:, None])

    def without_weights(self, num_classes: int) -> Place:
        logs = np.log(_shares(self.problem, num_classes))
        return Place(np.zeros((num_classes, self.clips.shape[1])), logs - logs.mean())


def _shares(problem: Problem, num_classes: int) -> NDArray:
    return np.bincount(problem.codes, weights=problem.weights, minlength=num_classes)


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
        objective = _Objective.of(span.clips, problem, problem.penalties[number] / span.size**2, weights.shape[1])
        begun = Place.centred(weights[number] @ span.right.T * span.size, intercepts[number])
        search = Search(span.clips, problem, weights.shape[1])
        ended = _minimise(objective, _better(objective, begun), search, tol, max_iter)
        place, steps[number], certain[number], _ = ended
        weights[number], intercepts[number] = place.weights @ span.right / span.size, place.intercepts
    return weights, intercepts, steps, certain


def solve_small(
    X: NDArray, problem: Problem, num_classes: int, *, tol: float, max_iter: int
) -> tuple[NDArray, NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    """As :func:`prove`, from clips and falling penalties alone: each is begun where those before it say that it lies.

    A second derivative that is written out serves for several, and steps are searched in single precision for as long as that does.
    """
    span = _Span.of(X)
    search = Search(span.clips, problem, num_classes, np.float32)
    known: list[tuple[float, Place]] = []
    weights, intercepts = np.zeros((len(problem.penalties), num_classes, X.shape[1])), []
    steps, certain = np.zeros(len(weights), np.intp), np.zeros(len(weights), bool)
    for number, penalty in enumerate(problem.penalties / span.size**2):
        objective = _Objective.of(span.clips, problem, penalty, num_classes)
        start = _begin(objective, search, known[-BEHIND:], num_classes)
        place, steps[number], certain[number], search = _minimise(objective, start, search, tol, max_iter)
        known.append((-np.log(penalty), place))
        weights[number] = place.weights @ span.right / span.size
        intercepts.append(place.intercepts)
    return weights, np.stack(intercepts), steps, certain


def finish_densely(
    space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, int, bool]:
    """A vector ``(1, V)`` within `tol` of the optimum, Newton steps, and whether it is, from one to start at."""
    clips, parts = space.coordinates()
    free = space.num_classes
    objective = _Objective.of(clips, problem, problem.penalties[0], free)
    begun = Place.centred(_in_coordinates(space.weights(start)[0], space, clips), start[0, -free:])
    search = Search(clips, problem, free)
    place, steps, certain, _ = _minimise(objective, objective.look(begun), search, tol, max_iter)
    flat = place.weights @ parts
    vector = np.zeros((1, start.shape[1]))
    vector[0, : flat.size], vector[0, -free:] = flat.ravel(), place.intercepts
    return vector, steps, certain


def _in_coordinates(weights: NDArray, space: Space, clips: NDArray) -> NDArray:
    """Weights ``(K, D)`` as weights ``(K, R)`` with the same logits."""
    if clips.shape[1] == weights.shape[1]:
        return weights
    logits = space.exact_logits(weights[None], np.zeros((1, len(weights))))[0]
    return logits @ clips / np.square(clips).sum(axis=0)


class _Span(NamedTuple):
    """Clips ``(N, R)`` over their `size` in as few coordinates as they need, and the features that each stands for ``(R, D)``."""

    clips: NDArray
    right: NDArray
    size: float

    @classmethod
    def of(cls, X: NDArray) -> _Span:
        size = max(float(np.abs(X).max()), 1.0)  # squares of the largest numbers that there are would be infinite
        scaled = X / size
        triangle = np.linalg.qr(scaled, mode="r") if len(X) > X.shape[1] else scaled  # of many clips, all that it takes
        _, lengths, right = np.linalg.svd(triangle, full_matrices=False)
        keep = lengths > np.finfo(np.float64).eps * lengths[0]
        return cls(scaled @ right[keep].T, right[keep], size)


def _begin(objective: _Objective, search: Search, known: Sequence[tuple[float, Place]], num_classes: int) -> _Seen:
    """Where the objective is least of where the last values of C, one or several, say that the next one lies."""
    if not known:
        return objective.look(objective.without_weights(num_classes))
    places = [_predicted(known[-count:], -np.log(objective.penalty)) for count in range(1, len(known) + 1)]
    return objective.look(
        min(places, key=lambda place: search.loss(place.weights, place.intercepts, objective.penalty))
    )


def _predicted(known: Sequence[tuple[float, Place]], log: float) -> Place:
    """Where the polynomial in the logs of C through places is at another one."""
    shares = polynomial(np.array([at for at, _ in known]), log)
    arrays = zip(*(place for _, place in known), strict=True)
    return Place(*(np.tensordot(shares, np.stack(own), 1) for own in arrays))


def _better(objective: _Objective, place: Place) -> _Seen:
    """The place, or that without any weights where a descent has lost itself so far that its loss is none, or larger."""
    plain = objective.look(objective.without_weights(len(place.weights)))
    with np.errstate(over="ignore", invalid="ignore"):
        reached = objective.look(place)
    return reached if reached.loss < plain.loss else plain


def _minimise(
    objective: _Objective, seen: _Seen, search: Search, tol: float, max_iter: int
) -> tuple[Place, int, bool, Search]:
    """Where the objective is proven to be within `tol`, steps, whether it is, and what to search with from then on."""
    idle = 0
    for step in range(max_iter + 1):
        seen, gradient, proven = _judged(objective, seen, tol)
        if proven:
            return seen.place, step, True, search
        move = search.step(seen.shares, objective.penalty, gradient)
        promised = -float((move * gradient).sum()) / 2
        found = _along(objective, seen, move, promised)
        idle = idle + 1 if promised <= 1e-13 * seen.loss else 0
        lost = idle > IDLE or found is None
        if lost and search.fresh and not search.single:
            break
        if search.single and (lost or step == MOST_SINGLE):
            search = search.as_double()
        elif found is None:
            search.forget()
        seen = seen if found is None else found
    return seen.place, step, False, search


def _judged(objective: _Objective, seen: _Seen, tol: float) -> tuple[_Seen, NDArray, bool]:
    """The place with its gradient, and whether it is within `tol`; intercepts that alone keep it from that are put right first."""
    gradient = objective.gradient(seen)
    for _ in range(LEVELS):
        if not objective.is_proven(seen, gradient, tol):
            return seen, gradient, False
        if np.abs(gradient[:, -1]).max() <= LEVEL * tol:
            return seen, gradient, True
        seen = objective.level(seen)
        gradient = objective.gradient(seen)
    return seen, gradient, False


def _along(objective: _Objective, seen: _Seen, move: NDArray, promised: float) -> _Seen | None:
    """Where a step leads, halved until the loss falls as it should, but for rounding; None where it never does."""
    place, before, length = seen.place, seen.loss, 1.0
    while length > 1e-9:
        there = objective.look(Place(place.weights + length * move[:, :-1], place.intercepts + length * move[:, -1]))
        if before - there.loss >= 1e-4 * length * promised - 1e-14 * before:
            return there
        length /= 2
    return None
