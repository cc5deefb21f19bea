"""An evaluation goes in; a run folder comes out that holds everything to recompute its numbers, and reads back equal.

::

    runs/first/best/best-of-8-cells-1a2b3c4d/      what was chosen among all cells, where there are several: a run like any other
    runs/first/logreg-mean-standard/
      run.json           what was done, with what, and the figures; the SHA-256 of the files beside it and of itself
      experiment.toml    what repeats it: vjepa-fer probe --config FILE
      folds.json         who was tested in which fold
      predictions.csv    one row a clip: truth, decision, probabilities
      predictions.npz    the same by columns, for programs that read many runs; may be removed
      groups.csv         the manifest columns that figures are given by, if any
      fitted/            where it was asked for: the probe, fitted on all clips

A folder appears whole or not at all, and never in place of another. A file that was changed since is refused by name; what a person
adds beside does no harm.

In reading order: `settings` (what decides a run's numbers, and its name) · `columns` (predictions.npz) · `description` (run.json) ·
`beside` (what a result says that predictions do not) · `against` (how far from a reference) · `encoders`, `fusions` (of several, one table) · `sheets` (results as tables to paste) · `folder` (a run written and read) · `finding` (runs among other folders, and tables beside them) ·
`doubts` (labels that are most likely wrong).
"""

from __future__ import annotations

from vjepa_fer.runs.description import EXPERIMENT, FOLDS_JSON, GROUPS_CSV, PREDICTIONS_CSV, RUN_JSON
from vjepa_fer.runs.doubts import Doubt, doubts_of
from vjepa_fer.runs.encoders import encoder_facts, encoder_sheet
from vjepa_fer.runs.finding import (
    BEST,
    Listed,
    TableFacts,
    Unread,
    chosen_of,
    facts_of_table,
    finished_run,
    list_runs,
    refuse_other_experiments,
    run_folders,
    runs_of,
    runs_that_stand_for,
    to_report,
)
from vjepa_fer.runs.folder import FITTED, Run, check_run, load_fitted, read_plan, read_run, write_run
from vjepa_fer.runs.fusions import fusion_facts, fusion_sheet, fusion_title, fusion_words, stacker_words
from vjepa_fer.runs.results import (
    SCHEMA,
    figures_of,
    percent,
    result_of,
    run_title,
    settled_words,
    shown,
)
from vjepa_fer.runs.settings import digest_of_clips, run_settings
from vjepa_fer.runs.sheets import PARTS, results_sheet

__all__ = [
    "BEST",
    "EXPERIMENT",
    "FITTED",
    "FOLDS_JSON",
    "GROUPS_CSV",
    "PARTS",
    "PREDICTIONS_CSV",
    "RUN_JSON",
    "SCHEMA",
    "Doubt",
    "Listed",
    "Run",
    "TableFacts",
    "Unread",
    "check_run",
    "chosen_of",
    "digest_of_clips",
    "doubts_of",
    "encoder_facts",
    "encoder_sheet",
    "facts_of_table",
    "figures_of",
    "finished_run",
    "fusion_facts",
    "fusion_sheet",
    "fusion_title",
    "fusion_words",
    "list_runs",
    "load_fitted",
    "percent",
    "read_plan",
    "read_run",
    "refuse_other_experiments",
    "result_of",
    "results_sheet",
    "run_folders",
    "run_settings",
    "run_title",
    "runs_of",
    "runs_that_stand_for",
    "settled_words",
    "shown",
    "stacker_words",
    "to_report",
    "write_run",
]
