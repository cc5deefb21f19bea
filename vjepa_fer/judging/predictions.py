"""One decision a clip: what was true, what was said, how sure; the value that every metric reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vjepa_fer.doors import card, frame_of
from vjepa_fer.errors import RunError
from vjepa_fer.judging import metrics
from vjepa_fer.judging.class_columns import COLUMNS, columns_of

MOST_CLASSES = 1000
"""A confusion matrix of more would fill the memory before anyone saw that the columns are something else."""

CARD_FIGURES = (("war", "WAR"), ("uar", "UAR"), ("macro_f1", "macro-F1"))
SUBJECTS_UNKNOWN = "every clip is a subject of its own"


def subjects_in_words(num_subjects: int, num_clips: int) -> str:
    """``12 subjects``, or that none are known where there are as many as clips."""
    if num_subjects == num_clips > 1:
        return f"no subjects known ({SUBJECTS_UNKNOWN})"
    return f"{num_subjects:,} subjects" if num_subjects else "no subjects known"


@dataclass(frozen=True, eq=False, kw_only=True)
class Predictions:
    """What a classifier said about every clip, each clip once.

    Attributes
    ----------
    classes : tuple of str
        In the order that numbers them everywhere.
    clip_ids, subjects : ndarray of str, shape (num_clips,)
        A subject "" is unknown.
    fold : ndarray of int64, shape (num_clips,)
        The fold that tested the clip.
    truth, predicted : ndarray of int64, shape (num_clips,)
        Class numbers.
    probabilities : ndarray of float64, shape (num_clips, num_classes), or None
        Rows sum to 1; None when only scores were given.
    equals : ndarray of bool, shape (num_clips, num_classes), or None
        Which classes had each clip's largest value, where that decided (:mod:`vjepa_fer.features.ties`); None where a label was said.
    fold_names : tuple of str
        What fold 0, 1 … are called, in natural order; () where they go by their number.
    """

    classes: tuple[str, ...]
    clip_ids: np.ndarray
    subjects: np.ndarray
    fold: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray | None = field(repr=False)
    equals: np.ndarray | None = field(default=None, repr=False)
    fold_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("clip_ids", "subjects", "fold", "truth", "predicted")}
        if len(set(lengths.values())) != 1:
            raise RunError(f"predictions with columns of different lengths: {lengths}")
        if len(self) == 0:
            raise RunError("no predictions: there is not one clip to score")

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __repr__(self) -> str:
        return f"Predictions({self.in_words})"

    @property
    def in_words(self) -> str:
        """How much there is of what, on a line."""
        folds = len(np.unique(self.fold))
        counts = f"{len(self.classes)} classes, {folds} {'fold' if folds == 1 else 'folds'}"
        return f"{len(self):,} clips, {subjects_in_words(self.num_subjects, len(self))}, {counts}"

    def _repr_html_(self) -> str:
        return card("Predictions", self.in_words, notes=notes_on(self), **self.to_card())

    def to_card(self) -> dict[str, Any]:
        """What a notebook's card shows of the figures; see :func:`vjepa_fer.doors.card`."""
        recall = metrics.recall(self.confusion)
        known = {label: 100 * float(recall[n]) for n, label in enumerate(self.classes) if not np.isnan(recall[n])}
        return {
            "figures": dict(_for_card(name, score(self)[key]) for key, name in CARD_FIGURES),
            "bars": known,
            "bars_of": "recall of each class, %",
            "longest_bar": 100,
        }

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a clip: the columns of ``predictions.csv``, and a probability a class where there are any.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        names = np.array(self.classes)
        folds = [self.name_of_fold(number) for number in self.fold.tolist()]
        said = (self.clip_ids, names[self.truth], names[self.predicted], folds, self.subjects)
        shares = np.empty((len(self), 0)) if self.probabilities is None else self.probabilities
        rows = [[*map(str, row), *more] for *row, more in zip(*said, shares.tolist(), strict=True)]
        return frame_of([*COLUMNS, *(columns_of(self.classes) if shares.shape[1] else ())], rows)

    @property
    def num_subjects(self) -> int:
        """How many subjects are known by name."""
        return len(set(self.subjects.tolist()) - {""})

    def name_of_fold(self, number: int) -> str:
        """What a fold of :attr:`fold` is called."""
        return self.fold_names[number] if self.fold_names else str(number)

    @property
    def names_of_folds(self) -> list[str]:
        """What the folds are called that have a clip, in the order of their numbers."""
        return [self.name_of_fold(number) for number in np.unique(self.fold).tolist()]

    @property
    def subjects_known(self) -> bool:
        """Whether some subject has two clips: where each clip is a subject of its own, nobody knows who is who."""
        return self.num_subjects > 0 and not self.num_subjects == len(self) > 1

    @property
    def confusion(self) -> np.ndarray:
        """All clips pooled, int64 (C, C), rows = truth."""
        return metrics.confusion_matrix(self.truth, self.predicted, len(self.classes))

    @property
    def confusion_by_fold(self) -> np.ndarray:
        """One matrix a fold, in the order of their numbers, int64 (num_folds, C, C)."""
        _, fold = np.unique(self.fold, return_inverse=True)
        return metrics.confusion_by_group(self.truth, self.predicted, fold, len(self.classes))

    def take(self, rows: np.ndarray) -> Predictions:
        """Some of the clips, by row number or mask."""
        probabilities = None if self.probabilities is None else self.probabilities[rows]
        equals = None if self.equals is None else self.equals[rows]
        columns = ("clip_ids", "subjects", "fold", "truth", "predicted")
        values = {name: getattr(self, name)[rows] for name in columns}
        return dataclasses.replace(self, probabilities=probabilities, equals=equals, **values)


@dataclass(frozen=True)
class Score:
    """A figure per fold, as a fraction.

    Attributes
    ----------
    folds : tuple of float
    pooled : float
        Of all clips together, which is not the mean of the folds when these differ in size.
    """

    folds: tuple[float, ...]
    pooled: float

    @property
    def mean(self) -> float:
        """Over folds."""
        return float(np.mean(self.folds))

    @property
    def sd(self) -> float | None:
        """Standard deviation over folds with n−1; None for a single fold."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else None


def _for_card(name: str, value: Score) -> tuple[str, str]:
    """What stands under a figure, and the figure: all clips pooled."""
    spread = "" if value.sd is None else f" (folds: {100 * value.mean:.2f} ± {100 * value.sd:.2f})"
    return f"{name}{spread}", f"{100 * value.pooled:.2f} %"


def score(predictions: Predictions) -> Mapping[str, Score]:
    """Every headline figure of :data:`vjepa_fer.judging.metrics.SCORES`, by its name."""
    by_fold, pooled = predictions.confusion_by_fold, predictions.confusion
    return {
        name: Score(tuple(float(v) for v in figure(by_fold)), float(figure(pooled)))
        for name, figure in metrics.SCORES.items()
    }


def calibration(predictions: Predictions) -> Mapping[str, Score]:
    """How far the probabilities can be believed: ``ece``, a fraction, and ``log_loss`` in nats; empty without probabilities."""
    if predictions.probabilities is None:
        return {}
    parts = [predictions, *(predictions.take(predictions.fold == fold) for fold in np.unique(predictions.fold))]
    pooled, *folds = [(_ece(part), metrics.log_loss(part.truth, np.asarray(part.probabilities))) for part in parts]
    return {
        name: Score(tuple(fold[number] for fold in folds), pooled[number])
        for number, name in enumerate(("ece", "log_loss"))
    }


def _ece(part: Predictions) -> float:
    return metrics.expected_calibration_error(part.truth, part.predicted, np.asarray(part.probabilities))


def notes_on(predictions: Predictions) -> tuple[str, ...]:
    """What a reader of the figures should know: folds that do not test every class, clips without a subject."""
    return tuple(note for note in (_classless_folds(predictions), _unknown_subjects(predictions)) if note)


def _classless_folds(predictions: Predictions) -> str:
    clips = predictions.confusion_by_fold.sum(axis=2)  # (num_folds, C)
    lacking = (clips == 0) & (clips.sum(axis=0) > 0)
    folds = np.flatnonzero(lacking.any(axis=1))
    if len(folds) == 0:
        return ""
    first = ", ".join(np.array(predictions.classes)[lacking[folds[0]]])
    return (
        f"{len(folds)} of {len(clips)} folds do not test every class (fold {predictions.names_of_folds[folds[0]]}: no {first}); "
        "their UAR and F1 are means over the classes that they have"
    )


def _unknown_subjects(predictions: Predictions) -> str:
    nameless = int((predictions.subjects == "").sum())
    if 0 < nameless < len(predictions):
        return f"{nameless} of {len(predictions)} clips have no subject, so there are no intervals"
    if not nameless and not predictions.subjects_known:
        return f"no subjects are known: {SUBJECTS_UNKNOWN}, so a person may be on both sides of a fold, and intervals are too narrow"
    return ""
