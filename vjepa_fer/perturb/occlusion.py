"""Frames go in, something grey hides a part of them: ``mouth``, ``eyes``, ``half``, ``blocks``, ``moving``.

Where the face is, is known by the picture alone: it lies in the middle, as large as the crop that follows it says, or, of whole frames,
as large as in such a crop of the frame's middle square::

    ┌──────────────┐
    │   ┌──────┐   │   face: 1 / 1.6 of the short side
    │   │▒▒▒▒▒▒│   │   eyes
    │   │      │   │
    │   │ ▒▒▒▒ │   │   mouth
    │   └──────┘   │
    └──────────────┘
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from vjepa_fer.perturb.draws import UNIT, Shot, draw

GREY = 128

COVERED = (0.4, 0.55, 0.7, 0.85, 1.0)  # of the box's sides
COUNT = (1, 2, 4, 7, 11)  # blocks
BLOCK = 0.2  # a block's side, of the picture's short side
FASTEST = 0.03  # what a block moves from frame to frame at most, of the short side


class _Box(NamedTuple):
    """Of a face that is 1 wide and 1 high: the middle, and the sides at the highest severity."""

    x: float
    y: float
    width: float
    height: float


MOUTH = _Box(0.5, 0.78, 0.8, 0.45)
EYES = _Box(0.5, 0.4, 1.05, 0.36)


def mouth(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """The mouth and what is round it, as a mask or a hand would; at 5 from the nose to the chin."""
    return _on_face(frames, MOUTH, COVERED[severity - 1], shot)


def eyes(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """The eyes, at 5 with the brows, as dark glasses would."""
    return _on_face(frames, EYES, COVERED[severity - 1], shot)


def half(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """One side, which is drawn; at 5 up to the middle of the face."""
    height, width = frames.shape[1:3]
    face = shot.face * min(height, width)
    reach = (width - face) / 2 + face * severity / 10
    left = int(draw(shot.seed, 1)[0]) < UNIT // 2
    return _hidden(frames, [(0.0, 0.0, reach, height) if left else (width - reach, 0.0, width, height)] * len(frames))


def blocks(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Squares at places that are drawn, the same all through a clip; those of a lower severity are among them."""
    return _with_blocks(frames, severity, shot, 0.0)


def moving(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """The same, each moving straight on and turning back at the edges."""
    return _with_blocks(frames, severity, shot, FASTEST)


def _on_face(frames: np.ndarray, box: _Box, covered: float, shot: Shot) -> np.ndarray:
    height, width = frames.shape[1:3]
    face = shot.face * min(height, width)
    x, y = width / 2 + (box.x - 0.5) * face, height / 2 + (box.y - 0.5) * face
    reach_x, reach_y = box.width * covered * face / 2, box.height * covered * face / 2
    return _hidden(frames, [(x - reach_x, y - reach_y, x + reach_x, y + reach_y)] * len(frames))


def _with_blocks(frames: np.ndarray, severity: int, shot: Shot, fastest: float) -> np.ndarray:
    hidden = frames
    for drawn in draw(shot.seed, 4 * COUNT[-1]).reshape(-1, 4)[: COUNT[severity - 1]]:
        hidden = _hidden(hidden, _way(drawn, frames.shape[1:3], shot.numbers, fastest))
    return hidden


def _way(
    drawn: np.ndarray, size: tuple[int, ...], numbers: np.ndarray, fastest: float
) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of one block in each frame; drawn are its place and its speed along both sides."""
    short = min(size)
    side = BLOCK * short
    x, y, dx, dy = (drawn / UNIT).tolist()
    lefts = _bounced(x, (2 * dx - 1) * fastest * short, size[1] - side, numbers)
    tops = _bounced(y, (2 * dy - 1) * fastest * short, size[0] - side, numbers)
    return [(left, top, left + side, top + side) for left, top in zip(lefts, tops, strict=True)]


def _bounced(start: float, speed: float, room: float, numbers: np.ndarray) -> list[float]:
    """A place between 0 and `room` that moves by `speed` a frame and turns back at both ends."""
    way = np.mod(start * room + speed * numbers, 2 * room)
    return (room - np.abs(way - room)).tolist()


def _hidden(frames: np.ndarray, boxes: list[tuple[float, float, float, float]]) -> np.ndarray:
    """A copy with one box a frame in grey: left, top, right, bottom in pixels, at least one pixel each way."""
    hidden = frames.copy()
    height, width = frames.shape[1:3]
    for picture, (left, top, right, bottom) in zip(hidden, boxes, strict=True):
        rows, columns = _whole(top, bottom, height), _whole(left, right, width)
        picture[rows, columns] = GREY
    return hidden


def _whole(low: float, high: float, size: int) -> slice:
    first = min(max(math.floor(low + 0.5), 0), size - 1)
    return slice(first, max(math.floor(high + 0.5), first + 1))
