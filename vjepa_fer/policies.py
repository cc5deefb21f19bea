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

from vjepa_fer.errors import RunError
from vjepa_fer.label_names import MERGED
from vjepa_fer.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What happens to foreign classes.

    Attributes
    ----------
    definition : str
        In a sentence, for tables and JSON.
    merge : bool
        First put together what :data:`vjepa_fer.label_names.MERGED` says, in truths and predictions alike.
    true : {"error", "drop"}
        Clips whose true class the training corpus lacks.
    said : {"error", "drop", "repredict"}
        Predictions of classes that the tested corpus lacks; "repredict" takes the most probable shared class instead.
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
        definition="clips of foreign true classes are left out; the prediction is the most probable shared class",
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
    """

    policy: str
    predictions: Predictions
    num_clips: int
    dropped_by_truth: int
    dropped_by_prediction: int

    def to_dict(self) -> dict[str, Any]:
        """The policy and its coverage, for JSON."""
        scored = len(self.predictions)
        return {
            "policy": self.policy,
            "definition": POLICIES[self.policy].definition,
            "coverage": {
                "scored": scored,
                "clips": self.num_clips,
                "percent": round(100 * scored / self.num_clips, 4),
                "dropped_by_truth": self.dropped_by_truth,
                "dropped_by_prediction": self.dropped_by_prediction,
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
    classes = np.array(predictions.classes)
    here = np.unique(predictions.truth)
    is_known, is_here = np.isin(classes, sorted(known)), np.isin(np.arange(len(classes)), here)
    if not (is_known & is_here).any():
        raise RunError(
            f"the corpora have no class in common: {', '.join(sorted(known))} and {', '.join(classes[here])}"
        )
    by_truth = ~is_known[predictions.truth] if policy.true == "drop" else np.zeros(len(predictions), bool)
    if policy.said == "repredict":
        predictions = _repredicted(predictions, is_known & is_here)
    by_said = ~is_here[predictions.predicted] & ~by_truth if policy.said == "drop" else np.zeros(len(predictions), bool)
    kept = ~(by_truth | by_said)
    if not kept.any():
        raise RunError(f"policy {name}: it leaves no clip to score")
    return Scored(name, predictions.take(kept), len(kept), int(by_truth.sum()), int(by_said.sum()))


def find_policy(name: str) -> Policy:
    """The policy called `name`; an unknown one is refused with those there are."""
    if name not in POLICIES:
        raise RunError(f"policy {name!r} is not one of {', '.join(POLICIES)}")
    return POLICIES[name]


def _merged(predictions: Predictions) -> Predictions:
    """Merged classes under one name, probabilities added; a decision is renamed, not taken anew."""
    names = [MERGED.get(label, label) for label in predictions.classes]
    classes, number = np.unique(names, return_inverse=True)
    probabilities = None
    if predictions.probabilities is not None:
        probabilities = predictions.probabilities @ (number[:, None] == np.arange(len(classes)))
    return dataclasses.replace(
        predictions,
        classes=tuple(map(str, classes)),
        truth=number[predictions.truth],
        predicted=number[predictions.predicted],
        probabilities=probabilities,
    )


def _repredicted(predictions: Predictions, shared: np.ndarray) -> Predictions:
    if predictions.probabilities is None:
        raise RunError("predictions without a value a class cannot be taken anew over the shared classes")
    values = np.where(shared, predictions.probabilities, -np.inf)
    return dataclasses.replace(predictions, predicted=values.argmax(axis=1))


def shared_classes(predictions: Predictions, known: frozenset[str]) -> Mapping[str, list[str]]:
    """Which classes both sides have and which one lacks, for people."""
    here = {predictions.classes[number] for number in np.unique(predictions.truth)}
    return {
        "shared": sorted(here & known),
        "only_trained": sorted(known - here),
        "only_tested": sorted(here - known),
    }
