"""One small logistic regression goes in; Newton's method with its whole second derivative brings it to the optimum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.descent import Problem, cross_entropy
from vjepa_fer.probes.logistic.spaces import Space


def finish_densely(
    space: Space, problem: Problem, start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, int, bool]:
    """A vector ``(1, V)`` within `tol` of the optimum, Newton steps, and whether it is, from one to start at.

    Nothing is estimated here: half of ``gᵀ H⁻¹ g`` is how far the model's minimum lies below, and the last step is taken when
    that is a small part of `tol`.
    """
    clips, parts = space.coordinates()
    free, penalty = space.num_classes, problem.penalties[0]
    weights, intercepts = _in_coordinates(space.weights(start)[0], space, clips), start[0, -free:].copy()
    loss, shares = _look(clips, weights, intercepts, problem)
    step, close = 0, False
    while not close and step < max_iter:
        step += 1
        residuals = shares * problem.weights
        residuals[problem.codes, np.arange(len(problem.codes))] -= problem.weights
        gradient = np.concatenate([residuals @ clips + penalty * weights, residuals.sum(axis=1)[:, None]], axis=1)
        second = _second_derivative(clips, shares, problem)
        move = -np.linalg.solve(second, gradient.ravel()).reshape(gradient.shape)
        promised = -(move * gradient).sum() / 2
        length, before = 1.0, loss
        while True:
            trial = weights + length * move[:, :-1], intercepts + length * move[:, -1]
            loss, shares = _look(clips, *trial, problem)
            if before - loss >= 1e-4 * length * promised or length < 1e-9:
                break
            length /= 2
        (weights, intercepts), close = trial, bool(promised <= tol / 10)
        if length < 1e-9:
            break
    flat = weights @ parts
    vector = np.zeros((1, start.shape[1]))
    vector[0, : flat.size], vector[0, -free:] = flat.ravel(), intercepts
    return vector, step, close


def _in_coordinates(weights: NDArray, space: Space, clips: NDArray) -> NDArray:
    """Weights ``(K, D)`` as weights ``(K, R)`` with the same logits."""
    if clips.shape[1] == weights.shape[1]:
        return weights
    logits = space.exact_logits(weights[None], np.zeros((1, len(weights))))[0]
    return logits @ clips / np.square(clips).sum(axis=0)


def _look(clips: NDArray, weights: NDArray, intercepts: NDArray, problem: Problem) -> tuple[float, NDArray]:
    """The objective, and probabilities ``(K, N)``."""
    losses, shares = cross_entropy((weights @ clips.T + intercepts[:, None])[None], problem)
    return float(losses[0] + problem.penalties[0] / 2 * np.square(weights).sum()), shares[0]


def _second_derivative(clips: NDArray, shares: NDArray, problem: Problem) -> NDArray:
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
    penalties = np.tile(np.r_[np.full(size - 1, problem.penalties[0]), 0.0], count)
    flat[np.diag_indices(len(flat))] += penalties
    return flat
