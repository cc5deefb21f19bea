"""Predictions go in; how far each figure might be off with other subjects comes out.

Clips of one person are alike, so the people are drawn anew, not the clips: intervals over clips are two to three times too
narrow on RAVDESS and CREMA-D. As many subjects as there are are drawn with replacement, :data:`NUM_DRAWS` times with a fixed
seed; all clips of a drawn subject come with it, and the pooled figure is taken anew. An interval holds the middle 95 % of these
figures (the percentile bootstrap).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.experiment import Statistics
from vjepa_fer.judging import metrics
from vjepa_fer.judging.predictions import Predictions

NUM_DRAWS, CONFIDENCE = Statistics().num_draws, Statistics().confidence

_MAX_COUNTS = 2**22
"""So many counts at a time: thirty thousand clips without a known subject must not take a gigabyte."""


class Interval(NamedTuple):
    """Lower and upper end, as fractions (of log-loss: nats)."""

    low: float
    high: float


def method_of(statistics: Statistics) -> dict[str, Any]:
    """How the intervals of a result were made, for JSON."""
    made = {"draws": statistics.num_draws, "confidence": statistics.confidence, "seed": statistics.seed}
    return {"method": "percentile bootstrap over subjects", **made}


def subject_numbers(predictions: Predictions) -> np.ndarray:
    """Each clip's subject, int64 (num_clips,), numbered in the order of the sorted names."""
    return np.unique(predictions.subjects, return_inverse=True)[1]


def confusion_by_subject(predictions: Predictions) -> np.ndarray:
    """One confusion matrix a subject, in the order of their sorted names, int64 (num_subjects, C, C)."""
    subject = subject_numbers(predictions)
    return metrics.confusion_by_group(predictions.truth, predictions.predicted, subject, len(predictions.classes))


def resample(by_subject: np.ndarray, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> np.ndarray:
    """Sums over subjects drawn with replacement, as many as there are.

    Parameters
    ----------
    by_subject : ndarray, shape (num_subjects, …)
        What each subject adds: counts, losses …

    Returns
    -------
    ndarray of float64, shape (num_draws, …)
    """
    num_subjects, rng = len(by_subject), np.random.default_rng(seed)
    flat, sums = by_subject.reshape(num_subjects, -1).astype(np.float64), []
    step = max(1, min(num_draws, _MAX_COUNTS // num_subjects))
    for start in range(0, num_draws, step):
        num = min(step, num_draws - start)
        drawn = rng.integers(0, num_subjects, (num, num_subjects)) + num_subjects * np.arange(num)[:, None]
        times = np.bincount(drawn.ravel(), minlength=num * num_subjects).reshape(num, num_subjects)
        sums.append(times.astype(np.float64) @ flat)
    return np.concatenate(sums).reshape(num_draws, *by_subject.shape[1:])


class Intervals(NamedTuple):
    """Intervals of the pooled figures; everything is empty when a clip has no subject, or all have the same.

    Attributes
    ----------
    figures : mapping of str to Interval
        Of :data:`vjepa_fer.judging.metrics.SCORES`; with probabilities also ``ece`` and ``log_loss``.
    by_class : mapping of str to tuple of (Interval or None)
        ``recall``, ``precision`` and ``f1``, one a class; None where it is nowhere defined.
    """

    figures: Mapping[str, Interval]
    by_class: Mapping[str, tuple[Interval | None, ...]]


def intervals_of(
    predictions: Predictions, *, num_draws: int = NUM_DRAWS, confidence: float = CONFIDENCE, seed: int = 0
) -> Intervals:
    """Percentile bootstrap intervals over subjects; see the module's first lines for how."""
    if predictions.num_subjects < 2 or (predictions.subjects == "").any():
        return Intervals({}, {})
    subject, num_classes = subject_numbers(predictions), len(predictions.classes)
    counts = confusion_by_subject(predictions).reshape(subject.max() + 1, -1)
    trust = np.empty((len(counts), 0))
    if predictions.probabilities is not None:
        loss = metrics.losses(predictions.truth, predictions.probabilities)
        surplus = metrics.surplus_by_bin(predictions.truth, predictions.predicted, predictions.probabilities, subject)
        trust = np.column_stack([np.bincount(subject, weights=loss), surplus])
    drawn = resample(np.column_stack([counts, trust]), num_draws=num_draws, seed=seed)
    pooled = drawn[:, : num_classes**2].reshape(num_draws, num_classes, num_classes)
    worlds = {name: figure(pooled) for name, figure in metrics.SCORES.items()}
    if predictions.probabilities is not None:
        num_clips, drawn_trust = pooled.sum((1, 2)), drawn[:, num_classes**2 :]
        worlds["ece"] = np.abs(drawn_trust[:, 1:]).sum(axis=1) / num_clips
        worlds["log_loss"] = drawn_trust[:, 0] / num_clips
    by_class = {name: _each(figure(pooled), confidence) for name, figure in metrics.BY_CLASS.items()}
    return Intervals({name: _middle(values, confidence) for name, values in worlds.items()}, by_class)


def subject_intervals(
    predictions: Predictions, *, num_draws: int = NUM_DRAWS, confidence: float = CONFIDENCE, seed: int = 0
) -> Mapping[str, Interval]:
    """The ``figures`` of :func:`intervals_of`."""
    return intervals_of(predictions, num_draws=num_draws, confidence=confidence, seed=seed).figures


def _middle(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    low, high = np.quantile(values, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Interval(float(low), float(high))


def _each(values: np.ndarray, confidence: float) -> tuple[Interval | None, ...]:
    """The interval of each column, over the draws in which the class is defined."""
    defined = [column[~np.isnan(column)] for column in values.T]
    return tuple(_middle(column, confidence) if len(column) else None for column in defined)
