"""Bare confusion matrices go in; what they tell of :func:`vjepa_fer.runs.results.figures_of` comes out, None for all else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vjepa_fer.judging import Score, Unit, metrics
from vjepa_fer.runs import percent

NOT_OF_SHARES = ("war", "macro_f1", "weighted_f1", "macro_precision", "n_clips")
"""What depends on how many clips each class has."""

NOTES: Mapping[Unit, str] = {
    "shares": "the table is in percent of each true class: how many clips a class has is not known, so there are recalls and UAR only; "
    "--class-sizes happy=489,sad=379,… or a column support gives the other figures",
    "parts": "the table is in percent of all clips, whose number is not known; no figure here depends on it",
}
MEAN_RECALLS = "the recalls of classes are means over the folds: how many clips each fold has of a class is not known"


def figures_of_matrices(
    classes: Sequence[str], matrices: np.ndarray, unit: Unit, fold_names: Sequence[str] = ()
) -> dict[str, Any]:
    """Figures in percent.

    Parameters
    ----------
    classes : sequence of str
    matrices : ndarray, shape (num_folds, C, C)
        Rows = truth.
    unit : {"counts", "shares", "parts"}
        See :class:`vjepa_fer.judging.confusion_csv.ConfusionTable`.
    fold_names : sequence of str
        What the folds are called, where there are several.
    """
    if unit == "shares":
        return _figures_of_shares(classes, matrices, fold_names)
    figures = _figures(classes, matrices, fold_names)
    if unit == "parts":
        unknown = {label: one | {"n_clips": None} for label, one in figures["by_class"].items()}
        figures |= {"n_clips": None, "by_class": unknown, "notes": [NOTES[unit]]}
    return figures


def _figures(classes: Sequence[str], matrices: np.ndarray, fold_names: Sequence[str]) -> dict[str, Any]:
    pooled, several = matrices.sum(axis=0), len(matrices) > 1
    scores = {name: _score(figure(matrices), figure(pooled)) for name, figure in metrics.SCORES.items()}
    folds = {"confusion_by_fold": matrices.tolist(), "fold_names": list(fold_names)} if several else {}
    return {
        **scores,
        "ece": None,
        "log_loss": None,
        "intervals": None,
        "by_class": {label: _of_class(matrices, number) for number, label in enumerate(classes)},
        "classes": list(classes),
        "confusion": pooled.tolist(),
        **folds,
        "n_clips": round(float(pooled.sum()), 6),
        "n_subjects": 0,
        "notes": [],
    }


def _of_class(matrices: np.ndarray, number: int) -> dict[str, Any]:
    pooled = matrices.sum(axis=0)
    found: dict[str, Any] = {"n_clips": round(float(pooled[number].sum()), 6)}
    for name, figure in metrics.BY_CLASS.items():
        found[name] = _defined(figure(pooled)[number])
        if len(matrices) > 1:
            found[f"{name}_folds"] = [_defined(value) for value in figure(matrices)[:, number]]
    return found


def _figures_of_shares(classes: Sequence[str], shares: np.ndarray, fold_names: Sequence[str]) -> dict[str, Any]:
    """Recalls as printed, and their mean. Of several folds nothing is pooled: their classes may have other sizes."""
    has_clips = shares.sum(axis=-1) > 0  # (num_folds, C)
    recalls = np.where(has_clips, np.diagonal(shares, axis1=-2, axis2=-1), np.nan)
    mean = shares.sum(axis=0) / np.maximum(has_clips.sum(axis=0), 1)[:, None]
    several = len(shares) > 1
    uar = _score(np.nanmean(recalls, axis=1), np.nanmean(recalls))
    return _figures(classes, np.round(100 * shares, 4), fold_names) | {
        **dict.fromkeys(NOT_OF_SHARES),
        "uar": uar | ({"pooled": None} if several else {}),
        "by_class": {label: _recall_only(recalls[:, number]) for number, label in enumerate(classes)},
        "confusion": np.round(100 * mean, 4).tolist(),
        "notes": [NOTES["shares"], *([MEAN_RECALLS] if several else [])],
    }


def _recall_only(recalls: np.ndarray) -> dict[str, Any]:
    known = recalls[~np.isnan(recalls)]
    found: dict[str, Any] = {"n_clips": None, "recall": _defined(known.mean()) if len(known) else None}
    found |= {"precision": None, "f1": None}
    return found | ({"recall_folds": [_defined(value) for value in recalls]} if len(recalls) > 1 else {})


def _score(by_fold: np.ndarray, pooled: float | np.floating | np.ndarray) -> dict[str, Any]:
    return percent(Score(tuple(float(value) for value in by_fold), float(pooled)))


def _defined(fraction: float) -> float | None:
    return None if math.isnan(fraction) else round(100 * float(fraction), 4)
