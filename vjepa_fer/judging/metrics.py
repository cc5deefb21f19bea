"""True and predicted classes go in; WAR, UAR, F1 and calibration come out, as fractions between 0 and 1.

Every score is a function of the confusion matrix alone, rows = truth, columns = prediction, and works on whole stacks of
matrices (..., C, C): one a fold, one a subject, or ten thousand bootstrap draws. The field's names are WAR (weighted
average recall, which is accuracy) and UAR (unweighted average recall, which is macro recall). numpy alone, because a
table of logistic regression should not wait for scikit-learn's import.
"""

from __future__ import annotations

import numpy as np


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts, int64 (C, C), rows = truth, from class numbers, both int (num_clips,)."""
    flat = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def confusion_by_group(truth: np.ndarray, predicted: np.ndarray, group: np.ndarray, num_classes: int) -> np.ndarray:
    """One confusion matrix a group, int64 (num_groups, C, C); `group` is int (num_clips,), numbered from 0."""
    num_groups = int(group.max()) + 1
    flat = np.bincount((group * num_classes + truth) * num_classes + predicted, minlength=num_groups * num_classes**2)
    return flat.reshape(num_groups, num_classes, num_classes)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def recall(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that was found, (..., C); NaN for a class without clips."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1))


def precision(confusion: np.ndarray) -> np.ndarray:
    """Share of each predicted class that is right, (..., C); NaN for a class that was never predicted."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-2))


def f1(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall a class, (..., C); NaN for a class neither true nor predicted."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _ratio(2 * hits, confusion.sum(-1) + confusion.sum(-2))


def war(confusion: np.ndarray) -> np.ndarray:
    """Weighted average recall = accuracy, (...)."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum((-2, -1)))


def uar(confusion: np.ndarray) -> np.ndarray:
    """Unweighted average recall = macro recall, over the classes that have clips, (...)."""
    return _mean_of_defined(recall(confusion))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 over the classes that are true or predicted, (...), as scikit-learn's default does."""
    return _mean_of_defined(f1(confusion))


def macro_precision(confusion: np.ndarray) -> np.ndarray:
    """Mean precision over the classes that are true or predicted, one never predicted counting 0, (...), as scikit-learn does.

    What the code of arXiv 2601.09524 prints as "UAR" is this.
    """
    seen = (confusion.sum(-1) > 0) | (confusion.sum(-2) > 0)
    return _ratio(np.where(seen, np.nan_to_num(precision(confusion)), 0).sum(-1), seen.sum(-1))


def weighted_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 weighted by how many clips each true class has, (...)."""
    support = confusion.sum(-1)
    return _ratio((np.nan_to_num(f1(confusion)) * support).sum(-1), support.sum(-1))


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


SCORES = {
    "war": war,
    "uar": uar,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "macro_precision": macro_precision,
}
"""The headline figures, in the order in which tables show them."""

BY_CLASS = {"recall": recall, "precision": precision, "f1": f1}
"""The figures that each class has."""


def log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of −ln p(true class), in nats."""
    return float(losses(truth, probabilities).mean())


def losses(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """−ln p(true class) of each clip, with p held above 2⁻⁵² so that one certain mistake stays finite, as scikit-learn does."""
    held = np.clip(probabilities[np.arange(len(truth)), truth].astype(np.float64), np.finfo(np.float64).eps, 1)
    return -np.log(held)


NUM_BINS = 15


def expected_calibration_error(
    truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, *, num_bins: int = NUM_BINS
) -> float:
    """Mean gap between confidence (the probability of the predicted class) and accuracy, over equal-width bins.

    Bin k holds confidences in (k / num_bins, (k+1) / num_bins], weighted by its clips (Guo et al. 2017).
    """
    together = np.zeros(len(truth), np.int64)
    surplus = surplus_by_bin(truth, predicted, probabilities, together, num_bins=num_bins)
    return float(np.abs(surplus).sum() / len(truth))


def surplus_by_bin(
    truth: np.ndarray,
    predicted: np.ndarray,
    probabilities: np.ndarray,
    group: np.ndarray,
    *,
    num_bins: int = NUM_BINS,
) -> np.ndarray:
    """Confidence minus hits, summed over each group's clips of each bin: float64 (num_groups, num_bins)."""
    confidence = probabilities[np.arange(len(truth)), predicted].astype(np.float64)
    edges = np.round(confidence * num_bins, 9)  # 1/3 is in one bin, whichever column was summed first
    bins = np.clip(np.ceil(edges).astype(int) - 1, 0, num_bins - 1)
    num_groups = int(group.max()) + 1
    flat = np.bincount(
        group * num_bins + bins, weights=confidence - (truth == predicted), minlength=num_groups * num_bins
    )
    return flat.reshape(num_groups, num_bins)
