"""A fold specification and the clips' subjects go in; folds that are data come out: named and hashed.

No subject is ever on both sides of a fold::

    subjects   a a b b c c d d        subject-kfold:2
    fold 0     . . T T T T . .        T tested, . trained on
    fold 1     T T . . . . T T
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import SplitError
from vjepa_fer.manifest import PRESETS, respelled, shown, subject_number

if TYPE_CHECKING:
    from vjepa_fer.cache import Features
    from vjepa_fer.features import Windowed

FOLD_NAMES = (*PRESETS, "subject-kfold:N", "loso", "column:NAME", "file:PATH")
"""What ``--folds`` understands."""


class Split(NamedTuple):
    """Row numbers of one fold: ``train`` and ``test``, both ascending int64."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Folds:
    """Which subjects are tested in which fold; everyone else is trained on.

    Attributes
    ----------
    name : str
        As the user asked for it: ``ravdess-5fold``, ``subject-kfold:5`` …
    test_subjects : tuple of tuple of str
        Subjects tested in each fold, spelled as in the manifest, sorted.
    note : str
        What a reader of the numbers should know, such as that a preset was used on part of its subjects.
    """

    name: str
    test_subjects: tuple[tuple[str, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "test_subjects", tuple(tuple(sorted(fold)) for fold in self.test_subjects))
        if len(self.test_subjects) == 0:
            raise SplitError(f"folds {self.name!r}: there is no fold")
        empty = [str(number) for number, fold in enumerate(self.test_subjects) if not fold]
        if empty:
            raise SplitError(f"folds {self.name!r}: fold {', '.join(empty)} tests no subject")
        _refuse_twice_tested(self.name, self.test_subjects)

    def __len__(self) -> int:
        return len(self.test_subjects)

    @property
    def names(self) -> tuple[str, ...]:
        """None: folds of subjects go by their number."""
        return ()

    @property
    def fold_names(self) -> tuple[str, ...]:
        """The number of each."""
        return tuple(map(str, range(len(self))))

    @property
    def sha256(self) -> str:
        """Of the folds themselves, whatever they are called: equal folds have equal hashes."""
        return hashlib.sha256(json.dumps(self.test_subjects, ensure_ascii=False).encode()).hexdigest()

    def split(self, subjects: np.ndarray) -> list[Split]:
        """Row numbers of each fold.

        Parameters
        ----------
        subjects : ndarray of str, shape (num_clips,)

        Raises
        ------
        SplitError
            A subject is in no fold, a fold tests a subject that has no clip, or nobody is left to train on.
        """
        here, folded = set(map(str, subjects)), {s for fold in self.test_subjects for s in fold}
        refuse_other_spelling(self.name, "subject", folded - here, here)
        _refuse_strangers(self.name, here - folded, "in no fold; add them to the folds or take their clips out")
        _refuse_strangers(
            self.name, folded - here, "in the folds but without a clip; were the folds made for another manifest?"
        )
        splits = [Split(np.flatnonzero(~tested), np.flatnonzero(tested)) for tested in self._masks(subjects)]
        if any(len(train) == 0 for train, _ in splits):
            raise SplitError(f"folds {self.name!r}: a fold tests every subject, so nobody is left to train on")
        return splits

    def rows(self, features: Features | Windowed) -> list[Split]:
        """:meth:`split` of these features' subjects."""
        return self.split(features.subjects)

    def _masks(self, subjects: np.ndarray) -> list[np.ndarray]:
        return [np.isin(subjects, fold) for fold in self.test_subjects]


def _refuse_twice_tested(name: str, folds: tuple[tuple[str, ...], ...]) -> None:
    count = Counter(subject for fold in folds for subject in fold)
    _refuse_strangers(
        name,
        {subject for subject in count if count[subject] > 1},
        "tested more than once; every subject belongs to exactly one fold",
    )


def _refuse_strangers(name: str, subjects: set[str], what: str) -> None:
    if subjects:
        raise SplitError(f"folds {name!r}: subject {shortlist(subjects)} {what}")


def refuse_other_spelling(name: str, kind: str, strangers: set[str], ours: set[str]) -> None:
    """Raise where the folds name what the manifest has in another spelling."""
    for theirs, known in respelled(sorted(strangers), sorted(ours)).items():
        said, there = shown([theirs, known])
        raise SplitError(
            f"folds {name!r}: the {kind} {said} in the folds and {there} in the manifest differ only in spelling; write it as the "
            "manifest does"
        )


def shortlist(names: set[str] | list[str], most: int = 8) -> str:
    """Names for a message: the first few in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


def make_folds(spec: str, subjects: np.ndarray, y: np.ndarray, seed: int = 0) -> Folds:
    """Subject-independent folds for these clips.

    Parameters
    ----------
    spec : str
        A published preset (``ravdess-5fold``, ``ravdess-6fold``, ``crema-d-5fold``, ``crema-d-eing``),
        ``subject-kfold:N`` (drawn with `seed`, classes as even as whole subjects allow), or ``loso`` (each subject a fold).
    subjects, y : ndarray of str, shape (num_clips,)
        Whose clip it is, and its label.

    Raises
    ------
    SplitError
        An unknown specification, subjects that a preset does not know, or fewer subjects than folds.
    """
    subjects = np.asarray(subjects).astype(str)
    nameless = int(np.sum(np.char.str_len(subjects) == 0))
    if nameless:
        raise SplitError(
            f"{nameless} clips have no subject; subject-independent folds need the manifest's subject column"
        )
    if len(set(subjects)) < 2:
        raise SplitError(f"only {len(set(subjects))} subject in these clips; subject-independent folds need at least 2")
    if spec in PRESETS:
        return preset_folds(spec, subjects)
    kind, _, argument = spec.partition(":")
    if kind not in _MAKERS:
        raise SplitError(not_one_of("folds", spec, FOLD_NAMES))
    return Folds(spec, _MAKERS[kind](argument, subjects, np.asarray(y), seed))


def preset_folds(name: str, subjects: np.ndarray) -> Folds:
    """A published preset for the subjects at hand, matched by the number that ends their name.

    Fewer subjects than published are accepted as long as every fold keeps one (RAVDESS song has no Actor_18; a broken
    video may take a subject away), and the note says so: such figures are not the published protocol's.
    """
    here = {subject: subject_number(subject) for subject in sorted(set(map(str, subjects)))}
    preset = PRESETS[name].test_subjects
    published = {number for fold in preset for number in fold}
    strangers = {subject for subject, number in here.items() if number not in published}
    _refuse_strangers(
        name, strangers, f"not among the {len(published)} that this preset knows; is it another data set?"
    )
    folds = tuple(tuple(s for s, number in here.items() if number in fold) for fold in preset)
    for number, (fold, whole) in enumerate(zip(folds, preset, strict=True)):
        if not fold:
            raise SplitError(
                f"folds {name!r}: fold {number} tests subjects {', '.join(map(str, whole))}, and none of them is here"
            )
    missing = published - set(here.values())
    note = (
        f"{len(missing)} of {len(published)} subjects are missing: {shortlist(list(map(str, missing)))}"
        if missing
        else ""
    )
    return Folds(name, folds, note)


def _kfold(argument: str, subjects: np.ndarray, y: np.ndarray, seed: int) -> tuple[tuple[str, ...], ...]:
    if not (argument.isascii() and argument.isdigit() and int(argument) >= 2):
        raise SplitError(f"folds 'subject-kfold:{argument}': say how many, at least 2, such as subject-kfold:5")
    num_folds, num_subjects = int(argument), len(set(subjects))
    if num_folds > num_subjects:
        raise SplitError(
            f"folds 'subject-kfold:{num_folds}': only {num_subjects} subjects in these clips, and each fold must test at least "
            f"one; use subject-kfold:{num_subjects} or loso"
        )
    return stratified_subjects(subjects, y, num_folds, seed)


def _loso(argument: str, subjects: np.ndarray, y: np.ndarray, seed: int) -> tuple[tuple[str, ...], ...]:
    if argument:
        raise SplitError(f"folds 'loso:{argument}': loso takes no number, each subject is a fold")
    return tuple((subject,) for subject in sorted(set(subjects)))


_MAKERS: dict[str, Callable[[str, np.ndarray, np.ndarray, int], tuple[tuple[str, ...], ...]]] = {
    "subject-kfold": _kfold,
    "loso": _loso,
}


def stratified_subjects(subjects: np.ndarray, y: np.ndarray, num_folds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Deal whole subjects to folds so that every class is spread as evenly as they allow.

    Largest subject first, each to the fold whose class counts overlap least with its own: that keeps the sum of squared
    class counts, and so the unevenness, smallest at every step. Equal subjects are dealt in the order that `seed` draws.
    """
    names, who = np.unique(subjects, return_inverse=True)
    classes, label = np.unique(y, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (who, label), 1)
    share = counts / counts.sum(axis=0)  # a rare class weighs as much as a frequent one
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts.sum(axis=1)[order], kind="stable")]
    folds: list[list[str]] = [[] for _ in range(num_folds)]
    held, clips = np.zeros((num_folds, len(classes))), np.zeros(num_folds)
    for subject in order:
        overlap = np.round(held @ share[subject], 12)
        fold = int(np.lexsort((clips, overlap))[0])
        held[fold] += share[subject]
        clips[fold] += counts[subject].sum()
        folds[fold].append(str(names[subject]))
    return tuple(map(tuple, folds))
