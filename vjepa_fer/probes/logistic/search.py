"""Gradients of a small logistic regression go in; Newton's steps come out, from one second derivative that serves for several.

A step need not be exact, as its end is proven afterwards: it is searched in single precision for as long as that brings it on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vjepa_fer.probes.logistic.descent import Problem, cross_entropy

RIDGES = (0.0, 1e-14, 1e-11, 1e-8, 1e-5, 1e-2)
"""Of the scaled second derivative: the next where rounding has left it without an inverse."""

MANY = 15
"""Conjugate gradient steps with an inverse second derivative after which a new one is worth its price."""

ROUGH = 1e-4
"""Part of the residual, in squares, that a step's conjugate gradients may leave."""

ROWS = 256
"""Clips whose part of a second derivative is taken at a time."""

BLOCK = 24
"""Rows of the smallest half of a triangular matrix that is inverted by halves."""


class Search:
    """Where to go from places on the same clips ``(N, R)``, in one precision.

    The inverse second derivative of one place, held as its root, and `fresh` where that is the place asked about last, is used for the
    next ones too, for as long as conjugate gradients from it take few steps.
    """

    def __init__(self, clips: NDArray, problem: Problem, num_classes: int, dtype: DTypeLike = np.float64) -> None:
        self.clips, self.problem, self.dtype = clips, problem, np.dtype(dtype)
        self.wide = np.concatenate([clips, np.ones((len(clips), 1))], axis=1).astype(dtype)
        self.across, self.weights = np.ascontiguousarray(self.wide.T), problem.weights.astype(dtype)
        self.contrasts = np.linalg.qr(np.eye(num_classes)[:, 1:] - 1 / num_classes)[0].astype(dtype)
        self.root: NDArray | None = None
        self.fresh, self.turns = False, 0

    @property
    def single(self) -> bool:
        return self.dtype == np.float32

    def as_double(self) -> Search:
        return Search(self.clips, self.problem, len(self.contrasts))

    def forget(self) -> None:
        """Take a new second derivative at the next place."""
        self.root = None

    def loss(self, weights: NDArray, intercepts: NDArray, penalty: float) -> float:
        """The objective of weights ``(K, R)`` and intercepts ``(K,)``, as well as this precision tells it."""
        place = np.concatenate([weights, intercepts[:, None]], axis=1).astype(self.dtype)
        losses, _ = cross_entropy((place @ self.across)[None], self.problem)
        return float(losses[0] + penalty / 2 * np.square(weights).sum())

    def step(self, shares: NDArray, penalty: float, gradient: NDArray) -> NDArray:
        """Nearly Newton's step ``(K, R + 1)``, from probabilities ``(K, N)`` and the gradient ``(K, R + 1)``, the intercepts' last."""
        model = _Model(self, shares.astype(self.dtype), penalty)
        self.fresh = self.root is None or self.turns > MANY
        if self.root is None or self.fresh:
            self.root = _inverse_root(model.second_derivative())
        size = float(np.abs(gradient).max())  # the squares of small numbers are none in single precision
        found, self.turns = model.solve((-gradient / size).astype(self.dtype), self.root)
        return size * found.astype(np.float64)


class _Model:
    """The quadratic model of one place."""

    def __init__(self, search: Search, shares: NDArray, penalty: float) -> None:
        self.wide, self.across, self.weights, self.shares = search.wide, search.across, search.weights, shares
        self.contrasts = search.contrasts
        self.slopes = np.full(self.wide.shape[1], penalty, search.dtype)
        self.slopes[-1] = 0  # intercepts are free

    def solve(self, left: NDArray, root: NDArray) -> tuple[NDArray, int]:
        """Where the gradient is `left` more, by conjugate gradients from an inverse nearly that of this place, and their number."""
        found = np.zeros_like(left)
        conditioned = self.times_inverse(root, left)
        size = begun = np.vdot(left, conditioned)
        search, steps = conditioned, 0
        while steps < 2 * MANY:
            steps += 1
            curved = self.bent(search)
            bend = np.vdot(search, curved)
            if not (bend > 0 and size > 0):
                break
            found, left = found + size / bend * search, left - size / bend * curved
            conditioned = self.times_inverse(root, left)
            last, size = size, np.vdot(left, conditioned)
            if size <= ROUGH * begun:
                break
            search = conditioned + size / last * search
        return (found if found.any() else conditioned), steps

    def bent(self, move: NDArray) -> NDArray:
        """The second derivative times ``(K, R + 1)``."""
        along = move @ self.across
        along *= self.shares
        along -= self.shares * along.sum(axis=0)
        along *= self.weights
        return along @ self.wide + self.slopes * move

    def second_derivative(self) -> NDArray:
        """Along the classes' contrasts, ``((K-1)·(R+1), (K-1)·(R+1))``."""
        size, count, contrasts = len(self.slopes), len(self.shares), self.contrasts
        own, second = np.zeros((count, size, size), self.wide.dtype), np.diag(np.tile(self.slopes, count - 1))
        for first in range(0, len(self.wide), ROWS):
            rows = slice(first, first + ROWS)
            wide, weighted = self.wide[rows], self.shares[:, rows] * self.weights[rows]
            along = contrasts.T @ (self.shares[:, rows] * np.sqrt(self.weights[rows]))
            pairs = (np.ascontiguousarray(along.T)[:, :, None] * wide[:, None]).reshape(len(wide), -1)
            second -= pairs.T @ pairs
            own += np.matmul(weighted[:, None] * wide.T, wide)
        both = (contrasts[:, :, None] * contrasts[:, None]).reshape(count, -1)
        turned = (both.T @ own.reshape(count, -1)).reshape(count - 1, count - 1, size, size)
        return second + turned.transpose(0, 2, 1, 3).reshape(second.shape)

    def times_inverse(self, root: NDArray, move: NDArray) -> NDArray:
        along = ((root @ (self.contrasts.T @ move).ravel()) @ root).reshape(-1, move.shape[1])
        return self.contrasts @ along


def _inverse_root(second: NDArray) -> NDArray:
    """``T`` with ``Tᵀ T`` the inverse, with as small a ridge as lets rounding have one."""
    limits = np.finfo(second.dtype)
    sizes = np.sqrt(np.maximum(np.diag(second), limits.tiny))
    scaled = second / sizes / sizes[:, None]
    for ridge in RIDGES:
        if 0 < ridge < limits.eps / 100:
            continue
        try:
            root = _inverse_of_lower(np.linalg.cholesky(scaled + ridge * np.eye(len(scaled), dtype=second.dtype)))
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(root).all():
            return root / sizes
    return np.diag(1 / sizes)


def _inverse_of_lower(lower: NDArray) -> NDArray:
    """Of a triangular matrix, by halves: nearly all of it is matrix products."""
    half = len(lower) // 2
    if half < BLOCK:
        return np.linalg.inv(lower)
    first, last = _inverse_of_lower(lower[:half, :half]), _inverse_of_lower(lower[half:, half:])
    found = np.zeros_like(lower)
    found[:half, :half], found[half:, half:] = first, last
    found[half:, :half] = -last @ (lower[half:, :half] @ first)
    return found
