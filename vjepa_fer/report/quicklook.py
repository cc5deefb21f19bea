"""A cache goes in; what one should have seen of it before probing comes out: counts, a projection, near-duplicates, far clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vjepa_fer.cache import Cache, CachedClip, open_cache
from vjepa_fer.cache.care import cache_info
from vjepa_fer.cache.pooling import mean_of_clip
from vjepa_fer.disk import AnyPath
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip
from vjepa_fer.report.outliers import Outliers, find_outliers
from vjepa_fer.report.projection import MOST, Method, Projection, place_in_plane

MOST_COMPARED = 20_000
"""Every clip is compared with every other, so time grows with the square: these take a laptop well under a minute."""


@dataclass(frozen=True, kw_only=True)
class LookSettings:
    """How to look.

    Attributes
    ----------
    method : {"pca", "tsne"}
        Of the projection.
    seed : int
        Of the clips that are drawn where there are too many.
    most_compared : int
        Of a larger cache, so many clips are drawn and compared.
    """

    method: Method = "pca"
    seed: int = 0
    most_compared: int = MOST_COMPARED


@dataclass(frozen=True)
class NearPair:
    """Two clips that are nearly the same; `share` is their distance in usual distances, `same_file` if their bytes are equal."""

    first: Clip
    second: Clip
    share: float
    same_file: bool

    @property
    def differs_in(self) -> tuple[str, ...]:
        """Of "label" and "subject", what the two do not share."""
        return tuple(name for name in ("label", "subject") if getattr(self.first, name) != getattr(self.second, name))


@dataclass(frozen=True)
class FarClip:
    """A clip far from all others, the nearest of these, and the distance in usual distances."""

    clip: Clip
    nearest: Clip
    share: float


@dataclass(frozen=True, eq=False)
class CacheLook:
    """Everything that the page about a cache shows.

    Attributes
    ----------
    facts : mapping
        As ``cache info --json`` prints it.
    clips : tuple of Clip
        The finished clips.
    level : str
        Whose mean over a clip was compared; "" if no clip is finished.
    num_compared : int
    unreadable : tuple of str
        Clips whose numbers cannot be read, or are NaN or infinite; they are not compared.
    projection : Projection or None
        Its rows count in `clips`; None with fewer than two clips.
    pairs : tuple of NearPair
        Closest first.
    far : tuple of FarClip
        Farthest first.
    """

    facts: Mapping[str, Any]
    clips: tuple[Clip, ...]
    level: str
    num_compared: int
    unreadable: tuple[str, ...]
    projection: Projection | None
    pairs: tuple[NearPair, ...]
    far: tuple[FarClip, ...]

    @property
    def counts(self) -> np.ndarray:
        """Clips of each subject and class, int64 (num_subjects, num_classes), both in the order of `facts`."""
        subjects, labels = list(self.facts["subjects"]), list(self.facts["labels"])
        row, column = {name: n for n, name in enumerate(subjects)}, {name: n for n, name in enumerate(labels)}
        counts = np.zeros((len(subjects), len(labels)), dtype=np.int64)
        np.add.at(counts, ([row[c.subject] for c in self.clips], [column[c.label] for c in self.clips]), 1)
        return counts


def look_at_cache(
    root: AnyPath,
    settings: LookSettings | None = None,
    *,
    progress: Callable[[str], None] = lambda clip_id: None,
) -> CacheLook:
    """Read one vector a clip, compare all clips, and say what stands out.

    Clips are read one after the other, so memory is bounded by one vector a clip, whatever the level holds.

    Parameters
    ----------
    root : path
        The cache folder.
    settings : LookSettings, optional
    progress : callable
        Called with each clip's id before it is read.

    Raises
    ------
    CacheError
        Not a cache, or damaged.
    """
    settings = settings or LookSettings()
    facts, cache = cache_info(root), open_cache(root)
    if not cache.clips:
        return CacheLook(facts, (), "", 0, (), None, (), ())
    level = _smallest_level(cache)
    drawn = np.sort(np.random.default_rng(settings.seed).permutation(len(cache))[: settings.most_compared])
    x, rows, files = _read_vectors(cache, drawn, level, progress)
    unreadable = tuple(cache.clips[n].clip_id for n in np.setdiff1d(drawn, rows))
    found = find_outliers(x)
    clips = [cache.clips[n] for n in rows]
    pairs = tuple(
        NearPair(clips[p.first], clips[p.second], p.share, files[rows[p.first]] == files[rows[p.second]] != "")
        for p in found.pairs
    )
    far = tuple(FarClip(clips[f.row], clips[f.nearest], f.share) for f in found.far)
    shown = None if len(x) < 2 else _project(x, rows, level, found, settings)
    return CacheLook(facts, cache.clips, level, len(x), unreadable, shown, pairs, far)


def _smallest_level(cache: Cache) -> str:
    """``mean`` if it is stored, else the level with the fewest numbers a window."""
    levels = cache.recipe.storage.levels
    return "mean" if "mean" in levels else min(levels, key=lambda level: cache.level_plan(level).dataset.row_bytes)


def _read_vectors(
    cache: Cache, numbers: np.ndarray, level: str, progress: Callable[[str], None]
) -> tuple[np.ndarray, np.ndarray, Mapping[int, str]]:
    """Of the clips that can be read: mean vectors, float32 (num_clips, dim), clip numbers, and the SHA-256 of files or ""."""
    vectors: dict[int, np.ndarray] = {}
    files: dict[int, str] = {}
    for number in numbers.tolist():
        clip = cache[number]
        progress(clip.clip.clip_id)
        try:
            vector = _mean_vector(clip, level)
        except CacheError:
            continue
        if np.isfinite(vector).all():
            vectors[number], files[number] = vector, clip.source_sha256
    x = np.stack(list(vectors.values())) if vectors else np.zeros((0, 1))
    return x.astype(np.float32, copy=False), np.array(list(vectors), dtype=np.int64), files


def _mean_vector(clip: CachedClip, level: str) -> np.ndarray:
    """The clip as probes see it, and of a level with frames and places the mean over these: (dim,)."""
    values = clip.level(level)
    return mean_of_clip(values).reshape(-1, values.shape[-1]).mean(axis=0)


def _project(x: np.ndarray, rows: np.ndarray, level: str, found: Outliers, settings: LookSettings) -> Projection:
    """What stands out is always drawn; the others by lot, up to the most that the plane takes."""
    special = [one.row for one in found.far] + [row for pair in found.pairs for row in (pair.first, pair.second)]
    others = np.random.default_rng(settings.seed).permutation(len(x)).tolist()
    drawn = sorted(list(dict.fromkeys([*special, *others]))[: MOST[settings.method]])
    far = np.isin(drawn, [one.row for one in found.far])
    xy, explained = place_in_plane(x[drawn], settings.method, settings.seed, far=far)
    return Projection(settings.method, level, xy, rows[drawn], explained, len(x))
