"""Training features go in, one offset and one factor a column come out; test features only ever have them applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import ProbeError

BLOCK = 32
"""Rows that are widened to float64 at a time."""


@dataclass(frozen=True, eq=False)
class Scaler:
    """What :func:`fit_scaler` learned: ``(x - offset) * factor``, both float64 (dim,)."""

    offset: np.ndarray
    factor: np.ndarray

    def apply(self, x: np.ndarray, *, out: np.ndarray | None = None) -> np.ndarray:
        """`x` scaled, float32 (num_rows, dim), into `out`, which may be `x`, or a new array.

        The difference is taken in float64, where it loses nothing, some rows at a time, so that no wide copy is made.
        """
        scaled = np.empty(x.shape, np.float32) if out is None else out
        for rows in _blocks(x):
            away = x[rows] - self.offset
            away *= self.factor
            scaled[rows] = away
        return scaled


def fit_scaler(scale: str, x: np.ndarray) -> Scaler | None:
    """Learn the scaling from training rows.

    Parameters
    ----------
    scale : {"none", "standard", "minmax"}
        Leave alone; mean 0 and standard deviation 1; range 0 to 1. A column that is constant in the training rows is only
        shifted, never divided by its spread of nothing.
    x : ndarray of float32, shape (num_rows, dim)

    Returns
    -------
    Scaler or None
        None for "none".
    """
    if scale not in _SCALES:
        raise ProbeError(not_one_of("scale", scale, _SCALES))
    return _SCALES[scale](x)


def _standard(x: np.ndarray) -> Scaler:
    mean = x.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for rows in _blocks(x):
        away = x[rows] - mean
        squares += np.einsum("nd,nd->d", away, away)
    return _scaler(mean, np.sqrt(squares / len(x)), x)


def _minmax(x: np.ndarray) -> Scaler:
    low = x.min(axis=0).astype(np.float64)
    return _scaler(low, x.max(axis=0) - low, x)


def _scaler(offset: np.ndarray, spread: np.ndarray, x: np.ndarray) -> Scaler:
    constant = np.ptp(x, axis=0) == 0  # the mean of equal floats may round, and leave a spread of 1e-17
    return Scaler(offset, np.where(constant, 1.0, 1 / np.where(constant, 1.0, spread)))


def _blocks(x: np.ndarray) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, len(x), BLOCK)]


_SCALES: dict[str, Callable[[np.ndarray], Scaler | None]] = {
    "none": lambda x: None,
    "standard": _standard,
    "minmax": _minmax,
}
