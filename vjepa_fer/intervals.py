"""Predictions go in; how far each figure might be off with other subjects comes out.

Clips of one person are alike, so the people are drawn anew, not the clips: intervals over clips are two to three times too
narrow on RAVDESS and CREMA-D.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vjepa_fer import metrics
from vjepa_fer.predictions import Predictions

NUM_DRAWS = 5000


class Interval(NamedTuple):
    """Lower and upper end, as fractions."""

    low: float
    high: float


def confusion_by_subject(predictions: Predictions) -> np.ndarray:
    """One confusion matrix a subject, in the order of their sorted names, int64 (num_subjects, C, C)."""
    _, subject = np.unique(predictions.subjects, return_inverse=True)
    return metrics.confusion_by_group(predictions.truth, predictions.predicted, subject, len(predictions.classes))


def draw_subjects(num_subjects: int, *, num_draws: int = NUM_DRAWS, seed: int = 0) -> np.ndarray:
    """How often each subject is drawn, with replacement, int64 (num_draws, num_subjects)."""
    return np.random.default_rng(seed).multinomial(
        num_subjects, np.full(num_subjects, 1 / num_subjects), size=num_draws
    )


def subject_intervals(
    predictions: Predictions, *, num_draws: int = NUM_DRAWS, confidence: float = 0.95, seed: int = 0
) -> Mapping[str, Interval]:
    """Percentile bootstrap intervals over subjects of each pooled figure of :data:`vjepa_fer.metrics.SCORES`.

    Returns
    -------
    mapping
        By figure; empty when a clip has no subject, or all have the same.
    """
    if predictions.num_subjects < 2 or (predictions.subjects == "").any():
        return {}
    by_subject = confusion_by_subject(predictions)
    drawn = draw_subjects(len(by_subject), num_draws=num_draws, seed=seed)
    pooled = np.tensordot(drawn.astype(np.float64), by_subject.astype(np.float64), axes=1)  # (num_draws, C, C)
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    return {
        name: Interval(*(float(end) for end in np.quantile(figure(pooled), tails)))
        for name, figure in metrics.SCORES.items()
    }
