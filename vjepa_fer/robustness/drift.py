"""Features of clean and perturbed clips go in; how far each clip moved (1 − cosine) comes out, and whether errors go with that.

Two questions, each with an interval over subjects: do clips that move more go wrong more, within a condition; and do conditions that move
clips more cost more accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vjepa_fer.cache import Cache
from vjepa_fer.judging import Predictions, difference_intervals, jackknife, mean_intervals
from vjepa_fer.recipe import parse_level
from vjepa_fer.robustness.conditions import CLEAN, Condition

FEWEST_CONDITIONS = 3


def levels_to_compare(clean: Cache, read: Sequence[str]) -> list[str]:
    """Stored levels, but tokens, which are large and are compared only where the experiment reads them."""
    wanted = {clean.stored_level(level) for level in read}
    return [level for level in clean.recipe.storage.levels if parse_level(level)[0] != "tokens" or level in wanted]


def drifts(clean: Cache, perturbed: Sequence[Condition], level: str) -> dict[str, np.ndarray]:
    """Each clip's 1 − cosine by condition, float64 (num_clips,), clips in the clean cache's order."""
    before = clean.features(level)
    found = {}
    for condition in perturbed:
        after = condition.cache.features(level)
        row = {clip_id: number for number, clip_id in enumerate(after.clip_ids.tolist())}
        order = np.array([row[clip_id] for clip_id in before.clip_ids.tolist()])
        found[condition.name] = one_minus_cosine(before.X, after.X[order])
    return found


def one_minus_cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, float64 (num_rows,); 0 where both are zero, 1 where one is."""
    lengths = [np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64)) for x in (a, b)]
    product, dot = lengths[0] * lengths[1], np.einsum("ij,ij->i", a, b, dtype=np.float64)
    cosine = np.divide(dot, product, out=np.zeros_like(dot), where=product > 0)
    cosine[(lengths[0] == 0) & (lengths[1] == 0)] = 1
    return np.maximum(1 - cosine, 0)


def mean_drift(drift: np.ndarray, subject: np.ndarray) -> dict[str, Any]:
    """The mean over clips, with its interval over subjects."""
    sums = np.column_stack([np.bincount(subject, drift), np.bincount(subject)])
    found = jackknife(lambda total: total[..., :1] / total[..., 1:], sums)
    (interval,) = mean_intervals(found) if found.values[0] > 0 else [None]
    return {"value": float(found.values[0]), "interval": None if interval is None else list(interval)}


def correlations(
    drift: Mapping[str, np.ndarray], said: Mapping[str, Predictions], subject: np.ndarray
) -> dict[str, Any]:
    """Of drift with error, between −1 and 1.

    Parameters
    ----------
    drift : mapping of str to ndarray, shape (num_clips,)
        By condition, without the clean one.
    said : mapping of str to Predictions
        The same clips in the same order.
    subject : ndarray of int64, shape (num_clips,)

    Returns
    -------
    dict
        ``clips``: of a clip's drift with its being wrong, within conditions (their means taken out); ``conditions``: of a condition's
        mean drift with the WAR that it costs. Each ``value`` and ``interval``; None where nothing varies, or of fewer than three conditions.
    """
    names = list(drift)
    wrong = {name: (said[name].predicted != said[name].truth).astype(float) for name in names}
    clean_wrong = (said[CLEAN].predicted != said[CLEAN].truth).astype(float)
    terms = [
        np.stack(
            [np.bincount(subject, weights) for weights in _moments(drift[name], wrong[name], clean_wrong)], axis=-1
        )
        for name in names
    ]
    sums = np.stack(terms, axis=1)  # (num_subjects, num_conditions, 7)
    return {
        "clips": _told(_within, sums),
        "conditions": _told(_between, sums) if len(names) >= FEWEST_CONDITIONS else None,
    }


def _moments(x: np.ndarray, y: np.ndarray, clean: np.ndarray) -> list[np.ndarray]:
    return [np.ones_like(x), x, y, x * x, y * y, x * y, clean]


def _within(sums: np.ndarray) -> np.ndarray:
    """Covariances within conditions, added up: (…, num_conditions, 7) → (…, 1)."""
    count, x, y, xx, yy, xy = (sums[..., number] for number in range(6))
    with np.errstate(divide="ignore", invalid="ignore"):
        both, ours, theirs = ((a - b * c / count).sum(axis=-1) for a, b, c in ((xy, x, y), (xx, x, x), (yy, y, y)))
        return (both / np.sqrt(ours * theirs))[..., None]


def _between(sums: np.ndarray) -> np.ndarray:
    """Pearson's of the conditions' means: (…, num_conditions, 7) → (…, 1)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = sums[..., 1] / sums[..., 0], (sums[..., 2] - sums[..., 6]) / sums[..., 0]
        x, y = x - x.mean(axis=-1, keepdims=True), y - y.mean(axis=-1, keepdims=True)
        return ((x * y).sum(axis=-1) / np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1)))[..., None]


def _told(figure: Any, sums: np.ndarray) -> dict[str, Any] | None:
    found = jackknife(figure, sums)
    if not np.isfinite(found.values).all():
        return None
    (interval,) = difference_intervals(found) if np.isfinite(found.pulls).all() else [None]
    return {"value": round(float(found.values[0]), 6), "interval": None if interval is None else list(interval)}
