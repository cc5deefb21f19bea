"""A support vector machine on features: scikit-learn's ``SVC`` finds it, and its decisions are taken here, equal to that one's."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.base import ProbeWithWeights, TrainingSet, softmax
from vjepa_fer.probes.checks import check_choice, check_class_weight, check_number, check_weighted_classes
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.ties import preference


class SvmProbe(ProbeWithWeights):
    """Support vector machine.

    ``predict`` is that of scikit-learn's ``SVC`` (one against one, majority vote; of equally good classes the first, in the order
    of :func:`vjepa_fer.probes.ties.preference`). ``predict_proba`` is a softmax of its one-against-rest decision values:
    ordered as the machine orders them, highest for the predicted class, not calibrated.

    Parameters
    ----------
    C : float
        Inverse strength of the penalty on the weights.
    kernel : {"rbf", "linear"}
        Shape of the boundary.
    gamma : {"scale", "auto"} or float
        Width of the RBF kernel; "scale" is ``1 / (D · X.var())``.
    class_weight : None or "balanced"
        "balanced" weighs each class by one over its share of the clips.
    random_state
        Not used: nothing is random. It is there because every probe has it.
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        kernel: Literal["rbf", "linear"] = "rbf",
        gamma: float | str = "scale",
        class_weight: str | dict | None = None,
        random_state: int | None = None,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.class_weight = class_weight
        self.random_state = random_state

    def _learn(self, training: TrainingSet) -> None:
        from sklearn.svm import SVC

        check_weighted_classes(self.class_weight, self.classes_)
        rank = np.argsort(preference(self.classes_))
        found = SVC(C=self.C, kernel=self.kernel, gamma=self.gamma, class_weight=self._class_weight_by_rank(rank))
        try:
            found.fit(training.X, rank[training.codes], sample_weight=training.weights)
        except ValueError as error:  # what was given is checked, so it is about numbers out of bounds
            raise ProbeError(f"no support vector machine comes of these features: {error}") from error
        self.n_iter_ = int(np.max(found.n_iter_))
        sign = -1 if len(self.classes_) == 2 else 1  # scikit-learn turns a lone pair round
        self.machine_ = Machine(
            vectors=found.support_vectors_,
            counts=found.n_support_.astype(np.int64),
            coefficients=sign * found.dual_coef_,
            intercepts=sign * found.intercept_,
            gamma=float(found._gamma) if self.kernel == "rbf" else None,
        )

    def _check_parameters(self) -> None:
        check_number("C", self.C, above=0)
        check_choice("kernel", self.kernel, ("rbf", "linear"))
        if isinstance(self.gamma, str):
            check_choice("gamma", self.gamma, ("scale", "auto"))
        else:
            check_number("gamma", self.gamma, above=0)
        check_class_weight(self.class_weight)

    def _class_weight_by_rank(self, rank: NDArray) -> str | dict | None:
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        ranks = dict(zip(self.classes_.tolist(), rank.tolist(), strict=True))
        return {ranks[label]: weight for label, weight in self.class_weight.items()}

    def _decide(self, X: NDArray) -> NDArray:
        order = preference(self.classes_)
        return order[_votes(self.machine_.pairwise(X), len(order)).argmax(axis=1)]

    def _probabilities(self, X: NDArray) -> NDArray:
        return self._ranked_probabilities(X)[:, np.argsort(preference(self.classes_))]

    def _ranked_probabilities(self, X: NDArray) -> NDArray:
        """Columns in the order of preference, as the machine's classes are."""
        pairwise = self.machine_.pairwise(X)
        votes = _votes(pairwise, len(self.classes_))
        if pairwise.shape[1] == 1:
            return softmax(np.concatenate([pairwise, -pairwise], axis=1) / 2)
        values = votes + _confidences(pairwise, len(self.classes_))
        return softmax(_predicted_first(values, votes.argmax(axis=1)))

    def _learnt(self) -> Learnt:
        m = self.machine_
        arrays = {"vectors": m.vectors, "counts": m.counts, "coefficients": m.coefficients, "intercepts": m.intercepts}
        return Learnt(arrays, {} if m.gamma is None else {"gamma": m.gamma})

    def _recall(self, held: Held) -> None:
        num_classes = len(self.classes_)
        vectors = held.floats("vectors", None, self.n_features_in_)
        counts = held.wholes("counts", num_classes, most=len(vectors))
        if counts.sum() != len(vectors):
            held.refuse("counts", f"add up to {counts.sum()}, but there are {len(vectors)} vectors")
        self.machine_ = Machine(
            vectors=vectors,
            counts=counts,
            coefficients=held.floats("coefficients", num_classes - 1, len(vectors)),
            intercepts=held.floats("intercepts", num_classes * (num_classes - 1) // 2),
            gamma=held.number("gamma") if self.kernel == "rbf" else None,
        )


@dataclass(frozen=True, eq=False)
class Machine:
    """Support vectors ``(S, D)`` class by class, how many each class has ``(K,)``, and libsvm's coefficients ``(K-1, S)``.

    Classes stand in the order of preference.

    For classes i < j, row ``j - 1`` of the coefficients holds those of class i's vectors, row ``i`` those of class j's.
    """

    vectors: NDArray
    counts: NDArray
    coefficients: NDArray
    intercepts: NDArray
    gamma: float | None

    def pairwise(self, X: NDArray) -> NDArray:
        """Decision values ``(N, K·(K-1)/2)`` of clips ``(N, D)``, above 0 for the first class of each pair."""
        kernel = self._kernel(X.astype(np.float64))
        ends = np.cumsum(self.counts)
        parts = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        decided = [
            kernel[:, parts[i]] @ self.coefficients[j - 1, parts[i]]
            + kernel[:, parts[j]] @ self.coefficients[i, parts[j]]
            for i, j in itertools.combinations(range(len(parts)), 2)
        ]
        return np.stack(decided, axis=1) + self.intercepts

    def _kernel(self, X: NDArray) -> NDArray:
        products = X @ self.vectors.T
        if self.gamma is None:
            return products
        squares = np.square(X).sum(axis=1)[:, None] + np.square(self.vectors).sum(axis=1) - 2 * products
        return np.exp(-self.gamma * np.maximum(squares, 0))


def _votes(pairwise: NDArray, num_classes: int) -> NDArray:
    votes = np.zeros((len(pairwise), num_classes))
    for values, (i, j) in zip(pairwise.T, itertools.combinations(range(num_classes), 2), strict=True):
        votes[:, i] += values > 0
        votes[:, j] += values <= 0
    return votes


def _confidences(pairwise: NDArray, num_classes: int) -> NDArray:
    """How clearly each class wins its pairs, within a third of a vote: it orders classes with equally many votes."""
    sums = np.zeros((len(pairwise), num_classes))
    for values, (i, j) in zip(pairwise.T, itertools.combinations(range(num_classes), 2), strict=True):
        sums[:, i] += values
        sums[:, j] -= values
    return sums / (3 * (np.abs(sums) + 1))


def _predicted_first(values: NDArray, predicted: NDArray) -> NDArray:
    """Swap values where a tie of votes was broken otherwise, so that the predicted class has the largest one."""
    rows, largest = np.arange(len(values)), values.argmax(axis=1)
    values = values.copy()
    values[rows, largest], values[rows, predicted] = values[rows, predicted], values[rows, largest].copy()
    return values
