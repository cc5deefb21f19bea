"""Which frames of a clip make its windows: from a number of frames, or from their times, and a rule to frame numbers; nothing decoded.

The corrected rule, 16 frames 4 apart (a window spans 61 frames), on a clip of 111 frames::

    frame      0    4    8   …   56   60                  106  110
    segment 1  ●────●────●── … ──●────●                             starts at 0
    segment 2            50  ●────●────●── … ──●────●────●          starts at 50, ends at the clip's last frame
    sliding    one such window from every start 0, 1, 2, … 50: 111 − 61 + 1 = 51 windows at stride 1

A clip shorter than a window repeats its last frame (20 frames: ``0 4 8 12 16 19 19 19 …``, six of them real).

The reference rule is V-JEPA's own arithmetic, as its evaluation does it where nothing is left to chance. Where a segment is longer than a
window (``num_frames // num_segments > frames_per_window * frame_step``: with 16 frames 4 apart and eight segments from 520 frames on) the
official validation shifts each window at random within its segment, as training does: ``random_clip_sampling`` is never off there. Such
clips have no bit-equal rule; ours begins each window with its segment.

By time, 8 moments a second, on a clip whose camera paused (a frame is shown until the next one)::

    seconds    0     0.125   0.25    0.375   0.5 …                  the moments of a window
    shown at   0  0.04  0.08  0.12     (pause)      0.45  0.49 …    the clip's frames
    taken      ●          0.12 ●  0.12 ●   0.12 ●   0.49 ●          of each moment the frame that is on the screen

V-JEPA's own loader knows such a rate too (facebookresearch/vjepa2, ``src/datasets/video_dataset.py``): it makes one step in frames of
it, the file's average rate (rounded up) over the one asked for, rounded down, and counts frames. On a steady rate that divides evenly the
two agree. At 30 frames a second and 8 asked for it takes every third (10 a second), where this takes 8; and where the rate varies its
windows span different times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vjepa_fer.recipe import Sampling


@dataclass(frozen=True, slots=True)
class Window:
    """The frames of a clip that go through the encoder in one pass.

    Attributes
    ----------
    start_frame : int
        The first frame.
    offsets : tuple of int
        How much further on each of its frames is, from 0, never decreasing; one for all windows of a clip by a rule in frames.
    multiplicity : int
        How many windows of the rule this one stands for: equal windows are encoded once.
    num_real_frames : int
        How many of its frames the clip has; they come first, and the rest repeat the last one.
    """

    start_frame: int
    offsets: tuple[int, ...]
    multiplicity: int
    num_real_frames: int

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """Frame numbers from 0, never decreasing, as many as the encoder takes."""
        return tuple(self.start_frame + offset for offset in self.offsets)

    @property
    def last_frame(self) -> int:
        """The last of its frames."""
        return self.start_frame + self.offsets[-1]


class Pattern(NamedTuple):
    """Windows before equal ones are merged: each of `starts` (W,) with its frames `offsets` (F,) further on, int64."""

    starts: np.ndarray
    offsets: np.ndarray

    def indices(self) -> np.ndarray:
        """The frames of each window, int64 (W, F)."""
        return self.starts[:, None] + self.offsets


def sample_windows(num_frames: int, sampling: Sampling, seconds: np.ndarray | None = None) -> tuple[Window, ...]:
    """Windows of a clip of `num_frames` frames, by rising start; equal ones are merged.

    Time and memory grow with the number of windows, not with the number of frames.

    Parameters
    ----------
    seconds : ndarray, shape (num_frames,), float64, optional
        When each frame is shown; needed where `sampling` has `frames_per_second`.

    Raises
    ------
    ValueError
        `num_frames` is below 1, or times are needed and missing.

    Examples
    --------
    >>> [w.start_frame for w in sample_windows(111, Sampling(num_segments=3))]
    [0, 25, 50]
    >>> [w.multiplicity for w in sample_windows(20, Sampling(num_segments=3))]
    [3]
    >>> sample_windows(100, Sampling(frames_per_second=8, num_segments=1), np.arange(100) / 25)[0].offsets[:9]
    (0, 3, 6, 9, 12, 16, 19, 22, 25)
    """
    if num_frames < 1:
        raise ValueError(f"num_frames ({num_frames}) must be above 0: a clip without frames has no windows")
    if sampling.frames_per_second is not None:
        if seconds is None or len(seconds) != num_frames:
            raise ValueError(f"frames_per_second {sampling.frames_per_second:g} needs the time of each frame")
        return _timed_windows(seconds, sampling)
    starts, offsets = _RULES[sampling.rule, sampling.mode](num_frames, sampling)
    # the reference's arithmetic makes frame −1 of a one-frame clip: decoders read the last frame
    starts, shared = (starts + offsets[0]) % num_frames, tuple((offsets - offsets[0]).tolist())
    counted, real = Counter(starts.tolist()), len(set(shared))
    return tuple(Window(start, shared, times, real) for start, times in counted.items())


EARLY_SECONDS = 0.001
"""A frame counts as shown so long before its time: FLV and Matroska round times to a millisecond, the first frame's as well."""


def _timed_windows(seconds: np.ndarray, sampling: Sampling) -> tuple[Window, ...]:
    """Windows by time: `frames_per_window` moments, 1 / `frames_per_second` apart, and of each the frame that is on the screen then.

    A frame is shown until the next one is. Segments start evenly spread in time from the first frame to the last start from which a
    window still ends with the last frame; sliding windows every `stride` moments, and at that last start. Moments after the last
    frame's time show the last frame.
    """
    shown = np.maximum.accumulate(seconds - seconds[0])  # a clock that steps back shows nothing earlier
    step = 1 / sampling.frames_per_second  # type: ignore[operator]
    steps = np.arange(sampling.frames_per_window) * step
    last_start = max(float(shown[-1] - steps[-1]), 0.0)
    moments = _timed_starts(last_start, step, sampling)[:, None] + steps  # (W, F)
    frames = np.searchsorted(shown, moments + EARLY_SECONDS, side="right") - 1
    real = (moments <= shown[-1] + EARLY_SECONDS).sum(axis=1)
    rows, first, counts = np.unique(frames, axis=0, return_index=True, return_counts=True)
    patterns: dict[tuple[int, ...], tuple[int, ...]] = {}  # a steady rate makes few: they are held once
    windows = []
    for row, multiplicity, whole in zip(rows, counts.tolist(), real[first].tolist(), strict=True):
        offsets = tuple((row - row[0]).tolist())
        windows.append(Window(int(row[0]), patterns.setdefault(offsets, offsets), multiplicity, whole))
    return tuple(windows)


def _timed_starts(last_start: float, step: float, sampling: Sampling) -> np.ndarray:
    if sampling.mode == "sliding":
        apart = sampling.stride * step
        starts = np.arange(int((last_start + EARLY_SECONDS) / apart) + 1) * apart
        is_new = starts[-1] < last_start - EARLY_SECONDS
        return np.append(starts, last_start) if is_new else starts
    if sampling.num_segments == 1:
        return np.array([last_start / 2])
    return np.linspace(0, last_start, sampling.num_segments)


def most_windows(sampling: Sampling, seconds: np.ndarray | None) -> int:
    """How many windows by time there can be, before any is made: hostile times may be years apart; 0 for a rule in frames."""
    if sampling.frames_per_second is None or seconds is None:
        return 0
    if sampling.mode == "segments":
        return sampling.num_segments
    return int((seconds.max() - seconds.min()) * sampling.frames_per_second / sampling.stride) + 2


def indices_of(windows: Sequence[Window]) -> np.ndarray:
    """The frames of each of a clip's windows, int64 (W, F)."""
    first = windows[0].offsets
    shared = all(window.offsets is first for window in windows)
    offsets = np.array(first) if shared else np.array([window.offsets for window in windows])
    return np.array([window.start_frame for window in windows])[:, None] + offsets


def needed_frames(windows: Sequence[Window]) -> np.ndarray:
    """The frames that some window of a clip has, int64 (K,) rising; in memory that does not grow with a window's length."""
    starts: dict[tuple[int, ...], list[int]] = {}
    for window in windows:
        starts.setdefault(window.offsets, []).append(window.start_frame)
    needed = np.zeros(max(window.last_frame for window in windows) + 1, bool)
    for offsets, begins in starts.items():
        if len(begins) < len(offsets):
            for begin in begins:
                needed[begin + np.array(offsets)] = True
            continue
        is_begin = np.zeros(max(begins) + 1, bool)
        is_begin[begins] = True
        for offset in set(offsets):
            needed[offset : offset + len(is_begin)] |= is_begin
    return np.flatnonzero(needed)


def as_table(windows: Sequence[Window]) -> np.ndarray:
    """Windows as numbers, int64 (W, F + 2): the frames of each, its multiplicity, its real frames."""
    facts = np.array([(window.multiplicity, window.num_real_frames) for window in windows])
    return np.concatenate([indices_of(windows), facts], axis=1).astype(np.int64)


def from_table(table: np.ndarray) -> tuple[Window, ...]:
    """The windows that :func:`as_table` made numbers of."""
    patterns: dict[tuple[int, ...], tuple[int, ...]] = {}
    windows = []
    for *frames, multiplicity, real in table.tolist():
        offsets = tuple(frame - frames[0] for frame in frames)
        windows.append(Window(frames[0], patterns.setdefault(offsets, offsets), multiplicity, real))
    return tuple(windows)


def window_span(sampling: Sampling) -> int:
    """Frames from a window's first to its last, both included, by a rule in frames: 61 for 16 frames 4 apart."""
    return (sampling.frames_per_window - 1) * sampling.frame_step + 1


def corrected_segments(num_frames: int, sampling: Sampling) -> Pattern:
    """`num_segments` windows, their starts spread evenly from the first to the last possible one.

    The first begins with the clip and the last ends with it; a single one sits in the middle.
    """
    last_start = max(num_frames - window_span(sampling), 0)
    gaps = sampling.num_segments - 1
    if gaps == 0:
        return _evenly_spaced(np.array([last_start // 2]), num_frames, sampling)
    starts = (np.arange(gaps + 1) * last_start + gaps // 2) // gaps  # rounded to the nearest frame
    return _evenly_spaced(starts, num_frames, sampling)


def corrected_sliding(num_frames: int, sampling: Sampling) -> Pattern:
    """A window every `stride` frames, and always the one that ends with the clip's last frame.

    At stride 1 there are ``num_frames - window_span(sampling) + 1``, at least one.
    """
    last_start = max(num_frames - window_span(sampling), 0)
    starts = np.arange(0, last_start + 1, sampling.stride)
    return _evenly_spaced(np.union1d(starts, last_start), num_frames, sampling)


def _evenly_spaced(starts: np.ndarray, num_frames: int, sampling: Sampling) -> Pattern:
    steps = np.arange(sampling.frames_per_window) * sampling.frame_step
    return Pattern(starts, np.minimum(steps, num_frames - 1))  # only a clip shorter than a window is cut here


def reference_segments(num_frames: int, sampling: Sampling, *, allow_overlap: bool = True) -> Pattern:
    """The segments of V-JEPA's published evaluation, slips included, without their random shift in training.

    Kept for comparison: a window counts 64 frames although 16 frames 4 apart span 61; its frames are 4.5 apart on a clip
    below 520 frames, the last one doubled; a short clip never reaches its last frame. As the reference computes them: a clip too
    short to have a frame in each segment gives −1.

    Parameters
    ----------
    allow_overlap : bool
        Whether windows may overlap when a segment is shorter than a window. The published evaluations say yes; no
        repeats the segment's last frame instead.
    """
    window = sampling.frames_per_window * sampling.frame_step
    segment = num_frames // sampling.num_segments
    if segment > window:
        first, shift = _stretched(window, sampling.frames_per_window, sampling), segment
    elif allow_overlap:
        length = min(window, num_frames) - 1
        first = _stretched(length, length // sampling.frame_step, sampling)
        shift = (num_frames - window) // (sampling.num_segments - 1) if num_frames > window else 0
    else:
        first, shift = _stretched(segment, segment // sampling.frame_step, sampling), segment
    return Pattern(shift * np.arange(sampling.num_segments), first)


def reference_sliding(num_frames: int, sampling: Sampling) -> Pattern:
    """The sliding windows of the paper's full-video test, slips included: the clip's last window is never made."""
    window = sampling.frames_per_window * sampling.frame_step
    if num_frames <= window:
        return Pattern(np.zeros(1, np.int64), _stretched(num_frames, num_frames // sampling.frame_step, sampling))
    starts = np.arange(0, num_frames - window, sampling.stride)
    return Pattern(starts, _stretched(window, sampling.frames_per_window, sampling))


def _stretched(length: int, points: int, sampling: Sampling) -> np.ndarray:
    """`points` positions from 0 to `length` inclusive, filled up with `length`, cut to ``length - 1``: the reference's habit."""
    positions = np.full(sampling.frames_per_window, float(length))
    positions[:points] = np.linspace(0, length, points)
    return np.clip(positions, 0, length - 1).astype(np.int64)


_RULES = {
    ("corrected", "segments"): corrected_segments,
    ("corrected", "sliding"): corrected_sliding,
    ("reference", "segments"): reference_segments,
    ("reference", "sliding"): reference_sliding,
}
