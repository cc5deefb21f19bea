"""Predictions across corpora go in; what a policy makes of classes that one side lacks comes out, with how many clips it scored.

Two kinds of class are foreign: a *true* class that the training corpus lacks (CREMA-D has no calm), and a *predicted* class that the
tested corpus lacks. Dropping by truth changes the question, openly. Dropping by prediction changes the question clip by clip, as it suits the
classifier: it flatters, which is why every policy says its coverage.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RunError
from vjepa_fer.features import decide
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.manifest import MERGED


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What happens to foreign classes.

    Attributes
    ----------
    definition : str
        In a sentence, for tables and JSON.
    merge : bool
        First put together what :data:`vjepa_fer.manifest.label_names.MERGED` says, in truths and predictions alike.
    true : {"error", "drop"}
        Clips whose true class the training corpus lacks.
    said : {"error", "drop", "repredict"}
        Predictions of classes that the tested corpus lacks; "repredict" takes the most probable shared class instead, and where all of these
        have probability 0 the prediction stays an error.
    """

    definition: str
    merge: bool = False
    true: Literal["error", "drop"] = "drop"
    said: Literal["error", "drop", "repredict"] = "error"


POLICIES: dict[str, Policy] = {
    "strict": Policy(
        definition="every clip counts; a foreign true class and a foreign prediction are errors (the paper's plain figure)",
        true="error",
    ),
    "drop-true": Policy(
        definition="clips of foreign true classes are left out; foreign predictions are errors "
        "(the paper's drop where the training corpus is the smaller in classes)"
    ),
    "merge": Policy(
        definition="calm counts as neutral, then as drop-true (the paper's merge where the training corpus is the smaller in classes)",
        merge=True,
    ),
    "repredict": Policy(
        definition="clips of foreign true classes are left out; the prediction is the most probable shared class, "
        "an error where none has any probability",
        said="repredict",
    ),
    "repredict-merge": Policy(
        definition="as repredict, after calm's probability was added to neutral's", merge=True, said="repredict"
    ),
    "paper-drop": Policy(
        definition="the paper's drop: clips of foreign true classes and clips with foreign predictions are left out; flatters",
        said="drop",
    ),
    "paper-merge": Policy(
        definition="the paper's merge: calm counts as neutral, then as paper-drop; flatters", merge=True, said="drop"
    ),
}


@dataclass(frozen=True, eq=False)
class Scored:
    """What a policy left.

    Attributes
    ----------
    policy : str
    predictions : Predictions
        Of the clips scored.
    num_clips : int
        Before anything was left out.
    dropped_by_truth, dropped_by_prediction : int
    no_shared_mass : int
        Clips scored to which a policy that predicts anew found no probability on any shared class: an error each.
    """

    policy: str
    predictions: Predictions
    num_clips: int
    dropped_by_truth: int
    dropped_by_prediction: int
    no_shared_mass: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The policy and its coverage, for JSON."""
        coverage = coverage_of(self.policy, self.num_clips, self.dropped_by_truth, self.dropped_by_prediction)
        return coverage | {"no_shared_mass": self.no_shared_mass}


def coverage_of(policy: str, clips: float, by_truth: float, by_prediction: float) -> dict[str, Any]:
    """A policy's name and definition, and how many clips it scored and left out, for JSON."""
    scored = clips - by_truth - by_prediction
    return {
        "policy": policy,
        "definition": POLICIES[policy].definition,
        "coverage": {
            "scored": scored,
            "clips": clips,
            "percent": round(100 * scored / clips, 4),
            "dropped_by_truth": by_truth,
            "dropped_by_prediction": by_prediction,
        },
    }


def apply_policy(name: str, predictions: Predictions, known: frozenset[str]) -> Scored:
    """Score predictions across corpora by a policy's rule.

    Parameters
    ----------
    name : str
        Of :data:`POLICIES`.
    predictions : Predictions
        Over the classes of both sides, by their common names.
    known : frozenset of str
        Classes of the training corpus.

    Raises
    ------
    RunError
        No such policy, no class in common, or no clip left to score.
    """
    policy = find_policy(name)
    if policy.merge:
        predictions, known = _merged(predictions), frozenset(MERGED.get(label, label) for label in known)
    here = np.isin(np.arange(len(predictions.classes)), predictions.truth)
    is_known = _known_classes(predictions.classes, here, known)
    by_truth = ~is_known[predictions.truth] if policy.true == "drop" else np.zeros(len(predictions), bool)
    nowhere = np.zeros(len(predictions), bool)
    if policy.said == "repredict":
        predictions, nowhere = _repredicted(predictions, is_known & here)
    by_said = ~here[predictions.predicted] & ~by_truth if policy.said == "drop" else np.zeros(len(predictions), bool)
    kept = ~(by_truth | by_said)
    if not kept.any():
        raise RunError(f"policy {name}: it leaves no clip to score")
    dropped = int(by_truth.sum()), int(by_said.sum())
    return Scored(name, predictions.take(kept), len(kept), *dropped, int(nowhere[kept].sum()))


@dataclass(frozen=True, eq=False)
class ScoredCounts:
    """What a policy left of confusion matrices: ``classes``, ``confusion`` float64 (..., C, C), rows = truth, and the coverage."""

    policy: str
    classes: tuple[str, ...]
    confusion: np.ndarray
    num_clips: float
    dropped_by_truth: float
    dropped_by_prediction: float

    def to_dict(self) -> dict[str, Any]:
        """The policy and its coverage, for JSON."""
        clips, *dropped = (round(n, 6) for n in (self.num_clips, self.dropped_by_truth, self.dropped_by_prediction))
        return coverage_of(self.policy, clips, *dropped)


def apply_policy_to_counts(
    name: str, classes: tuple[str, ...], confusion: np.ndarray, known: frozenset[str]
) -> ScoredCounts:
    """Score a published confusion matrix by a policy's rule; of several folds it may be the mean, so counts need not be whole.

    Parameters
    ----------
    name : str
        Of :data:`POLICIES`; those that predict anew need probabilities and are refused.
    classes : tuple of str
        Of both sides, by their common names.
    confusion : ndarray, shape (..., C, C)
        Rows = truth; one a fold, or only one. Which classes the tested corpus has, all of them say together.
    known : frozenset of str
        Classes of the training corpus.

    Raises
    ------
    RunError
        No such policy, one that needs probabilities, no class in common, or no clip left to score.
    """
    policy, counts = find_policy(name), np.asarray(confusion, np.float64)
    if policy.said == "repredict":
        raise RunError(f"policy {name} needs the probabilities of each clip; a confusion matrix has only its decisions")
    if policy.merge:
        known = frozenset(MERGED.get(label, label) for label in known)
        classes, joins = _merging(classes)
        counts = joins.T @ counts @ joins
    here = (counts.sum(axis=-1).reshape(-1, len(classes)) > 0).any(axis=0)
    is_known = _known_classes(classes, here, known)
    kept, total = counts.copy(), float(counts.sum())
    if policy.true == "drop":
        kept[..., ~is_known, :] = 0
    of_known = float(kept.sum())
    if policy.said == "drop":
        kept[..., ~here] = 0
    left = float(kept.sum())
    if left <= 0:
        raise RunError(f"policy {name}: it leaves no clip to score")
    return ScoredCounts(name, classes, kept, total, total - of_known, of_known - left)


def _known_classes(classes: tuple[str, ...], here: np.ndarray, known: frozenset[str]) -> np.ndarray:
    """Which classes the training corpus has, bool (C,); `here` says which the tested one has. Some must be in both."""
    is_known = np.isin(classes, sorted(known))
    if not (is_known & here).any():
        tested = ", ".join(np.array(classes)[here])
        raise RunError(f"the corpora have no class in common: {', '.join(sorted(known))} and {tested}")
    return is_known


def find_policy(name: str) -> Policy:
    """The policy called `name`; an unknown one is refused with those there are."""
    if name not in POLICIES:
        raise RunError(not_one_of("policy", name, POLICIES))
    return POLICIES[name]


def _merged(predictions: Predictions) -> Predictions:
    """Merged classes under one name, probabilities added; a decision is renamed, not taken anew."""
    classes, joins = _merging(predictions.classes)
    number = joins.argmax(axis=1)
    return dataclasses.replace(
        predictions,
        classes=classes,
        truth=number[predictions.truth],
        predicted=number[predictions.predicted],
        probabilities=None if predictions.probabilities is None else predictions.probabilities @ joins,
        equals=None if predictions.equals is None else predictions.equals @ joins > 0,
    )


def _merging(classes: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """The classes that are left, and which of them each old one goes to: 0 and 1 (old, new)."""
    merged, number = np.unique([MERGED.get(label, label) for label in classes], return_inverse=True)
    return tuple(map(str, merged)), (number[:, None] == np.arange(len(merged))).astype(np.float64)


def _repredicted(predictions: Predictions, shared: np.ndarray) -> tuple[Predictions, np.ndarray]:
    """The most probable of the shared classes, and which clips have no probability on any: the others keep these, which is an error."""
    values = predictions.probabilities
    if values is None:
        raise RunError("predictions without a value a class cannot be taken anew over the shared classes")
    predicted, equals = decide(values, predictions.classes, shared)
    nowhere: np.ndarray = np.all(values[:, shared] <= 0, axis=1)
    if nowhere.any():
        predicted[nowhere] = decide(values[nowhere], predictions.classes, ~shared).predicted
        equals[nowhere] = np.eye(len(shared), dtype=bool)[predicted[nowhere]]  # that nothing speaks for any is no tie
    return dataclasses.replace(predictions, predicted=predicted, equals=equals), nowhere


def shared_classes(predictions: Predictions, known: frozenset[str]) -> Mapping[str, list[str]]:
    """Which classes both sides have and which one lacks, for people."""
    here = {predictions.classes[number] for number in np.unique(predictions.truth)}
    return {
        "shared": sorted(here & known),
        "only_trained": sorted(known - here),
        "only_tested": sorted(here - known),
    }
