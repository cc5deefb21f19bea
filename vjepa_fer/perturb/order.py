"""Which pixel, and which frame, is shown where: ``flip``; ``drop``, ``rate``, ``freeze``, ``shuffle``, ``reverse``.

Those of time take the number of a film's frames, and say for each place which frame is shown there, so that only these are decoded.
"""

from __future__ import annotations

import numpy as np

from vjepa_fer.perturb.draws import UNIT, Shot, draw

DROP = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the frames are lost
RATE = (3, 6, 10, 15, 30)  # each is shown for so many
SHUFFLE = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # how far a frame gets, of the film; at 5 anywhere


def flip(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Left is right."""
    whole = frames.view("V3")[:, :, ::-1]  # a pixel at once: half the time of three bytes
    return whole.copy().view(np.uint8)


def drop(num_frames: int, severity: int, seed: int) -> np.ndarray:
    """Frames are lost here and there, drawn; the one before is shown in their place. The first is never lost."""
    lost = draw(seed, num_frames) < int(DROP[severity - 1] * UNIT)
    lost[:1] = False
    return np.maximum.accumulate(np.where(lost, 0, np.arange(num_frames)))


def rate(num_frames: int, severity: int, seed: int) -> np.ndarray:
    """Fewer frames a second: of 3, 6, 10, 15 or 30 the first is shown for all."""
    every = np.arange(num_frames)
    return every - every % RATE[severity - 1]


def freeze(num_frames: int, severity: int, seed: int) -> np.ndarray:
    """It stands still at both ends: only a part in the middle moves, four fifths of the film to none; at 5 it is its middle frame."""
    middle, reach = (num_frames - 1) // 2, num_frames * (5 - severity) // 10
    return np.clip(np.arange(num_frames), max(middle - reach, 0), middle + reach)


def shuffle(num_frames: int, severity: int, seed: int) -> np.ndarray:
    """Frames change places, drawn: with those near them, and at 5 with any."""
    moved = draw(seed, num_frames)
    if severity <= len(SHUFFLE):
        moved = np.arange(num_frames) * UNIT + moved * int(np.ceil(SHUFFLE[severity - 1] * num_frames))
    return np.argsort(moved, kind="stable")


def reverse(num_frames: int, severity: int, seed: int) -> np.ndarray:
    """The middle fifth of the film runs backwards, two fifths, …; at 5 all of it."""
    order = np.arange(num_frames)
    length = num_frames * severity // 5
    start = (num_frames - length) // 2
    order[start : start + length] = order[start : start + length][::-1]
    return order
