"""Rows of windows go in, one vector a clip comes out: the arithmetic between a stored level and a feature matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Features(NamedTuple):
    """One feature vector a clip, ready for a classifier.

    Attributes
    ----------
    X : ndarray of float32, shape (num_clips, dim)
    y : ndarray of str, shape (num_clips,)
        Labels as the manifest says them.
    subjects : ndarray of str, shape (num_clips,)
    clip_ids : ndarray of str, shape (num_clips,)
    """

    X: np.ndarray
    y: np.ndarray
    subjects: np.ndarray
    clip_ids: np.ndarray


class WindowFeatures(NamedTuple):
    """One feature vector a window-view, with the clip it belongs to.

    Attributes
    ----------
    X : ndarray of float32, shape (num_rows, dim)
    clip_index : ndarray of int, shape (num_rows,)
        Position of the row's clip in the cache; ascending.
    multiplicity : ndarray of int, shape (num_rows,)
        How many of the rule's windows the row stands for.
    """

    X: np.ndarray
    clip_index: np.ndarray
    multiplicity: np.ndarray


def mean_of_clip(values: np.ndarray) -> np.ndarray:
    """A clip's rows (R, …) as the one vector that stands for it, (dim,): that row of :func:`mean_over_windows`, bit for bit."""
    rows = values.reshape(len(values), -1)
    share, total = _share(len(rows)), rows[0]
    if len(rows) > 1:
        total = total * share
        for row in rows[1:]:
            total += row * share
    return total


def mean_over_windows(windows: WindowFeatures, num_clips: int) -> np.ndarray:
    """Mean over each clip's windows, identical ones weighed once however often the rule made them: float32 (num_clips, dim)."""
    counts = np.bincount(windows.clip_index, minlength=num_clips)
    if len(windows.X) == num_clips:  # one row a clip: nothing to average, so nothing may be rounded
        return windows.X
    starts, share = np.cumsum(counts) - counts, _share(counts)[:, None]
    total = windows.X[starts] * share
    for number in range(1, int(counts.max())):  # window by window, in the order in which one clip alone is summed
        more = counts > number
        total[more] += windows.X[starts[more] + number] * share[more]
    return total


def _share(counts: int | np.ndarray) -> np.ndarray:
    return np.divide(1, counts).astype(np.float32)
