"""Out-of-fold probabilities go in; the clips whose label is most likely wrong come out: confident learning.

After Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021), section 3.1. A class'
threshold is how sure the classifier is, on average, of the clips labelled so. A clip that reaches another class' threshold, and no
likelier one's, counts for that class, whatever its label says. cleanlab does the same and a dozen things more; this is what is needed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.judging.predictions import Predictions


@dataclass(frozen=True)
class LabelIssue:
    """A clip whose label is doubtful.

    Attributes
    ----------
    clip_id, subject : str
    label, suggested : str
        What counts as right, and the class that the clip confidently counts for.
    probability_of_label, probability_of_suggested : float
        Out of fold.
    """

    clip_id: str
    subject: str
    label: str
    suggested: str
    probability_of_label: float
    probability_of_suggested: float


def find_label_issues(predictions: Predictions) -> tuple[LabelIssue, ...]:
    """The clips that confidently count for another class than their label's, the most doubtful first.

    Doubt is by how much the suggested class is likelier than the label; equal ones go by their id.

    Raises
    ------
    RunError
        There are no probabilities.
    """
    if predictions.probabilities is None:
        raise RunError("labels can be doubted by probabilities only; these predictions have none")
    values, label = predictions.probabilities, predictions.truth
    counts_for = confident_classes(values, label)
    rows = np.flatnonzero((counts_for >= 0) & (counts_for != label))
    found = _issues(predictions, rows, counts_for[rows])
    return tuple(sorted(found, key=lambda one: (one.probability_of_label - one.probability_of_suggested, one.clip_id)))


def confident_classes(probabilities: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The class that each clip confidently counts for, int (num_clips,); −1 for those that reach no threshold.

    Parameters
    ----------
    probabilities : ndarray of float64, shape (num_clips, num_classes)
    label : ndarray of int64, shape (num_clips,)
    """
    clips = np.bincount(label, minlength=probabilities.shape[1])
    own = np.bincount(label, probabilities[np.arange(len(label)), label], minlength=probabilities.shape[1])
    thresholds = np.where(clips > 0, own / np.maximum(clips, 1), np.inf)  # nobody counts for a class that no clip has
    reached = np.where(
        probabilities >= thresholds - 1e-12, probabilities, -1.0
    )  # a mean of equal numbers may lie above them
    return np.where(reached.max(axis=1) >= 0, reached.argmax(axis=1), -1)


def _issues(predictions: Predictions, rows: np.ndarray, suggested: np.ndarray) -> list[LabelIssue]:
    values, label, names = np.asarray(predictions.probabilities), predictions.truth[rows], predictions.classes
    columns = (
        predictions.clip_ids[rows].tolist(),
        predictions.subjects[rows].tolist(),
        [names[number] for number in label.tolist()],
        [names[number] for number in suggested.tolist()],
        values[rows, label].tolist(),
        values[rows, suggested].tolist(),
    )
    return [LabelIssue(*one) for one in zip(*columns, strict=True)]
