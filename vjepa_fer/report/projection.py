"""Clips' vectors, or a cache and a run's predictions, go in; a point in the plane for each of at most two thousand clips comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vjepa_fer.cache import Cache
from vjepa_fer.cache.pooling import mean_of_clip
from vjepa_fer.judging import Predictions

MOST = {"pca": 2000, "tsne": 800}
TSNE_STEPS = 500
"""Half of scikit-learn's thousand: of a thousand points the second half takes half of the time and moves hardly any."""
TSNE_ANGLE = 0.7
"""Of the far points that count as one: neighbourhoods are kept as well as by scikit-learn's 0.5, in three quarters of the time."""

Method = Literal["pca", "tsne"]


@dataclass(frozen=True, eq=False)
class Projection:
    """Clips in the plane.

    Attributes
    ----------
    method : {"pca", "tsne"}
    level : str
    xy : ndarray of float64, shape (num_points, 2)
        Between 0 and 1.
    rows : ndarray of int64, shape (num_points,)
        Their row numbers in the run's predictions.
    explained : tuple of float
        Shares of variance of the two axes; empty for t-SNE.
    num_clips : int
        How many there were to draw from.
    """

    method: Method
    level: str
    xy: np.ndarray
    rows: np.ndarray
    explained: tuple[float, ...]
    num_clips: int


def project(cache: Cache, predictions: Predictions, level: str, *, method: Method = "pca", seed: int = 0) -> Projection:
    """Draw clips with a seed, read their features (``mean``, where it is stored), and put them into the plane.

    Only the drawn clips are read, so memory is bounded by them.

    Raises
    ------
    CacheError
        The level is not stored, or no clip of the run is in the cache.
    """
    level = level_to_show(cache, level)
    place = {clip.clip_id: number for number, clip in enumerate(cache.clips)}
    rows = np.array([row for row, clip in enumerate(predictions.clip_ids.tolist()) if clip in place], dtype=np.int64)
    drawn = np.sort(np.random.default_rng(seed).permutation(rows)[: MOST[method]])
    x = np.stack([mean_of_clip(cache[place[str(predictions.clip_ids[row])]].level(level)) for row in drawn])
    xy, explained = place_in_plane(x, method, seed)
    return Projection(method, level, xy, drawn, explained, len(rows))


def level_to_show(cache: Cache, level: str) -> str:
    """``mean`` where it is stored: quick to read, and the same for runs on any level; of statistics, the level that they are of.

    Raises
    ------
    CacheError
        Neither is stored.
    """
    return "mean" if "mean" in cache.recipe.storage.levels else cache.read_as(level)[0]


def place_in_plane(
    x: np.ndarray, method: Method, seed: int = 0, *, far: np.ndarray | None = None
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Vectors → their places between 0 and 1, and the shares of variance of both axes.

    Parameters
    ----------
    x : ndarray, shape (num_points, dim)
    method : {"pca", "tsne"}
    seed : int
        Of t-SNE.
    far : ndarray of bool, shape (num_points,), optional
        Points that must not squeeze the others into a corner: they have no say in axes and scale, and lie at the edge if
        they are farther out.

    Returns
    -------
    (ndarray of float64, shape (num_points, 2), tuple of float)
    """
    usual = np.ones(len(x), dtype=bool) if far is None else ~far
    xy, explained = _pca(x, 2, usual) if method == "pca" else (_tsne(x, seed), ())
    return _unit_square(xy, usual).clip(0, 1), explained


def _pca(x: np.ndarray, num_axes: int, fitted: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Coordinates on the first axes of standardised columns, (num_points, num_axes), and the variance that they hold."""
    x = x - x[fitted].mean(axis=0)
    spread = x[fitted].std(axis=0)
    x = x / np.where(spread > 0, spread, 1)
    _, s, axes = np.linalg.svd(x[fitted], full_matrices=False)
    xy = x @ axes[:num_axes].T
    xy = xy * np.where(xy[np.abs(xy).argmax(axis=0), np.arange(xy.shape[1])] < 0, -1, 1)  # a sign that does not wander
    shares = s**2 / max(float((s**2).sum()), np.finfo(float).tiny)
    return xy, tuple(float(share) for share in shares[:num_axes])


def _tsne(x: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    reduced, _ = _pca(x, min(50, *x.shape), np.ones(len(x), dtype=bool))
    perplexity = min(30.0, (len(x) - 1) / 3)
    steps = "max_iter" if "max_iter" in TSNE().get_params() else "n_iter"  # as scikit-learn 1.4 calls it
    how = {"perplexity": perplexity, "angle": TSNE_ANGLE, steps: TSNE_STEPS}
    return TSNE(init="pca", random_state=seed, **how).fit_transform(reduced)


def _unit_square(xy: np.ndarray, usual: np.ndarray) -> np.ndarray:
    if xy.shape[1] == 1:  # one column of features, or one clip
        xy = np.hstack([xy, np.zeros_like(xy)])
    low, span = xy[usual].min(axis=0), np.ptp(xy[usual], axis=0)
    return (xy - low - span / 2) / (span.max() or 1) + 0.5
