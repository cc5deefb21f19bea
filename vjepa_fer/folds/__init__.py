"""Clips and their subjects go in; who is tested on whom, as data, and what leaks comes out.

In reading order: `splits` (folds of subjects) · `clip_folds` (folds of clips) · `columns` (these from a manifest column) · `sources` (the name that was typed
becomes one of these) · `leaks` (what training and test parts share).
"""

from __future__ import annotations

from vjepa_fer.folds.clip_folds import ClipFolds
from vjepa_fer.folds.copies import FEWEST_COLUMNS, identical_rows
from vjepa_fer.folds.leaks import find_leaks, identities, recording_of, refuse_leaks
from vjepa_fer.folds.sources import MAX_FOLDS_BYTES, AnyFolds, folds_from_json, folds_to_json, plan_folds
from vjepa_fer.folds.splits import Split, make_folds, shortlist, stratified_subjects

__all__ = [
    "FEWEST_COLUMNS",
    "MAX_FOLDS_BYTES",
    "AnyFolds",
    "ClipFolds",
    "Split",
    "find_leaks",
    "folds_from_json",
    "folds_to_json",
    "identical_rows",
    "identities",
    "make_folds",
    "plan_folds",
    "recording_of",
    "refuse_leaks",
    "shortlist",
    "stratified_subjects",
]
