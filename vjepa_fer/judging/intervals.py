"""Predictions go in; how far each figure might be off with other subjects comes out.

Clips of one person are alike, so people are counted, not clips: intervals over clips are two to three times too narrow on RAVDESS and
CREMA-D. Each subject is left out once (the jackknife); how far the figures move then gives the variance, and how unevenly they move
says how well it is known (degrees of freedom, fewer where a few people decide).

A share has the interval of Clopper and Pearson, for as many clips as would vary so if they were independent (Korn and Graubard 1998),
fewer by Student's t; a difference has Student's t interval, and a mean loss has that of its logarithm, further up where people are skewed
(Hall 1992). ``benchmarks/sim_coverage.py`` compares this with percentile, expanded percentile (Hesterberg 2015), BCa and studentised
bootstraps and with plain Student's t. Only this and the studentised bootstrap cover as promised from ten subjects on; this does from three,
without intervals of half the scale where errors are few, and draws nothing, so that no seed has a part in it. What it costs: with few clips
a class, a class's interval is wider than it need be (96 to 99 % where 95 are promised), as exact intervals of shares are.

Calibration error has no interval: it is a sum of absolute values, too high by chance, and an interval about it holds the truth in none of
a hundred studies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.experiment import Statistics
from vjepa_fer.judging import metrics
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.judging.quantiles import beta_quantile, normal_quantile, t_reach

CONFIDENCE = Statistics().confidence

FEWEST_SUBJECTS = 3
"""The spread of two people is one number, and says nothing of how well it is known."""

COVERS = (
    "other subjects of this kind, same fitted classifiers; how a figure moves when they are trained anew is not in it"
)
"""What an interval is about, for whoever reads one."""

METHOD = (
    "jackknife over subjects; Clopper-Pearson for the effective number of clips, Student's t for differences and "
    "for a loss's logarithm, with Hall's upper end where subjects are skewed"
)

_MAX_COUNTS = 2**22
"""So many counts at a time: thirty thousand clips without a known subject must not take a gigabyte."""


class Interval(NamedTuple):
    """Lower and upper end, as fractions (of log-loss: nats)."""

    low: float
    high: float


def method_of(statistics: Statistics) -> dict[str, Any]:
    """How the intervals of a result were made and what they cover, for JSON."""
    return {"method": METHOD, "confidence": statistics.confidence, "covers": COVERS}


def subject_numbers(predictions: Predictions) -> np.ndarray:
    """Each clip's subject, int64 (num_clips,), numbered in the order of the sorted names."""
    return np.unique(predictions.subjects, return_inverse=True)[1]


def confusion_by_subject(predictions: Predictions) -> np.ndarray:
    """One confusion matrix a subject, in the order of their sorted names, int64 (num_subjects, C, C)."""
    subject = subject_numbers(predictions)
    return metrics.confusion_by_group(predictions.truth, predictions.predicted, subject, len(predictions.classes))


class Jackknifed(NamedTuple):
    """Figures of all subjects, and what each subject does to them.

    Attributes
    ----------
    values : ndarray of float64, shape (num_figures,)
    pulls : ndarray of float64, shape (num_subjects, num_figures)
        The figure minus what it is without the subject, times one less than there are; 0 where a subject has no part in it.
    parts : ndarray of bool, shape (num_subjects, num_figures)
        Who has clips that count for the figure.
    """

    values: np.ndarray
    pulls: np.ndarray
    parts: np.ndarray

    @property
    def num_subjects(self) -> np.ndarray:
        """How many have a part in each figure."""
        return self.parts.sum(axis=0)

    @property
    def variance(self) -> np.ndarray:
        """Of each figure over other subjects; NaN where there are fewer than two."""
        num = self.num_subjects
        with np.errstate(divide="ignore", invalid="ignore"):
            return (self.pulls**2).sum(axis=0) / (num * (num - 1.0))

    @property
    def degrees_of_freedom(self) -> np.ndarray:
        """How well the variance is known: n − 1 where subjects pull evenly, fewer where some pull much more (by their kurtosis)."""
        num = self.num_subjects.astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.where(self.parts, self.pulls - self.pulls.sum(axis=0) / num, 0)
            peaked = num * (apart**4).sum(axis=0) / (apart**2).sum(axis=0) ** 2 - 3
            excess = (num - 1) / ((num - 2) * (num - 3)) * ((num + 1) * peaked + 6)
            excess = np.where((num > 3) & (excess > 0), excess, 0)
            return np.fmax(1, 2 / (2 / (num - 1) + excess / num))

    @property
    def skewness(self) -> np.ndarray:
        """How unevenly subjects pull up and down, without the bias of few subjects; NaN where there are fewer than three."""
        num = self.num_subjects.astype(float)
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = np.where(self.parts, self.pulls - self.pulls.sum(axis=0) / num, 0)
            skewed = np.sqrt(num) * (apart**3).sum(axis=0) / (apart**2).sum(axis=0) ** 1.5
            return skewed * np.sqrt(num * (num - 1)) / (num - 2)

    def t(self, confidence: float) -> np.ndarray:
        """So many standard errors to each side are an interval, by Student's t."""
        return t_reach(confidence, self.degrees_of_freedom)


def jackknife(
    figures: Callable[[np.ndarray], np.ndarray], by_subject: np.ndarray, parts: np.ndarray | None = None
) -> Jackknifed:
    """Leave each subject out once.

    Parameters
    ----------
    figures : callable
        Sums over subjects (…, *shape) to figures (…, num_figures).
    by_subject : ndarray, shape (num_subjects, *shape)
        What each subject adds: counts, losses …
    parts : ndarray of bool, shape (num_subjects, num_figures), optional
        Who has a part in which figure; everybody in all where it is left out.
    """
    total, num = by_subject.sum(axis=0), len(by_subject)
    step = max(1, _MAX_COUNTS // max(1, total.size))
    without = np.concatenate([figures(total - by_subject[n : n + step]) for n in range(0, num, step)])
    values = figures(total)
    everybody = np.ones(without.shape, bool)
    parts = everybody if parts is None else parts
    pulls = np.where(parts, (parts.sum(axis=0) - 1) * (values - without), 0)
    return Jackknifed(values, pulls, parts)


def share_intervals(found: Jackknifed, num_clips: np.ndarray, confidence: float = CONFIDENCE) -> list[Interval | None]:
    """Intervals of shares between 0 and 1, each of so many clips, float64 (num_figures,); None below three subjects.

    Where every clip is right (or none), nothing tells how alike a person's clips are: each person counts as one clip.
    """
    value, tail = np.nan_to_num(found.values), (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = value * (1 - value) / found.variance * (normal_quantile(1 - tail) / found.t(confidence)) ** 2
    num = np.where((value > 0) & (value < 1), np.fmin(effective, num_clips), found.num_subjects)
    hits, misses = num * value, num * (1 - value)
    low = np.where(hits > 0, beta_quantile(tail, np.where(hits > 0, hits, 1), misses + 1), 0)
    high = np.where(misses > 0, beta_quantile(1 - tail, hits + 1, np.where(misses > 0, misses, 1)), 1)
    return _where_known(found, low, high)


def mean_intervals(found: Jackknifed, confidence: float = CONFIDENCE) -> list[Interval | None]:
    """Intervals of means of values above 0, by Student's t of their logarithm; None where subjects do not differ.

    The upper end is that of Hall's (1992) transformation where it lies further up: a few people with large losses bend the mean's spread.
    """
    reach, error = found.t(confidence), np.sqrt(found.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.exp(reach * error / found.values)
        bent = found.skewness / np.sqrt(found.num_subjects)
        straight = 3 / bent * (1 - np.cbrt(1 - bent * (reach + bent / 6)))
    high = np.fmax(found.values * factor, found.values + straight * error)
    return _where_known(found, found.values / factor, high, found.variance > 0)


def difference_intervals(found: Jackknifed) -> list[Interval | None]:
    """Intervals of differences between −1 and 1, by Student's t; None where all subjects have the same one, unless it is none at all."""
    reach = found.t(CONFIDENCE) * np.sqrt(found.variance)
    low, high = np.clip(found.values - reach, -1, 1), np.clip(found.values + reach, -1, 1)
    return _where_known(found, low, high, (reach > 1e-9) | (found.values == 0))


def _where_known(
    found: Jackknifed, low: np.ndarray, high: np.ndarray, known: np.ndarray | bool = True
) -> list[Interval | None]:
    known = np.asarray((found.num_subjects >= FEWEST_SUBJECTS) & ~np.isnan(found.values) & known)
    return [
        Interval(*ends) if fine else None
        for fine, ends in zip(known.tolist(), zip(low.tolist(), high.tolist(), strict=True), strict=True)
    ]


class Intervals(NamedTuple):
    """Intervals of the pooled figures; everything is empty when a clip has no subject, or there are fewer than three.

    Attributes
    ----------
    figures : mapping of str to Interval
        Of :data:`vjepa_fer.judging.metrics.SCORES`; with probabilities also ``log_loss``.
    by_class : mapping of str to tuple of (Interval or None)
        ``recall``, ``precision`` and ``f1``, one a class; None where fewer than three subjects show or were given it.
    """

    figures: Mapping[str, Interval]
    by_class: Mapping[str, tuple[Interval | None, ...]]


def intervals_of(predictions: Predictions, *, confidence: float = CONFIDENCE) -> Intervals:
    """Intervals over subjects; see the module's first lines for how."""
    if predictions.num_subjects < FEWEST_SUBJECTS or (predictions.subjects == "").any():
        return Intervals({}, {})
    counts = confusion_by_subject(predictions)
    found = intervals_of_counts(counts, confidence=confidence)
    if predictions.probabilities is None:
        return found
    loss = metrics.losses(predictions.truth, predictions.probabilities)
    loss = np.bincount(subject_numbers(predictions), weights=loss)
    sums = np.column_stack([loss, counts.sum(axis=(1, 2))])
    (interval,) = mean_intervals(jackknife(lambda s: s[..., :1] / s[..., 1:], sums), confidence)
    return found if interval is None else found._replace(figures={**found.figures, "log_loss": interval})


def intervals_of_counts(by_subject: np.ndarray, *, confidence: float = CONFIDENCE) -> Intervals:
    """The same from one confusion matrix a subject, (num_subjects, C, C), rows = truth."""
    num_classes, num_scores = by_subject.shape[-1], len(metrics.SCORES)
    found = jackknife(_all_figures, by_subject, _clips_of_figures(by_subject) > 0)
    said = share_intervals(found, _clips_of_figures(by_subject.sum(axis=0)), confidence)
    figures = {name: one for name, one in zip(metrics.SCORES, said, strict=False) if one is not None}
    starts = range(num_scores, len(said), num_classes)
    by_class = {
        name: tuple(said[start : start + num_classes]) for name, start in zip(metrics.BY_CLASS, starts, strict=True)
    }
    return Intervals(figures, by_class)


def _all_figures(confusion: np.ndarray) -> np.ndarray:
    """Every headline figure, then recall, precision and F1 of each class, (..., num_figures)."""
    scores = [figure(confusion)[..., None] for figure in metrics.SCORES.values()]
    return np.concatenate([*scores, *(figure(confusion) for figure in metrics.BY_CLASS.values())], axis=-1)


def _clips_of_figures(confusion: np.ndarray) -> np.ndarray:
    """How many clips each of them is about, (..., num_figures): all; of the class; said to be; either."""
    true, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    everything = np.repeat(true.sum(axis=-1)[..., None], len(metrics.SCORES), axis=-1)
    either = true + said - np.diagonal(confusion, axis1=-2, axis2=-1)
    return np.concatenate([everything, true, said, either], axis=-1)


def subject_intervals(predictions: Predictions, *, confidence: float = CONFIDENCE) -> Mapping[str, Interval]:
    """The ``figures`` of :func:`intervals_of`."""
    return intervals_of(predictions, confidence=confidence).figures
