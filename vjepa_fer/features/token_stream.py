"""Cached clips go in; their tokens come out a few clips at a time, so that a level larger than memory can be trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vjepa_fer.cache import CachedClip
from vjepa_fer.errors import CacheError


class TokenStream:
    """Tokens float32 (num_rows, num_tokens, dim), read when they are indexed: ``stream[rows]``.

    A row is a clip, the mean over its distinct windows and views, or with `by_window` a window-view. It holds no open file and no
    tokens, so it can be sent to other processes.

    Raises
    ------
    CacheError
        No clip is finished; or, when it is read, a clip's values are not finite.
    """

    ndim = 3

    def __init__(self, clips: Sequence[CachedClip], level: str, *, by_window: bool = False) -> None:
        if not clips:
            raise CacheError(f"no finished clip to read {level} of; run extract first")
        self.clips, self.level = tuple(clips), level
        counts = [len(clip) if by_window else 1 for clip in clips]
        self.clip_index = np.repeat(np.arange(len(clips)), counts)
        self.windows = np.concatenate([np.arange(n) if by_window else [-1] for n in counts])
        self.shape = (len(self.windows), *self._read(0).shape)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.stack([self._read(row) for row in np.arange(len(self))[rows]])

    def take(self, rows: np.ndarray) -> TokenStream:
        """A stream of some of the rows, in this order; nothing is read."""
        part = object.__new__(TokenStream)
        part.clips, part.level = self.clips, self.level
        part.clip_index, part.windows = self.clip_index[rows], self.windows[rows]
        part.shape = (len(part.windows), *self.shape[1:])
        return part

    def _read(self, row: int) -> np.ndarray:
        """Tokens (num_tokens, dim) of one row."""
        clip, window = self.clips[self.clip_index[row]], self.windows[row]
        values = clip.level(self.level)
        values = values.reshape(len(values), -1, values.shape[-1])
        if window >= 0:
            found = values[window]
        elif len(values) == 1:
            found = values[0]
        else:
            found = (values * np.float32(1 / len(values))).sum(axis=0)  # as features() averages, bit for bit
        if not np.isfinite(found.sum(dtype=np.float64)):
            raise CacheError(
                f"clip {clip.clip.clip_id} holds NaN or infinity in {self.level}; `cache repair`, then extract again"
            )
        return found


def take_rows(x: Any, rows: np.ndarray) -> Any:
    """Rows of a feature matrix, or a stream of them."""
    return x.take(rows) if isinstance(x, TokenStream) else x[rows]
