"""Clips and what is to count as their label go in; labels, or shares of labels, come out.

``intended`` is what the actor was asked to show, the manifest's label. ``perceived`` is what most raters saw, ``votes`` is how all of
them voted; both read the vote counts of the manifest (``face_anger`` …: the video alone; ``av_anger`` …: with sound).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vjepa_fer.cache import WindowFeatures
from vjepa_fer.doors import nearest
from vjepa_fer.errors import ManifestError
from vjepa_fer.evaluation.evaluate import Targets
from vjepa_fer.features import first_of_equals
from vjepa_fer.folds import shortlist
from vjepa_fer.manifest import Clip, Manifest

if TYPE_CHECKING:
    from vjepa_fer.cache import Cache, CachedClip, Features
from vjepa_fer.evaluation.votes import SOURCES, Votes, find_votes

Ties = Literal["skip", "split", "soft"]
TIES: dict[str, str] = {
    "skip": "clips whose most frequent votes are tied are left out",
    "split": "a tied clip counts in equal parts for each of its most frequent labels",
    "soft": "a tied clip counts for every label by its share of the votes",
}

KINDS = ("intended", "perceived", "votes")


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
    def kind(self) -> str:
        """Of :data:`KINDS`; ``intended`` for labels that a table has of its own."""
        return self.name.partition(":")[0] or "intended"

    @property
    def source(self) -> str:
        """Whose votes it is made of, or stands beside: of :data:`vjepa_fer.evaluation.votes.SOURCES`."""
        return [*self.name.split(":"), "face"][1]

    @property
    def ties(self) -> str:
        """Of :data:`TIES`, of perceived labels."""
        return self.name.split(":")[-1]

    @property
    def y(self) -> np.ndarray:
        """The label with the largest share, the first of equals by name, str (num_kept,): what WAR, UAR and F1 count."""
        return np.array(self.classes)[first_of_equals(self.shares)]

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
        near = nearest(spec, (*KINDS, *(f"{kind}:{name}" for kind in KINDS[1:] for name in SOURCES)))
        raise ManifestError(
            f"labels {spec!r} with ties {ties!r}: expected intended, perceived or votes, the latter two with :av if wished, "
            f"and ties {', '.join(TIES)}{near if kind not in KINDS or source not in SOURCES else nearest(ties, TIES)}"
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
    shares = perceived_shares(votes, ties)
    kept = votes.majority.max(axis=1) == 1 if ties == "skip" else np.ones(len(shares), bool)
    return Reference(name, kept, votes.classes, shares[kept])


def perceived_shares(votes: Votes, ties: str) -> np.ndarray:
    """What the majority saw, float64 (num_clips, num_classes); tied labels in equal parts, or with ``soft`` by the shares of all votes."""
    shares = votes.majority
    if ties == "soft":
        tied = shares.max(axis=1) < 1
        shares[tied] = votes.shares[tied]
    return shares


class LabelledCache:
    """A cache under another reference: what :func:`vjepa_fer.sweep.sweep` needs of a cache."""

    def __init__(self, cache: Cache, reference: Reference) -> None:
        self.cache, self.reference, self.root = cache, reference, cache.root
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
