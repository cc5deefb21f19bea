"""Minimise many logistic regressions on the same clips at once: batched L-BFGS with a preconditioner.

All problems share each matrix product, which is what makes a whole grid of C cost little more than one fit. Logits are
linear in the weights, so a line search moves along cached logits and needs no product at all. A problem leaves the batch
when it has converged.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.spaces import Curvature, Space, dots

MEMORY = 4
"""How many earlier steps shape the next one."""

LOOK_BACK = 3
"""A problem is done when neither its own forecast nor its last steps promise more than the tolerance."""


@dataclass(frozen=True)
class Problem:
    """The training clips' classes ``(N,)`` and weights ``(N,)`` (sum 1), and the penalties ``(J,)`` of the grid.

    Problem j minimises the weighted mean cross-entropy + ``penalties[j] / 2 · |W|²``; intercepts are free.
    """

    codes: NDArray[np.intp]
    weights: NDArray
    penalties: NDArray


@dataclass(frozen=True)
class _Pair:
    """A past step, the change of gradient over it, and one over their inner product; ``(J, V)``, ``(J, V)``, ``(J,)``."""

    step: NDArray
    change: NDArray
    scale: NDArray


@dataclass(frozen=True)
class _State:
    """The problems still in the batch: their numbers ``index``, where they stand, and what they remember."""

    index: NDArray
    penalties: NDArray
    vectors: NDArray
    logits: NDArray
    losses: NDArray
    gradients: NDArray
    curvature: Curvature
    pairs: tuple[_Pair, ...] = ()
    past_losses: tuple[NDArray, ...] = ()

    def take(self, keep: NDArray) -> _State:
        pairs = tuple(_Pair(p.step[keep], p.change[keep], p.scale[keep]) for p in self.pairs)
        past = tuple(losses[keep] for losses in self.past_losses)
        arrays = {f.name: getattr(self, f.name) for f in fields(self)[:6]}
        kept = {name: value[keep] for name, value in arrays.items()}
        return replace(self, **kept, curvature=self.curvature.take(keep), pairs=pairs, past_losses=past)


def minimise(
    space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    """Weights ``(J, V)``, iterations ``(J,)`` and whether each converged ``(J,)``, from weights ``(J, V)`` to start at.

    `tol` is in units of the mean loss: iteration ends for a problem when the decrease that the quadratic model promises,
    and the mean decrease of the last steps, are both below it.
    """
    result = start.copy()
    iterations = np.zeros(len(start), np.intp)
    converged = np.zeros(len(start), bool)
    state = _begin(space, problem, start)
    for iteration in range(max_iter + 1):
        directions, slopes = _directions(space, state)
        done = _finished(state, slopes, tol)
        leave = done | (iteration == max_iter)
        gone = state.index[leave]
        result[gone], iterations[gone], converged[gone] = state.vectors[leave], iteration, done[leave]
        if leave.all():
            break
        if leave.any():
            state, directions, slopes = state.take(~leave), directions[~leave], slopes[~leave]
        state = _step(space, problem, state, directions, slopes)
    return result, iterations, converged


def _begin(space: Space, problem: Problem, start: NDArray) -> _State:
    logits = space.logits(start)
    losses, probabilities = cross_entropy(logits, problem)
    losses += problem.penalties / 2 * _weight_inner(space, start, start)
    curvature, gradients = derivatives(space, problem, probabilities, start, problem.penalties)
    return _State(np.arange(len(start)), problem.penalties, start, logits, losses, gradients, curvature)


def _directions(space: Space, state: _State) -> tuple[NDArray, NDArray]:
    """Where to go ``(J, V)`` and the slopes there ``(J,)``: the two-loop recursion of L-BFGS."""
    v, shares = state.gradients.copy(), []
    for pair in reversed(state.pairs):
        shares.append(pair.scale * space.inner(pair.step, v))
        v -= shares[-1][:, None] * pair.change
    v = space.precondition(v, state.curvature, state.penalties)
    for pair, share in zip(state.pairs, reversed(shares), strict=True):
        v += (share - pair.scale * space.inner(pair.change, v))[:, None] * pair.step
    slopes = space.inner(state.gradients, v).astype(np.float64)
    return -v, -slopes


def _finished(state: _State, slopes: NDArray, tol: float) -> NDArray:
    promised = np.abs(slopes) / 2
    if len(state.past_losses) < LOOK_BACK:
        return promised <= tol / 10
    gained = state.past_losses[-LOOK_BACK] - state.losses
    # rounding ends a descent too: the last steps gained no more than logits of this precision can resolve
    stuck = gained <= np.finfo(state.vectors.dtype).eps / 16 * np.abs(state.losses)
    return ((promised <= tol) & (gained <= LOOK_BACK * tol)) | stuck


def _step(space: Space, problem: Problem, state: _State, directions: NDArray, slopes: NDArray) -> _State:
    along = space.logits(directions)
    lengths, losses, logits, probabilities = _line_search(space, problem, state, directions, along, slopes)
    del along
    steps = lengths[:, None].astype(directions.dtype) * directions
    vectors = state.vectors + steps
    curvature, gradients = derivatives(space, problem, probabilities, vectors, state.penalties)
    changes = gradients - state.gradients
    products = space.inner(steps, changes)
    bent = products > 0  # else the pair says nothing about curvature: leave it out
    scales = np.where(bent, 1 / np.where(bent, products, 1), 0).astype(directions.dtype)
    pairs = (*state.pairs, _Pair(steps, changes, scales))[-MEMORY:]
    past = (*state.past_losses, state.losses)[-LOOK_BACK:]
    return _State(state.index, state.penalties, vectors, logits, losses, gradients, curvature, pairs, past)


def _line_search(
    space: Space, problem: Problem, state: _State, directions: NDArray, along: NDArray, slopes: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Step lengths that meet the weak Wolfe conditions, by bisection; nearly every first trial, length 1, does."""
    penalties, dtype = state.penalties, along.dtype
    linear = _weight_inner(space, state.vectors, directions)
    square = _weight_inner(space, directions, directions)
    wanted = np.einsum("jn,n->j", along[:, problem.codes, np.arange(along.shape[2])], problem.weights, dtype=np.float64)
    lengths, low, high = np.ones(len(slopes)), np.zeros(len(slopes)), np.full(len(slopes), np.inf)
    losses = np.empty(len(slopes))
    penalty = penalties / 2 * _weight_inner(space, state.vectors, state.vectors)
    logits, probabilities = along, along  # until the first trial, which is all of them, without a copy
    todo: Any = slice(None)
    for _ in range(20):
        t = lengths[todo]
        trial = state.logits[todo] + t[:, None, None].astype(dtype) * along[todo]
        loss, share = cross_entropy(trial, problem)
        loss += penalties[todo] * (t * linear[todo] + t**2 / 2 * square[todo]) + penalty[todo]
        slope = _slope(share, along[todo], problem) - wanted[todo] + penalties[todo] * (linear + lengths * square)[todo]
        losses[todo] = loss
        if logits is along:
            logits, probabilities = trial, share
        else:
            logits[todo], probabilities[todo] = trial, share
        rounding = 1e-9 * np.abs(state.losses[todo])
        too_far = loss > state.losses[todo] + 1e-4 * t * slopes[todo] + rounding
        too_near = ~too_far & (slope < 0.9 * slopes[todo])
        tried = np.arange(len(slopes))[todo]
        high[tried[too_far]], low[tried[too_near]] = t[too_far], t[too_near]
        todo = tried[too_far | too_near]
        if len(todo) == 0:
            break
        lengths[todo] = np.where(np.isinf(high[todo]), 2 * low[todo], (low[todo] + high[todo]) / 2)
    return lengths, losses, logits, probabilities


def cross_entropy(logits: NDArray, problem: Problem) -> tuple[NDArray, NDArray]:
    """Weighted mean cross-entropy ``(J,)``, summed in float64, and probabilities ``(J, K, N)``."""
    largest = logits.max(axis=1, keepdims=True)
    probabilities = logits - largest
    own = probabilities[:, problem.codes, np.arange(logits.shape[2])]
    np.exp(probabilities, out=probabilities)
    totals = probabilities.sum(axis=1, keepdims=True)
    probabilities /= totals
    each = np.log(totals[:, 0]) - own
    return each.astype(np.float64) @ problem.weights, probabilities


def derivatives(
    space: Space,
    problem: Problem,
    probabilities: NDArray,
    vectors: NDArray,
    penalties: NDArray,
) -> tuple[Curvature, NDArray]:
    """Curvature and gradients ``(J, V)`` where probabilities are ``(J, K, N)``."""
    weighted = probabilities * problem.weights.astype(probabilities.dtype)
    curvature = mean_curvature(weighted, probabilities)
    return curvature, gradients_of(space, problem, weighted, vectors, penalties)


def gradients_of(
    space: Space, problem: Problem, weighted: NDArray, vectors: NDArray, penalties: NDArray, *, exact: bool = False
) -> NDArray:
    """Gradients ``(J, V)`` from probabilities times weights ``(J, K, N)``, which are written over; `exact` ones in float64."""
    weighted[:, problem.codes, np.arange(len(problem.codes))] -= problem.weights.astype(weighted.dtype)
    gradients = space.exact_gradient(weighted) if exact else space.gradient(weighted)
    free = space.num_classes
    gradients[:, :-free] += penalties[:, None].astype(vectors.dtype) * vectors[:, :-free]
    return gradients


def mean_curvature(weighted: NDArray, probabilities: NDArray) -> Curvature:
    """Mean over clips of ``diag(p) - p pᵀ``, by eigenvalue; tiny ones are lifted so that their inverse stays sane."""
    mean = -np.matmul(weighted, probabilities.transpose(0, 2, 1)).astype(np.float64)
    diagonal = np.arange(mean.shape[1])
    mean[:, diagonal, diagonal] += weighted.sum(axis=2, dtype=np.float64)
    values, vectors = np.linalg.eigh(mean)
    return Curvature(np.maximum(values, 1e-3 * values[:, -1:] + 1e-12), vectors.astype(probabilities.dtype))


def _slope(probabilities: NDArray, along: NDArray, problem: Problem) -> NDArray:
    mean = np.einsum("jkn,jkn->jn", probabilities, along)
    return mean.astype(np.float64) @ problem.weights


def _weight_inner(space: Space, u: NDArray, v: NDArray) -> NDArray:
    """Inner products ``(J,)`` of weights without intercepts, which carry no penalty."""
    free = space.num_classes
    return (space.inner(u, v) - dots(u[:, -free:], v[:, -free:])).astype(np.float64)
