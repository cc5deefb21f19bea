"""Kinds of small, odd problem by name: features that people do hand in, and on which a fit may not break.

Rows of zeros are clips without a face, copies with other labels are one recording filed twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ((6, 3), (12, 40), (24, 12), (40, 35), (70, 35), (60, 200))
CLASSES = (2, 3, 6)


@dataclass(frozen=True, eq=False)
class Drawn:
    """A problem: features ``(N, D)`` float32 or float64, classes ``(N,)`` of int, and what it is."""

    X: NDArray
    codes: NDArray[np.intp]
    kind: str


def draw(kind: str, num_clips: int, dim: int, num_classes: int, seed: int) -> Drawn:
    """Odd seeds are float32, even ones float64; the same call gives the same problem."""
    rng = np.random.default_rng([seed, num_clips, dim, num_classes])
    if kind == "one clip a class":
        num_clips = num_classes
    codes = np.arange(num_clips) % num_classes
    X = rng.normal(size=(num_classes, dim))[codes] + rng.normal(size=(num_clips, dim))
    X, codes = KINDS[kind](X, codes, rng)
    return Drawn(X.astype(np.float32 if seed % 2 else np.float64), codes, kind)


def draw_all(seeds: range, kinds: tuple[str, ...] = ()) -> Iterator[Drawn]:
    for kind in kinds or tuple(KINDS):
        for num_clips, dim in SHAPES:
            for num_classes in CLASSES:
                for seed in seeds:
                    yield draw(kind, num_clips, dim, num_classes, seed)


_Made = tuple[NDArray, NDArray]


def _as_is(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return X, codes


def _zero_rows(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.where(rng.random(len(X))[:, None] < 0.35, 0, X), codes


def _all_zero(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return 0 * X, codes


def _copies(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.vstack([X, X, X[:2]]), np.r_[codes, codes, codes[:2]]


def _copies_with_other_labels(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.vstack([X, X]), np.r_[codes, rng.permutation(codes)]


def _zeros_and_copies(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return _zero_rows(*_copies_with_other_labels(X, codes, rng), rng)


def _constant_columns(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.where(np.arange(X.shape[1]) % 2, X, 7.0), codes


def _double_columns(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.column_stack([X, X, -X[:, :1]]), codes


def _sizes(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return X * np.logspace(-3, 3, X.shape[1]), codes


def _tiny(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return 1e-6 * X, codes


def _far(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return X + 1e4, codes


def _zeros_and_ones(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return (X > 0.8).astype(float), codes


def _outliers(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.vstack([X, 300 * X[:2]]), np.r_[codes, codes[:2]]


def _separable(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return X + 20 * rng.normal(size=(codes.max() + 1, X.shape[1]))[codes], codes


def _one_direction(X: NDArray, codes: NDArray, rng: np.random.Generator) -> _Made:
    return np.outer(X[:, 0], rng.normal(size=X.shape[1])), codes


KINDS: dict[str, Callable[[NDArray, NDArray, np.random.Generator], _Made]] = {
    "clean": _as_is,
    "rows of zeros": _zero_rows,
    "all zeros": _all_zero,
    "copies": _copies,
    "copies with other labels": _copies_with_other_labels,
    "zeros and copies": _zeros_and_copies,
    "constant columns": _constant_columns,
    "double columns": _double_columns,
    "one clip a class": _as_is,
    "sizes from 1e-3 to 1e3": _sizes,
    "tiny": _tiny,
    "far from zero": _far,
    "zeros and ones": _zeros_and_ones,
    "outliers": _outliers,
    "separable": _separable,
    "one direction": _one_direction,
}
