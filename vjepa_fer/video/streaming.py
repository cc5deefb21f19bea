"""A video of any length comes in; its windows go to a function a few at a time, as decoding reaches them, and are let go.

    decoded frame ─► frames that coming windows need ─► the last frame of some windows is there ─► work(these windows)

Memory is that of a few windows and of the frames' times (8 bytes each), for an hour as for a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.decoding import decode_video
from vjepa_fer.video.reading import ClipPixels, Preparer, preparer
from vjepa_fer.video.sampling import Window, sample_windows

T = TypeVar("T")

WINDOWS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class MappedWindows(Generic[T]):
    """What became of a video's windows.

    Attributes
    ----------
    results : list
        Of each call, in order of time.
    timestamps : ndarray, shape (W, F), float64
        When each frame of each window is shown, in seconds.
    kept : ndarray, shape (K, H, W, 3), uint8
        Of the needed frames those nearest to evenly spaced ones, prepared.
    kept_seconds : ndarray, shape (K,), float64
    """

    results: list[T]
    timestamps: np.ndarray
    kept: np.ndarray
    kept_seconds: np.ndarray


def map_windows(
    path: str | os.PathLike[str],
    sampling: Sampling,
    preprocessing: Preprocessing,
    work: Callable[[ClipPixels], T],
    *,
    at_once: int = WINDOWS_AT_ONCE,
    num_kept: int = 0,
) -> MappedWindows[T]:
    """Decode a video once and call `work` with up to `at_once` windows at a time, whose timestamps are not known yet (NaN).

    Raises
    ------
    VideoError
        See its `reason`; `work` may have seen windows before a fault was met.
    """
    parts = _Parts(preparer(path, preprocessing), sampling, preprocessing, work, at_once, num_kept)
    video = decode_video(path, parts.take, choose=parts.begin)
    parts.prepare.check(video.num_frames)
    indices = np.array([window.frame_indices for window in parts.windows])
    kept = np.array(list(parts.kept.values()))
    return MappedWindows(parts.results, video.timestamps[indices], kept, video.timestamps[list(parts.kept)])


class _Parts(Generic[T]):
    """The state of one pass: which windows are to come, and the frames that they need."""

    def __init__(
        self,
        prepare: Preparer,
        sampling: Sampling,
        preprocessing: Preprocessing,
        work: Callable[[ClipPixels], T],
        at_once: int,
        num_kept: int,
    ) -> None:
        self.prepare, self.sampling, self.preprocessing, self.work = prepare, sampling, preprocessing, work
        self.at_once, self.num_kept = at_once, num_kept

    def begin(self, num_frames: int) -> list[int]:
        """Start, or start over with another number of frames."""
        self.num_frames, self.windows = num_frames, sample_windows(num_frames, self.sampling)
        self.results: list[T] = []
        self.held: dict[int, np.ndarray] = {}
        self.kept: dict[int, np.ndarray] = {}
        self.done = self.position = 0
        indices = np.array([window.frame_indices for window in self.windows])
        self.last_needed = indices.max(axis=1)
        self.numbers = np.unique(indices)
        even = np.linspace(self.numbers[0], self.numbers[-1], self.num_kept)[:, None]
        self.to_keep = set(self.numbers[np.abs(self.numbers - even).argmin(axis=1)].tolist())
        return self.prepare.begin(self.numbers)

    def take(self, rgb: np.ndarray) -> np.ndarray:
        """The next needed frame; nothing of it stays with the decoder."""
        number = int(self.numbers[self.position])
        self.position += 1
        self.held[number] = self.prepare(rgb)
        if number in self.to_keep:
            self.kept[number] = self.held[number]
        while self.done < len(self.windows) and number >= self._last_of_part():
            self._finish_part()
        return np.zeros(1, np.uint8)

    def _last_of_part(self) -> int:
        return int(self.last_needed[self.done : self.done + self.at_once].max())

    def _finish_part(self) -> None:
        windows: tuple[Window, ...] = self.windows[self.done : self.done + self.at_once]
        indices = np.array([window.frame_indices for window in windows])
        needed = np.unique(indices)
        self.results.append(
            self.work(
                ClipPixels(
                    frames=np.stack([self.held[number] for number in needed.tolist()]),
                    windows=windows,
                    rows=np.searchsorted(needed, indices),
                    timestamps=np.full(indices.shape, np.nan),
                    num_frames=self.num_frames,
                    preprocessing=self.preprocessing,
                )
            )
        )
        self.done += len(windows)
        if self.done < len(self.windows):
            first = self.windows[self.done].start_frame
            self.held = {number: pixels for number, pixels in self.held.items() if number >= first}
