"""Clips and what is to count as their label go in; labels, or shares of labels, come out, and how well people do.

``intended`` is what the actor was asked to show, the manifest's label. ``perceived`` is what most raters saw, ``votes`` is how all of
them voted; both read the vote counts of the manifest (``face_anger`` …: the video alone; ``av_anger`` …: with sound).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vjepa_fer.cache import WindowFeatures
from vjepa_fer.errors import ManifestError
from vjepa_fer.evaluate import Targets
from vjepa_fer.label_names import common_names
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.splits import shortlist

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache, CachedClip, Features
    from vjepa_fer.predictions import Predictions

Ties = Literal["skip", "split", "soft"]
TIES: dict[str, str] = {
    "skip": "clips whose most frequent votes are tied are left out",
    "split": "a tied clip counts in equal parts for each of its most frequent labels",
    "soft": "a tied clip counts for every label by its share of the votes",
}
CREMA_D = re.compile(r"10\d\d_[A-Z]{3}_[A-Z]{3}_(LO|MD|HI|XX)$")
SOURCES = ("face", "av")
KINDS = ("intended", "perceived", "votes")


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
    def shares(self) -> np.ndarray:
        """Votes of each clip as shares, (num_clips, num_classes); zeros without votes."""
        return self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)

    @property
    def majority(self) -> np.ndarray:
        """Equal shares for each clip's most frequent labels, (num_clips, num_classes)."""
        most = (self.counts == self.counts.max(axis=1, keepdims=True)) & (self.counts > 0)
        return most / np.maximum(most.sum(axis=1, keepdims=True), 1)


def find_votes(clips: Sequence[Clip], source: str = "face") -> Votes | None:
    """The vote counts that the clips carry, or that the official list of CREMA-D has for their ids; None without any.

    Raises
    ------
    ManifestError
        A count that is no number.
    """
    classes = _vote_classes(clips, source)
    if not classes and all(CREMA_D.match(clip.clip_id) for clip in clips):
        clips = _official(clips)
        classes = _vote_classes(clips, source)
    if not classes:
        return None
    counts = [[_count(clip, f"{source}_{name}") for name in classes] for clip in clips]
    return Votes(classes, np.array(counts, np.float64))


def _vote_classes(clips: Sequence[Clip], source: str) -> tuple[str, ...]:
    columns = {column for clip in clips for column in clip.extra if column.startswith(f"{source}_")}
    return tuple(sorted(column.partition("_")[2] for column in columns))


def _official(clips: Sequence[Clip]) -> list[Clip]:
    from vjepa_fer.manifest.shipped import crema_d_official

    known = {clip.clip_id: clip for clip in crema_d_official()}
    return [known.get(clip.clip_id, clip) for clip in clips]


def _count(clip: Clip, column: str) -> float:
    text = clip.value(column)
    try:
        value = float(text or 0)
    except ValueError:
        value = -1.0
    if not 0 <= value < np.inf:
        raise ManifestError(f"clip {clip.clip_id!r}: {column} is {text!r}, expected a count of votes")
    return value


@dataclass(frozen=True, eq=False)
class Reference:
    """What counts as right.

    Attributes
    ----------
    name : str
        ``intended``, ``perceived:face:skip``, ``votes:av`` …
    kept : ndarray of bool, shape (num_clips,)
        Clips that take part.
    classes : tuple of str
    shares : ndarray of float64, shape (num_kept, num_classes)
        Rows sum to 1; a row with a single 1 is an ordinary label.
    """

    name: str
    kept: np.ndarray
    classes: tuple[str, ...]
    shares: np.ndarray

    @property
    def y(self) -> np.ndarray:
        """The label with the largest share, the first of equals, str (num_kept,): what WAR, UAR and F1 count."""
        return np.array(self.classes)[self.shares.argmax(axis=1)]

    def take(self, clips: Sequence[Clip]) -> list[Clip]:
        """The clips that take part, of those that the reference was made for."""
        return [clip for clip, keep in zip(clips, self.kept, strict=True) if keep]

    @property
    def targets(self) -> Targets | None:
        """What to train towards; None where every clip has one label."""
        return Targets(self.classes, self.shares) if (self.shares.max(axis=1) < 1).any() else None


def make_reference(spec: str, clips: Sequence[Clip], *, ties: str = "skip") -> Reference:
    """What counts as right for these clips.

    Parameters
    ----------
    spec : str
        ``intended``, ``perceived`` or ``votes``; the latter two with ``:av`` for the votes on videos with sound.
    clips : sequence of Clip
    ties : {"skip", "split", "soft"}
        Of ``perceived``; see :data:`TIES`.

    Raises
    ------
    ManifestError
        An unknown specification, or clips without votes.
    """
    kind, _, source = spec.partition(":")
    source = source or "face"
    if kind not in KINDS or source not in SOURCES or ties not in TIES:
        raise ManifestError(
            f"labels {spec!r} with ties {ties!r}: expected intended, perceived or votes, the latter two with :av if wished, "
            f"and ties {', '.join(TIES)}"
        )
    if kind == "intended":
        return _intended(clips)
    votes = find_votes(clips, source)
    if votes is None or not votes.counts.any(axis=1).all():
        without = [c.clip_id for c, row in zip(clips, votes.counts, strict=True) if not row.any()] if votes else []
        which = (
            f"{len(without)} clips have none: {shortlist(without)}"
            if votes
            else f"no column {source}_… in the manifest"
        )
        raise ManifestError(f"labels {spec!r} need the raters' votes, but {which}")
    if kind == "votes":
        return Reference(f"votes:{source}", np.ones(len(clips), bool), votes.classes, votes.shares)
    return _perceived(votes, f"perceived:{source}:{ties}", ties)


def _intended(clips: Sequence[Clip]) -> Reference:
    classes, codes = np.unique([clip.label for clip in clips], return_inverse=True)
    return Reference("intended", np.ones(len(clips), bool), tuple(map(str, classes)), np.eye(len(classes))[codes])


def _perceived(votes: Votes, name: str, ties: str) -> Reference:
    shares = votes.majority
    tied = shares.max(axis=1) < 1
    if ties == "soft":
        shares[tied] = votes.shares[tied]
    kept = ~tied if ties == "skip" else np.ones(len(tied), bool)
    return Reference(name, kept, votes.classes, shares[kept])


class LabelledCache:
    """A cache under another reference: what :func:`vjepa_fer.sweep.sweep` needs of a cache."""

    def __init__(self, cache: Cache, reference: Reference) -> None:
        self.cache, self.reference, self.root = cache, reference, Path(cache.root)
        kept = reference.take(cache.clips)
        labels = dict(zip((clip.clip_id for clip in kept), map(str, reference.y), strict=True))
        self.clips = tuple(dataclasses.replace(clip, label=labels[clip.clip_id]) for clip in kept)
        self.manifest: Manifest = cache.manifest
        self.fingerprint = cache.fingerprint
        self.caches = cache.caches

    def only(self, keep: Callable[[Clip], bool]) -> LabelledCache:
        """The same reference on some of the clips."""
        chosen, kept = np.array([keep(clip) for clip in self.clips]), self.reference.kept.copy()
        kept[kept] = chosen
        return LabelledCache(
            self.cache, dataclasses.replace(self.reference, kept=kept, shares=self.reference.shares[chosen])
        )

    def __iter__(self) -> Iterator[CachedClip]:
        """The clips that take part, as they are cached."""
        return (cached for cached, keep in zip(self.cache, self.reference.kept, strict=True) if keep)

    def features(self, level: str) -> Features:
        """The level of the clips that take part, with their labels under the reference."""
        whole = self.cache.features(level)
        kept = self.reference.kept
        return whole._replace(
            X=whole.X[kept], y=self.reference.y, subjects=whole.subjects[kept], clip_ids=whole.clip_ids[kept]
        )

    def window_features(self, level: str) -> WindowFeatures:
        """The level by windows, of the clips that take part."""
        whole, kept = self.cache.window_features(level), self.reference.kept
        rows = kept[whole.clip_index]
        index = (np.cumsum(kept) - 1)[whole.clip_index[rows]]
        return WindowFeatures(whole.X[rows], index, whole.multiplicity[rows])


def human_ceiling(clips: Sequence[Clip], reference: Reference) -> dict[str, Any] | None:
    """How well people do against the reference, in percent; None where there are no votes on the silent video.

    Returns
    -------
    dict
        ``rater``: one rater drawn at random (against the votes: two raters who agree). ``majority``: the raters' most frequent
        answer; against the votes no fixed answer can score more. ``clips``: how many have votes.
    """
    votes = find_votes(reference.take(clips))
    return None if votes is None else _ceiling(votes, reference)


def _ceiling(votes: Votes, reference: Reference) -> dict[str, Any] | None:
    """:func:`human_ceiling` of clips whose votes are known."""
    if not votes.counts.any():
        return None
    voted = votes.counts.any(axis=1)
    right = _on_classes(reference, votes.classes)[voted]
    rater = (right * votes.shares[voted]).sum(axis=1)
    if reference.name.startswith("votes"):
        counts = votes.counts[voted]
        total = counts.sum(axis=1)
        rater = (counts * (counts - 1)).sum(axis=1) / np.maximum(total * (total - 1), 1)
    majority = (right * votes.majority[voted]).sum(axis=1)
    return {
        "rater": round(100 * float(rater.mean()), 4),
        "majority": round(100 * float(majority.mean()), 4),
        "clips": int(voted.sum()),
    }


def _on_classes(reference: Reference, classes: Sequence[str]) -> np.ndarray:
    """The reference's shares in other columns, matched by common names."""
    names, own = common_names(classes), common_names(reference.classes)
    same = np.array([[own[a] == names[b] for b in classes] for a in reference.classes], float)
    return reference.shares @ same


def against_votes(
    predictions: Predictions, clip_ids: Sequence[str], reference: Reference, votes: Votes | None
) -> dict[str, Any]:
    """What a hard label cannot say about predictions, for JSON; empty where there is nothing of the kind.

    ``agreement``: the mean share that the reference gives the predicted label, in percent; half of a clip whose two labels are
    tied, for example. ``vote_cross_entropy``: of the probabilities to the votes on the silent video, in nats; ``vote_entropy`` is
    the least that any probabilities can have.

    Parameters
    ----------
    predictions : Predictions
    clip_ids : sequence of str
        Of the clips that take part, which are those of `reference.shares` and `votes`.
    reference : Reference
    votes : Votes or None
    """
    row = {clip_id: number for number, clip_id in enumerate(clip_ids)}
    rows = np.array([row[str(clip_id)] for clip_id in predictions.clip_ids])
    answer: dict[str, Any] = {}
    if reference.targets is not None:
        number_of = {name: number for number, name in enumerate(reference.classes)}
        said = np.array([number_of.get(name, -1) for name in predictions.classes])
        column = said[predictions.predicted]
        share = np.where(column >= 0, reference.shares[rows, column], 0)
        answer["agreement"] = round(100 * float(share.mean()), 4)
    if votes is not None and votes.counts.any() and predictions.probabilities is not None:
        votes = Votes(votes.classes, votes.counts[rows])
        entropy = vote_cross_entropy(votes.classes, votes.shares, votes)
        answer["vote_cross_entropy"] = vote_cross_entropy(predictions.classes, predictions.probabilities, votes)
        answer["vote_entropy"] = entropy
    return answer


class VoteBook:
    """What raters said of a study's clips, looked up once; :meth:`beside` says it of any predictions.

    Parameters
    ----------
    clips : sequence of Clip
        Those that take part.
    reference : Reference
        What counts as right, for exactly these clips.
    """

    def __init__(self, clips: Sequence[Clip], reference: Reference) -> None:
        self.clips, self.reference, self.votes = clips, reference, find_votes(clips)
        self.row = {clip.clip_id: row for row, clip in enumerate(clips)}

    def beside(self, predictions: Predictions) -> dict[str, Any]:
        """``labels`` (what counted as right), ``human`` (:func:`human_ceiling` on these very clips) and :func:`against_votes`."""
        if self.votes is None and self.reference.targets is None:
            return {"labels": self.reference.name, "human": None}
        rows = np.array([self.row[str(clip_id)] for clip_id in predictions.clip_ids])
        clips = [self.clips[row] for row in rows]
        shares = self.reference.shares[rows]
        judged = dataclasses.replace(self.reference, kept=np.ones(len(rows), bool), shares=shares)
        votes = None if self.votes is None else Votes(self.votes.classes, self.votes.counts[rows])
        return {
            "labels": self.reference.name,
            "human": None if votes is None else _ceiling(votes, judged),
            **against_votes(predictions, [clip.clip_id for clip in clips], judged, votes),
        }


def vote_cross_entropy(classes: Sequence[str], probabilities: np.ndarray, votes: Votes) -> float | None:
    """Mean of −Σ share · ln p over the clips that have votes, in nats; None without any.

    Parameters
    ----------
    classes : sequence of str
        Of the columns of `probabilities`, float (num_clips, num_classes).
    votes : Votes
        Of the same clips. A vote for a class that the probe does not know meets p = 2⁻⁵².
    """
    voted = votes.counts.any(axis=1)
    if not voted.any():
        return None
    own, names = common_names(classes), common_names(votes.classes)
    same = np.array([[own[a] == names[b] for b in votes.classes] for a in classes], float)
    held = np.clip(probabilities[voted] @ same, np.finfo(np.float64).eps, 1)
    return float(-(votes.shares[voted] * np.log(held)).sum(axis=1).mean())
