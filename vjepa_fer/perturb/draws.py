"""A seed, a clip's id and a frame's number go in; numbers come out that every machine draws alike.

Only the raw 64 bits of Philox are used, which NumPy promises not to change, and whole numbers made of them here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

UNIT = 1 << 32
"""What :func:`draw` draws below."""


@dataclass(frozen=True, eq=False)
class Shot:
    """Where frames come from, as far as a perturbation may depend on it.

    Attributes
    ----------
    seed : int
        Of the clip and the step, below 2**128.
    numbers : ndarray, shape (T,), int64
        The place of each frame in the film, from 0.
    face : float
        Side of the face in units of the picture's short side; it lies in the middle.
    """

    seed: int
    numbers: np.ndarray
    face: float


def seed_of(seed: int, clip_id: str, step: int) -> int:
    """The seed of one clip and one step of a recipe: the first 128 bits of a SHA-256, the same in every process."""
    digest = hashlib.sha256(f"{seed}\0{step}\0{clip_id}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def raw(seed: int, count: int, *, number: int = 0) -> np.ndarray:
    """Random bits, uint64 (count,); `number` is a frame's, for what is drawn anew in every frame."""
    return np.asarray(np.random.Philox(key=seed, counter=(number + 1) << 64).random_raw(count), "<u8")


def raw_bytes(seed: int, count: int, *, number: int = 0) -> np.ndarray:
    """The same as bytes, uint8 (count,)."""
    return raw(seed, -(-count // 8), number=number).view(np.uint8)[:count]


def draw(seed: int, count: int, *, number: int = 0) -> np.ndarray:
    """Whole numbers below :data:`UNIT`, int64 (count,)."""
    return (raw(seed, count, number=number) >> np.uint64(32)).astype(np.int64)
