"""Clips go in; how raters saw them, as counted votes, comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vjepa_fer.doors import as_number
from vjepa_fer.errors import ManifestError
from vjepa_fer.features import shares_of_equals
from vjepa_fer.manifest import SPELLINGS, Clip, common_names, respelled, shown

CREMA_D = re.compile(r"10\d\d_[A-Z]{3}_[A-Z]{3}_(LO|MD|HI|XX)$")
SOURCES = {"face": "on the silent video", "av": "on the video with sound"}
NO_EXPRESSION = frozenset({"other", "others", "unknown", "none", "unsure"})
"""What raters may answer beside expressions."""

ROUNDING = 0.02
"""How far shares of votes may be from summing to one."""


@dataclass(frozen=True, eq=False)
class Votes:
    """How raters saw clips.

    Attributes
    ----------
    classes : tuple of str
        Sorted.
    counts : ndarray of float64, shape (num_clips, num_classes)
        All zero for a clip without votes.
    """

    classes: tuple[str, ...]
    counts: np.ndarray

    @property
    def counted(self) -> bool:
        """Whether answers were counted, so that one may be taken away; shares do not tell of how many raters they are."""
        return bool((self.counts == np.rint(self.counts)).all())

    @property
    def shares(self) -> np.ndarray:
        """Votes of each clip as shares, (num_clips, num_classes); zeros without votes."""
        total = self.counts.sum(axis=1, keepdims=True)
        return self.counts / np.where(total > 0, total, 1)

    @property
    def majority(self) -> np.ndarray:
        """Equal shares for each clip's most frequent labels, (num_clips, num_classes); zeros without votes."""
        return shares_of_equals(self.counts) * self.counts.any(axis=1, keepdims=True)


def find_votes(clips: Sequence[Clip], source: str = "face") -> Votes | None:
    """The vote counts that the clips carry, or that the official list of CREMA-D has for their ids; None without any.

    Columns are votes that are called ``face_`` and an expression, one for each of two expressions or more; see
    :func:`vote_columns`. Counts may be given as shares of one.

    Raises
    ------
    ManifestError
        A count that is no number, or numbers that are neither whole nor shares.
    """
    classes = _vote_classes(clips, source)
    if not classes and all(CREMA_D.match(clip.clip_id) for clip in clips):
        clips = _official(clips)
        classes = _vote_classes(clips, source)
    if not classes:
        return None
    _refuse_other_spelling(classes, source, clips)
    counts = np.array([[_count(clip, f"{source}_{name}") for name in classes] for clip in clips], np.float64)
    _refuse_measurements(clips, classes, counts, source)
    return Votes(classes, counts)


def vote_columns(clips: Sequence[Clip], source: str = "face") -> tuple[str, ...]:
    """The columns that hold counts of votes: a rater's answer each, which is a label of the clips or the name of an expression.

    ``face_x`` and ``face_score`` are of a face detector; one such column alone, ``face_sad``, is no vote either.
    """
    return tuple(f"{source}_{name}" for name in _vote_classes(clips, source))


def _vote_classes(clips: Sequence[Clip], source: str) -> tuple[str, ...]:
    columns = {column for clip in clips for column in clip.extra if column.startswith(f"{source}_")}
    answers = sorted(column.partition("_")[2] for column in columns)
    labels, called = {clip.label for clip in clips}, common_names(answers)
    expressions = [name for name in answers if name in labels or called[name] in SPELLINGS]
    if len(expressions) < 2:
        return ()
    return tuple(name for name in answers if name in expressions or name.lower() in NO_EXPRESSION)


def _refuse_measurements(clips: Sequence[Clip], classes: Sequence[str], counts: np.ndarray, source: str) -> None:
    """Votes are counted, or are a clip's shares of one; what a network says of a face is neither."""
    total = counts.sum(axis=1)
    fine = (counts == np.rint(counts)).all(axis=1) | (np.abs(total - 1) <= ROUNDING)
    if not fine.all():
        row = int(np.argmin(fine))
        values = ", ".join(f"{source}_{name} {value:g}" for name, value in zip(classes, counts[row], strict=True))
        raise ManifestError(
            f"clip {clips[row].clip_id!r}: {values}: expected counts of votes, or shares that sum to one; if these columns are no "
            f"votes, call them otherwise than {source}_ and an expression"
        )


def _refuse_other_spelling(classes: Sequence[str], source: str, clips: Sequence[Clip]) -> None:
    """Refuse columns of votes that call a label otherwise: nobody would have voted for it."""
    for theirs, label in respelled(classes, dict.fromkeys(clip.label for clip in clips)).items():
        column, known = shown([f"{source}_{theirs}", label])
        raise ManifestError(
            f"the column of votes {column} and the label {known} differ only in spelling; spell them alike"
        )


def _official(clips: Sequence[Clip]) -> list[Clip]:
    from vjepa_fer.manifest import crema_d_official

    known = {clip.clip_id: clip for clip in crema_d_official()}
    return [known.get(clip.clip_id, clip) for clip in clips]


def _count(clip: Clip, column: str) -> float:
    text = clip.value(column)
    value = as_number(text or "0")
    if not 0 <= value < np.inf:
        raise ManifestError(f"clip {clip.clip_id!r}: {column} is {text!r}, expected a count of votes")
    return value
