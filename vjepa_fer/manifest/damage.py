"""Clips go in; which of those that figures rest on have a damaged file, and which damaged ones were left out, comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self, TypeVar

from vjepa_fer.doors import Given, not_one_of
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.choose import is_damaged
from vjepa_fer.manifest.rows import Clip

EXCLUDES = ("damaged",)
"""What ``--exclude`` can leave out."""


@dataclass(frozen=True)
class Damage:
    """Damaged files of a study; both empty where none is known.

    Attributes
    ----------
    judged : tuple of str
        Clips trained on or tested although their official file is damaged, sorted.
    left_out : tuple of str
        Damaged clips of the study's people that figures do not rest on, sorted.
    """

    judged: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.judged and self.left_out:
            return f"{len(self.judged)} damaged clips used, {len(self.left_out)} left out"
        if self.judged:
            return f"{len(self.judged)} damaged clips used; --exclude damaged leaves them out"
        return f"{len(self.left_out)} damaged clips left out" if self.left_out else "no damaged clip known"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"judged": list(self.judged), "left_out": list(self.left_out)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Damage:
        """What :meth:`to_dict` described."""
        return cls.from_given(Given(dict(data), "damaged"))

    @classmethod
    def from_given(cls, said: Given) -> Damage:
        """The same as a file says it; an older run says nothing."""
        return cls(said.texts("judged", optional=True), said.texts("left_out", optional=True))


def has_damaged_file(clip: Clip) -> bool:
    """Whether the clip's own column says so, or the official list does of its id."""
    return is_damaged(clip) or clip.clip_id in _official()


@cache
def _official() -> Mapping[str, str]:
    """Clips with a damaged official file, by id, and whose they are."""
    from vjepa_fer.manifest.shipped import crema_d_damaged

    return crema_d_damaged()


class Choosable(Protocol):
    """What clips can be left out of: a cache, or several joined."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Those that are there."""

    def only(self, keep: Callable[[Clip], bool]) -> Self:
        """The same with some of them."""


Source = TypeVar("Source", bound=Choosable)


def leave_out(source: Source, exclude: str | None) -> Source:
    """The source without its damaged clips where `exclude` says so.

    Raises
    ------
    ManifestError
        `exclude` is neither None nor one of :data:`EXCLUDES`.
    """
    check_exclude(exclude)
    if exclude is None or not any(map(has_damaged_file, source.clips)):
        return source
    return source.only(lambda clip: not has_damaged_file(clip))


def damage_of(judged: Iterable[str], clips: Sequence[Clip]) -> Damage:
    """What to say of a study.

    Parameters
    ----------
    judged : iterable of str
        Ids of the clips that figures rest on: trained on or tested.
    clips : sequence of Clip
        All clips of its manifest. A manifest that was written without the damaged ones does not name them any more: those of
        CREMA-D are known by their ids, and count as left out where their actor has other clips in it.
    """
    ids = set(map(str, judged))
    actors = {clip_id.partition("_")[0] for clip_id in ids if clip_id.count("_") == 3}
    damaged = {clip.clip_id for clip in clips if has_damaged_file(clip)} | damaged_among(ids)
    damaged |= {clip_id for clip_id, actor in _official().items() if actor in actors}
    return Damage(tuple(sorted(damaged & ids)), tuple(sorted(damaged - ids)))


def damaged_among(clip_ids: Iterable[str], clips: Iterable[Clip] = ()) -> set[str]:
    """Those of these ids whose file is damaged, by the official list or by what `clips` say of them."""
    marked = {clip.clip_id for clip in clips if has_damaged_file(clip)} | set(_official())
    return {clip_id for clip_id in clip_ids if clip_id in marked}


def check_exclude(exclude: str | None) -> None:
    """Raise :class:`ManifestError` unless `exclude` is None or one of :data:`EXCLUDES`."""
    if exclude is not None and exclude not in EXCLUDES:
        raise ManifestError(not_one_of("exclude", exclude, EXCLUDES))
