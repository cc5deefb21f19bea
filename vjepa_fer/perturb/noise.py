"""Frames go in, grainy ones come out: ``noise``, drawn anew for every pixel of every frame."""

from __future__ import annotations

import numpy as np

from vjepa_fer.perturb.draws import Shot, raw_bytes

SPREAD = (8, 16, 28, 44, 64)
"""Standard deviation, in grey levels."""

_BYTES = 4
"""A sum of four random bytes is as good as Gaussian here; its standard deviation is 147.8."""
_MIDDLE, _SPREAD = 255 * _BYTES // 2, 148


def noise(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Of a camera in the dark: each colour of each pixel on its own."""
    table = _table(SPREAD[severity - 1])
    noisy = np.empty_like(frames)
    for place, number in enumerate(shot.numbers.tolist()):
        drawn = raw_bytes(shot.seed, _BYTES * frames[place].size, number=number).reshape(_BYTES, -1)
        sums = drawn.astype(np.uint16).sum(axis=0, dtype=np.uint16).reshape(frames[place].shape)
        noisy[place] = np.clip(frames[place] + table[sums], 0, 255)
    return noisy


def _table(spread: int) -> np.ndarray:
    """What is added for each sum of the random bytes: int16 (1021,)."""
    away = np.arange(255 * _BYTES + 1) - _MIDDLE
    return ((2 * away * spread + _SPREAD) // (2 * _SPREAD)).astype(np.int16)
