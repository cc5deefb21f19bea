"""Training features come in; their leading principal directions, learnt from these clips alone, come out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.learnt import Held

SWEEPS = 3
"""Of subspace iteration: enough that the leading directions of a falling spectrum are those of the full decomposition."""


@dataclass(frozen=True, eq=False)
class Reduction:
    """``(x - centre) @ directions``: features ``(N, D)`` → ``(N, R)``."""

    centre: NDArray
    directions: NDArray

    @property
    def num_directions(self) -> int:
        """R."""
        return self.directions.shape[1]

    def apply(self, X: NDArray) -> NDArray:
        """Coordinates ``(N, R)`` of features ``(N, D)``, in the precision of the directions."""
        offset = self.centre @ self.directions
        return X.astype(self.directions.dtype, copy=False) @ self.directions - offset


def fit_reduction(X: NDArray, num_directions: int | None) -> Reduction | None:
    """The `num_directions` directions of largest variance of ``X (N, D)``; None when there are no more features than that.

    Works on the smaller of ``Xᵀ X`` and ``X Xᵀ``. Each direction's largest entry is positive, so that equal clips give equal
    numbers.
    """
    num_clips, dim = X.shape
    if num_directions is None or dim <= num_directions:
        return None
    centre = X.mean(axis=0, dtype=np.float64).astype(X.dtype)
    centred = X - centre
    num_directions = min(num_directions, num_clips - 1, dim)
    if dim <= num_clips:
        directions = _leading_vectors(centred.T @ centred, num_directions)
    else:
        directions = centred.T @ _leading_vectors(centred @ centred.T, num_directions)
        lengths = np.linalg.norm(directions, axis=0)
        directions /= np.where(lengths > 0, lengths, 1)
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return Reduction(centre, directions * np.where(signs == 0, 1, signs))


def _leading_vectors(matrix: NDArray, number: int) -> NDArray:
    wide = min(len(matrix), number + 32)  # a few more than asked for make the last ones true
    if wide > len(matrix) // 3:
        return np.linalg.eigh(matrix)[1][:, ::-1][:, :number]
    vectors = np.random.default_rng(0).standard_normal((len(matrix), wide)).astype(matrix.dtype)
    for _ in range(SWEEPS):
        vectors, _ = np.linalg.qr(matrix @ vectors)
    return vectors @ np.linalg.eigh(vectors.T @ (matrix @ vectors))[1][:, ::-1][:, :number]


def directions_of(reduction: Reduction | None) -> int | None:
    """How many directions there are; None for features as they are."""
    return None if reduction is None else reduction.num_directions


def reduction_arrays(reduction: Reduction | None) -> dict[str, NDArray]:
    """A reduction as named arrays for a file; none for None."""
    return {} if reduction is None else {"centre": reduction.centre, "directions": reduction.directions}


def reduction_from(held: Held, num_features: int) -> Reduction | None:
    """The reverse of :func:`reduction_arrays`, for so many features.

    Raises
    ------
    ProbeError
        Arrays that do not fit them or each other.
    """
    if "directions" not in held:
        return None
    return Reduction(held.floats("centre", num_features), held.floats("directions", num_features, None))
