"""Class columns that are numbered, as ``embs0`` to ``embs7``, go in with the order of the classes that a person tells; columns with names come out.

Nobody can see from a column called ``embs0`` which class it is, and a wrong order makes a good classifier look like a bad one: so the order
is asked for, and how well it agrees with the true labels is said beside that of the best other order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vjepa_fer.doors import as_number
from vjepa_fer.errors import RunError
from vjepa_fer.judging.class_columns import COLUMNS
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.manifest import MOST_SHOWN, Table, abridged, rename_columns

DOUBTFUL = 5.0
"""Points by which another order must agree in more clips before the one that was told is doubted: of a few clips, chance finds a better one."""

FEWEST_CODES = 3
"""Classes that are numbers, of which one may have no clip because labels are counted from another number."""

_NUMBERED = re.compile(r"(.*?)(\d+)")


def numbered_columns(header: Sequence[str]) -> list[str]:
    """The most columns that have one beginning and are counted from 0 or 1 without a gap, in the order of their numbers; [] where no two are.

    >>> numbered_columns(["embs1", "embs0", "name", "embs2", "take1"])
    ['embs0', 'embs1', 'embs2']
    """
    groups: dict[str, dict[int, str]] = {}
    for name in header:
        if name not in COLUMNS and (found := _NUMBERED.fullmatch(name)):
            groups.setdefault(found[1], {})[int(found[2])] = name
    whole = [own for own in groups.values() if sorted(own) in (list(range(len(own))), list(range(1, len(own) + 1)))]
    largest = max(whole, key=len, default={})
    return [largest[number] for number in sorted(largest)] if len(largest) > 1 else []


def name_columns(table: Table, order: Sequence[str]) -> Table:
    """The table with its numbered columns called by these classes.

    Raises
    ------
    RunError
        It has no numbered columns or another number of them, or a class stands twice.
    """
    numbered = numbered_columns(table.header)
    if len(numbered) != len(order):
        there = f"{len(numbered)} are there: {abridged(numbered, MOST_SHOWN)}" if numbered else "none are there"
        raise RunError(
            f"{table.path}, row 1: --class-order names {len(order)} classes; expected as many numbered columns, such as embs0, embs1 …, {there}"
        )
    if again := [name for n, name in enumerate(order) if name in order[:n]]:
        raise RunError(f"{table.path}: --class-order has {again[0]!r} twice; each class has one column")
    return rename_columns(table, dict(zip(order, numbered, strict=True)))


def refuse_unnamed(table: Table) -> None:
    """Raise :class:`RunError` where classes are numbered columns: which is which must be told; the message says what the labels speak for."""
    numbered = numbered_columns(table.header)
    labels = sorted({row["true_label"] for _, row in table.rows})
    if len(numbered) < 2 or len(numbered) != len(labels):
        return
    values = np.array([[as_number(row[name]) for name in numbered] for _, row in table.rows])
    truth = np.searchsorted(labels, [row["true_label"] for _, row in table.rows])
    agree = 100 * np.mean(values.argmax(axis=1) == truth)
    raise RunError(
        f"{table.path}, row 1: {numbered[0]} to {numbered[-1]} are numbered, and which class each is, the table does not say; --class-order tells it. "
        f"In the alphabetical order, --class-order {','.join(labels)}, the largest is the true label in {agree:.1f} % of {len(truth):,} rows"
    )


@dataclass(frozen=True)
class OrderAgreement:
    """How well an order of classes that was told agrees with the true labels, in percent of clips, and the order that does best."""

    agree: float
    best: float
    best_order: tuple[str, ...]

    @property
    def is_doubtful(self) -> bool:
        """Another order agrees in so many more clips that this one is likely wrong."""
        return self.best > self.agree + DOUBTFUL

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"agree": round(self.agree, 4), "best": round(self.best, 4), "best_order": list(self.best_order)}


def order_agreement(predictions: Predictions) -> OrderAgreement:
    """Compare the decisions with the true labels, under this and under every other order of the same columns."""
    from scipy.optimize import linear_sum_assignment

    counts = predictions.confusion  # true class by column
    truth, column = linear_sum_assignment(-counts)
    of_column = dict(zip(column.tolist(), truth.tolist(), strict=True))
    best = tuple(predictions.classes[of_column[n]] for n in range(len(predictions.classes)))
    share = 100 / counts.sum()
    return OrderAgreement(float(np.trace(counts) * share), float(counts[truth, column].sum() * share), best)


def agree_if_shifted(predictions: Predictions) -> tuple[str, float] | None:
    """Where classes are numbers of which no clip has the first or the last: that one, and in percent of clips how often the decision would be right
    if true labels counted from one number less or more; None unless that is far more often."""
    codes = predictions.classes
    if len(codes) < FEWEST_CODES or not all(code.isdecimal() for code in codes):
        return None
    of_class = np.array([int(code) for code in codes])
    truth, said = of_class[predictions.truth], of_class[predictions.predicted]
    agree = 100 * np.mean(truth == said)
    for unseen, shift in ((of_class.min(), -1), (of_class.max(), 1)):
        shifted = 100 * np.mean(truth + shift == said)
        if unseen not in truth and shifted > agree + DOUBTFUL:
            return codes[int(np.flatnonzero(of_class == unseen)[0])], float(shifted)
    return None
