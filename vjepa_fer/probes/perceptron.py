"""Features and classes come in; many multi-layer perceptrons, trained side by side with Adam, come out.

Networks of one shape see the same batches, so each step is a few stacked products. A network that has stopped leaves the
stack. Initial weights, penalty, Adam and the stopping rule are those of scikit-learn's ``MLPClassifier``.

Shapes: M networks, B clips of a batch; layer l has weights ``(M, in, out)`` and biases ``(M, 1, out)``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Layers = list[NDArray]
"""Weights and biases in turn: ``[W_1, b_1, W_2, b_2, …]``."""


@dataclass(frozen=True)
class Network:
    """What one of the networks trained side by side has for itself."""

    alpha: float
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Training:
    """What networks trained side by side share. `held_out` are the clips that early stopping looks at; often none."""

    hidden: tuple[int, ...]
    batch_size: int
    max_iter: int
    tol: float
    patience: int
    train: NDArray[np.intp]
    held_out: NDArray[np.intp]


def train_networks(
    X: NDArray, codes: NDArray[np.intp], num_classes: int, networks: Sequence[Network], training: Training
) -> list[tuple[Layers, int]]:
    """Layers (without the leading M) and epochs of each network, from features ``(N, D)``.

    A network stops when for `patience` epochs its training loss, or with clips held out its accuracy on them, has not got
    better by `tol`; with clips held out it then goes back to its best epoch.
    """
    sizes = (X.shape[1], *training.hidden, num_classes)
    stack = _Stack.start(sizes, networks, X.dtype)
    found: list[tuple[Layers, int]] = [([], 0)] * len(networks)
    rng = np.random.default_rng(0)  # batches are the same for all networks, whatever their seeds
    for epoch in range(1, training.max_iter + 1):
        losses = np.zeros(len(stack.index))
        for rows in _batches(training, rng):
            losses += len(rows) * stack.step(X[rows], codes[rows])
        if len(training.held_out):
            hits = stack.logits(X[training.held_out]).argmax(axis=2) == codes[training.held_out]
            stack.judge(-hits.mean(axis=1), training.tol, keep_best=True)
        else:
            stack.judge(losses / len(training.train), training.tol, keep_best=False)
        stop = (stack.waits > training.patience) | (epoch == training.max_iter)
        for position in np.flatnonzero(stop).tolist():
            found[stack.index[position]] = (stack.layers_of(position, best=bool(len(training.held_out))), epoch)
        if stop.all():
            break
        if stop.any():
            stack.drop(stop)
    return found


def forward(layers: Layers, X: NDArray) -> NDArray:
    """Logits of features ``(…, B, D)`` through weights and biases in turn."""
    return _activations(layers, X)[-1]


class _Stack:
    """The networks still in training, with Adam's moments and each one's best epoch so far."""

    def __init__(self, layers: Layers, index: NDArray, alphas: NDArray, rates: NDArray) -> None:
        self.layers, self.index, self.alphas, self.rates = layers, index, alphas, rates
        self.first = [np.zeros_like(layer) for layer in layers]
        self.second = [np.zeros_like(layer) for layer in layers]
        self.best = np.full(len(index), np.inf)
        self.waits = np.zeros(len(index), np.intp)
        self.best_layers: Layers = []
        self.steps = 0

    @classmethod
    def start(cls, sizes: Sequence[int], networks: Sequence[Network], dtype: np.dtype) -> _Stack:
        each = [_initial_layers(sizes, network.seed, dtype) for network in networks]
        layers = [np.stack(parts) for parts in zip(*each, strict=True)]
        column = (len(networks), 1, 1)
        alphas = np.array([network.alpha for network in networks], dtype).reshape(column)
        rates = np.array([network.learning_rate for network in networks], np.float64).reshape(column)
        return cls(layers, np.arange(len(networks)), alphas, rates)

    def logits(self, X: NDArray) -> NDArray:
        return forward(self.layers, X)

    def step(self, X: NDArray, codes: NDArray[np.intp]) -> NDArray[np.float64]:
        """One step of Adam on a batch ``(B, D)``; returns the penalised losses ``(M,)`` before it."""
        activations = _activations(self.layers, X)
        losses, delta = _loss(activations[-1], codes)
        for weights in self.layers[::2]:
            losses += self.alphas[:, 0, 0] * np.einsum("mio,mio->m", weights, weights) / (2 * len(X))
        self.steps += 1
        scale = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        rates = (self.rates * scale).astype(X.dtype)
        for number in reversed(range(0, len(self.layers), 2)):
            below, weights = activations[number // 2], self.layers[number]
            gradient = np.matmul(below.swapaxes(-1, -2), delta)
            gradient += self.alphas / len(X) * weights
            bias_gradient = delta.sum(axis=1, keepdims=True)
            if number:
                delta = np.matmul(delta, weights.transpose(0, 2, 1))
                delta *= below > 0
            self._move(number, gradient, rates)
            self._move(number + 1, bias_gradient, rates)
        return losses

    def _move(self, number: int, gradient: NDArray, rates: NDArray) -> None:
        first, second = self.first[number], self.second[number]
        first *= 0.9
        first += 0.1 * gradient
        second *= 0.999
        np.square(gradient, out=gradient)
        gradient *= 0.001
        second += gradient
        np.sqrt(second, out=gradient)
        gradient += 1e-8
        np.divide(first, gradient, out=gradient)
        gradient *= rates
        self.layers[number] -= gradient

    def judge(self, scores: NDArray, tol: float, *, keep_best: bool) -> None:
        """Count epochs without improvement; `scores` ``(M,)`` are better when lower."""
        self.waits = np.where(scores > self.best - tol, self.waits + 1, 0)
        better = scores < self.best
        self.best = np.minimum(self.best, scores)
        if keep_best:
            if not self.best_layers:
                self.best_layers = [layer.copy() for layer in self.layers]
            for kept, layer in zip(self.best_layers, self.layers, strict=True):
                kept[better] = layer[better]

    def layers_of(self, position: int, *, best: bool) -> Layers:
        return [layer[position].copy() for layer in (self.best_layers if best else self.layers)]

    def drop(self, gone: NDArray) -> None:
        keep = ~gone
        self.index, self.alphas, self.rates = self.index[keep], self.alphas[keep], self.rates[keep]
        self.best, self.waits = self.best[keep], self.waits[keep]
        for name in ("layers", "first", "second", "best_layers"):
            setattr(self, name, [layer[keep] for layer in getattr(self, name)])


def _initial_layers(sizes: Sequence[int], seed: int, dtype: np.dtype) -> Layers:
    rng, layers = np.random.default_rng(seed), []
    for width, after in itertools.pairwise(sizes):
        bound = np.sqrt(6 / (width + after))
        layers += [rng.uniform(-bound, bound, (width, after)), rng.uniform(-bound, bound, (1, after))]
    return [layer.astype(dtype) for layer in layers]


def _activations(layers: Layers, X: NDArray) -> list[NDArray]:
    """The input, every hidden layer after its rectifier, and the logits."""
    activations = [X]
    for number in range(0, len(layers), 2):
        after = np.matmul(activations[-1], layers[number])
        after += layers[number + 1]
        if number + 2 < len(layers):
            np.maximum(after, 0, out=after)
        activations.append(after)
    return activations


def _loss(logits: NDArray, codes: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray]:
    """Mean cross-entropies ``(M,)`` and their derivatives by logits ``(M, B, K)``."""
    rows = np.arange(len(codes))
    shifted = logits - logits.max(axis=2, keepdims=True)
    delta = np.exp(shifted)
    totals = delta.sum(axis=2, keepdims=True)
    losses = (np.log(totals[..., 0]) - shifted[:, rows, codes]).mean(axis=1, dtype=np.float64)
    delta /= totals
    delta[:, rows, codes] -= 1
    delta /= len(codes)
    return losses, delta


def _batches(training: Training, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    order = rng.permutation(training.train)
    for start in range(0, len(order), training.batch_size):
        yield order[start : start + training.batch_size]
