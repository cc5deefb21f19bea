"""Which frames of a clip make its windows: from a number of frames and a rule to frame numbers, nothing decoded.

The corrected rule, 16 frames 4 apart (a window spans 61 frames), on a clip of 111 frames::

    frame      0    4    8   …   56   60                  106  110
    segment 1  ●────●────●── … ──●────●                             starts at 0
    segment 2            50  ●────●────●── … ──●────●────●          starts at 50, ends at the clip's last frame
    sliding    one such window from every start 0, 1, 2, … 50: 111 − 61 + 1 = 51 windows at stride 1

A clip shorter than a window repeats its last frame (20 frames: ``0 4 8 12 16 19 19 19 …``, six of them real).
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
        How much further on each of its frames is, from 0, never decreasing; all windows of a clip share one.
    multiplicity : int
        How many windows of the rule this one stands for: equal windows are encoded once.
    """

    start_frame: int
    offsets: tuple[int, ...]
    multiplicity: int

    @property
    def frame_indices(self) -> tuple[int, ...]:
        """Frame numbers from 0, never decreasing, as many as the encoder takes."""
        return tuple(self.start_frame + offset for offset in self.offsets)

    @property
    def last_frame(self) -> int:
        """The last of its frames."""
        return self.start_frame + self.offsets[-1]

    @property
    def num_real_frames(self) -> int:
        """How many of its frames are distinct; they come first and the rest repeat the last one."""
        return len(set(self.offsets))


class Pattern(NamedTuple):
    """Windows before equal ones are merged: each of `starts` (W,) with its frames `offsets` (F,) further on, int64."""

    starts: np.ndarray
    offsets: np.ndarray

    def indices(self) -> np.ndarray:
        """The frames of each window, int64 (W, F)."""
        return self.starts[:, None] + self.offsets


def sample_windows(num_frames: int, sampling: Sampling) -> tuple[Window, ...]:
    """Windows of a clip of `num_frames` frames, by rising start; equal ones are merged.

    Time and memory grow with the number of windows, not with the number of frames.

    Raises
    ------
    ValueError
        `num_frames` is below 1.

    Examples
    --------
    >>> [w.start_frame for w in sample_windows(111, Sampling(num_segments=3))]
    [0, 25, 50]
    >>> [w.multiplicity for w in sample_windows(20, Sampling(num_segments=3))]
    [3]
    """
    if num_frames < 1:
        raise ValueError(f"num_frames ({num_frames}) must be above 0: a clip without frames has no windows")
    starts, offsets = _RULES[sampling.rule, sampling.mode](num_frames, sampling)
    # the reference's arithmetic makes frame −1 of a one-frame clip: decoders read the last frame
    starts, shared = (starts + offsets[0]) % num_frames, tuple((offsets - offsets[0]).tolist())
    counted = Counter(starts.tolist())
    return tuple(Window(start, shared, times) for start, times in counted.items())


def indices_of(windows: Sequence[Window]) -> np.ndarray:
    """The frames of each of a clip's windows, int64 (W, F)."""
    return np.array([window.start_frame for window in windows])[:, None] + np.array(windows[0].offsets)


def needed_frames(windows: Sequence[Window]) -> np.ndarray:
    """The frames that some window of a clip has, int64 (K,) rising; in memory that does not grow with a window's length."""
    starts, offsets = [window.start_frame for window in windows], windows[0].offsets
    begins = np.zeros(max(starts) + 1, bool)
    begins[starts] = True
    needed = np.zeros(len(begins) + offsets[-1], bool)
    for offset in set(offsets):
        needed[offset : offset + len(begins)] |= begins
    return np.flatnonzero(needed)


def window_span(sampling: Sampling) -> int:
    """Frames from a window's first to its last, both included: 61 for 16 frames 4 apart."""
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
