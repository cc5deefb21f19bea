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

from vjepa_fer.probes.logistic.bases import BLOCK, Basis, clip_basis, clip_products


def dots(u: NDArray, v: NDArray) -> NDArray:
    """Row-wise inner products ``(J,)`` of two arrays ``(J, V)``."""
    return np.matmul(u[:, None, :], v[:, :, None])[:, 0, 0]


def polynomial(at: NDArray, wanted: float) -> NDArray:
    """Shares of values known at some points, ``(P,)``, in what the polynomial through them is at another."""
    others = [np.delete(at, number) for number in range(len(at))]
    return np.array([np.prod((wanted - rest) / (own - rest)) for own, rest in zip(at, others, strict=True)])


@dataclass(frozen=True)
class Curvature:
    """Mean second derivative of the loss by logits: eigenvalues ``(J, K)`` and eigenvectors ``(J, K, K)``."""

    values: NDArray
    vectors: NDArray

    def take(self, keep: NDArray) -> Curvature:
        return Curvature(self.values[keep], self.vectors[keep])


class Space(Protocol):
    """What the descent asks of a way to hold weights."""

    X: NDArray
    num_classes: int
    dtype: np.dtype

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        """Inner products ``(J,)`` of the weights and intercepts behind two vectors."""

    def centre(self, v: NDArray) -> NDArray:
        """Vectors whose classes sum to zero, as the optimum's and every gradient's do but for rounding."""

    def logits(self, v: NDArray) -> NDArray:
        """Logits ``(J, K, N)`` of the training clips."""

    def gradient(self, residuals: NDArray) -> NDArray:
        """Gradient ``(J, V)`` of the loss, from its derivatives by logits ``(J, K, N)``."""

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        """Roughly the inverse second derivative times a vector, ``(J, V)``."""

    def weights(self, v: NDArray) -> NDArray:
        """Weights by feature ``(J, K, D)``, float64."""

    def coordinates(self) -> tuple[NDArray, NDArray]:
        """Clips ``(N, R)`` float64 in as few coordinates as they need, and the part of a vector ``(R, M)`` each stands for."""

    def exact_logits(self, weights: NDArray, intercepts: NDArray) -> NDArray:
        """Logits ``(J, K, N)`` float64 of weights ``(J, K, D)`` and intercepts ``(J, K)``, whatever the features' precision."""

    def exact_gradient(self, residuals: NDArray) -> NDArray:
        """Gradient ``(J, V)`` float64 of the loss, from its derivatives by logits ``(J, K, N)`` float64, summed in the space's precision.

        What is summed is as small as the gradient's parts are, so that this is as precise as a gradient need be.
        """

    def as_double(self) -> Space:
        """The same space with every product in float64."""


class FeatureSpace:
    """Weights held by feature: a vector is ``W (K, D)`` and K intercepts."""

    def __init__(self, X: NDArray, basis: Basis, num_classes: int, dtype: np.dtype | None = None) -> None:
        self.X, self.basis, self.num_classes = X, basis, num_classes
        self.dtype = X.dtype if dtype is None else dtype

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        return dots(u, v)

    def centre(self, v: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        return _joined(_centred(weights), _centred(intercepts))

    def logits(self, v: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        logits = times_features(weights, self.X)
        logits += intercepts[..., None]
        return logits

    def gradient(self, residuals: NDArray) -> NDArray:
        return _joined(_times_clips(residuals, self.X), residuals.sum(axis=2))

    def weights(self, v: NDArray) -> NDArray:
        return self._split(v)[0].astype(np.float64, copy=False)

    def coordinates(self) -> tuple[NDArray, NDArray]:
        return self.X.astype(np.float64), np.eye(self.X.shape[1])

    def exact_logits(self, weights: NDArray, intercepts: NDArray) -> NDArray:
        return times_features(weights, self.X) + intercepts[..., None]

    def exact_gradient(self, residuals: NDArray) -> NDArray:
        return self.gradient(residuals.astype(self.dtype)).astype(np.float64)

    def as_double(self) -> FeatureSpace:
        return FeatureSpace(self.X, self.basis.as_double(), self.num_classes, np.dtype(np.float64))

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
        return v[:, : -self.num_classes].reshape(len(v), self.num_classes, self.X.shape[1]), v[:, -self.num_classes :]


class LeadingSpace(FeatureSpace):
    """Weights along the leading directions alone, where the variances are the whole preconditioner."""

    def precondition(self, v: NDArray, curvature: Curvature, penalty: NDArray) -> NDArray:
        weights, intercepts = self._split(v)
        inverse, _ = _inverse_variances(self.basis, curvature, penalty, v.dtype)
        scaled = np.matmul(curvature.vectors, np.matmul(curvature.vectors.transpose(0, 2, 1), weights) * inverse)
        return np.concatenate([scaled.reshape(len(v), -1), _scale_intercepts(intercepts, curvature)], axis=1)


class ClipSpace:
    """Weights held by clip: a vector is ``A (K, N)``, its logits ``A X Xᵀ (K, N)``, and K intercepts.

    Products of clips are summed in `dtype`, which is that of every search.
    """

    def __init__(self, X: NDArray, weights: NDArray, num_classes: int, dtype: np.dtype) -> None:
        self.X, self.clip_weights, self.num_classes, self.dtype = X, weights, num_classes, dtype
        self.gram = clip_products(X, dtype)
        self.basis = clip_basis(self.gram, weights)

    def inner(self, u: NDArray, v: NDArray) -> NDArray:
        half = self.num_classes * len(self.gram)
        return dots(u[:, :half], v[:, half : 2 * half]) + dots(u[:, 2 * half :], v[:, 2 * half :])

    def logits(self, v: NDArray) -> NDArray:
        _, images, intercepts = self._split(v)
        return images + intercepts[..., None]

    def centre(self, v: NDArray) -> NDArray:
        return self._join(*map(_centred, self._split(v)))

    def gradient(self, residuals: NDArray) -> NDArray:
        return self._join(residuals, times_features(residuals, self.gram), residuals.sum(axis=2))

    def weights(self, v: NDArray) -> NDArray:
        return _times_clips(self._split(v)[0].astype(np.float64), self.X)

    def coordinates(self) -> tuple[NDArray, NDArray]:
        squares, turned = np.linalg.eigh(clip_products(self.X, np.dtype(np.float64)))
        keep = squares > 1e-13 * squares[-1]
        lengths, turned = np.sqrt(squares[keep]), turned[:, keep]
        return turned * lengths, (turned / lengths).T

    def exact_logits(self, weights: NDArray, intercepts: NDArray) -> NDArray:
        return times_features(weights, self.X) + intercepts[..., None]

    def exact_gradient(self, residuals: NDArray) -> NDArray:
        images = times_features(residuals.astype(self.dtype), self.gram).astype(np.float64)
        return self._join(residuals, images, residuals.sum(axis=2))

    def as_double(self) -> ClipSpace:
        return ClipSpace(self.X, self.clip_weights, self.num_classes, np.dtype(np.float64))

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
        half, shape = self.num_classes * len(self.gram), (len(v), self.num_classes, len(self.gram))
        return v[:, :half].reshape(shape), v[:, half : 2 * half].reshape(shape), v[:, 2 * half :]

    @staticmethod
    def _join(clips: NDArray, images: NDArray, intercepts: NDArray) -> NDArray:
        return np.concatenate([clips.reshape(len(clips), -1), images.reshape(len(clips), -1), intercepts], axis=1)


def _centred(v: NDArray) -> NDArray:
    return v - v.mean(axis=1, keepdims=True)


def _joined(weights: NDArray, intercepts: NDArray) -> NDArray:
    return np.concatenate([weights.reshape(len(weights), -1), intercepts], axis=1)


def times_features(weights: NDArray, X: NDArray) -> NDArray:
    """``W Xᵀ``, ``(J, K, D)`` → ``(J, K, N)`` in the weights' precision; wider than that of X, some rows of X at a time."""
    flat, shape = _rows(weights), (*weights.shape[:2], len(X))
    if X.dtype == weights.dtype:
        return np.ascontiguousarray((X @ flat.T).T).reshape(shape)  # BLAS is faster in this order
    found = np.empty((len(flat), len(X)), weights.dtype)
    for start in range(0, len(X), BLOCK):
        rows = slice(start, start + BLOCK)
        found[:, rows] = flat @ X[rows].astype(weights.dtype).T
    return found.reshape(shape)


def _times_clips(residuals: NDArray, X: NDArray) -> NDArray:
    """``R X``, ``(J, K, N)`` → ``(J, K, D)``, as :func:`times_features`."""
    flat, shape = _rows(residuals), (*residuals.shape[:2], X.shape[1])
    if X.dtype == residuals.dtype:
        return (flat @ X).reshape(shape)
    found = np.zeros((len(flat), X.shape[1]), residuals.dtype)
    for start in range(0, len(X), BLOCK):
        rows = slice(start, start + BLOCK)
        found += flat[:, rows] @ X[rows].astype(residuals.dtype)
    return found.reshape(shape)


def _rows(a: NDArray) -> NDArray:
    """``(J, K, M)`` as ``(J K, M)``, also where M is 0: features that are all constant leave none."""
    return a.reshape(a.shape[0] * a.shape[1], a.shape[2])


def _product(a: NDArray, b: NDArray) -> NDArray:
    """``(J, K, M)`` times ``(M, R)`` as one large matrix product."""
    return (_rows(a) @ b).reshape(*a.shape[:2], b.shape[1])


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
