"""Predictions go in; figures and their uncertainty come out.

In reading order: `predictions` (one row a clip) · `tied` (clips that values alone do not decide) · `metrics` · `intervals` (over
subjects) · `significance` · `compare` (which differences are real) · `compared` (that, as a table
to paste) · `groups` (figures by a column) · `policies` (classes that one corpus lacks) · `label_issues` (labels
that are most likely wrong) · `vocabulary` (labels in other words) · `prediction_csv`, `class_order`, `confusion_csv` (anyone's tables).
"""

from __future__ import annotations

from vjepa_fer.judging.class_order import OrderAgreement, agree_if_shifted, order_agreement
from vjepa_fer.judging.compare import Comparison, compare_predictions
from vjepa_fer.judging.compared import LEAKY, ONE_OF_SEVERAL, comparison_sheet
from vjepa_fer.judging.confusion_csv import ConfusionTable, read_confusion, read_confusions
from vjepa_fer.judging.confusion_grid import Rows
from vjepa_fer.judging.confusion_unit import Unit
from vjepa_fer.judging.groups import Groups, group_clips, group_figures
from vjepa_fer.judging.intervals import (
    COVERS,
    FEWEST_SUBJECTS,
    Interval,
    Intervals,
    Jackknifed,
    confusion_by_subject,
    difference_intervals,
    intervals_of,
    jackknife,
    mean_intervals,
    method_of,
    subject_numbers,
)
from vjepa_fer.judging.label_issues import LabelIssue, find_label_issues
from vjepa_fer.judging.metrics import SCORES, recall
from vjepa_fer.judging.policies import (
    POLICIES,
    Scored,
    apply_policy,
    apply_policy_to_counts,
    find_policy,
    shared_classes,
)
from vjepa_fer.judging.prediction_csv import PredictionTable, read_prediction_table, read_predictions, write_predictions
from vjepa_fer.judging.predictions import Predictions, Score, calibration, notes_on, score, subjects_in_words
from vjepa_fer.judging.same_names import spelled_alike
from vjepa_fer.judging.tied import Ties, ties_among
from vjepa_fer.judging.vocabulary import in_words_of

__all__ = [
    "COVERS",
    "FEWEST_SUBJECTS",
    "LEAKY",
    "ONE_OF_SEVERAL",
    "POLICIES",
    "SCORES",
    "Comparison",
    "ConfusionTable",
    "Groups",
    "Interval",
    "Intervals",
    "Jackknifed",
    "LabelIssue",
    "OrderAgreement",
    "PredictionTable",
    "Predictions",
    "Rows",
    "Score",
    "Scored",
    "Ties",
    "Unit",
    "agree_if_shifted",
    "apply_policy",
    "apply_policy_to_counts",
    "calibration",
    "compare_predictions",
    "comparison_sheet",
    "confusion_by_subject",
    "difference_intervals",
    "find_label_issues",
    "find_policy",
    "group_clips",
    "group_figures",
    "in_words_of",
    "intervals_of",
    "jackknife",
    "mean_intervals",
    "method_of",
    "notes_on",
    "order_agreement",
    "read_confusion",
    "read_confusions",
    "read_prediction_table",
    "read_predictions",
    "recall",
    "score",
    "shared_classes",
    "spelled_alike",
    "subject_numbers",
    "subjects_in_words",
    "ties_among",
    "write_predictions",
]
