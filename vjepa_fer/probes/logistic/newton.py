"""Nearly finished logistic regressions go in; they come out within a tolerance of their optimum, and say when they are not.

A descent that stops by what it still gains may stop too early, where curvature differs much from the preconditioner's: a clip
far from all others, a rare class, features of very different sizes. Here each problem's quadratic model is therefore solved
with its own second derivatives, by conjugate gradients, which also tell how far from the model's minimum they are. Losses and
gradients are taken in float64, so that single precision costs steps, and no accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.dense import finish_densely
from vjepa_fer.probes.logistic.descent import Problem, cross_entropy, gradients_of, mean_curvature
from vjepa_fer.probes.logistic.spaces import Curvature, Space, dots

MOST_STEPS = 200
"""Conjugate gradient steps before the gradient is taken afresh."""

SAFETY = 10
"""How far below the tolerance the estimated error must be."""

LEAST_STEPS = 2
"""Conjugate gradient steps that are taken anyhow, unless the penalty alone shows that the error is small."""

HARD, MISFIT = 40, 0.005
"""Steps after which a problem is taken out of the batch, and the smallest eigenvalue below which it is: there the
preconditioner thinks curvature two hundred times what it is, and estimates are less to be trusted."""

STRICTER = 3
"""What their tolerance is divided by then."""

DENSE = 2000
"""Weights of the largest problem whose second derivative is written out."""

SHARE, LEAST_ROOM = 1 / 12, 1 << 20
"""Of the memory of the features, for one float64 array of logits; and bytes that it may always have."""

NEAR_ENOUGH = 3
"""How far below the tolerance promise and error together must be, for a problem to stay where it is."""

FORCING = 100
"""Part of a step's promise that its error may be, while more than the tolerance is to be gained: the next step's model is another."""

PATIENCE = 5
"""Newton steps without progress before single precision, or the problem, is given up."""


@dataclass(frozen=True)
class Place:
    """Where problems stand, in float64: vectors ``(J, V)``, weights ``(J, K, D)``, logits ``(J, K, N)``."""

    vectors: NDArray
    weights: NDArray
    logits: NDArray

    @classmethod
    def of(cls, space: Space, vectors: NDArray) -> Place:
        weights = space.weights(vectors)
        return cls(vectors, weights, space.exact_logits(weights, vectors[:, -space.num_classes :]))

    def take(self, keep: NDArray) -> Place:
        return Place(self.vectors[keep], self.weights[keep], self.logits[keep])

    @classmethod
    def sum(cls, shares: Sequence[NDArray], places: Sequence[Place]) -> Place:
        """Places times shares ``(J,)``, all of one problem or of J: logits are linear in the weights."""

        def total(name: str) -> NDArray:
            arrays = [getattr(place, name) for place in places]
            own = [share.reshape(-1, *[1] * (arrays[0].ndim - 1)) for share in shares]
            return sum((s * a for s, a in zip(own[1:], arrays[1:], strict=True)), own[0] * arrays[0])

        return cls(*(total(f.name) for f in fields(cls)))

    @classmethod
    def stack(cls, places: Sequence[Place]) -> Place:
        if len(places) == 1:
            return places[0]
        return cls(*(np.concatenate([getattr(place, f.name) for place in places]) for f in fields(cls)))

    def put(self, where: NDArray, other: Place) -> None:
        """Write another's problems over those numbered `where`."""
        self.vectors[where], self.logits[where] = other.vectors, other.logits
        if not np.shares_memory(self.vectors, self.weights):
            self.weights[where] = other.weights


@dataclass(frozen=True)
class _Model:
    """The quadratic model of each problem: probabilities ``(J, K, N)`` in the space's precision, and what shapes it."""

    probabilities: NDArray
    weights: NDArray
    penalties: NDArray
    curvature: Curvature

    @classmethod
    def of(cls, problem: Problem, probabilities: NDArray, dtype: np.dtype) -> _Model:
        own, weights = probabilities.astype(dtype), problem.weights.astype(dtype)
        return cls(own, weights, problem.penalties, mean_curvature(own * weights, own))

    def take(self, keep: NDArray) -> _Model:
        return _Model(self.probabilities[keep], self.weights, self.penalties[keep], self.curvature.take(keep))


@dataclass(frozen=True)
class _Step:
    """A model's minimum: directions ``(J, V)``, the decrease they promise, its error, and the steps taken, ``(J,)`` each."""

    directions: NDArray
    promised: NDArray
    error: NDArray
    taken: NDArray[np.intp]

    def take(self, keep: NDArray) -> _Step:
        return _Step(self.directions[keep], self.promised[keep], self.error[keep], self.taken[keep])


@dataclass(frozen=True)
class Finished:
    """Where problems ended, conjugate gradient steps ``(J,)``, whether each is within the tolerance ``(J,)``, and the smallest
    eigenvalue of each preconditioned model that was met on the way ``(J,)``."""

    vectors: NDArray
    taken: NDArray[np.intp]
    done: NDArray[np.bool_]
    smallest: NDArray


def finish(space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int) -> Finished:
    """Vectors ``(J, V)`` come in, and come out in float64 within `tol` of the optimum, some at a time where memory is short.

    Newton's method. A problem is done when conjugate gradients have solved its model to a part of `tol`, and the loss has
    then fallen as the model said, to within `tol`. One whose model takes many steps goes on by itself: with the whole second
    derivative where that is small, else with more steps, and in double precision where single keeps it from its goal.
    """
    parts = []
    at_once = at_a_time(space, len(problem.codes))
    for first in range(0, len(start), at_once):
        some = slice(first, first + at_once)
        own = replace(problem, penalties=problem.penalties[some])
        place = Place.of(space, start[some].astype(np.float64))  # a copy: it is written over
        parts.append(go_on(space, own, place, tol=tol, max_iter=max_iter)[1])
    return Finished(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Finished)))


def objectives(place: Place, problem: Problem) -> NDArray:
    """What each problem minimises, ``(J,)``, where it stands."""
    flat = place.weights.reshape(len(place.weights), -1)
    return cross_entropy(place.logits, problem)[0] + problem.penalties / 2 * dots(flat, flat)


def at_a_time(space: Space, num_clips: int) -> int:
    """How many problems' logits may be held at once."""
    each = 8 * space.num_classes * num_clips
    return max(1, int(max(SHARE * space.X.nbytes, LEAST_ROOM) / each))


def go_on(
    space: Space,
    problem: Problem,
    place: Place,
    *,
    tol: float,
    max_iter: int,
    smallest: NDArray | None = None,
) -> tuple[Place, Finished]:
    """As :func:`finish`, all at once, from where they stand; `smallest` is what is known of their models, ``(J,)``."""
    descent = _Finish(space, problem, place, smallest, tol, max_iter)
    hard = descent.run(alone=False)
    for number in hard:
        one = np.array([number])
        own = replace(problem, penalties=problem.penalties[one])
        if space.num_classes * min(space.X.shape) <= DENSE:
            vector, steps, descent.done[one] = finish_densely(
                space, own, descent.place.vectors[one], tol=tol, max_iter=max_iter
            )
            descent.place.put(one, Place.of(space, vector))
            descent.taken[one] += steps
        else:
            alone = _Finish(space, own, descent.place.take(one), None, tol, max_iter)
            alone.run(alone=True)
            descent.place.put(one, alone.place)
            descent.done[one] = alone.done
            descent.taken[one] += alone.taken
    return descent.place, Finished(descent.place.vectors, descent.taken, descent.done, descent.smallest)


class _Finish:
    """Problems on their way to the optimum."""

    def __init__(
        self, space: Space, problem: Problem, place: Place, smallest: NDArray | None, tol: float, max_iter: int
    ) -> None:
        self.space, self.problem, self.tol, self.max_iter = space, problem, tol, max_iter
        self.place, count = place, len(place.vectors)
        self.taken, self.done = np.zeros(count, np.intp), np.zeros(count, bool)
        self.smallest = np.ones(count) if smallest is None else smallest.copy()

    def run(self, *, alone: bool) -> NDArray[np.intp]:
        """Go on until all are done, or cannot be; returns those that were too hard to be done together."""
        left, hard = np.arange(len(self.done)), np.array([], np.intp)
        best, waits = np.full(len(left), np.inf), np.zeros(len(left), np.intp)
        while len(left):
            step, fallen, losses = self._step(left, alone)
            goal = self.tol / (STRICTER * SAFETY if alone else SAFETY)
            certain = (step.error <= goal) & (np.abs(step.promised - fallen) <= goal)
            size = np.maximum(step.promised, step.error)
            waits[left] = np.where(size < best[left] / 2, 0, waits[left] + 1)
            best[left] = np.minimum(best[left], size)
            stalled = (waits[left] > PATIENCE) | (fallen <= 1e-13 * losses)
            if alone and (stalled & ~certain).any() and self.space.dtype != np.float64:
                self.space, stalled, waits[left] = self.space.as_double(), stalled & False, 0
            leave = certain | stalled | (self.taken[left] >= self.max_iter)
            if not alone:
                too_hard = ~certain & (stalled | (step.taken > HARD)) | (self.smallest[left] < MISFIT)
                certain &= ~too_hard
                hard, leave = np.concatenate([hard, left[too_hard]]), leave | too_hard
            self.done[left] = certain
            left = left[~leave]
        return hard

    def _step(self, left: NDArray, alone: bool) -> tuple[_Step, NDArray, NDArray]:
        own = replace(self.problem, penalties=self.problem.penalties[left])
        place = self.place.take(left) if len(left) < len(self.done) else self.place
        losses, probabilities = cross_entropy(place.logits, own)
        model = _Model.of(own, probabilities, self.space.dtype)
        probabilities *= own.weights
        gradients = gradients_of(self.space, own, probabilities, place.vectors, own.penalties, exact=True)
        del probabilities
        most = MOST_STEPS if alone else HARD + 1
        tol = self.tol / STRICTER if alone else self.tol
        step, self.smallest[left] = _solve(self.space, model, gradients, self.smallest[left], tol, most)
        self.taken[left] += step.taken
        fallen = step.promised.copy()
        # the others are done where they stand
        far = np.flatnonzero(step.promised + step.error > self.tol / NEAR_ENOUGH)
        if len(far):
            there = replace(own, penalties=own.penalties[far])
            moved, fallen[far] = _go(self.space, there, place.take(far), losses[far], step.take(far))
            self.place.put(left[far], moved)
        return step, fallen, losses


def _go(space: Space, problem: Problem, place: Place, before: NDArray, step: _Step) -> tuple[Place, NDArray]:
    """Go along directions, halved until the loss falls: where that leads, and how far each loss fell from `before` ``(J,)``."""
    along = Place.of(space, step.directions.astype(np.float64))
    flat = along.weights.reshape(len(before), -1)
    linear, square = dots(place.weights.reshape(flat.shape), flat), dots(flat, flat)
    lengths, fallen = np.ones(len(before)), np.full(len(before), -np.inf)
    for _ in range(30):
        todo = np.flatnonzero(fallen < 1e-4 * lengths * step.promised)
        if len(todo) == 0:
            break
        lengths[todo] = np.where(np.isinf(fallen[todo]), lengths[todo], lengths[todo] / 2)
        t = lengths[todo]
        losses, _ = cross_entropy(place.logits[todo] + t[:, None, None] * along.logits[todo], problem)
        penalty = problem.penalties[todo] * (t * linear[todo] + t**2 / 2 * square[todo])
        fallen[todo] = before[todo] - losses - penalty
    fallen = np.maximum(fallen, 0)
    t = np.where(fallen > 0, lengths, 0)
    return Place.sum([np.ones_like(t), t], [place, along]), fallen


def _solve(
    space: Space, model: _Model, gradients: NDArray, smallest: NDArray, tol: float, most: int
) -> tuple[_Step, NDArray]:
    """Minimise the models by conjugate gradients, until the error is small beside `tol` or the decrease found.

    Of each problem the smallest eigenvalue known before goes in, and that known now comes out.
    """
    count = len(gradients)
    found, promised, taken = np.zeros(gradients.shape, space.dtype), np.zeros(count), np.zeros(count, np.intp)
    spectra = _Spectra(smallest, most)
    left, residuals = np.arange(count), space.centre(-gradients.astype(space.dtype))
    conditioned = space.centre(space.precondition(residuals, model.curvature, model.penalties))
    size, search = space.inner(residuals, conditioned).astype(np.float64), conditioned
    error = np.minimum(spectra.error(left, -1, size), _bound(space, model, residuals, conditioned))
    far = error > tol / SAFETY
    left, model, size, residuals, search = left[far], model.take(far), size[far], residuals[far], search[far]
    for step in range(most if far.any() else 0):
        curved = _second_derivative(space, model, search)
        bend = space.inner(search, curved).astype(np.float64)
        usable = (bend > 0) & (size > 0)
        length = np.where(usable, size / np.where(usable, bend, 1), 0.0)
        short = length[:, None].astype(space.dtype)
        found[left] += short * search
        promised[left] += length * size / 2
        taken[left] += 1
        residuals = residuals - short * curved
        conditioned = space.centre(space.precondition(residuals, model.curvature, model.penalties))
        new_size = space.inner(residuals, conditioned).astype(np.float64)
        ratio = np.where(usable, np.maximum(new_size, 0) / np.where(usable, size, 1), 0.0)
        spectra.add(left, step, 1 / np.where(usable, length, 1), ratio)
        go_on = np.ones(len(left), bool)
        if (
            step <= HARD or step % 10 == 0 or not usable.all()
        ):  # eigenvalues of many steps are too dear to be had each time
            estimate = spectra.error(left, step, new_size)
            error[left] = np.minimum(estimate, _bound(space, model, residuals, conditioned))
            go_on = (error[left] > np.maximum(tol / SAFETY, promised[left] / FORCING)) & usable
        if not go_on.any():
            break
        left, model, size, residuals = left[go_on], model.take(go_on), new_size[go_on], residuals[go_on]
        search = conditioned[go_on] + ratio[go_on, None].astype(space.dtype) * search[go_on]
    return _Step(found, promised, error, taken), spectra.smallest


class _Spectra:
    """What conjugate gradients tell of each problem's ``M⁻¹ H`` on their way, M being the preconditioner: Lanczos' matrices.

    The error of a direction in units of the loss is ``rᵀ H⁻¹ r / 2``, r being what is left of the gradient. This is at most
    ``rᵀ M⁻¹ r / (2 θ)``, θ being the smallest eigenvalue of ``M⁻¹ H``, which the matrices' smallest comes near from above.
    """

    def __init__(self, smallest: NDArray, most: int) -> None:
        self.smallest, self.first = smallest, smallest == 1  # nothing is known yet of the smallest eigenvalue
        self.lanczos, self.coupling = np.zeros((len(smallest), most, most)), np.zeros(len(smallest))

    def add(self, left: NDArray[np.intp], step: int, inverse: NDArray, ratio: NDArray) -> None:
        """Row `step` of those that are left: one over the length gone, and by how much the residual's square is smaller."""
        self.lanczos[left, step, step] = inverse + self.coupling[left]
        if step + 1 < self.lanczos.shape[1]:
            beside = np.sqrt(ratio) * inverse
            self.lanczos[left, step, step + 1] = self.lanczos[left, step + 1, step] = beside
        self.coupling[left] = ratio * inverse

    def error(self, left: NDArray[np.intp], step: int, size: NDArray) -> NDArray:
        """Estimates ``(J,)`` after a step, from ``rᵀ M⁻¹ r``: infinite while too few steps have been taken to tell."""
        if step >= 0:
            ritz = np.linalg.eigvalsh(self.lanczos[left, : step + 1, : step + 1])[:, 0]
            self.smallest[left] = np.minimum(self.smallest[left], np.maximum(ritz, 1e-30))
        estimate = np.where(size >= 0, size / (2 * self.smallest[left]), np.inf)
        estimate[self.first[left] & (step < LEAST_STEPS)] = np.inf
        return estimate


def _bound(space: Space, model: _Model, residuals: NDArray, conditioned: NDArray) -> NDArray:
    """The error ``rᵀ H⁻¹ r / 2`` at most, ``(J,)``: no second derivative is smaller than the penalty's, and those by intercept are known."""
    free = space.num_classes
    intercepts = dots(residuals[:, -free:], conditioned[:, -free:])
    inner = space.inner(residuals, residuals) - dots(residuals[:, -free:], residuals[:, -free:])
    return inner.astype(np.float64) / (2 * model.penalties) + 2 * np.abs(intercepts)


def _second_derivative(space: Space, model: _Model, v: NDArray) -> NDArray:
    """The models' second derivatives times vectors, ``(J, V)``."""
    along = space.logits(v)
    along *= model.probabilities
    along -= model.probabilities * along.sum(axis=1, keepdims=True)
    along *= model.weights
    curved = space.gradient(along)
    free = space.num_classes
    curved[:, :-free] += model.penalties[:, None].astype(v.dtype) * v[:, :-free]
    return curved
