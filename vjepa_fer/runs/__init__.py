"""An evaluation goes in; a run folder comes out that holds everything to recompute its numbers, and reads back equal.

::

    runs/first/logreg-mean/
      run.json           what was done, with what, and the figures; the SHA-256 of the files beside it and of itself
      folds.json         who was tested in which fold
      predictions.csv    one row a clip: truth, decision, probabilities
      groups.csv         the manifest columns that figures are given by, if any
      fitted/            where it was asked for: the probe, fitted on all clips

A folder appears whole or not at all, and never in place of another. A file that was changed since is refused by name; what a person
adds beside does no harm.

In reading order: `settings` (what decides a run's numbers, and its name) · `description` (run.json) · `beside` (what a result says
that predictions do not) · `folder` (a run written and read) · `finding` (runs among other folders, and tables beside them).
"""

from __future__ import annotations

from vjepa_fer.runs.description import FOLDS_JSON, GROUPS_CSV, PREDICTIONS_CSV, RUN_JSON
from vjepa_fer.runs.finding import Listed, TableFacts, Unread, facts_of_table, finished_run, list_runs, run_folders
from vjepa_fer.runs.folder import FITTED, Run, check_run, load_fitted, read_plan, read_run, write_run
from vjepa_fer.runs.results import SCHEMA, Selection, figures_of, figures_of_counts, result_of, shown
from vjepa_fer.runs.settings import digest_of_clips, run_name, run_settings

__all__ = [
    "FITTED",
    "FOLDS_JSON",
    "GROUPS_CSV",
    "PREDICTIONS_CSV",
    "RUN_JSON",
    "SCHEMA",
    "Listed",
    "Run",
    "Selection",
    "TableFacts",
    "Unread",
    "check_run",
    "digest_of_clips",
    "facts_of_table",
    "figures_of",
    "figures_of_counts",
    "finished_run",
    "list_runs",
    "load_fitted",
    "read_plan",
    "read_run",
    "result_of",
    "run_folders",
    "run_name",
    "run_settings",
    "shown",
    "write_run",
]
