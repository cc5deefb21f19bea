"""What each stream says of clips that its probe did not know goes in; a classifier that weighs the streams comes out, and how much each counts.

::

    subjects      a b c d e f g h
    outer fold    . . . . . . T T     T has no part in what follows
    inner folds   T T . . . .         each stream's probe, fitted on the other subjects, says a probability for T, so that
                  . . T T . .         every training clip has one that nobody who knew its subject gave
                  . . . . T T
    stacker       x x x x x x         fitted on these; then asked about what each stream's probe of a to f says of g and h
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.doors import Given
from vjepa_fer.errors import SplitError
from vjepa_fer.evaluation.evaluate import Decided, align, fit_predict
from vjepa_fer.evaluation.nested import inner_splits
from vjepa_fer.experiment import Cell
from vjepa_fer.features import first_of_equals
from vjepa_fer.folds import Split

FLOOR = 1e-3
"""The least probability whose logarithm is told apart: how sure a probe is beyond that says more of the probe than of the clip, and a
class that an inner training part lacks has none."""


@dataclass(frozen=True, eq=False)
class Stacker:
    """A multinomial logistic regression (C = 1) on the logarithms of the streams' probabilities.

    Attributes
    ----------
    probe : vjepa_fer.probes.Probe
        Fitted on float32 (num_clips, num_streams · num_classes), stream by stream.
    shares : ndarray of float64, shape (num_streams,)
        How much each stream moves the decision: the standard deviation of its part of the scores over the clips fitted on, of the sum of
        all streams'. They sum to one.
    """

    probe: Any
    shares: np.ndarray

    def decide(self, said: Sequence[np.ndarray]) -> Decided:
        """Decide from each stream's probabilities, float64 (num_clips, num_classes)."""
        classes = np.asarray(self.probe.classes_)
        probabilities = self.probe.predict_proba(_logarithms(said))
        return Decided(
            classes, probabilities, classes[first_of_equals(probabilities)], stacker=self.to_dict(len(classes))
        )

    def to_dict(self, num_classes: int) -> dict[str, Any]:
        """Plain values, stream by stream: ``shares``, ``weights`` (num_streams, num_scores, num_classes), and the scores' ``intercepts``."""
        weights = self.probe.coef_.reshape(len(self.probe.coef_), -1, num_classes).swapaxes(0, 1)
        return {
            "shares": self.shares.tolist(),
            "weights": weights.tolist(),
            "intercepts": self.probe.intercept_.tolist(),
        }


def read_stacker(said: Given, num_streams: int) -> dict[str, Any]:
    """The plain values of :meth:`Stacker.to_dict`, from a file.

    Raises
    ------
    VjepaFerError
        Of the kind that `said` raises: values of another type or shape.
    """
    found: dict[str, Any] = {}
    for name, ndim in (("shares", 1), ("weights", 3), ("intercepts", 1)):
        found[name] = said.list(name)
        if not _is_array(found[name], ndim) or (name != "intercepts" and len(found[name]) != num_streams):
            said.refuse(name, f"numbers in {ndim} dimensions, for {num_streams} streams")
    return found


def _is_array(values: Any, ndim: int) -> bool:
    if ndim == 0:
        return isinstance(values, int | float) and not isinstance(values, bool)
    return isinstance(values, list) and bool(values) and all(_is_array(one, ndim - 1) for one in values)


def fit_stacker(said: Sequence[np.ndarray], labels: np.ndarray) -> Stacker:
    """Fit on each stream's probabilities for the same clips, float64 (num_clips, num_classes), by probes that did not know them."""
    from vjepa_fer.probes import make_probe

    x = _logarithms(said)
    probe: Any = make_probe("logreg")
    probe.fit(x, labels)
    parts = np.split(x.astype(np.float64), len(said), axis=1)
    weights = np.split(probe.coef_, len(said), axis=1)
    moved = [float((part @ weight.T).std(axis=0).mean()) for part, weight in zip(parts, weights, strict=True)]
    total = sum(moved)
    return Stacker(probe, np.array(moved) / total if total else np.full(len(said), 1 / len(said)))


def _logarithms(said: Sequence[np.ndarray]) -> np.ndarray:
    """Float32 (num_clips, num_streams · num_classes)."""
    return np.log(np.maximum(np.concatenate(said, axis=1), FLOOR)).astype(np.float32)


def stacked_decisions(
    streams: Sequence[Features], split: Split, cells: Sequence[Cell], *, seed: int, num_folds: int, where: str
) -> list[Decided]:
    """Fit every cell on each stream, weigh the streams by what their probes say out of fold, and answer for ``split.test``.

    Parameters
    ----------
    streams : sequence of Features
        Of the same clips.
    split : Split
    cells : sequence of Cell
    seed : int
        Of the probes and the inner folds.
    num_folds : int
        Inner folds of ``split.train``, subject by subject; at most.
    where : str
        The outer fold, for messages.

    Raises
    ------
    SplitError
        The training part has one subject only, or so few that an inner training part has one class.
    """
    inside = out_of_fold(streams, split.train, cells, seed=seed, num_folds=num_folds, where=where)
    labels = streams[0].y[split.train]
    answers = [fit_predict(features, split, cells, seed) for features in streams]
    decided = []
    for number, said in enumerate(inside):
        stacker = fit_stacker(said, labels)
        answer = stacker.decide([own[number].probabilities for own in answers])
        decided.append(answer._replace(settled=answers[0][number].settled))  # as late fusion tells it
    return decided


def out_of_fold(
    streams: Sequence[Features], train: np.ndarray, cells: Sequence[Cell], *, seed: int, num_folds: int, where: str
) -> np.ndarray:
    """What each cell's probe on each stream says of training clips of whose subjects it knew none.

    Returns
    -------
    ndarray of float64, shape (num_cells, num_streams, num_train, num_classes)
        0 for a class that an inner training part lacks; classes in the order of their names.
    """
    first = streams[0]
    if len(set(first.subjects[train].tolist())) < 2:
        raise SplitError(
            f"{where}: its training part has one subject, so no probe can be asked about another inside it; use other folds, "
            "or --fusion late"
        )
    classes = np.unique(first.y[train])
    said = np.zeros((len(cells), len(streams), len(train), len(classes)))
    order = np.argsort(train)
    for split in inner_splits(first, train, num_folds, seed=seed, where=where):
        _require_classes(first, split, where)
        rows = order[np.searchsorted(train, split.test, sorter=order)]
        for stream, features in enumerate(streams):
            for number, decided in enumerate(fit_predict(features, split, cells, seed)):
                said[number, stream, rows] = align(decided, classes)[0]
    return said


def _require_classes(features: Features, split: Split, where: str) -> None:
    labels = set(features.y[split.train].tolist())
    if len(labels) < 2:
        raise SplitError(
            f"{where}: an inner fold of its training part leaves clips of {', '.join(map(repr, sorted(labels)))} alone to fit on; stacking "
            "needs more subjects: use other folds, or --fusion late"
        )
