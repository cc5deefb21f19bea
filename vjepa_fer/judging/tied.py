"""Predictions go in; how many clips have several classes of one largest value, and what these are worth, comes out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from vjepa_fer.features import equals_in
from vjepa_fer.judging.predictions import Predictions


@dataclass(frozen=True)
class Ties:
    """Clips that values alone do not decide; figures are fractions.

    Attributes
    ----------
    num_clips, num_tied : int
    rule : {"name", "said"}
        ``name``: decided here, for the first by name. ``said``: the table or the probe says a label, and that counts.
    war_shared, uar_shared : float
        If equals shared each clip equally, which no name and no order changes.
    war_range : (float, float)
        With every tie lost, and with every tie won that has the true class in it.
    """

    num_clips: int
    num_tied: int
    rule: Literal["name", "said"]
    war_shared: float
    uar_shared: float
    war_range: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, in percent."""
        shared = {name: round(100 * getattr(self, name), 4) for name in ("war_shared", "uar_shared")}
        ends = [round(100 * end, 4) for end in self.war_range]
        return {"clips": self.num_tied, "rule": self.rule, **shared, "war_range": ends}

    def __str__(self) -> str:
        """In a sentence, for people."""
        low, high = (f"{100 * end:.2f}" for end in self.war_range)
        counts = "the first by name counts" if self.rule == "name" else "the label that was said counts"
        return (
            f"{self.num_tied:,} of {self.num_clips:,} decisions are tied, several classes having the largest value; {counts}. If equals shared a clip, WAR "
            f"would be {100 * self.war_shared:.2f} and UAR {100 * self.uar_shared:.2f}; with all these lost or won, WAR {low} or {high}"
        )


def ties_among(predictions: Predictions) -> Ties | None:
    """The clips that are tied; None where none is, or where that cannot be known.

    A label that was said against its own probabilities is no tie.
    """
    equals, rows = predictions.equals, np.arange(len(predictions))
    if equals is None and predictions.probabilities is not None:
        equals = equals_in(predictions.probabilities)
        equals = np.where(equals[rows, predictions.predicted][:, None], equals, False)
    if equals is None or not (tied := equals.sum(axis=1) > 1).any():
        return None
    single = np.eye(len(predictions.classes), dtype=bool)[predictions.predicted]
    equals = np.where(tied[:, None], equals, single)
    won = equals[rows, predictions.truth]
    war, uar = _shared(predictions.truth, np.where(won, equals.sum(axis=1), 0))
    return Ties(
        num_clips=len(predictions),
        num_tied=int(tied.sum()),
        rule="said" if predictions.equals is None else "name",
        war_shared=war,
        uar_shared=uar,
        war_range=(float((won & ~tied).mean()), float(won.mean())),
    )


def _shared(truth: np.ndarray, sharers: np.ndarray) -> tuple[float, float]:
    """WAR and UAR where each clip is worth one part of so many; 0 where its own class is not among them.

    In whole fractions: sums of thirds and halves would hang on the order of the clips in their last digit, and 41.875 be printed either way.
    """
    worth: dict[int, Fraction] = {}
    for (number, parts), clips in Counter(zip(truth.tolist(), sharers.tolist(), strict=True)).items():
        worth[number] = worth.get(number, Fraction(0)) + (Fraction(clips, parts) if parts else 0)
    recalls = [won / int(np.sum(truth == number)) for number, won in worth.items()]
    return float(sum(worth.values()) / len(truth)), float(sum(recalls) / len(recalls))
