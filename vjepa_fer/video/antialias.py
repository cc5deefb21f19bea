"""A frame goes in, a smaller one comes out in which every pixel of the first counts: resized with antialiasing, as Pillow and torchvision do.

Two taps see 2 of every 3 pixels of a 720p frame that becomes 438 high, and fewer of larger ones. Here a pixel is the mean of all that lie within
one new pixel's distance of its centre (bicubic: two), weighted by the filter; columns first, then rows, in whole numbers, so that every machine gets the same: Pillow's own arithmetic, and so
its pixels, but that Pillow 13 takes rows first in some frames that are higher than wide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

_BITS = 22
"""Weights are whole 2^-22ths: a sum of 255 of them fits into 32 bits."""

_LINES_AT_A_TIME = 16
"""Keeps the sums in a core's cache."""


class Filter(NamedTuple):
    """How much a pixel counts at a distance from a new one's centre, in new pixels; nothing beyond `reach`."""

    reach: float
    weight: Callable[[np.ndarray], np.ndarray]


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys (1981), Cubic convolution interpolation for digital image processing, with a = -1/2."""
    a, x = -0.5, np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


TRIANGLE = Filter(1.0, lambda x: np.maximum(1 - np.abs(x), 0))
CUBIC = Filter(2.0, _cubic)


def antialiased_region(
    rgb: np.ndarray, size: tuple[int, int], rows: slice, columns: slice, kernel: Filter = TRIANGLE
) -> np.ndarray:
    """``resized[rows, columns]`` of the frame `rgb` (H, W, 3) uint8 resized to `size` (height, width), and nothing else of it."""
    across, across_weights = (taps[columns] for taps in _taps(rgb.shape[1], size[1], kernel))
    down, down_weights = (taps[rows] for taps in _taps(rgb.shape[0], size[0], kernel))
    first, last = int(down.min()), int(down.max()) + 1  # the input rows that are needed
    narrow = _weighted(np.ascontiguousarray(rgb[first:last].transpose(1, 0, 2)), across, across_weights)  # (W', H, 3)
    return _weighted(np.ascontiguousarray(narrow.transpose(1, 0, 2)), down - first, down_weights)


def _weighted(lines: np.ndarray, taps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Each new line (N', M, 3) from its taps among `lines` (N, M, 3), rounded to grey levels."""
    out = np.empty((len(taps), *lines.shape[1:]), np.uint8)
    for start in range(0, len(taps), _LINES_AT_A_TIME):
        part = slice(start, start + _LINES_AT_A_TIME)
        sums = np.full(out[part].shape, 1 << (_BITS - 1), np.int32)
        for tap, weight in zip(taps[part].T, weights[part].T, strict=True):
            sums += np.multiply(lines[tap], weight[:, None, None], dtype=np.int32)
        out[part] = np.clip(sums >> _BITS, 0, 255)
    return out


@lru_cache(maxsize=16)
def _taps(length: int, resized: int, kernel: Filter) -> tuple[np.ndarray, np.ndarray]:
    """For each of `resized` pixels the places among `length` that count, and their weights, (resized, K) int32 each.

    A new pixel's centre lies at ``(i + 1/2) · scale``; what lies within ``max(scale, 1)`` of it, times the filter's reach,
    counts as the filter says. Places beyond the edge have weight 0.
    """
    scale = length / resized
    wide = max(scale, 1.0)
    reach = kernel.reach * wide
    centres = (np.arange(resized) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + reach + 0.5).astype(np.int64), length)
    places = first[:, None] + np.arange(int((last - first).max()))
    weights = kernel.weight((places - centres[:, None] + 0.5) / wide)
    weights[places >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return np.minimum(places, length - 1).astype(np.int32), np.rint(weights * (1 << _BITS)).astype(np.int32)
