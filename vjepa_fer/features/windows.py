"""What a probe said about each window goes in; one decision a clip comes out, by a rule that is named.

``mean-feature`` averages windows before the probe sees them, so that a clip is one row in training too. ``joined-windows`` shows a
probe that reads tokens all windows of a view as one sequence, as V-JEPA's own evaluation does, in training too; where there are several
views, each is a row, and its answers about them are averaged. The other rules train on windows and join its answers about a
clip's windows. Identical windows were encoded once and are weighed once, in training,
in the mean and in every rule for windows: a clip of 64 frames that a sampling rule pads into eight equal windows has said one thing, not the
same thing eight times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.features.ties import equals_in, first_of_equals


class Windowed(NamedTuple):
    """Features a row a window, or a row a view, with everything else a row a clip.

    Attributes
    ----------
    X : ndarray of float32, shape (num_rows, dim)
        Or a :class:`~vjepa_fer.features.TokenStream`.
    y, subjects, clip_ids : ndarray of str, shape (num_clips,)
    clip_index : ndarray of int, shape (num_rows,)
        Position of the row's clip; ascending.
    """

    X: np.ndarray
    y: np.ndarray
    subjects: np.ndarray
    clip_ids: np.ndarray
    clip_index: np.ndarray


def rows_of(features: Any, clips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of these clips (ascending) in ``features.X``, and each row's clip: its windows, or the one row that it is."""
    if not isinstance(features, Windowed):
        return clips, clips
    rows = np.flatnonzero(np.isin(features.clip_index, clips))
    return rows, features.clip_index[rows]


class JoinedWindows(NamedTuple):
    """A decision a clip: probabilities (num_clips, num_classes), and the number of the class decided for, (num_clips,)."""

    probabilities: np.ndarray
    predicted: np.ndarray


def join_windows(rule: str, probabilities: np.ndarray, votes: np.ndarray, clip: np.ndarray) -> JoinedWindows:
    """Decide each clip by `rule`.

    Of equal classes the first in the order of their names wins (:mod:`vjepa_fer.features.ties`); equal numbers of votes for the larger summed
    probability, and only then for the first.

    Parameters
    ----------
    rule : str
        Of :data:`RULES`.
    probabilities : ndarray of float64, shape (num_rows, num_classes)
    votes : ndarray of int64, shape (num_rows,)
        The class that the probe decided for, row by row.
    clip : ndarray of int64, shape (num_rows,)
        Clip of each row, numbered from 0 without gaps.
    """
    return RULES[rule](np.asarray(probabilities, np.float64), votes, clip)


def _sums(values: np.ndarray, clip: np.ndarray) -> np.ndarray:
    total = np.zeros((int(clip.max()) + 1, values.shape[1]))
    np.add.at(total, clip, values)
    return total


def _by_sum(probabilities: np.ndarray, votes: np.ndarray, clip: np.ndarray) -> JoinedWindows:
    total = _sums(probabilities, clip)
    return JoinedWindows(total / total.sum(axis=1, keepdims=True), first_of_equals(total))


def _by_mean(probabilities: np.ndarray, votes: np.ndarray, clip: np.ndarray) -> JoinedWindows:
    mean = _sums(probabilities, clip) / np.bincount(clip)[:, None]
    return JoinedWindows(mean, first_of_equals(mean))


def _by_mean_logit(probabilities: np.ndarray, votes: np.ndarray, clip: np.ndarray) -> JoinedWindows:
    logits = np.log(np.clip(probabilities, np.finfo(np.float64).eps, 1))
    mean = _sums(logits, clip) / np.bincount(clip)[:, None]
    likely = np.exp(mean - mean.max(axis=1, keepdims=True))
    return JoinedWindows(likely / likely.sum(axis=1, keepdims=True), first_of_equals(mean))


def _by_vote(probabilities: np.ndarray, votes: np.ndarray, clip: np.ndarray) -> JoinedWindows:
    ballots = _sums(np.eye(probabilities.shape[1])[votes], clip)
    total = np.where(equals_in(ballots), _sums(probabilities, clip), -1)
    return JoinedWindows(ballots / ballots.sum(axis=1, keepdims=True), first_of_equals(total))


RULES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], JoinedWindows]] = {
    "mean-probability": _by_mean,
    "sum": _by_sum,
    "vote": _by_vote,
    "mean-logit": _by_mean_logit,
}
"""How answers about windows are joined. ``sum`` is the paper's; it decides as ``mean-probability`` does, a clip's windows
being as many for every class."""
