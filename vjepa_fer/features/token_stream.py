"""Cached clips go in; their tokens come out a few clips at a time, so that a level larger than memory can be trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from vjepa_fer.cache import CachedClip
from vjepa_fer.cache.pooling import mean_of_clip
from vjepa_fer.errors import CacheError
from vjepa_fer.features.alignment import AlignedClip

AnyClip = CachedClip | AlignedClip
Row = Literal["clip", "window", "view"]


class TokenStream:
    """Tokens float32 (num_rows, num_tokens, dim), read when they are indexed: ``stream[rows]``.

    It holds no open file and no tokens, so it can be sent to other processes.

    Parameters
    ----------
    clips : sequence of CachedClip or AlignedClip
    level : str
    row : {"clip", "window", "view"}
        What a row is: a clip, the mean over its distinct windows and views; a window-view; or a view with all its windows one after
        the other, in time order, as V-JEPA's own evaluation attends to them. A window that the sampling rule made more than once
        then stands there as often, in proportion: attention gives each of its tokens a share. Of features with a row a moment, a clip
        is all its moments one after the other; a frame without a face has no row, so nothing attends to it.

    Attributes
    ----------
    clip_index : ndarray of int64, shape (num_rows,)
        Position of the row's clip; ascending.
    lengths : ndarray of int64, shape (num_rows,)
        Tokens of each row; views of clips with more windows have more.
    shape : tuple of int
        ``(num_rows, num_tokens, dim)``, of the longest row.

    Raises
    ------
    CacheError
        No clip is finished; or, when it is read, a clip's values are not finite.
    """

    ndim = 3

    def __init__(self, clips: Sequence[AnyClip], level: str, *, row: Row = "clip") -> None:
        if not clips:
            raise CacheError(f"no finished clip to read {level} of; run extract first")
        self.clips, self.level = tuple(clips), level
        made = [_ROWS[row](clip) for clip in clips]
        self.clip_index = np.repeat(np.arange(len(clips)), [len(rows) for rows in made])
        self.windows = tuple(windows for rows in made for windows in rows)
        self._window_shape = _tokens_of(clips[0], level).shape[1:]

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def lengths(self) -> np.ndarray:
        counts = [1 if windows is None else len(windows) for windows in self.windows]
        return np.array(counts, np.int64) * self._window_shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        num_tokens, dim = self._window_shape
        return len(self), int(self.lengths.max(initial=num_tokens)), dim

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Tokens of some rows, all of which have equally many."""
        return np.stack([self._read(row) for row in np.arange(len(self))[rows]])

    def take(self, rows: np.ndarray) -> TokenStream:
        """A stream of some of the rows, in this order; nothing is read."""
        part = object.__new__(TokenStream)
        part.clips, part.level, part._window_shape = self.clips, self.level, self._window_shape
        part.clip_index, part.windows = self.clip_index[rows], tuple(self.windows[row] for row in rows)
        return part

    def _read(self, row: int) -> np.ndarray:
        """Tokens (num_tokens, dim) of one row."""
        clip, windows = self.clips[self.clip_index[row]], self.windows[row]
        values = _tokens_of(clip, self.level)
        if windows is not None:
            found = values[windows].reshape(-1, values.shape[2])
        else:
            found = mean_of_clip(values).reshape(values.shape[1:])
        if not np.isfinite(found.sum(dtype=np.float64)):
            raise CacheError(
                f"clip {clip.clip.clip_id} holds NaN or infinity in {self.level}; `cache repair`, then extract again"
            )
        return found


def windows_in_time(start_frame: np.ndarray, multiplicity: np.ndarray) -> np.ndarray:
    """Windows by number, in time order, each as often as the rule made it beside the others, int64.

    A window that fills a clip by itself stands there once: attention over eight equal copies is attention over one.

    >>> windows_in_time(np.array([9, 0, 4]), np.array([2, 4, 2])).tolist()
    [1, 1, 2, 0]
    """
    order = np.argsort(start_frame, kind="stable")
    return np.repeat(order, multiplicity[order] // math.gcd(*multiplicity.tolist()))


def _tokens_of(clip: AnyClip, level: str) -> np.ndarray:
    """A clip's level as (num_window_views, num_tokens, dim)."""
    values = clip.level(level)
    return values.reshape(len(values), -1, values.shape[-1])


def _views(clip: AnyClip) -> list[np.ndarray]:
    own = [np.flatnonzero(clip.view == view) for view in np.unique(clip.view)]
    return [rows[windows_in_time(clip.start_frame[rows], clip.multiplicity[rows])] for rows in own]


_ROWS: dict[str, Callable[[AnyClip], Sequence[np.ndarray | None]]] = {
    "clip": lambda clip: _views(clip) if clip.is_over_time else [None],
    "window": lambda clip: list(np.arange(len(clip))[:, None]),
    "view": _views,
}
"""Which of a clip's window-views make up each of its rows; None: the mean over all."""


def take_rows(x: Any, rows: np.ndarray) -> Any:
    """Rows of a feature matrix, or a stream of them."""
    return x.take(rows) if isinstance(x, TokenStream) else x[rows]
