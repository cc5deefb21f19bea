"""Predictions go in; figures and their uncertainty come out.

In reading order: `predictions` (one row a clip) · `metrics` · `intervals` (over subjects) · `significance` · `compare` (which
differences are real) · `groups` (figures by a column) · `policies` (classes that one corpus lacks) · `prediction_csv`, `confusion_csv`
(anyone's tables).
"""

from __future__ import annotations

from vjepa_fer.judging.compare import Comparison, compare_predictions
from vjepa_fer.judging.confusion_csv import read_confusion
from vjepa_fer.judging.groups import Groups, group_clips, group_figures
from vjepa_fer.judging.intervals import COVERS, Interval, Intervals, intervals_of, method_of
from vjepa_fer.judging.policies import (
    POLICIES,
    Scored,
    apply_policy,
    apply_policy_to_counts,
    find_policy,
    shared_classes,
)
from vjepa_fer.judging.prediction_csv import read_prediction_table, read_predictions, write_predictions
from vjepa_fer.judging.predictions import Predictions, Score, calibration, notes_on, score, subjects_in_words

__all__ = [
    "COVERS",
    "POLICIES",
    "Comparison",
    "Groups",
    "Interval",
    "Intervals",
    "Predictions",
    "Score",
    "Scored",
    "apply_policy",
    "apply_policy_to_counts",
    "calibration",
    "compare_predictions",
    "find_policy",
    "group_clips",
    "group_figures",
    "intervals_of",
    "method_of",
    "notes_on",
    "read_confusion",
    "read_prediction_table",
    "read_predictions",
    "score",
    "shared_classes",
    "subjects_in_words",
    "write_predictions",
]
