"""Training clips go in; the directions along which they differ most come out, for the preconditioner of a descent.

They are learnt from the clips of one training part and from no others: a basis that has seen test clips tells a descent that
stops early where to find them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LEADING = 192
"""How many directions the preconditioner knows; more cost more than they save."""

BLOCK = 256
"""Rows, or columns, that are worked on at a time where a copy of all would be too large."""


@dataclass(frozen=True)
class Basis:
    """Leading directions of the training clips: variances ``(R,)``, directions, and the mean variance of the rest.

    `directions` is ``(D, R)`` in feature space. In clip space it is ``(N, R)``, combinations of clips. `images` ``(N, R)`` is
    how far each clip lies along each direction.
    """

    variances: NDArray
    directions: NDArray
    rest: float
    images: NDArray | None = None

    def mean_variance(self, rank: int) -> float:
        """Along all `rank` directions that there are."""
        return float(self.variances.sum() + self.rest * (rank - len(self.variances))) / rank

    def as_double(self) -> Basis:
        return replace(self, directions=self.directions.astype(np.float64))


def clip_products(X: NDArray, dtype: np.dtype) -> NDArray:
    """Inner products ``(N, N)`` of every two clips, summed in `dtype`."""
    if X.dtype == dtype:
        return X @ X.T
    products = np.zeros((len(X), len(X)), dtype)
    for start in range(0, X.shape[1], BLOCK):
        part = X[:, start : start + BLOCK].astype(dtype)
        products += part @ part.T
    return products


def feature_basis(X: NDArray, weights: NDArray) -> Basis:
    """Leading directions ``(D, R)`` of centred clips ``(N, D)`` with weights ``(N,)`` that sum to 1."""
    own = weights.astype(X.dtype)[:, None]
    total = float(weights @ np.einsum("nd,nd->n", X, X).astype(np.float64))
    if X.shape[1] <= 2 * LEADING:
        variances, directions = _falling(sum(X[rows].T @ (own[rows] * X[rows]) for rows in _blocks(len(X))))
        images = X @ directions
    else:
        found, square = _span(X.shape[1], X.dtype, lambda start: X.T @ (own * (X @ start)))
        images = X @ found
        variances, turn = _falling_in(square, images.T @ (own * images))
        directions, images = found @ turn, images @ turn
    return Basis(variances, directions, _rest(total, variances, X), images)


def clip_basis(gram: NDArray, weights: NDArray) -> Basis:
    """The same directions as combinations of clips ``(N, R)``, from the products ``(N, N)`` of every two clips."""
    roots = np.sqrt(weights).astype(gram.dtype)[:, None]
    total = float(weights @ np.diag(gram).astype(np.float64))
    if len(gram) <= 2 * LEADING:
        variances, vectors = _falling(roots * gram * roots.T)
    else:
        found, square = _span(len(gram), gram.dtype, lambda start: roots * (gram @ (roots * start)))
        variances, turn = _falling_in(square, found.T @ (roots * (gram @ (roots * found))))
        vectors = found @ turn
    keep = variances > variances[0] * 100 * np.finfo(gram.dtype).eps  # centred clips have rank below their number
    directions = roots * vectors[:, keep] / np.sqrt(variances[keep]).astype(gram.dtype)
    images = gram @ directions
    # rounding leaves the smallest of them askew, and the preconditioner would not be positive
    square = directions.T.astype(np.float64) @ images
    turn = _inverse_root(square).astype(gram.dtype)
    return Basis(variances[keep], directions @ turn, _rest(total, variances[keep], gram), images @ turn)


def _falling(matrix: NDArray) -> tuple[NDArray, NDArray]:
    """Eigenvalues, float64 in falling order, and eigenvectors."""
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1].astype(np.float64), np.ascontiguousarray(vectors[:, ::-1])


def _falling_in(square: NDArray, matrix: NDArray) -> tuple[NDArray, NDArray]:
    """As :func:`_falling` along columns that are not quite orthonormal, `square` being their inner products."""
    straight = _inverse_root(square)
    values, vectors = _falling((straight.T @ matrix @ straight).astype(matrix.dtype))
    return values, straight.astype(matrix.dtype) @ vectors


def _span(size: int, dtype: np.dtype, apply: Callable[[NDArray], NDArray]) -> tuple[NDArray, NDArray]:
    """Columns ``(size, LEADING)`` that nearly span a matrix's leading directions, from one product with it.

    They are nearly orthonormal; their inner products ``(LEADING, LEADING)`` come with them.
    """
    start = np.random.default_rng(0).integers(0, 2, (size, LEADING), np.int8) * 2 - 1
    columns = apply(start.astype(dtype))
    # a Cholesky factor takes a third of the time of a QR decomposition, where it does
    found = columns @ _inverse_root(columns.T.astype(np.float64) @ columns).astype(dtype)
    square = found.T @ found
    if np.abs(square - np.eye(LEADING, dtype=dtype)).max() > 0.1:
        found = np.linalg.qr(columns.astype(np.float64))[0].astype(dtype)
        square = found.T @ found
    return found, square


def _inverse_root(square: NDArray) -> NDArray:
    """``T`` with ``Tᵀ square T = 1``, nearly where `square` is nearly singular."""
    raised = (square + square.T) / 2 + 1e-14 * np.trace(square) * np.eye(len(square))
    return np.linalg.inv(np.linalg.cholesky(raised)).T


def _blocks(length: int) -> list[slice]:
    return [slice(start, start + BLOCK) for start in range(0, length, BLOCK)]


def _rest(total: float, variances: NDArray, matrix: NDArray) -> float:
    """Mean variance along the directions that the basis leaves out."""
    rest = (total - variances.sum()) / max(matrix.shape[1] - len(variances), 1)
    return float(max(rest, np.finfo(matrix.dtype).eps * total))
