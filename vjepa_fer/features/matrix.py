"""Several caches of the same clips go in; one source of features with a column block a stream comes out.

au     c0 c1 c2 c3            ┌ scaled by column, on the training part of each fold ┐
vjepa     c1 c2 c3 c4    →    c1 c2 c3 : (au | vjepa) → probe             early: one probe sees both
                              c1 c2 c3 : au → probe, vjepa → probe → mean  late: probabilities are averaged
                                                               → stacker   stacked: weighed by a classifier
                              c1 c2 c3 : au → probe                        only:au: alone, on the clips that all have
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vjepa_fer.cache import Cache, CachedClip, Features, WindowFeatures, open_cache
from vjepa_fer.cache.over_time import statistics_of_clips
from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import CacheError, RecipeError
from vjepa_fer.features.alignment import AlignedClip, Alignment, align_clips
from vjepa_fer.manifest import Clip, Manifest, respelled, shown
from vjepa_fer.recipe import Recipe, split_statistics

EARLY, LATE, STACKED, ONLY = "early", "late", "stacked", "only:"
FUSIONS = (EARLY, LATE, STACKED)
"""What may become of streams; or one of them alone, ``only:NAME``."""

FRAMES = "frames"
"""The level at which streams are aligned by time."""


def check_fusion(fusion: str, streams: Collection[str]) -> None:
    """Raise :class:`CacheError` for what is no fusion of these streams."""
    known = (*FUSIONS, *(f"{ONLY}{name}" for name in streams))
    if fusion not in known:
        raise CacheError(not_one_of("fusion", fusion, known))


@dataclass(frozen=True, eq=False)
class Joined:
    """Streams aligned by clip id; made by :func:`join`. Sweeps take it like a cache.

    Attributes
    ----------
    streams : mapping of str to Cache
        By name, in the order of their column blocks.
    clips : tuple of Clip
        Those that every stream has, in the first stream's order and with its metadata.
    dropped : mapping of str to tuple of str
        By stream, the ids of its clips that another stream lacks.
    fusion : {"early", "late", "stacked"}, or "only:NAME"
        What a sweep makes of the streams: one probe on all columns; one a stream, and the mean of their probabilities, or what a classifier
        on these says; or one probe on one stream alone.
    aligned : bool
        Early fusion of moments (:mod:`vjepa_fer.features.alignment`): levels are ``frames`` and statistics of it.
    tolerance : float or None
        With `aligned`, how far two moments may be apart.
    """

    streams: Mapping[str, Cache]
    clips: tuple[Clip, ...]
    dropped: Mapping[str, tuple[str, ...]]
    fusion: str = EARLY
    aligned: bool = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        check_fusion(self.fusion, self.streams)
        if self.aligned and self.fusion != EARLY:
            raise CacheError(
                f"fusion {self.fusion} joins what probes say of clips; moments are aligned for fusion early"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[CachedClip]:
        first = self._first
        position = {clip.clip_id: number for number, clip in enumerate(first.clips)}
        return (first[position[clip.clip_id]] for clip in self.clips)

    def __repr__(self) -> str:
        lost = ", ".join(f"{name} without {len(ids)}" for name, ids in self.dropped.items() if ids)
        return f"Joined({', '.join(self.streams)}: {len(self)} clips{'; ' * bool(lost)}{lost})"

    def only(self, keep: Callable[[Clip], bool]) -> Joined:
        """The streams' clips that `keep` says yes to."""
        return dataclasses.replace(self, clips=tuple(clip for clip in self.clips if keep(clip)))

    @property
    def _first(self) -> Cache:
        return next(iter(self.streams.values()))

    @property
    def caches(self) -> tuple[Cache, ...]:
        """The streams."""
        return tuple(self.streams.values())

    @property
    def read(self) -> Mapping[str, Cache]:
        """The streams whose features are read: all, or the one that is asked for alone."""
        alone = self.fusion.removeprefix(ONLY)
        return {alone: self.streams[alone]} if self.fusion.startswith(ONLY) else self.streams

    @property
    def fits_each(self) -> bool:
        """Whether each stream has a probe of its own, and what these say is made one."""
        return self.fusion in (LATE, STACKED)

    @property
    def root(self) -> Path:
        """The first stream's folder."""
        return self._first.root

    @property
    def manifest(self) -> Manifest:
        """The clips that every stream has, with the first stream's metadata."""
        return self._first.manifest.where(self.clips)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the streams' names and fingerprints."""
        parts = [[name, cache.fingerprint] for name, cache in self.streams.items()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def stream_features(self, level: str = "mean") -> dict[str, Features]:
        """Features of each stream alone, all with the same rows: for late fusion. An imported stream of a vector a clip always gives that."""
        wanted = np.array([clip.clip_id for clip in self.clips])
        parts = {}
        for name, cache in self.read.items():
            features = cache.features(level_of_stream(cache, level))
            order = np.argsort(features.clip_ids)
            rows = order[np.searchsorted(features.clip_ids, wanted, sorter=order)]
            parts[name] = Features(*(column[rows] for column in features))
        return parts

    def features(self, level: str = "mean") -> Features:
        """All streams side by side: ``X`` float32 (num_clips, sum of the streams' dims).

        Scaling by column, as the probes' ``scale`` does on the training part of each fold, scales each stream by itself. Where streams are
        aligned, statistics over the moments that all have; the mean where none are asked for.
        """
        if self.aligned:
            return self._over_moments(level)
        parts = list(self.stream_features(level).values())
        return parts[0]._replace(X=np.concatenate([part.X for part in parts], axis=1))

    def check_level(self, level: str) -> None:
        """Raise :class:`CacheError` for a level that the streams cannot give."""
        if self.aligned:
            self.moments(_over_time(level)[0])
        else:
            for cache in self.read.values():
                cache.read_as(level_of_stream(cache, level))

    def _over_moments(self, level: str) -> Features:
        stored, statistics = _over_time(level)
        ids, y, subjects = (np.array([getattr(c, n) for c in self.clips]) for n in ("clip_id", "label", "subject"))
        steps = ((number, clip.steps(FRAMES)) for number, clip in enumerate(self.moments(stored)))
        return Features(statistics_of_clips(steps, ids.tolist(), statistics, self.root), y, subjects, ids)

    def moments(self, level: str = FRAMES) -> list[AlignedClip]:
        """The clips of aligned streams, a row a moment.

        Raises
        ------
        CacheError
            Another level than ``frames``, which alone has a row a moment in every stream; or see :func:`vjepa_fer.features.align_clips`.
        """
        if level != FRAMES:
            raise CacheError(
                f"level {level}: aligned streams are read at frames, or by statistics of it (--features frames --pool mean,std)"
            )
        return self._together[0]

    @property
    def alignment(self) -> Alignment | None:
        """What became of the moments; None where streams are not aligned."""
        return self._together[1] if self.aligned else None

    @cached_property
    def _together(self) -> tuple[list[AlignedClip], Alignment]:
        return align_clips(self.streams, self.clips, FRAMES, tolerance=self.tolerance)

    def cached_clips(self, level: str) -> list[CachedClip] | list[AlignedClip]:
        """The clips whose tokens can be read as one sequence: of aligned streams, or of one alone.

        Raises
        ------
        CacheError
            Several streams that are not aligned.
        """
        if self.aligned:
            return self.moments(level)
        if len(self.read) > 1:
            raise CacheError(
                "a probe that takes tokens reads one sequence: --align frames makes one of several streams, --fusion only:NAME takes one of them; "
                "or choose another probe"
            )
        (cache,) = self.read.values()
        return [cache[clip.clip_id] for clip in self.clips]

    def window_features(self, level: str = "mean") -> WindowFeatures:
        """Refused: windows of one stream have no partner in another.

        Raises
        ------
        CacheError
            Always.
        """
        raise CacheError(f"{', '.join(self.streams)}: streams are joined clip by clip; decide by mean-feature")

    def blocks(self, level: str = "mean") -> dict[str, slice]:
        """Which columns of :meth:`features` are whose."""
        ends = np.cumsum([part.X.shape[1] for part in self.stream_features(level).values()]).tolist()
        return {name: slice(a, b) for name, a, b in zip(self.read, [0, *ends], ends, strict=False)}


def _over_time(level: str) -> tuple[str, tuple[str, ...]]:
    """What is read of aligned streams: ``mean`` and ``frames`` are the mean over a clip's moments, as of one cache with a row a moment."""
    try:
        stored, statistics = split_statistics(level)
    except RecipeError as error:
        raise CacheError(str(error)) from error
    return FRAMES if level == "mean" else stored, statistics or ("mean",)


def level_of_stream(cache: Cache, level: str) -> str:
    """What a stream gives where `level` is asked of all: one vector a clip of sound, or that another program made, is what it is."""
    recipe = cache.recipe
    return "mean" if not isinstance(recipe, Recipe) and not recipe.is_over_time else level


def join(
    streams: Mapping[str, Cache] | Sequence[Cache],
    *,
    fusion: str = EARLY,
    aligned: bool = False,
    tolerance: float | None = None,
) -> Joined:
    """Align caches by clip id: an inner join, which says what it leaves out.

    Parameters
    ----------
    streams : mapping of str to Cache, or sequence of Cache
        Without names they are called a, b, c ….
    fusion, aligned, tolerance
        See :class:`Joined`.

    Raises
    ------
    CacheError
        Fewer than two streams, no clip in common, one that is spelled differently, or a clip with different labels or subjects.
    """
    named = (
        dict(streams)
        if isinstance(streams, Mapping)
        else dict(zip("abcdefghijklmnopqrstuvwxyz", streams, strict=False))
    )
    if len(named) < 2:
        raise CacheError(f"joining needs at least two streams, got {len(named)}")
    common = frozenset.intersection(*(cache.done & {c.clip_id for c in cache.clips} for cache in named.values()))
    _refuse_other_spelling({name: sorted(cache.done - common) for name, cache in named.items()})
    (first_name, first), *others = named.items()
    if not common:
        examples = ", ".join(f"{name} has {_example(cache)}" for name, cache in named.items())
        raise CacheError(f"the streams {', '.join(named)} have no clip id in common: {examples}")
    clips = tuple(clip for clip in first.clips if clip.clip_id in common)
    for name, cache in others:
        _refuse_contradiction(clips, first_name, cache, name)
    dropped = {n: tuple(c.clip_id for c in cache.clips if c.clip_id not in common) for n, cache in named.items()}
    return Joined(named, clips, dropped, fusion, aligned, tolerance)


def _refuse_other_spelling(left_out: Mapping[str, Sequence[str]]) -> None:
    """Refuse clips that two streams spell differently; they would be left out."""
    for (one, here), (other, there) in itertools.combinations(left_out.items(), 2):
        for theirs, ours in respelled(there, here).items():
            said, known = shown([theirs, ours])
            raise CacheError(
                f"the clip {known} of {one} and {said} of {other} differ only in spelling; spell them alike: "
                "`cache import --unify-names` takes the spelling of the manifest that it is given"
            )


def _example(cache: Cache) -> str:
    return repr(cache.clips[0].clip_id) if cache.clips else "none at all"


def _refuse_contradiction(clips: Sequence[Clip], first_name: str, cache: Cache, name: str) -> None:
    theirs = {clip.clip_id: clip for clip in cache.clips}
    for clip in clips:
        for column in ("label", "subject"):
            ours, other = clip.value(column), theirs[clip.clip_id].value(column)
            if ours != other:
                raise CacheError(f"clip {clip.clip_id}: {column} {ours!r} in {first_name}, but {other!r} in {name}")


def open_streams(texts: Sequence[str], *, fusion: str = EARLY) -> Joined:
    """Join the caches that a user named as ``NAME=CACHE``.

    Raises
    ------
    CacheError
        Not of this form, a name twice, or caches that cannot be joined.
    """
    streams: dict[str, Cache] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (equals and name and path) or name in streams:
            raise CacheError(f"--stream {text!r} is not NAME=CACHE with a name of its own, such as au=cache/au")
        streams[name] = open_cache(path)
    return join(streams, fusion=fusion)
