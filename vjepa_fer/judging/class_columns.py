"""The columns of a table of predictions go in; which of them are classes comes out: by the labels' names, and by what sums to one.

An age or a frame count beside the probabilities is larger than any of them: taken for a class, it would win every clip.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.manifest import MOST_SHOWN, SPELLINGS, abridged, common_names

COLUMNS = ("clip_id", "true_label", "predicted_label", "fold", "subject")
"""Columns with a meaning; every other one is a class."""

TOLERANCE = 1e-3
"""How far probabilities may be from summing to one: they may have been written with three digits, or in half precision."""

ROUNDED = (2, 3)
"""Decimals at which what rounding did to a row's sum is more than that, and may be no more than half the last of each value."""

MOST_DOUBTFUL = 12
"""Columns that may be classes or not, of which every choice is tried."""


class Beginning(NamedTuple):
    """Columns that begin alike, what they are called without that, and the others."""

    headed: tuple[str, ...]
    bare: tuple[str, ...]
    others: tuple[str, ...]

    def only(self, kept: Sequence[str]) -> Beginning:
        """Without some of the columns, which are among the others then."""
        pairs = [(head, bare) for head, bare in zip(self.headed, self.bare, strict=True) if head in kept]
        out = tuple(head for head in self.headed if head not in kept)
        return Beginning(tuple(head for head, _ in pairs), tuple(bare for _, bare in pairs), (*self.others, *out))


def without_beginning(headed: Sequence[str], labels: set[str], names: Mapping[str, str] | None) -> Beginning:
    """The columns that have the beginning with which most become labels: ``conf_SAD`` is SAD, and ``age`` is another thing.

    Parameters
    ----------
    headed, labels
        The columns that may be classes, and the labels that occur.
    names : mapping, or None
        Empty where labels are compared letter by letter; see :func:`vjepa_fer.manifest.label_names.common_names`.
    """
    beginnings = dict.fromkeys(name[:end] for name in headed for end, mark in enumerate(name, 1) if mark in "_-:. ")
    known = set(_called(labels, names))
    plain = sum(name in known for name in _called(headed, names))

    def met(beginning: str) -> int:
        bare = [name.removeprefix(beginning) for name in headed if name.startswith(beginning) and name != beginning]
        return sum(name in known for name in _called(bare, names))

    best = max(beginnings, key=met, default="")
    if plain or not best or not met(best):
        return Beginning(tuple(headed), tuple(headed), ())
    begun = tuple(name for name in headed if name.startswith(best) and name != best)
    others = tuple(name for name in headed if name not in begun)
    return Beginning(begun, tuple(name.removeprefix(best) for name in begun), others)


def meets(columns: Sequence[str], labels: set[str], names: Mapping[str, str] | None) -> bool:
    """Whether some column is called like a label."""
    return not set(_called(columns, names)).isdisjoint(_called(labels, names))


def _called(words: Sequence[str] | set[str], names: Mapping[str, str] | None) -> list[str]:
    return list(words) if names == {} else list(common_names(words, names).values())


def require_classes(
    found: Beginning,
    labels: set[str],
    names: Mapping[str, str] | None,
    values: Callable[[], np.ndarray],
    *,
    are_scores: bool | None,
    where: str,
) -> Beginning:
    """Only the columns that are classes.

    A column that is called like no label may be a class that no clip has: then rows sum to one with it. Where they do without it,
    it is something else, and left out.

    Parameters
    ----------
    found : Beginning
    labels, names
        As in :func:`without_beginning`.
    values : callable
        Gives the columns' numbers, float64 (num_rows, num_columns), where they are needed.
    are_scores : bool or None
        See :func:`vjepa_fer.judging.prediction_csv.read_prediction_table`.
    where : str
        The file, for messages.

    Raises
    ------
    RunError
        Nobody can tell whether a column is a class.
    """
    known = set(_called(labels, names))
    called = dict(zip(found.headed, _called(found.bare, names), strict=True))
    doubtful = [head for head in found.headed if called[head] not in known]
    if not doubtful:
        return found
    if not are_scores:
        kept = _that_sum_to_one(found.headed, doubtful, values())
        if kept:
            return found.only(kept)
    strange = [head for head in doubtful if common_names([called[head]])[called[head]] not in SPELLINGS]
    if not strange:  # an expression that none of these clips shows
        return found
    raise RunError(
        f"{where}, row 1: is {strange[0]!r} a class? No label is called so, the rows do not sum to one without it or with it, and no "
        f"expression has this name. Say which columns are classes: --classes {','.join(h for h in found.headed if h not in strange)}"
        + (f" (doubtful: {abridged(strange, MOST_SHOWN)})" if len(strange) > 1 else "")
    )


def _that_sum_to_one(headed: Sequence[str], doubtful: Sequence[str], values: np.ndarray) -> list[str]:
    """The most columns whose rows are probabilities; empty where none are."""
    exactly = _that_sum_within(TOLERANCE, headed, doubtful, values)
    return exactly or _that_sum_within(tolerance_of(values), headed, doubtful, values)


def tolerance_of(values: np.ndarray) -> float:
    """How far rows may be from summing to one: further, where the values were written with two or three decimals."""
    if not (np.abs(values) <= 1).all():
        return TOLERANCE
    digits = next((d for d in ROUNDED if np.allclose(values, np.round(values, d), rtol=0, atol=1e-9)), 0)
    return max(TOLERANCE, values.shape[1] * 0.5 * 10.0**-digits * 1.0001) if digits else TOLERANCE


def _that_sum_within(tolerance: float, headed: Sequence[str], doubtful: Sequence[str], values: np.ndarray) -> list[str]:
    sure = values[:, [head not in doubtful for head in headed]]
    if len(doubtful) > MOST_DOUBTFUL:
        choices = [(), tuple(doubtful)]
    else:
        choices = [c for size in range(len(doubtful) + 1) for c in itertools.combinations(doubtful, size)]
    column = {head: values[:, number] for number, head in enumerate(headed)}
    for left_out in choices:
        extra = [column[head] for head in doubtful if head not in left_out]
        rows = np.column_stack([sure, *extra])
        if rows.shape[1] > 1 and (rows >= 0).all() and (np.abs(rows.sum(axis=1) - 1) <= tolerance).all():
            return [head for head in headed if head not in left_out]
    return []


def columns_of(classes: Sequence[str]) -> list[str]:
    """What each class' column is called: by the class, or with ``p_`` in front of all where one is called like a column of :data:`COLUMNS`."""
    if set(classes).isdisjoint(COLUMNS):
        return list(classes)
    beginnings = (f"{'p' * length}_" for length in itertools.count(1))  # with one mark, at which it is taken off again
    beginning = next(b for b in beginnings if {b + name for name in classes}.isdisjoint(classes))
    return [beginning + name for name in classes]
