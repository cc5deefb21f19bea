"""Features and classes come in; many multi-layer perceptrons, trained side by side with Adam, come out.

Networks of one shape see the same batches, so that a step of several is a few stacked products; as many are stacked as the processor's
cache holds. A network that has stopped leaves its stack. Initial weights, penalty, Adam and the stopping rule are those of scikit-learn's
``MLPClassifier``.

Shapes: M networks of P numbers each, B clips of a batch; layer l has weights ``(M, in, out)`` and biases ``(M, 1, out)``, which are
views of all numbers ``(M, P)``, so that Adam moves them at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Layers = list[NDArray]
"""Weights and biases in turn: ``[W_1, b_1, W_2, b_2, …]``."""

MOST_STACKED = 2**18
"""Numbers of the networks of a stack; a larger network is a stack of its own."""


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
    together = max(1, MOST_STACKED // sum((width + 1) * after for width, after in itertools.pairwise(sizes)))
    parts = [networks[first : first + together] for first in range(0, len(networks), together)]
    targets = np.eye(num_classes, dtype=X.dtype)[codes]
    return [found for part in parts for found in _train_stack(_Stack.start(sizes, part, X.dtype), X, targets, training)]


def _train_stack(stack: _Stack, X: NDArray, targets: NDArray, training: Training) -> list[tuple[Layers, int]]:
    """The same for the networks of a stack; classes are rows of zeros and a one, ``(N, K)``."""
    found: list[tuple[Layers, int]] = [([], 0)] * len(stack.index)
    held_out, stops_early = X[training.held_out], bool(len(training.held_out))
    classes = targets[training.held_out].argmax(axis=1)
    rng = np.random.default_rng(0)  # batches are the same for all networks, whatever their seeds
    for epoch in range(1, training.max_iter + 1):
        losses = np.zeros(len(stack.index))
        for rows in _batches(training, rng):
            batch, aims = _activations(stack.layers, X.take(rows, axis=0)), targets.take(rows, axis=0)
            if not stops_early:
                losses += len(rows) * stack.losses(batch[-1], aims)
            stack.step(batch, aims)
        if stops_early:
            hits = forward(stack.layers, held_out).argmax(axis=2) == classes
            stack.judge(-hits.mean(axis=1), training.tol, keep_best=True)
        else:
            stack.judge(losses / len(training.train), training.tol, keep_best=False)
        stop = (stack.waits > training.patience) | (epoch == training.max_iter)
        for position in np.flatnonzero(stop).tolist():
            found[stack.index[position]] = (stack.layers_of(position, best=stops_early), epoch)
        if stop.all():
            break
        if stop.any():
            stack.drop(stop)
    return found


def forward(layers: Layers, X: NDArray) -> NDArray:
    """Logits of features ``(…, B, D)`` through weights and biases in turn."""
    return _activations(layers, X)[-1]


class _Stack:
    """The networks still in training, with Adam's moments and each one's best epoch so far.

    Moments lack their factors 0.1 and 0.001, which the rates have: two passes less over all numbers in every step.
    """

    def __init__(self, sizes: Sequence[int], numbers: NDArray, alphas: NDArray, rates: NDArray) -> None:
        self.sizes, self.index, self.alphas, self.rates = sizes, np.arange(len(numbers)), alphas, rates
        self.numbers, self.first, self.second = numbers, np.zeros_like(numbers), np.zeros_like(numbers)
        self.best_numbers = numbers.copy()
        self.best = np.full(len(numbers), np.inf)
        self.waits = np.zeros(len(numbers), np.intp)
        self.steps = 0
        self._lay_out()

    @classmethod
    def start(cls, sizes: Sequence[int], networks: Sequence[Network], dtype: np.dtype) -> _Stack:
        each = [_initial_layers(sizes, network.seed, dtype) for network in networks]
        numbers = np.stack([np.concatenate([part.ravel() for part in parts]) for parts in each])
        alphas = np.array([network.alpha for network in networks], dtype)[:, None]
        rates = np.array([network.learning_rate for network in networks], np.float64)[:, None]
        return cls(sizes, numbers, alphas, rates)

    def _lay_out(self) -> None:
        """Views of all numbers, of their gradient and of room to work in, layer by layer."""
        self.gradient, self.room = np.empty_like(self.numbers), np.empty_like(self.numbers)
        self.layers, self.gradients, self.rooms = (
            _views(numbers, self.sizes) for numbers in (self.numbers, self.gradient, self.room)
        )

    def losses(self, logits: NDArray, targets: NDArray) -> NDArray[np.float64]:
        """Penalised losses ``(M,)`` of a batch."""
        losses = _losses(logits, targets)
        for weights in self.layers[::2]:
            losses += self.alphas[:, 0] * np.einsum("mio,mio->m", weights, weights) / (2 * len(targets))
        return losses

    def step(self, activations: Sequence[NDArray], targets: NDArray) -> None:
        """One step of Adam, from what the layers make of a batch and its classes ``(B, K)``."""
        delta = _derivatives(activations[-1], targets)
        ones, shrink = np.ones((1, len(targets)), delta.dtype), self.alphas[:, :, None] / len(targets)
        for number in reversed(range(0, len(self.layers), 2)):
            below, weights, gradient = activations[number // 2], self.layers[number], self.gradients[number]
            np.matmul(below.swapaxes(-1, -2), delta, out=gradient)
            np.matmul(ones, delta, out=self.gradients[number + 1])
            gradient += np.multiply(weights, shrink, out=self.rooms[number])
            if number:
                delta = np.matmul(delta, weights.transpose(0, 2, 1))
                delta *= below > 0
        self._move()

    def _move(self) -> None:
        self.steps += 1
        scale = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
        rates = (self.rates * (scale * 0.1 / np.sqrt(0.001))).astype(self.numbers.dtype)
        self.first *= 0.9
        self.first += self.gradient
        self.second *= 0.999
        self.second += np.square(self.gradient, out=self.room)
        np.sqrt(self.second, out=self.room)
        self.room += 1e-8 / 0.001**0.5
        np.divide(self.first, self.room, out=self.room)
        self.room *= rates
        self.numbers -= self.room

    def judge(self, scores: NDArray, tol: float, *, keep_best: bool) -> None:
        """Count epochs without improvement; `scores` ``(M,)`` are better when lower."""
        self.waits = np.where(scores > self.best - tol, self.waits + 1, 0)
        better = scores < self.best
        self.best = np.minimum(self.best, scores)
        if keep_best:
            self.best_numbers[better] = self.numbers[better]

    def layers_of(self, position: int, *, best: bool) -> Layers:
        numbers = self.best_numbers if best else self.numbers
        return [layer[0].copy() for layer in _views(numbers[position : position + 1], self.sizes)]

    def drop(self, gone: NDArray) -> None:
        for name in ("index", "alphas", "rates", "numbers", "first", "second", "best_numbers", "best", "waits"):
            setattr(self, name, getattr(self, name)[~gone])
        self._lay_out()


def _views(numbers: NDArray, sizes: Sequence[int]) -> Layers:
    """The layers that lie in ``(M, P)``, not copied."""
    shapes = [shape for width, after in itertools.pairwise(sizes) for shape in ((width, after), (1, after))]
    ends = itertools.accumulate(rows * columns for rows, columns in shapes)
    return [
        numbers[:, end - rows * columns : end].reshape(-1, rows, columns)
        for (rows, columns), end in zip(shapes, ends, strict=True)
    ]


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


def _losses(logits: NDArray, targets: NDArray) -> NDArray[np.float64]:
    """Mean cross-entropies ``(M,)`` of logits ``(M, B, K)``."""
    shifted = logits - logits.max(axis=2, keepdims=True)
    totals = np.log(np.exp(shifted).sum(axis=2))
    return (totals - (shifted * targets).sum(axis=2)).mean(axis=1, dtype=np.float64)


def _derivatives(logits: NDArray, targets: NDArray) -> NDArray:
    """Of the mean cross-entropies by logits ``(M, B, K)``; classes are few, so that clips lie side by side meanwhile."""
    delta = logits.transpose(0, 2, 1).copy()
    delta -= delta.max(axis=1, keepdims=True)
    np.exp(delta, out=delta)
    delta /= delta.sum(axis=1, keepdims=True)
    delta -= targets.T
    delta /= len(targets)
    return delta.transpose(0, 2, 1)


def _batches(training: Training, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    order = rng.permutation(training.train)
    for start in range(0, len(order), training.batch_size):
        yield order[start : start + training.batch_size]
