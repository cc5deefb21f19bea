"""An experiment's cells go in; they come out fitted, predicted and chosen, and nobody has looked at the test part.

In reading order: `evaluate` (one honest prediction a clip) · `nested`, `race` (the choice on inner folds) · `tasks` (the unit of work, in
one process or several) · `votes`, `reference`, `ceiling` (how raters saw clips, what counts as right, how well people do) · `roles` (what a manifest's
columns are taken as) · `fitted` (one probe on all clips) · `fusion` (predictions of several) · `stacking` (which of several streams counts how much).
"""

from __future__ import annotations

from vjepa_fer.evaluation.ceiling import AGAINST, VoteBook, human_ceiling, human_words
from vjepa_fer.evaluation.evaluate import (
    Decided,
    Evaluation,
    FoldFit,
    Targets,
    check_features,
    check_splits,
    cross_validate,
    fit_fold,
    fit_predict,
    gather,
    settled_in,
    stackers_in,
)
from vjepa_fer.evaluation.fitted import FittedProbe, fit_on_all, read_fitted, save_fitted
from vjepa_fer.evaluation.fusion import average_probabilities
from vjepa_fer.evaluation.nested import choose, nested_evaluation, pick_winner
from vjepa_fer.evaluation.reference import LabelledCache, Reference, make_reference
from vjepa_fer.evaluation.roles import manifest_roles
from vjepa_fer.evaluation.stacking import Stacker, fit_stacker, out_of_fold, read_stacker
from vjepa_fer.evaluation.tasks import Answer, Study, Task, run_tasks_on
from vjepa_fer.evaluation.votes import CREMA_D, SOURCES, find_votes

__all__ = [
    "AGAINST",
    "CREMA_D",
    "SOURCES",
    "Answer",
    "Decided",
    "Evaluation",
    "FittedProbe",
    "FoldFit",
    "LabelledCache",
    "Reference",
    "Stacker",
    "Study",
    "Targets",
    "Task",
    "VoteBook",
    "average_probabilities",
    "check_features",
    "check_splits",
    "choose",
    "cross_validate",
    "find_votes",
    "fit_fold",
    "fit_on_all",
    "fit_predict",
    "fit_stacker",
    "gather",
    "human_ceiling",
    "human_words",
    "make_reference",
    "manifest_roles",
    "nested_evaluation",
    "out_of_fold",
    "pick_winner",
    "read_fitted",
    "read_stacker",
    "run_tasks_on",
    "save_fitted",
    "settled_in",
    "stackers_in",
]
