"""Several caches of the same clips go in; one source of features with a column block a stream comes out.

au     c0 c1 c2 c3            ┌ scaled by column, on the training part of each fold ┐
vjepa     c1 c2 c3 c4    →    c1 c2 c3 : (au | vjepa) → probe             early: one probe sees both
                              c1 c2 c3 : au → probe, vjepa → probe → mean  late: probabilities are averaged
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from vjepa_fer.cache import Cache, CachedClip, Features, WindowFeatures, open_cache
from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip, Manifest, respelled, shown
from vjepa_fer.recipe import Recipe

Fusion = Literal["early", "late"]
FUSIONS: tuple[str, ...] = get_args(Fusion)


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
    fusion : {"early", "late"}
        What a sweep makes of the streams: one probe on all columns, or one a stream and the mean of their probabilities.
    """

    streams: Mapping[str, Cache]
    clips: tuple[Clip, ...]
    dropped: Mapping[str, tuple[str, ...]]
    fusion: Fusion = "early"

    def __post_init__(self) -> None:
        if self.fusion not in FUSIONS:
            raise CacheError(not_one_of("fusion", self.fusion, FUSIONS))

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
        for name, cache in self.streams.items():
            features = cache.features(level_of_stream(cache, level))
            order = np.argsort(features.clip_ids)
            rows = order[np.searchsorted(features.clip_ids, wanted, sorter=order)]
            parts[name] = Features(*(column[rows] for column in features))
        return parts

    def features(self, level: str = "mean") -> Features:
        """All streams side by side: ``X`` float32 (num_clips, sum of the streams' dims).

        Scaling by column, as the probes' ``scale`` does on the training part of each fold, scales each stream by itself.
        """
        parts = list(self.stream_features(level).values())
        return parts[0]._replace(X=np.concatenate([part.X for part in parts], axis=1))

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
        return {name: slice(a, b) for name, a, b in zip(self.streams, [0, *ends], ends, strict=False)}


def level_of_stream(cache: Cache, level: str) -> str:
    """What a stream gives where `level` is asked of all: one vector a clip of sound, or that another program made, is what it is."""
    recipe = cache.recipe
    return "mean" if not isinstance(recipe, Recipe) and not recipe.is_over_time else level


def join(streams: Mapping[str, Cache] | Sequence[Cache], *, fusion: Fusion = "early") -> Joined:
    """Align caches by clip id: an inner join, which says what it leaves out.

    Parameters
    ----------
    streams : mapping of str to Cache, or sequence of Cache
        Without names they are called a, b, c ….
    fusion : {"early", "late"}
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
    return Joined(named, clips, dropped, fusion)


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


def open_streams(texts: Sequence[str], *, fusion: Fusion = "early") -> Joined:
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
