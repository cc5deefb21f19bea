"""Frames go in, less sharp ones come out: ``blur``, ``motion``, ``downscale``; lengths go with the picture's short side.

Means are taken in whole numbers: sums run on modulo 2**16, which differences of them do not notice.
"""

from __future__ import annotations

import numpy as np

from vjepa_fer.perturb.draws import UNIT, Shot, draw

BLUR = (1 / 180, 1 / 90, 1 / 60, 1 / 36, 1 / 24)  # the radius of each of two means, of the short side
MOTION = (1 / 40, 1 / 24, 1 / 15, 1 / 10, 1 / 7)  # how far the picture is smeared, of the short side
LINES = (128, 96, 64, 48, 32)  # pixels of the short side that are left
WIDEST = 127  # radius in pixels: a sum of 255 bytes is below 2**16


def blur(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Out of focus: two means over a square, one after the other, nearly a Gaussian."""
    radius = _radius(frames, BLUR[severity - 1])
    for axis in (1, 2, 1, 2):
        frames = mean_along(frames, axis, radius)
    return frames


def motion(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Smeared along one direction, across or down, which is drawn for the clip."""
    axis = 1 + int(draw(shot.seed, 1)[0]) * 2 // UNIT
    return mean_along(frames, axis, _radius(frames, MOTION[severity - 1] / 2))


def downscale(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """So few pixels, each the mean of those it stands for, and shown as large as before; smaller films stay as they are."""
    height, width = frames.shape[1:3]
    factor = min(height, width) / LINES[severity - 1]
    if factor <= 1:
        return frames
    rows, columns = _edges(height, factor), _edges(width, factor)
    sums = np.add.reduceat(np.add.reduceat(frames.astype(np.uint32), rows[:-1], axis=1), columns[:-1], axis=2)
    counts = np.multiply.outer(np.diff(rows), np.diff(columns)).astype(np.uint32)[None, :, :, None]
    small = ((sums + counts // 2) // counts).astype(np.uint8)
    return small.repeat(np.diff(rows), axis=1).repeat(np.diff(columns), axis=2)


def mean_along(frames: np.ndarray, axis: int, radius: int) -> np.ndarray:
    """Each pixel's mean with `radius` neighbours to both sides along axis 1 or 2, rounded; the edge goes on beyond itself."""
    return _down(frames, radius) if axis == 1 else _across(frames, radius)


def _down(frames: np.ndarray, radius: int) -> np.ndarray:
    """Line by line, which is far faster than a cumulative sum over lines: what comes in at the bottom is added, what leaves at the top taken off."""
    means = np.empty_like(frames)
    for frame, mean in zip(frames.reshape(*frames.shape[:2], -1), means.reshape(*frames.shape[:2], -1), strict=True):
        inside = np.arange(-radius - 1, len(frame) + radius).clip(0, len(frame) - 1).tolist()
        sums = frame[inside[: 2 * radius + 1]].sum(axis=0, dtype=np.uint16) + np.uint16(radius)
        for line in range(len(frame)):
            sums += frame[inside[line + 2 * radius + 1]]
            sums -= frame[inside[line]]
            mean[line] = sums // np.uint16(2 * radius + 1)
    return means


def _across(frames: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(frames, [(0, 0), (0, 0), (radius + 1, radius), (0, 0)], mode="edge")
    sums = np.cumsum(padded, axis=2, dtype=np.uint16)
    means = sums[:, :, 2 * radius + 1 :] - sums[:, :, : -2 * radius - 1]
    means += np.uint16(radius)
    means //= np.uint16(2 * radius + 1)
    return means.astype(np.uint8)


def _radius(frames: np.ndarray, share: float) -> int:
    return min(max(round(share * min(frames.shape[1:3])), 1), WIDEST)


def _edges(size: int, factor: float) -> np.ndarray:
    """Where the large pixels begin, and the end: int64 (num + 1,)."""
    num = max(int(size / factor), 1)
    return np.arange(num + 1) * size // num
