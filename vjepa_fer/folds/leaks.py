"""Clips and their splits go in; every pair that makes a test easier than it looks comes out, before anything is fitted.

What may not be on both sides of a fold: a clip (or windows of it), a file's bytes, a recording (RAVDESS hands out each
performance with and without sound), a subject. A published CREMA-D split has all 91 actors on both sides, and its
figures are ten points too good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vjepa_fer.errors import SplitError
from vjepa_fer.folds.splits import Split, shortlist
from vjepa_fer.manifest import one_spelling

KINDS = {
    "clip": "the same clip",
    "content": "the same file content",
    "features": "the same features",
    "recording": "the same recording",
    "subject": "the same subject",
}
"""What is looked for, gravest first, and how a message says it."""

RAVDESS = re.compile(r"(?<![\dA-Za-z-])0[1-3](-0[12]-0[1-8]-0[12]-0[12]-0[12]-\d{2})(?![\dA-Za-z-])")
NUM_SHOWN = 3


@dataclass(frozen=True)
class Leak:
    """One kind of leak in one fold.

    Attributes
    ----------
    kind : str
        Of :data:`KINDS`.
    fold : str
        Its name or number.
    shared : tuple of str
        What is on both sides, sorted: subjects, recordings …
    num_test : int
        How many test clips have a counterpart in the training part.
    pairs : tuple of (str, str)
        A training and a test clip for each of the first few that are shared.
    """

    kind: str
    fold: str
    shared: tuple[str, ...]
    num_test: int
    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        what = {"content": "files", "features": "rows of them"}.get(self.kind, f"{self.kind}s")
        names = "" if self.kind in ("content", "features") else f" ({shortlist(list(self.shared), NUM_SHOWN)})"
        examples = "; ".join(f"{train} trained on, {test} tested" for train, test in self.pairs)
        return (
            f"fold {self.fold}: {KINDS[self.kind]} on both sides: {len(self.shared)} {what}{names}, "
            f"{self.num_test} test clips, such as {examples}"
        )


def identities(
    clip_ids: Sequence[str], subjects: Sequence[str], recordings: Sequence[str] = (), contents: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """By kind, what each clip shares with its likes, str (num_clips,); "" shares nothing.

    Parameters
    ----------
    clip_ids, subjects : sequences of str
        One a clip (or one a window: windows of a clip have its id).
    recordings : sequence of str
        As the manifest's column says; where it is empty, RAVDESS twins are known by their names.
    contents : sequence of str
        Hashes of the files; "" where there was none.
    """
    said = recordings or [""] * len(clip_ids)
    return {
        "clip": _alike(clip_ids),
        "content": np.array(contents or [""] * len(clip_ids), dtype=str),
        "recording": _alike([name or recording_of(str(c)) for c, name in zip(clip_ids, said, strict=True)]),
        "subject": _alike(subjects),
    }


def _alike(names: Iterable[str]) -> np.ndarray:
    """The names, str (num_clips,), those in one spelling that differ only in it: two corpora may call one person s1 and S01."""
    said = list(map(str, names))
    spelt = one_spelling(said)
    return np.array([spelt.get(name, name) for name in said], dtype=str)


def recording_of(clip_id: str) -> str:
    """The performance that a RAVDESS name shows, whatever its modality and whatever stands around it; "" for other names.

    >>> recording_of("02-01-06-01-02-01-12") == recording_of("01-01-06-01-02-01-12")
    True
    """
    match = RAVDESS.search(clip_id)  # with or without a folder's name before it
    return match[1].lstrip("-") if match else ""


def find_leaks(
    splits: Iterable[Split], shares: Mapping[str, np.ndarray], fold_names: Sequence[str] = ()
) -> tuple[Leak, ...]:
    """Every kind of leak in every fold, by fold, gravest first; `shares` as :func:`identities` gives it, `fold_names` if not numbers."""
    coded = {kind: _Coded.of(shares[kind]) for kind in KINDS if kind in shares}
    found = (
        _leak(kind, fold_names[number] if fold_names else str(number), split, values, shares["clip"])
        for number, split in enumerate(splits)
        for kind, values in coded.items()
    )
    return tuple(leak for leak in found if leak)


class _Coded(NamedTuple):
    """What clips share, as numbers, which are compared sooner than words: sorted names, and each clip's among them, int (num_clips,)."""

    names: np.ndarray
    of_clip: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> _Coded:
        return cls(*np.unique(values, return_inverse=True))

    def among(self, rows: np.ndarray) -> np.ndarray:
        """Which names some of the rows have, bool (num_names,); "" is none."""
        held = np.zeros(len(self.names), bool)
        held[self.of_clip[rows]] = True
        return held & (self.names != "")


def _leak(kind: str, fold: str, split: Split, values: _Coded, clip_ids: np.ndarray) -> Leak | None:
    both = values.among(split.train) & values.among(split.test)
    shared = np.flatnonzero(both)
    if len(shared) == 0:
        return None
    pairs = tuple(
        tuple(str(clip_ids[side][values.of_clip[side] == code][0]) for side in (split.train, split.test))
        for code in shared[:NUM_SHOWN]
    )
    num_test = int(both[values.of_clip[split.test]].sum())
    return Leak(kind, fold, tuple(map(str, values.names[shared])), num_test, pairs)  # type: ignore[arg-type]


def refuse_leaks(name: str, leaks: Sequence[Leak]) -> None:
    """Raise unless there is none.

    Raises
    ------
    SplitError
        The first few are named with clips, and how many there are.
    """
    if not leaks:
        return
    lines = [f"  {leak}" for leak in leaks[:NUM_SHOWN]]
    if len(leaks) > NUM_SHOWN:
        lines.append(f"  and {len(leaks) - NUM_SHOWN} more of the kind")
    remedy = "Use subject-independent folds (subject-kfold:5, loso, a preset)"
    if name.startswith("test-on:"):
        remedy = "Where two corpora share names and not people, rename the subjects in the manifest of one"
    if {leak.kind for leak in leaks} == {"features"}:
        remedy = "Clips with the same features are one recording under two names: keep one of each in the manifest"
    lines = [f"folds {name!r} leak: what is tested is known from training.", *lines]
    raise SplitError(*lines, f"{remedy}; --allow-leak goes on and labels every figure LEAKY.")
