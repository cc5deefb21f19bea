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


def mean_over_windows(windows: WindowFeatures, num_clips: int) -> np.ndarray:
    """Mean over each clip's windows, identical ones weighed once however often the rule made them: float32 (num_clips, dim)."""
    starts = np.flatnonzero(np.r_[True, np.diff(windows.clip_index) > 0])
    if len(starts) == len(windows.X):  # one row a clip: nothing to average, so nothing may be rounded
        return windows.X
    share = (1 / np.bincount(windows.clip_index, minlength=num_clips)[windows.clip_index]).astype(np.float32)[:, None]
    return np.add.reduceat(windows.X * share, starts, axis=0)
