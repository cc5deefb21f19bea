"""Predictions of the same clips in every condition go in; accuracies, what is lost against clean, and intervals over subjects come out.

All of it is a function of one confusion matrix a subject and condition, and each interval leaves each subject out once
(:mod:`vjepa_fer.judging.intervals`): what is lost is paired by that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from vjepa_fer.judging import (
    FEWEST_SUBJECTS,
    SCORES,
    Jackknifed,
    Predictions,
    compare_predictions,
    confusion_by_subject,
    difference_intervals,
    intervals_of,
    jackknife,
    recall,
)
from vjepa_fer.robustness.conditions import CLEAN

FIGURES = ("war", "uar")


def percent(value: float) -> float | None:
    """In percent, for JSON; None of what is not defined."""
    return None if np.isnan(value) else round(100 * float(value), 4)


def ends(interval: Sequence[float] | None) -> list[float] | None:
    """Both ends in percent."""
    return None if interval is None else [round(100 * end, 4) for end in interval]


def figures_of(said: Mapping[str, Predictions]) -> dict[str, dict[str, Any]]:
    """Each condition's WAR, UAR and recalls; of the perturbed ones also what they lose against clean.

    Parameters
    ----------
    said : mapping of str to Predictions
        By condition, the clean one among them.

    Returns
    -------
    dict
        Condition → ``war`` and ``uar`` (``value``, ``interval``, and of perturbed ones ``change`` with interval, p and ``real``),
        ``classes`` (recall and its change, a class), in percent.
    """
    compared = compare_predictions(said, reference=CLEAN).differences if len(said) > 1 else ()
    changes = {(one.second, one.figure): one.to_dict() for one in compared}
    recalls = _recall_changes(said)
    found = {}
    for name, one in said.items():
        intervals, confusion = intervals_of(one), one.confusion
        facts: dict[str, Any] = {}
        for figure in FIGURES:
            facts[figure] = {
                "value": percent(float(SCORES[figure](confusion))),
                "interval": ends(intervals.figures.get(figure)),
                "change": _change(changes.get((name, figure))),
            }
        facts["classes"] = {
            label: {"recall": percent(value), **recalls[name][label]}
            for label, value in zip(one.classes, recall(confusion), strict=True)
        }
        found[name] = facts
    return found


def _change(one: dict[str, Any] | None) -> dict[str, Any] | None:
    kept = ("value", "interval", "p", "p_holm", "real")
    return None if one is None else {name: one[name] for name in kept}


def _recall_changes(said: Mapping[str, Predictions]) -> dict[str, dict[str, dict[str, Any]]]:
    """Perturbed minus clean of every class's recall, with interval; of clean itself nothing."""
    classes = said[CLEAN].classes
    by_subject = _stacked(said)
    place = list(said).index(CLEAN)

    def changes(sums: np.ndarray) -> np.ndarray:
        recalls = recall(sums)  # (…, num_conditions, C)
        return (recalls - recalls[..., place, None, :]).reshape(*recalls.shape[:-2], -1)

    shows = (by_subject.sum(axis=-1) > 0).reshape(len(by_subject), -1)
    found = jackknife(changes, by_subject, shows)
    intervals, width = difference_intervals(found), len(classes)
    return {
        name: {
            label: {"change": percent(found.values[at * width + c]), "interval": ends(intervals[at * width + c])}
            if name != CLEAN
            else {}
            for c, label in enumerate(classes)
        }
        for at, name in enumerate(said)
    }


def _stacked(said: Mapping[str, Predictions]) -> np.ndarray:
    """One confusion matrix a subject and condition, (num_subjects, num_conditions, C, C)."""
    return np.stack([confusion_by_subject(one) for one in said.values()], axis=1)


def relative_drops(said: Mapping[str, Predictions], curves: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """How much of the clean figure is lost, on average over a curve's severities, and over curves (``all``), with intervals.

    Parameters
    ----------
    said : mapping of str to Predictions
    curves : mapping of str to sequence of str
        Perturbation → its conditions.
    """
    place = {name: number for number, name in enumerate(said)}

    def drops(sums: np.ndarray, *, figure: str) -> np.ndarray:
        scores = SCORES[figure](sums)  # (…, num_conditions)
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = 1 - scores / scores[..., place[CLEAN], None]
        each = [lost[..., [place[name] for name in names]].mean(axis=-1) for names in curves.values()]
        return np.stack([*each, np.mean(each, axis=0)], axis=-1)

    by_subject, told = _stacked(said), {name: dict[str, Any]() for name in (*curves, "all")}
    for figure in FIGURES:
        found = jackknife(partial(drops, figure=figure), by_subject)
        for name, value, interval in zip(told, found.values, t_intervals(found), strict=True):
            told[name][figure] = {"value": percent(value), "interval": ends(interval)}
    return told


def t_intervals(found: Jackknifed) -> list[tuple[float, float] | None]:
    """95 %, by Student's t, of figures without bounds; None below three subjects."""
    reach = found.t(0.95) * np.sqrt(found.variance)
    fine = (found.num_subjects >= FEWEST_SUBJECTS) & np.isfinite(found.values) & np.isfinite(reach)
    pairs = zip((found.values - reach).tolist(), (found.values + reach).tolist(), strict=True)
    return [pair if known else None for known, pair in zip(fine.tolist(), pairs, strict=True)]
