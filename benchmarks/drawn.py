"""Drawn features of the shapes of RAVDESS and CREMA-D, and folds of them, for the benchmarks of probes.

Class means, subject offsets, subject × class interaction, a falling spectrum, eight or six classes. They are no embeddings: ratios of
time carry over, accuracies do not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler

from vjepa_fer.folds import Split

BLOCK = 1280
"""Columns over which what there is in some of them is spread at once."""


class Shape(NamedTuple):
    num_clips: int
    dim: int
    num_subjects: int
    num_classes: int


SHAPES = {"ravdess": Shape(2452, 1280, 24, 8), "crema-d": Shape(7442, 1280, 91, 6), "grid": Shape(2452, 10240, 24, 8)}
SMALL = {"ravdess": Shape(384, 64, 24, 8), "crema-d": Shape(546, 64, 91, 6), "grid": Shape(384, 2560, 24, 8)}
"""For seeing that a benchmark runs."""


class Fold(NamedTuple):
    """Standardised features of a fold's training and test clips, their classes, and the training subjects."""

    train: np.ndarray
    y: np.ndarray
    test: np.ndarray
    y_test: np.ndarray
    subjects: np.ndarray


def draw(shape: Shape, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D) float32, classes and subjects (N,)."""
    num_clips, dim, num_subjects, num_classes = shape
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1, dtype=np.float32) ** -0.55

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal((*size, dim), dtype=np.float32) * spectrum

    subjects, y = np.arange(num_clips) % num_subjects, np.arange(num_clips) // num_subjects % num_classes
    X = normal(num_clips) + normal(num_subjects)[subjects]
    X += 0.7 * normal(num_subjects, num_classes)[subjects, y] + 0.2 * normal(num_classes)[y]
    width = min(BLOCK, dim)
    for _ in range(1 if dim == width else 2):  # spread what there is over all columns
        X = X[:, rng.permutation(dim)]
        for start in range(0, dim, width):
            turn = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
            X[:, start : start + width] = X[:, start : start + width] @ turn
    return np.ascontiguousarray(X), y, subjects


def splits(subjects: np.ndarray) -> list[Split]:
    """Five folds by subject: rows to train on and rows to test."""
    return [Split(np.flatnonzero(subjects % 5 != fold), np.flatnonzero(subjects % 5 == fold)) for fold in range(5)]


def folds(shape: Shape, count: int) -> list[Fold]:
    X, y, subjects = draw(shape)
    made = []
    for train, test in splits(subjects)[:count]:
        scaler = StandardScaler().fit(X[train])
        made.append(Fold(scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test], subjects[train]))
    return made
