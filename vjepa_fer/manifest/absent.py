"""Caches go in; how many clips of their manifests are in none of them, and why, comes out: what figures say nothing about."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vjepa_fer.doors import Given
from vjepa_fer.manifest.damage import has_damaged_file
from vjepa_fer.manifest.rows import Manifest


@dataclass(frozen=True)
class Absent:
    """Clips of a manifest without features; all zero where nothing is known of it.

    Attributes
    ----------
    num_asked : int
        Clips of the manifest, without those that were excluded on purpose.
    num_failed : int
        Those that extraction has tried in vain.
    num_not_extracted : int
        Those that it has not come to.
    """

    num_asked: int = 0
    num_failed: int = 0
    num_not_extracted: int = 0

    def __len__(self) -> int:
        return self.num_failed + self.num_not_extracted

    def __str__(self) -> str:
        kinds = ((self.num_failed, "failed"), (self.num_not_extracted, "not extracted"))
        why = ", ".join(f"{number:,} {word}" for number, word in kinds if number)
        return (
            f"{self.num_asked - len(self):,} of {self.num_asked:,} clips; "
            f"{len(self):,} of the manifest are not in the cache{f' ({why})' if why else ''}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"asked": self.num_asked, "failed": self.num_failed, "not_extracted": self.num_not_extracted}

    @classmethod
    def from_given(cls, said: Given) -> Absent:
        """What :meth:`to_dict` described; an older run says nothing."""
        asked = said.whole("asked", 0)
        failed = said.whole("failed", 0, most=asked)
        return cls(asked, failed, said.whole("not_extracted", 0, most=asked - failed))


class Cached(Protocol):
    """What is looked at of a cache."""

    @property
    def manifest(self) -> Manifest:
        """All clips asked for."""

    @property
    def done(self) -> Collection[str]:
        """Ids of those that have features."""

    @property
    def failures(self) -> Iterable[str]:
        """Ids of those that could not be done."""


def absent_from(caches: Sequence[Cached], *, exclude: str | None = None) -> Absent:
    """Count the clips of the caches' manifests that none of the caches holds.

    Parameters
    ----------
    caches : sequence of Cache
        One, or what a study was joined from.
    exclude : {None, "damaged"}
        Clips that are left out on purpose are not missed.
    """
    clips = (clip for cache in caches for clip in cache.manifest.clips)
    asked = {clip.clip_id for clip in clips if exclude is None or not has_damaged_file(clip)}
    absent = asked.difference(*(cache.done for cache in caches))
    failed = absent.intersection({clip_id for cache in caches for clip_id in cache.failures}) if absent else ()
    return Absent(len(asked), len(failed), len(absent) - len(failed))
