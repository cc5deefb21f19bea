"""Lists of clips go in; folds by clip come out: official train and test lists, other people's splits, with gaps allowed.

Folds by subject (:mod:`vjepa_fer.folds.splits`) cannot leak; these can, so :mod:`vjepa_fer.folds.leaks` looks at them before a fit::

    clips          a b c d e f        an official split
    fold 0         . . . T T -        T tested, . trained on, - neither (a validation part)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vjepa_fer.errors import SplitError
from vjepa_fer.folds.splits import Split, refuse_other_spelling, shortlist
from vjepa_fer.manifest import natural_order

if TYPE_CHECKING:
    from vjepa_fer.cache import Features
    from vjepa_fer.features import Windowed

ClipLists = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ClipFolds:
    """Which clips are trained on and which are tested, fold by fold.

    Attributes
    ----------
    name : str
        As the user asked for it: ``column:split``, ``file:folds.json`` …
    train_clips, test_clips : tuple of tuple of str
        Clip ids of each fold, sorted. A clip may be on no side; it may be tested once.
    note : str
        What a reader of the numbers should know, such as how many clips of the lists are missing.
    names : tuple of str
        What the folds are called, in natural order (2 before 10); () where they go by their number.
    """

    name: str
    train_clips: ClipLists
    test_clips: ClipLists
    note: str = ""
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for side in ("train_clips", "test_clips"):
            object.__setattr__(self, side, tuple(tuple(sorted(set(fold))) for fold in getattr(self, side)))
        if not self.test_clips or len(self.train_clips) != len(self.test_clips):
            raise SplitError(
                f"folds {self.name!r}: {len(self.train_clips)} training lists and {len(self.test_clips)} test lists; "
                "each fold needs both"
            )
        if self.names and (list(self.names) != natural_order(set(self.names)) or len(self.names) != len(self)):
            raise SplitError(
                f"folds {self.name!r}: fold names must be one a fold, in natural order: {shortlist(list(self.names))}"
            )
        for number, train, test in zip(self.fold_names, self.train_clips, self.test_clips, strict=True):
            if not train or not test:
                raise SplitError(f"folds {self.name!r}: fold {number} {'trains on' if test else 'tests'} no clip")
        twice = [clip for clip, count in Counter(c for fold in self.test_clips for c in fold).items() if count > 1]
        if twice:
            raise SplitError(
                f"folds {self.name!r}: {len(twice)} clips are tested in more than one fold: {shortlist(twice)}"
            )

    def __len__(self) -> int:
        return len(self.test_clips)

    @property
    def fold_names(self) -> tuple[str, ...]:
        """What each fold is called: its name, or its number."""
        return self.names or tuple(map(str, range(len(self))))

    @property
    def sha256(self) -> str:
        """Of the lists themselves, whatever they are called: equal folds have equal hashes."""
        text = json.dumps([self.train_clips, self.test_clips], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def rows(self, features: Features | Windowed) -> list[Split]:
        """Row numbers of each fold among clips that hold every clip of the lists; see :meth:`on`.

        Raises
        ------
        SplitError
            A clip of the lists is not there.
        """
        position = {str(clip): row for row, clip in enumerate(features.clip_ids)}
        absent = {c for fold in (*self.train_clips, *self.test_clips) for c in fold} - set(position)
        if absent:
            raise SplitError(f"folds {self.name!r}: {len(absent)} clips are not in the cache: {shortlist(absent)}")
        sides = zip(self.train_clips, self.test_clips, strict=True)
        return [Split(*(_rows_of(position, side) for side in both)) for both in sides]

    def on(self, finished: Iterable[str], asked: Iterable[str]) -> ClipFolds:
        """These folds without the clips that could not be done; the note counts them.

        Parameters
        ----------
        finished, asked : iterables of str
            Ids of the clips that have features, and of all clips of the manifest.

        Raises
        ------
        SplitError
            A clip that the manifest lacks, or a fold that has no clip left on a side.
        """
        here, listed = set(map(str, finished)), {c for f in (*self.train_clips, *self.test_clips) for c in f}
        asked_for = set(map(str, asked))
        strangers = listed - here - asked_for
        refuse_other_spelling(self.name, "clip", strangers, asked_for)
        if strangers:
            raise SplitError(
                f"folds {self.name!r}: {len(strangers)} clips are not in the manifest: {shortlist(strangers)}; "
                "were the folds made for another manifest?"
            )
        notes = [self.note] if self.note else []
        if listed - here:
            notes.append(
                f"{len(listed - here)} of {len(listed)} clips have no features or were excluded: {shortlist(listed - here)}"
            )
        unused = len(here - listed)
        if unused:
            notes.append(f"{unused} clips are in no fold and are left out")
        train, test = (tuple(tuple(c for c in f if c in here) for f in s) for s in (self.train_clips, self.test_clips))
        return dataclasses.replace(self, train_clips=train, test_clips=test, note="; ".join(notes))


def _rows_of(position: dict[str, int], clips: tuple[str, ...]) -> np.ndarray:
    return np.sort(np.array([position[clip] for clip in clips], np.int64))
