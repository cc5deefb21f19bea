"""A video of any length comes in; its windows go to a function a few at a time, as decoding reaches them, and are let go.

    decoded frame ─► frames that coming windows need ─► the last frame of some windows is there ─► work(these windows)

Memory is that of a few windows, from the first frame of the first to the last of the last, and a hundred bytes a window; for an
hour as for a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.decoding import DecodedVideo, decode_video
from vjepa_fer.video.kept import MAX_BYTES
from vjepa_fer.video.prepare import Preparer
from vjepa_fer.video.reading import ClipPixels, by_true_times, choose_windows, preparer
from vjepa_fer.video.sampling import Window, indices_of, needed_frames

T = TypeVar("T")

WINDOWS_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class MappedWindows(Generic[T]):
    """What became of a video's windows.

    Attributes
    ----------
    results : list
        Of each call, in order of time.
    windows : tuple of Window
        All W of them.
    num_frames : int
        Frames of the video, counted by decoding them.
    seconds : ndarray, shape (W, 2), float64
        When the first and the last frame of each window are shown.
    kept : ndarray, shape (K, H, W, 3), uint8
        Of the needed frames those nearest to evenly spaced ones, prepared.
    kept_seconds : ndarray, shape (K,), float64
    notes : tuple of str
        As :attr:`~vjepa_fer.video.DecodedVideo.notes`.
    """

    results: list[T]
    windows: tuple[Window, ...]
    num_frames: int
    seconds: np.ndarray
    kept: np.ndarray
    kept_seconds: np.ndarray
    notes: tuple[str, ...] = ()


def map_windows(
    path: str | os.PathLike[str],
    sampling: Sampling,
    preprocessing: Preprocessing,
    work: Callable[[ClipPixels], T],
    *,
    at_once: int = WINDOWS_AT_ONCE,
    num_kept: int = 0,
    max_bytes: int = MAX_BYTES,
    accept_truncated: bool = False,
    accept_resize: bool = False,
) -> MappedWindows[T]:
    """Decode a video once and call `work` with up to `at_once` windows at a time, whose timestamps are not known yet (NaN).

    What is accepted is as :func:`~vjepa_fer.video.decode_video` says.

    Raises
    ------
    VideoError
        See its `reason`, ``too_long`` where more than `max_bytes` of prepared frames would be held; `work` may have seen windows
        before a fault was met.
    """
    prepare = preparer(path, preprocessing, accept_truncated=accept_truncated, accept_resize=accept_resize)
    parts = _Parts(prepare, sampling, preprocessing, work, at_once, num_kept, max_bytes)

    def decoded(seconds: np.ndarray | None) -> DecodedVideo:
        return decode_video(
            path,
            parts.take,
            choose=lambda num_frames: parts.begin(num_frames, seconds),
            accept_truncated=accept_truncated,
            accept_resize=accept_resize,
            square_pixels=preprocessing.square_pixels,
        )

    video, _ = by_true_times(path, sampling, decoded, accept_truncated=accept_truncated)
    parts.prepare.check(video.num_frames)
    ends = np.array([(window.start_frame, window.last_frame) for window in parts.windows])
    kept = np.array(list(parts.kept.values()))
    seconds, kept_seconds = video.timestamps[ends], video.timestamps[list(parts.kept)]
    return MappedWindows(parts.results, parts.windows, video.num_frames, seconds, kept, kept_seconds, video.notes)


def frames_held(windows: Sequence[Window], at_once: int) -> int:
    """Prepared frames that :func:`map_windows` holds at most: those of `at_once` windows, and of later ones in between."""
    needed, starts = needed_frames(windows), np.array([window.start_frame for window in windows])
    firsts = np.minimum.accumulate(starts[::-1])[::-1][::at_once]  # what no later window needs is let go
    lasts = [_last_frame(windows[start : start + at_once]) for start in range(0, len(windows), at_once)]
    return int((np.searchsorted(needed, lasts, "right") - np.searchsorted(needed, firsts)).max())


def _last_frame(windows: Sequence[Window]) -> int:
    return max(window.last_frame for window in windows)


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
        max_bytes: int,
    ) -> None:
        self.prepare, self.sampling, self.preprocessing, self.work = prepare, sampling, preprocessing, work
        self.at_once, self.num_kept, self.max_bytes = at_once, num_kept, max_bytes

    def begin(self, num_frames: int, seconds: np.ndarray | None) -> list[int]:
        """Start, or start over with another number of frames, or other times."""
        self.num_frames = num_frames
        self.windows = choose_windows(self.prepare.path, num_frames, self.sampling, seconds)
        self.results: list[T] = []
        self.held: dict[int, np.ndarray] = {}
        self.kept: dict[int, np.ndarray] = {}
        self.done = self.position = 0
        self.numbers = needed_frames(self.windows)
        even = np.linspace(self.numbers[0], self.numbers[-1], self.num_kept)[:, None]
        self.to_keep = set(self.numbers[np.abs(self.numbers - even).argmin(axis=1)].tolist())
        return self.prepare.begin(self.numbers, num_frames)

    def take(self, rgb: np.ndarray) -> np.ndarray:
        """The next needed frame; nothing of it stays with the decoder."""
        number, pixels = int(self.numbers[self.position]), self.prepare(rgb)
        if not self.position:
            self._check_room(pixels.nbytes)
        self.position += 1
        self.held[number] = pixels
        if number in self.to_keep:
            self.kept[number] = pixels
        while self.done < len(self.windows) and number >= _last_frame(self._part()):
            self._finish_part()
        return np.zeros(1, np.uint8)

    def _check_room(self, frame_bytes: int) -> None:
        count = frames_held(self.windows, self.at_once) + self.num_kept
        if count * frame_bytes > self.max_bytes:
            message = (
                f"{count:,} of its frames have to be held for {self.at_once} windows, {count * frame_bytes / 1e9:.1f} GB of "
                f"pixels; at most {self.max_bytes / 1e9:.1f} GB are: take windows of fewer frames, or closer ones"
            )
            raise VideoError("too_long", self.prepare.path, message)

    def _part(self) -> tuple[Window, ...]:
        return self.windows[self.done : self.done + self.at_once]

    def _finish_part(self) -> None:
        windows = self._part()
        indices = indices_of(windows)
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
