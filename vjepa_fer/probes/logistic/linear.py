"""The linear probe: multinomial logistic regression, one value of C or a whole grid from one pass over the clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.probes.base import ProbeWithWeights, TrainingSet, softmax
from vjepa_fer.probes.checks import (
    check_class_weight,
    check_every_class_counts,
    check_number,
    check_weighted_classes,
    warn_of_budget,
)
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.logistic.path import LogisticPath, class_weights, fit_logistic_path
from vjepa_fer.probes.logistic.spaces import times_features


class LogisticProbe(ProbeWithWeights):
    """Multinomial logistic regression with an L2 penalty: scikit-learn's ``LogisticRegression``, objective for objective.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty.
    class_weight : None, "balanced" or dict
        "balanced" weighs each class by one over its share of the clips; a dict gives a weight by label.
    tol : float
        Error in the mean loss to stop at: how far above its minimum the objective may end, whatever the features. The default
        is tighter than scikit-learn's, whose high C are not converged.
    max_iter : int
        Most steps; reaching it is a warning.
    random_state
        Not used: nothing is random. It is there because every probe has it.

    Attributes
    ----------
    coef_, intercept_ : ndarray of float64, (K, D) and (K,), one row for two classes
    n_iter_ : int
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        class_weight: str | dict | None = None,
        tol: float = 5e-6,
        max_iter: int = 1000,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.class_weight = class_weight
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state

    coef_: NDArray
    intercept_: NDArray
    n_iter_: int

    apart = ("C", "random_state")

    def _learn_together(self, family: Sequence[Self], training: TrainingSet) -> None:
        features, codes = training.X, training.codes
        check_weighted_classes(self.class_weight, self.classes_)
        weights = class_weights(self.class_weight, self.classes_, codes, training.weights)
        if weights is not None:
            check_every_class_counts(self.classes_, codes, weights)
        C = [probe.C for probe in family]
        path = fit_logistic_path(features, codes, C=C, sample_weight=weights, tol=self.tol, max_iter=self.max_iter)
        for number, probe in enumerate(family):
            probe._take(path, number)

    def _check_parameters(self) -> None:
        check_number("C", self.C, above=0)
        check_number("tol", self.tol, above=0)
        check_number("max_iter", self.max_iter, above=0)
        check_class_weight(self.class_weight)

    def _take(self, path: LogisticPath, number: int) -> None:
        weights, intercepts = path.weights[number], path.intercepts[number]
        if len(weights) == 2:  # as scikit-learn: one row, for the second class
            weights, intercepts = weights[1:] - weights[:1], intercepts[1:] - intercepts[:1]
        self.coef_, self.intercept_ = weights, intercepts
        self.n_iter_ = max(int(path.n_iter[number]), 1)
        if not path.converged[number]:
            warn_of_budget(
                f"logistic regression with C={self.C:g} has not converged after {self.n_iter_} steps: scale the "
                "features, or raise max_iter",
                stacklevel=5,
            )

    @classmethod
    def answer_together(cls, probes: Sequence[Self], X: ArrayLike) -> list[tuple[NDArray, NDArray]]:
        """:meth:`answer` of many: those that were fitted on the same classes share one matrix product."""
        features = probes[0]._check_known(X)
        shapes = {getattr(probe, "coef_", np.empty(0)).shape for probe in probes}
        if len(shapes) > 1:
            return super().answer_together(probes, X)
        scores = times_features(np.stack([probe.coef_ for probe in probes]), features)
        probabilities = [probe._shares(own) for probe, own in zip(probes, scores, strict=True)]
        return [(p, probe.classes_[p.argmax(axis=1)]) for p, probe in zip(probabilities, probes, strict=True)]

    def _probabilities(self, X: NDArray) -> NDArray:
        return self._shares(times_features(self.coef_[None], X)[0])

    def _shares(self, products: NDArray) -> NDArray:
        """Probabilities ``(N, K)`` of the weights' products with features, ``(K, N)``."""
        scores = products.T + self.intercept_
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        return softmax(scores)

    def _learnt(self) -> Learnt:
        return Learnt({"coef": self.coef_, "intercept": self.intercept_}, {"n_iter": self.n_iter_})

    def _recall(self, held: Held) -> None:
        rows = 1 if len(self.classes_) == 2 else len(self.classes_)
        self.coef_, self.intercept_ = held.floats("coef", rows, self.n_features_in_), held.floats("intercept", rows)
        self.n_iter_ = held.whole("n_iter")
