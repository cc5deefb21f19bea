"""Two ways to hold the weights of many logistic regressions: by feature, or, with fewer clips than features, by clip.

Every weight matrix worth having is a combination of the training clips, ``W = A X`` (its other part would only be
penalised). With fewer clips than features it is therefore cheaper to hold ``A (K, N)`` beside the products ``A X Xᵀ``:
logits are then free, and a gradient is one product with the small ``X Xᵀ``. Both spaces speak of the same ``W``, have the
same inner product, and so take the same steps.

Shapes: J problems (values of C), K classes, N clips, D features. A vector is an array ``(J, V)`` whose last K columns are
the intercepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LEADING = 320
"""How many leading directions of the training clips the preconditioner knows; more cost more than they save."""


def dots(u: NDArray, v: NDArray) -> NDArray:
    """Row-wise inner products ``(J,)`` of two arrays ``(J, V)``."""
    return np.matmul(u[:, None, :], v[:, :, None])[:, 0, 0]


@dataclass(frozen=True)
class Curvature:
    """Mean second derivative of the loss by logits: eigenvalues ``(J, K)`` and eigenvectors ``(J, K, K)``."""

    values: NDArray
    vectors: NDArray

    def take(self, keep: NDArray) -> Curvature:
        return Curvature(self.values[keep], self.vectors[keep])


class Space(Protocol):
    """What the descent asks of a way to hold weights."""

    num_classes: int

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        """Inner products ``(J,)`` of the weights and intercepts behind two vectors."""

    def logits(self, v: NDArray) -> NDArray:
        """Logits ``(J, K, N)`` of the training clips."""

    def gradient(self, residuals: NDArray) -> NDArray:
        """Gradient ``(J, V)`` of the loss, from its derivatives by logits ``(J, K, N)``."""

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        """Roughly the inverse second derivative times a vector, ``(J, V)``."""


@dataclass(frozen=True)
class Basis:
    """Leading directions of the training clips: variances ``(R,)``, directions, and the mean variance of the rest.

    `directions` is ``(D, R)`` in feature space. In clip space it is ``(N, R)``, combinations of clips, and `images` holds
    ``X Xᵀ directions``.
    """

    variances: NDArray
    directions: NDArray
    rest: float
    images: NDArray | None = None


class FeatureSpace:
    """Weights held by feature: a vector is ``W (K, D)`` and K intercepts."""

    def __init__(self, X: NDArray, basis: Basis, num_classes: int) -> None:
        self.X, self.basis, self.num_classes = X, basis, num_classes

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        return dots(u, v)

    def logits(self, v: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        shape = (*weights.shape[:2], len(self.X))
        logits = (weights.reshape(-1, weights.shape[2]) @ self.X.T).reshape(shape)
        logits += intercepts[..., None]
        return logits

    def gradient(self, residuals: NDArray) -> NDArray:
        num_problems = len(residuals)
        weights = residuals.reshape(-1, residuals.shape[2]) @ self.X
        return np.concatenate([weights.reshape(num_problems, -1), residuals.sum(axis=2)], axis=1)

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        weights = np.matmul(curvature.vectors.transpose(0, 2, 1), weights)  # now one curvature a row
        inverse, rest = _inverse_variances(self.basis, curvature, penalty, v.dtype)
        along = _product(weights, self.basis.directions) * (inverse - rest)
        scaled = _product(along, self.basis.directions.T)
        scaled += rest * weights
        scaled = np.matmul(curvature.vectors, scaled)
        return np.concatenate([scaled.reshape(len(v), -1), _scale_intercepts(intercepts, curvature)], axis=1)

    def _split(self, v: NDArray) -> tuple[NDArray, NDArray]:
        return v[:, : -self.num_classes].reshape(len(v), self.num_classes, -1), v[:, -self.num_classes :]


class LeadingSpace(FeatureSpace):
    """Weights along the leading directions alone, where the variances are the whole preconditioner."""

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        inverse, _ = _inverse_variances(self.basis, curvature, penalty, v.dtype)
        scaled = np.matmul(curvature.vectors, np.matmul(curvature.vectors.transpose(0, 2, 1), weights) * inverse)
        return np.concatenate([scaled.reshape(len(v), -1), _scale_intercepts(intercepts, curvature)], axis=1)


class ClipSpace:
    """Weights held by clip: a vector is ``A (K, N)``, its logits ``A X Xᵀ (K, N)``, and K intercepts."""

    def __init__(self, gram: NDArray, basis: Basis, num_classes: int) -> None:
        self.gram, self.basis, self.num_classes = gram, basis, num_classes

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        half = self.num_classes * len(self.gram)
        return dots(u[:, :half], v[:, half : 2 * half]) + dots(u[:, 2 * half :], v[:, 2 * half :])

    def logits(self, v: NDArray) -> NDArray:
        _, images, intercepts = self._split(v)
        return images + intercepts[..., None]

    def gradient(self, residuals: NDArray) -> NDArray:
        return self._join(residuals, _product(residuals, self.gram), residuals.sum(axis=2))

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        clips, images, intercepts = self._split(v)
        turn = curvature.vectors.transpose(0, 2, 1)
        clips, images = np.matmul(turn, clips), np.matmul(turn, images)
        inverse, rest = _inverse_variances(self.basis, curvature, penalty, v.dtype)
        along = _product(images, self.basis.directions) * (inverse - rest)
        clips = rest * clips + _product(along, self.basis.directions.T)
        images = rest * images + _product(along, self.basis.images.T)  # type: ignore[union-attr]
        back = curvature.vectors
        return self._join(np.matmul(back, clips), np.matmul(back, images), _scale_intercepts(intercepts, curvature))

    def _split(self, v: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        half, shape = self.num_classes * len(self.gram), (len(v), self.num_classes, -1)
        return v[:, :half].reshape(shape), v[:, half : 2 * half].reshape(shape), v[:, 2 * half :]

    @staticmethod
    def _join(clips: NDArray, images: NDArray, intercepts: NDArray) -> NDArray:
        return np.concatenate([clips.reshape(len(clips), -1), images.reshape(len(clips), -1), intercepts], axis=1)


def feature_basis(X: NDArray, weights: NDArray) -> Basis:
    """Leading directions ``(D, R)`` of centred clips ``(N, D)`` with weights ``(N,)`` that sum to 1."""
    scaled = X if _equal(weights) else X * np.sqrt(weights * len(X))[:, None].astype(X.dtype)
    covariance = scaled.T @ scaled
    covariance /= len(X)
    variances, directions = _leading(covariance)
    return Basis(variances, directions, _rest(covariance, variances))


def clip_basis(gram: NDArray, weights: NDArray) -> Basis:
    """The same directions as combinations of clips ``(N, R)``, from the products ``(N, N)`` of every two clips."""
    roots = np.sqrt(weights).astype(gram.dtype)[:, None]
    covariance = gram * roots * roots.T
    variances, vectors = _leading(covariance)
    keep = variances > variances[0] * 10 * np.finfo(gram.dtype).eps  # centred clips have rank below their number
    scales = (roots / np.sqrt(variances[keep])).astype(gram.dtype)
    directions = vectors[:, keep] * scales
    return Basis(variances[keep], directions, _rest(covariance, variances[keep]), images=gram @ directions)


def _leading(covariance: NDArray) -> tuple[NDArray, NDArray]:
    """Largest eigenvalues, in falling order, and eigenvectors: all when that is cheap, else by subspace iteration."""
    size = len(covariance)
    if size <= 2 * LEADING:
        values, vectors = np.linalg.eigh(covariance)
        return values[::-1].astype(np.float64), np.ascontiguousarray(vectors[:, ::-1])
    start = np.random.default_rng(0).standard_normal((size, LEADING)).astype(covariance.dtype)
    reached = covariance @ start
    # orthonormal by a Cholesky factor in float64: a third of the time of a QR decomposition
    square = reached.T.astype(np.float64) @ reached
    inverse = np.linalg.inv(np.linalg.cholesky(square + 1e-14 * np.trace(square) * np.eye(LEADING)))
    vectors = reached @ inverse.T.astype(covariance.dtype)
    values, turn = np.linalg.eigh(vectors.T @ (covariance @ vectors))
    return values[::-1].astype(np.float64), vectors @ np.ascontiguousarray(turn[:, ::-1])


def _rest(covariance: NDArray, variances: NDArray) -> float:
    """Mean variance along the directions that the basis leaves out."""
    total = np.trace(covariance, dtype=np.float64)
    rest = (total - variances.sum()) / max(len(covariance) - len(variances), 1)
    return float(max(rest, np.finfo(covariance.dtype).eps * total))


def _equal(weights: NDArray) -> bool:
    return bool((weights == weights[0]).all())


def _product(a: NDArray, b: NDArray) -> NDArray:
    """``(J, K, M)`` times ``(M, R)`` as one large matrix product."""
    return (a.reshape(-1, a.shape[2]) @ b).reshape(*a.shape[:2], b.shape[1])


def _inverse_variances(
    basis: Basis, curvature: Curvature, penalty: NDArray, dtype: np.dtype
) -> tuple[NDArray, NDArray]:
    inverse = 1 / (curvature.values[..., None] * np.maximum(basis.variances, 0) + penalty[:, None, None])
    rest = 1 / (curvature.values * basis.rest + penalty[:, None])
    return inverse.astype(dtype), rest[..., None].astype(dtype)


def _scale_intercepts(intercepts: NDArray, curvature: Curvature) -> NDArray:
    turned = np.matmul(curvature.vectors.transpose(0, 2, 1), intercepts[..., None])
    turned /= curvature.values[..., None].astype(intercepts.dtype)
    return np.matmul(curvature.vectors, turned)[..., 0]
