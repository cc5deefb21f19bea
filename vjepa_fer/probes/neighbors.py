"""The two probes that compare clips by distance: k nearest neighbours, and the nearest class mean."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.base import Probe, ProbeWithWeights, TrainingSet, softmax
from vjepa_fer.probes.checks import check_choice, check_whole
from vjepa_fer.probes.learnt import Held, Learnt
from vjepa_fer.probes.ties import preference

Metric = Literal["euclidean", "cosine"]


class KnnProbe(Probe):
    """k nearest neighbours, with scikit-learn's ``KNeighborsClassifier`` inside, so that its figures are that one's.

    Of classes with equally many votes the first wins, in the order of :func:`vjepa_fer.probes.ties.preference`.

    Parameters
    ----------
    n_neighbors : int
        How many training clips vote.
    metric : {"euclidean", "cosine"}
        Distance between two clips' features.
    weights : {"uniform", "distance"}
        Each neighbour counts the same, or by one over its distance.
    random_state
        Not used: nothing is random. It is there because every probe has it.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        metric: Metric = "euclidean",
        weights: Literal["uniform", "distance"] = "uniform",
        random_state: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.weights = weights
        self.random_state = random_state

    def _learn(self, training: TrainingSet) -> None:
        self._keep(training.X, training.codes)

    def _check_parameters(self) -> None:
        check_whole("n_neighbors", self.n_neighbors, least=1)
        check_choice("weights", self.weights, ("uniform", "distance"))
        _check_metric(self.metric)

    def _keep(self, features: NDArray, codes: NDArray[np.intp]) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        if self.n_neighbors > len(features):
            raise ProbeError(
                f"n_neighbors {self.n_neighbors!r} must be between 1 and the number of training clips, {len(features)}"
            )
        self.model_ = KNeighborsClassifier(self.n_neighbors, metric=self.metric, weights=self.weights)
        self.order_ = preference(self.classes_)
        self.rank_ = np.argsort(self.order_)
        self.model_.fit(features, self.rank_[codes])
        self.clips_, self.codes_ = features, codes

    def _learnt(self) -> Learnt:
        return Learnt({"clips": self.clips_, "codes": self.codes_.astype(np.int64)})

    def _recall(self, held: Held) -> None:
        clips = held.floats("clips", None, self.n_features_in_)
        codes = held.wholes("codes", len(clips), most=len(self.classes_) - 1)
        if not np.bincount(codes, minlength=len(self.classes_)).all():
            held.refuse("codes", f"leave one of {len(self.classes_)} classes without a clip")
        self._keep(clips, codes)

    def _decide(self, X: NDArray) -> NDArray:
        return self.order_[self.model_.predict(X)]

    def _probabilities(self, X: NDArray) -> NDArray:
        return self.model_.predict_proba(X)[:, self.rank_]


class CentroidProbe(ProbeWithWeights):
    """The nearest class mean: the cheapest baseline there is.

    Probabilities are a softmax of ``-d²/(2 s²)``, where d is the distance to a class mean and s² the mean of d² of the
    training clips to their own class mean.

    Parameters
    ----------
    metric : {"euclidean", "cosine"}
        With "cosine", clips and class means are scaled to length 1 first.
    random_state
        Not used: nothing is random. It is there because every probe has it.
    """

    def __init__(self, *, metric: Metric = "euclidean", random_state: int | None = None) -> None:
        self.metric = metric
        self.random_state = random_state

    def _learn(self, training: TrainingSet) -> None:
        codes, rows = training.codes, np.arange(len(training.codes))
        weights = np.ones(len(rows)) if training.weights is None else training.weights
        members = np.zeros((len(self.classes_), len(rows)))
        members[codes, rows] = weights
        totals = members.sum(axis=1, keepdims=True)
        points = self._points(training.X)
        self.centroids_ = self._points(members @ points / totals)  # (K, D)
        own = np.square(points - self.centroids_[codes]).sum(axis=1)
        self.spread_ = float(np.average(own, weights=weights))

    def _learnt(self) -> Learnt:
        return Learnt({"centroids": self.centroids_}, {"spread": self.spread_})

    def _recall(self, held: Held) -> None:
        self.centroids_ = held.floats("centroids", len(self.classes_), self.n_features_in_)
        self.spread_ = held.number("spread")

    def _check_parameters(self) -> None:
        _check_metric(self.metric)

    def _points(self, X: NDArray) -> NDArray[np.float64]:
        points = X.astype(np.float64)
        if self.metric == "cosine":
            lengths = np.linalg.norm(points, axis=1, keepdims=True)
            points /= np.where(lengths > 0, lengths, 1.0)
        return points

    def _probabilities(self, X: NDArray) -> NDArray:
        points, centroids = self._points(X), self.centroids_
        # |x - c|² without |x|², which is the same for every class
        distances = np.square(centroids).sum(axis=1) - 2 * points @ centroids.T
        distances -= distances.min(axis=1, keepdims=True)  # of one clip a class the spread is 0, and all but 0 is far
        with np.errstate(over="ignore"):
            return softmax(-distances / (2 * max(self.spread_, np.finfo(float).tiny)))


def _check_metric(metric: str) -> None:
    check_choice("metric", metric, ("euclidean", "cosine"))
