"""Manifest columns and predictions go in; figures for men and women, each age band, each sentence come out, each with its n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vjepa_fer.doors import as_number, nearest
from vjepa_fer.errors import ManifestError
from vjepa_fer.judging import metrics
from vjepa_fer.judging.intervals import Interval, subject_intervals
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.manifest import MOST_SHOWN, Clip, Manifest, abridged, refuse_spelled_twice

Groups = Mapping[str, Mapping[str, str]]
"""Column → clip id → value."""

AGE_BAND = "age_band"
UNKNOWN = "unknown"
FIGURES = ("war", "uar", "macro_f1")


def group_clips(manifest: Manifest, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """What each clip has in `columns`: any manifest column, or ``age_band`` (decades) where there is a numeric ``age``.

    Raises
    ------
    ManifestError
        A column that the manifest lacks, or an age that is no number.
    """
    return {name: _column(manifest, name) for name in columns}


def _column(manifest: Manifest, name: str) -> dict[str, str]:
    if name == AGE_BAND and name not in manifest.columns and "age" in manifest.columns:
        return {clip.clip_id: _age_band(clip) for clip in manifest}
    if name not in manifest.columns or name in ("clip_id", "path"):  # which would make every clip a group
        known = [
            *(column for column in manifest.columns if column not in ("clip_id", "path")),
            *([AGE_BAND] if "age" in manifest.columns else []),
        ]
        raise ManifestError(
            f"no column {name!r} to group by; the manifest's columns are {abridged(known, MOST_SHOWN)}{nearest(name, known)}"
        )
    said = {clip.clip_id: clip.value(name).strip() or UNKNOWN for clip in manifest}
    refuse_spelled_twice(f"values of {name!r}", dict.fromkeys(said.values(), ""))
    return said


def _age_band(clip: Clip) -> str:
    """``20–29`` for 20 and 29.5; a band has ten years, so that each holds several actors of CREMA-D."""
    text = clip.value("age").strip()
    if not text:
        return UNKNOWN
    age = as_number(text)
    if not 0 <= age < 150:
        raise ManifestError(f"clip {clip.clip_id!r}: age {text!r} is not a number of years; group by age instead")
    decade = int(age // 10 * 10)
    return f"{decade}–{decade + 9}"


def group_figures(predictions: Predictions, groups: Groups) -> dict[str, list[dict[str, object]]]:
    """WAR, UAR and macro-F1 of each group's clips, pooled over folds, in percent.

    Returns
    -------
    dict
        By column, one entry a value in sorted order: ``value``, ``n_clips``, ``n_subjects``, each figure with its 95 %
        ``…_interval`` over subjects (None where the group has fewer than three). UAR is the mean over classes that the group has.
    """
    return {column: _by_value(predictions, values) for column, values in groups.items()}


def _by_value(predictions: Predictions, values: Mapping[str, str]) -> list[dict[str, object]]:
    said = [values.get(str(clip), UNKNOWN) for clip in predictions.clip_ids]
    names = sorted(set(said), key=lambda name: (name == UNKNOWN, name))
    number_of = {name: number for number, name in enumerate(names)}
    group = np.array([number_of[name] for name in said])
    return [_figures(name, predictions.take(group == number)) for number, name in enumerate(names)]


def _figures(name: str, group: Predictions) -> dict[str, object]:
    intervals, confusion = subject_intervals(group), group.confusion
    figures: dict[str, object] = {"value": name, "n_clips": len(group), "n_subjects": group.num_subjects}
    for figure in FIGURES:
        figures[figure] = round(100 * float(metrics.SCORES[figure](confusion)), 4)
        figures[f"{figure}_interval"] = _ends(intervals.get(figure))
    return figures


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [round(100 * end, 4) for end in interval]
