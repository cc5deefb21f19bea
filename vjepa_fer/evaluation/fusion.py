"""Evaluations of the same clips by different streams go in; the predictions of their averaged probabilities come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.features import decide
from vjepa_fer.judging import Predictions


def average_probabilities(streams: Sequence[Predictions]) -> Predictions:
    """Late fusion: the mean of the streams' probabilities, the most probable class wins, of equals the first by name.

    Each stream was scaled and fitted by itself on the training part of each fold, so nothing here has seen a test label.

    Raises
    ------
    RunError
        No streams, one without probabilities, or streams that differ in clips, classes, truth or folds.
    """
    if not streams:
        raise RunError("no streams to average")
    first = streams[0]
    probabilities = []
    for number, other in enumerate(streams):
        if other.probabilities is None:
            raise RunError(f"stream {number} has scores but no probabilities; late fusion averages probabilities")
        probabilities.append(other.probabilities)
        same = all(np.array_equal(getattr(first, n), getattr(other, n)) for n in ("clip_ids", "truth", "fold"))
        if other.classes != first.classes or not same:
            raise RunError(
                f"stream {number} was judged on other clips, classes or folds than stream 0; use one set of folds"
            )
    mean = np.mean(probabilities, axis=0)
    decision = decide(mean, first.classes)
    return dataclasses.replace(first, probabilities=mean, predicted=decision.predicted, equals=decision.equals)
