"""The probe that looks at no feature: the most frequent class, or a guess in proportion to the classes. What any other must beat."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.base import ProbeWithWeights, TrainingSet
from vjepa_fer.probes.checks import check_choice, seed_of
from vjepa_fer.probes.learnt import Held, Learnt

Strategy = Literal["most_frequent", "prior", "stratified"]
_DRAW = 2.0**-64


class TrivialProbe(ProbeWithWeights):
    """A baseline with the strategies of scikit-learn's ``DummyClassifier``.

    Parameters
    ----------
    strategy : {"most_frequent", "prior", "stratified"}
        The most frequent class of the training clips, for sure; the same with the classes' shares as probabilities; or a class drawn
        by these shares for each clip. scikit-learn draws by a clip's place among those that are asked together. Here the seed and the
        clip's own numbers decide, so that its guess is the same in any company.
    random_state : int or None
        Of the draws; None is 0.
    """

    def __init__(self, strategy: Strategy = "most_frequent", *, random_state: int | None = None) -> None:
        self.strategy = strategy
        self.random_state = random_state

    def _check_parameters(self) -> None:
        check_choice("strategy", self.strategy, ("most_frequent", "prior", "stratified"))
        seed_of(self.random_state)

    def _learn(self, training: TrainingSet) -> None:
        counts = np.bincount(training.codes, weights=training.weights, minlength=len(self.classes_))
        self.class_prior_ = counts / counts.sum()

    def _learnt(self) -> Learnt:
        return Learnt({"class_prior": self.class_prior_})

    def _recall(self, held: Held) -> None:
        prior = held.floats("class_prior", len(self.classes_), kinds=("float64",))
        if prior.min() < 0 or not np.isclose(prior.sum(), 1):
            held.refuse("class_prior", "are no shares that sum to 1")
        self.class_prior_ = prior

    def _probabilities(self, X: NDArray) -> NDArray:
        if self.strategy == "prior":
            return np.tile(self.class_prior_, (len(X), 1))
        if self.strategy == "most_frequent":
            chosen = np.full(len(X), self.class_prior_.argmax())
        else:
            bounds = self.class_prior_.cumsum()[:-1]
            chosen = np.searchsorted(bounds, _draws(X, seed_of(self.random_state)), side="right")
        return np.eye(len(self.classes_))[chosen]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


def _draws(X: NDArray, seed: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each row, by its own numbers and the seed."""
    rows = np.ascontiguousarray(X, np.float64) + 0.0  # -0.0 is 0.0
    key = str(seed).encode()
    digests = (hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in rows)
    return np.fromiter((int.from_bytes(digest, "little") * _DRAW for digest in digests), np.float64, len(rows))
