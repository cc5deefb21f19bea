"""A value a class goes in; the one class that is decided for comes out, and which others were its equals.

One rule for every command: of equal values the first by *name* wins, never the first by column, and whoever decides counts the clips that were
tied. It is what scikit-learn's classifiers do, whose classes are sorted, so a figure is the same from a table with ``predicted_label`` and from
its probabilities alone, and published figures are met to the last digit: one clip of the paper's RAVDESS runs is tied, and so is one in nine of a
k-NN. A decision stays one label, and counts stay whole. The price is that a class early in the alphabet wins its ties; what it wins, and what
equals would have if they shared their clips, is said beside the figures (:mod:`vjepa_fer.judging.tied`), where it changes with no name.

Where every class that may be decided for has probability 0, nothing speaks for any: :mod:`vjepa_fer.judging.policies` calls that an error, not a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

ROUNDING = 1e-12
"""Values that agree to this share of their row's largest are equal: the order of summing must not decide a clip."""


class Decision(NamedTuple):
    """What values decide.

    Attributes
    ----------
    predicted : ndarray of int64, shape (num_rows,)
        The class with the largest value, of equals the first by name.
    equals : ndarray of bool, shape (num_rows, num_classes)
        Which classes have the largest value.
    """

    predicted: np.ndarray
    equals: np.ndarray


def equals_in(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Which classes have their row's largest value, to :data:`ROUNDING`: several where there is a tie.

    Parameters
    ----------
    values : ndarray of float64, shape (num_rows, num_classes)
    among : ndarray of bool, shape (num_classes,), optional
        The classes that may be decided for; all.

    Returns
    -------
    ndarray of bool, shape (num_rows, num_classes)
    """
    allowed = np.ones(values.shape[1], bool) if among is None else among
    looked_at = values[:, allowed]
    room = ROUNDING * np.abs(looked_at).max(axis=1, keepdims=True)
    equals = np.zeros(values.shape, bool)
    equals[:, allowed] = looked_at >= looked_at.max(axis=1, keepdims=True) - room
    return equals


def decide(values: np.ndarray, classes: Sequence[str], among: np.ndarray | None = None) -> Decision:
    """Decide every row; `classes` are what the columns are called, in any order, the others as in :func:`equals_in`."""
    equals = equals_in(values, among)
    by_name = np.array(sorted(range(len(classes)), key=classes.__getitem__))
    return Decision(by_name[equals[:, by_name].argmax(axis=1)], equals)


def first_of_equals(values: np.ndarray) -> np.ndarray:
    """:func:`decide` where columns stand in the order of their names, as those of every probe: int64 (num_rows,)."""
    return equals_in(values).argmax(axis=1)


def shares_of_equals(values: np.ndarray) -> np.ndarray:
    """Equal parts of 1 for each row's :func:`equals_in`, float64 (num_rows, num_classes)."""
    equals = equals_in(values)
    return equals / equals.sum(axis=1, keepdims=True)
