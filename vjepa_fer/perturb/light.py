"""Frames go in as other light would show them: ``dark``, ``bright``, ``gamma``, ``flicker``, ``cast``.

Every grey level goes through a table of 256, in whole numbers.
"""

from __future__ import annotations

import numpy as np

from vjepa_fer.perturb.draws import UNIT, Shot, draw

ONE = 256
"""Gains are whole 256ths."""

DARK = (179, 128, 90, 56, 31)  # of 256: the light that is left
BRIGHT = (333, 410, 512, 666, 896)  # beyond white is white
GAMMA = (1.3, 1.7, 2.2, 3.0, 4.0)  # the exponent: middle greys sink, black and white stay
FLICKER = (26, 51, 77, 115, 154)  # the gain moves by so much up and down, frame by frame
CAST = (38, 77, 115, 154, 192)  # so much of one or two colours is lacking

_CASTS = ((0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
"""Which of red, green and blue is weakened: red, green, blue, yellow, magenta and cyan light."""


def dark(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Less light."""
    return through(gained(DARK[severity - 1]), frames)


def bright(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """More light than the camera takes: the brightest parts are white."""
    return through(gained(BRIGHT[severity - 1]), frames)


def gamma(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Darker middle tones, ``255 (v / 255) ** gamma``."""
    return through(powered(GAMMA[severity - 1]), frames)


def flicker(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Another gain in every frame, drawn for each."""
    most = FLICKER[severity - 1]
    drawn = (int(draw(shot.seed, 1, number=number)[0]) for number in shot.numbers.tolist())
    gains = [ONE - most + one * (2 * most + 1) // UNIT for one in drawn]
    return _stacked([through(gained(gain), frame) for gain, frame in zip(gains, frames, strict=True)], frames)


def cast(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Coloured light, the same all through a clip: red, green, blue, yellow, magenta or cyan, drawn."""
    weakened = _CASTS[int(draw(shot.seed, 1)[0]) * len(_CASTS) // UNIT]
    gains = np.array([ONE - lacking * CAST[severity - 1] for lacking in weakened], np.uint16)
    rows = frames.reshape(*frames.shape[:2], -1).astype(np.uint16)  # whole rows: three times as fast as pixel by pixel
    rows *= np.tile(gains, frames.shape[2])
    rows += ONE // 2
    return (rows >> 8).astype(np.uint8).reshape(frames.shape)


def through(table: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Every byte by a table, uint8 (256,): Python's own loop over bytes takes a third of the time of NumPy's indexing."""
    return np.frombuffer(frames.tobytes().translate(table.tobytes()), np.uint8).reshape(frames.shape)


def gained(gain: int) -> np.ndarray:
    """Each grey level times gain / 256, rounded, at most 255: uint8 (256,)."""
    return np.minimum((np.arange(256) * gain + ONE // 2) // ONE, 255).astype(np.uint8)


def powered(exponent: float) -> np.ndarray:
    """Each grey level by a power law, rounded: uint8 (256,)."""
    return np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)


def _stacked(pictures: list[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.stack(pictures) if pictures else like
