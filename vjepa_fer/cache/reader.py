"""A cache folder, or several of one recipe, go in; a read-only sequence of finished clips comes out, and feature matrices."""

from __future__ import annotations

import copy
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.agreement import require_agreement
from vjepa_fer.cache.asked import read_cache_manifest, unite_manifests
from vjepa_fer.cache.card import cache_card
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import Failure, read_failures
from vjepa_fer.cache.index import read_shards
from vjepa_fer.cache.over_time import Steps, statistics_of_clips
from vjepa_fer.cache.places import Place, find_places, read_steps_of_clips, read_windows
from vjepa_fer.cache.pooling import Features, WindowFeatures, mean_over_windows
from vjepa_fer.cache.reading import StoredLevel, read_decoded, shard_bytes
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.cache.table import ClipTable
from vjepa_fer.disk import AnyPath, Elsewhere
from vjepa_fer.doors import nearest
from vjepa_fer.errors import CacheError, NoSuchClipError, RecipeError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import (
    AnyRecipe,
    fingerprint,
    parse_level,
    require_same_recipe,
    split_statistics,
    with_statistics,
)
from vjepa_fer.remote import place_of

CachePath = AnyPath


def open_cache(path: CachePath | Sequence[CachePath], *, check_tokens: bool = True) -> Cache:
    """Open a cache for reading. Only complete shards are seen, so it may be growing meanwhile.

    What is read of a shard is compared with its checksums: the index and the small levels always, grid and tokens when a
    clip's are read for the first time.

    Parameters
    ----------
    path : path or sequence of paths
        The cache folder, or an address such as ``s3://bucket/cache`` (extra ``remote``), which is read by ranges; or several of one
        recipe, read as one. A clip that several hold is taken from the first.
    check_tokens : bool
        False leaves grid and tokens unchecked, which saves a tenth of the time of reading them; `cache verify` compares all.

    Raises
    ------
    CacheError
        Not a cache, damaged, or written by a newer version; or two folders give one clip different labels or subjects.
    RecipeMismatchError
        The folders, or the shards of one, have different recipes.
    RemoteError
        What is elsewhere cannot be read.
    """
    roots = [place_of(p) for p in ([path] if isinstance(path, str | os.PathLike | Elsewhere) else path)]
    if not roots:
        raise CacheError("no cache folder given; expected at least one")
    recipe = read_cache_recipe(roots[0])
    for root in roots[1:]:
        require_same_recipe(read_cache_recipe(root), recipe, str(root))
    manifest = unite_manifests({root: read_cache_manifest(root) for root in roots})
    shards = [shard for root in roots for shard in read_shards(root / layout.SHARDS, recipe)]
    return Cache(roots, recipe, manifest, shards, check_tokens=check_tokens)


@dataclass(frozen=True, eq=False)
class CachedClip:
    """One finished clip; R rows = windows × views.

    Attributes
    ----------
    clip : Clip
        Its row of the manifest.
    start_frame, view, multiplicity, num_real_frames : ndarray of int32, shape (R,)
    frame_indices : ndarray of int32, shape (R, F)
    timestamps : ndarray of float64, shape (R, F)
        Seconds.
    """

    clip: Clip
    start_frame: np.ndarray
    view: np.ndarray
    multiplicity: np.ndarray
    num_real_frames: np.ndarray
    frame_indices: np.ndarray
    timestamps: np.ndarray
    source_sha256: str
    _cache: Cache
    _place: Place

    @property
    def is_over_time(self) -> bool:
        """Whether each row is a moment, not a window: of features that another program made, a row a frame."""
        return self._cache.recipe.is_over_time

    def __len__(self) -> int:
        return len(self.start_frame)

    def __repr__(self) -> str:
        return f"CachedClip({self.clip.clip_id!r}, {self.clip.label!r}, {len(self)} rows)"

    def level(self, level: str, *, dtype: Literal["float32", "stored"] = "float32") -> np.ndarray:
        """A stored level: ``mean`` (R, D), ``frames`` (R, T', D), ``grid`` (R, T', G, G, D), ``tokens`` (R, T', H', W', D).

        Parameters
        ----------
        level : str
        dtype : {"float32", "stored"}
            "stored" leaves float16 as it is, which saves the conversion; int8 is always decoded to float32.

        Raises
        ------
        CacheError
            The level is not stored; the shard changed or went away; or a number is not what was written, NaN or infinite.
        """
        values = self._cache.read_level(self.clip.clip_id, level)
        return values if dtype == "stored" else values.astype(np.float32, copy=False)


class Cache(Sequence[CachedClip]):
    """Read-only sequence of the finished clips, in manifest order. Made by :func:`open_cache`.

    It holds no open file, so it can be pickled and used by forked and spawned processes.

    Attributes
    ----------
    roots : tuple of Path
        The folders; `root` is the first.
    recipe : Recipe or ImportedRecipe
    fingerprint : str
    manifest : Manifest
        All clips asked for.
    clips : ClipTable
        The finished ones, in manifest order: a tuple of Clip that is a table too; ``cache.clips["label"]`` is a column, and
        with pandas it has a DataFrame's methods.
    shards : tuple of ShardIndex
    """

    def __init__(
        self,
        roots: Sequence[Path],
        recipe: AnyRecipe,
        manifest: Manifest,
        shards: list[ShardIndex],
        *,
        check_tokens: bool = True,
    ) -> None:
        self.roots = tuple(roots)
        self.root = self.roots[0]
        self.recipe = recipe
        self.fingerprint = fingerprint(recipe)
        self.manifest = manifest
        self.shards = tuple(shards)
        self.places = find_places(shards)
        self._plans: dict[str, StoredLevel] = {}
        self._check_tokens = check_tokens
        self._checked: set[tuple[str, str]] = set()
        self.clips = ClipTable((clip for clip in manifest.clips if clip.clip_id in self.places), manifest.columns)

    def only(self, keep: Callable[[Clip], bool]) -> Cache:
        """A view of the clips that `keep` says yes to; its manifest still names the others.

        Raises
        ------
        CacheError
            None is left.
        """
        view = copy.copy(self)
        view.clips = ClipTable((clip for clip in self.clips if keep(clip)), self.clips.columns)
        if self.clips and not view.clips:
            raise CacheError(f"{self.root}: no clip is left of {len(self.clips)}")
        return view

    def __repr__(self) -> str:
        levels = ", ".join(self.recipe.storage.levels)
        where = ", ".join(repr(str(root)) for root in self.roots)
        return f"Cache({where}, {len(self)} of {len(self.manifest.clips)} clips, levels {levels})"

    def __len__(self) -> int:
        return len(self.clips)

    @overload
    def __getitem__(self, index: int | str) -> CachedClip: ...
    @overload
    def __getitem__(self, index: slice) -> list[CachedClip]: ...
    def __getitem__(self, index: int | str | slice) -> CachedClip | list[CachedClip]:
        """A clip by its number or its id, several by a slice.

        Raises
        ------
        NoSuchClipError
            No finished clip has this id; a KeyError too.
        """
        if isinstance(index, slice):
            return [self._clip(clip) for clip in self.clips[index]]
        if isinstance(index, str):
            if index not in self.clips.by_id:
                raise NoSuchClipError(f"{self.root}: clip {index!r} {self._where(index)}")
            return self._clip(self.clips.by_id[index])
        return self._clip(self.clips[operator.index(index)])

    def __contains__(self, value: object) -> bool:
        """Whether a finished clip has this id, or is this one."""
        return value in self.clips.by_id if isinstance(value, str) else super().__contains__(value)

    def _where(self, clip_id: str) -> str:
        """What became of a clip that is not there."""
        if clip_id in self.places:
            return "is not in this part of the cache"
        if clip_id in self.failures:
            return f"could not be done ({self.failures[clip_id].reason}); see failed.csv"
        if any(clip.clip_id == clip_id for clip in self.manifest):
            return "is not done yet; run extract again"
        return f"is not one of {len(self):,}{nearest(clip_id, self.clips.by_id)}"

    def __iter__(self) -> Iterator[CachedClip]:
        return (self._clip(clip) for clip in self.clips)

    def _repr_html_(self) -> str:
        return cache_card(self)

    def _clip(self, clip: Clip) -> CachedClip:
        place = self.places[clip.clip_id]
        shard = self.shards[place.shard_number]
        require_agreement(shard)
        columns = {name.split("/")[1]: array[place.rows] for name, array in shard.columns.items()}
        source = bytes(columns.pop("source_sha256")[0]).decode()
        return CachedClip(clip=clip, source_sha256=source, _cache=self, _place=place, **columns)

    @cached_property
    def done(self) -> frozenset[str]:
        """Ids of all clips whose rows are in a complete shard; made once, since callers ask for it clip by clip."""
        return frozenset(self.places)

    @property
    def caches(self) -> tuple[Cache, ...]:
        """Itself; what a study is joined from has several."""
        return (self,)

    @property
    def failures(self) -> dict[str, Failure]:
        """Clips that could not be done, by id."""
        return {k: v for root in self.roots for k, v in read_failures(root).items() if k not in self.places}

    def table(self) -> Any:
        """The finished clips with all their columns: a pandas DataFrame, or a list of dictionaries where pandas is absent."""
        try:
            return self.clips.to_frame()
        except ImportError:
            return self.clips.records()

    def torch_dataset(self, level: str = "tokens") -> Any:
        """A map-style dataset for ``torch.utils.data.DataLoader``: see :class:`vjepa_fer.cache.torch_data.ClipDataset`.

        Clips of unequal length make batches, padded, with a ``mask``; with ``collate_fn=vjepa_fer.cache.join_clips`` one after the other.
        """
        from vjepa_fer.cache.torch_data import ClipDataset

        return ClipDataset(self, self.stored_level(level), self.manifest.labels)

    def to_ray_dataset(self, level: str = "mean", *, clips_per_block: int = 64) -> Any:
        """A dataset of ``ray.data``: a row a window-view, with ``x`` as stored, ``multiplicity``, ``clip_id``, ``label`` and ``subject``.

        Its rows are read by Ray's workers as they are needed, `clips_per_block` at a time; all must see the cache's folder. They come in
        the order in which blocks are through, unless Ray's ``DataContext`` says ``execution_options.preserve_order``.

        Raises
        ------
        MissingExtraError
            Ray is not installed.
        """
        from vjepa_fer.cache.ray_data import ray_dataset

        return ray_dataset(self, self.stored_level(level), clips_per_block=clips_per_block)

    def stored_level(self, level: str) -> str:
        """A level by the name under which the recipe stores it: ``grid`` alone means the stored ``grid:G``.

        Raises
        ------
        CacheError
            The recipe does not store it; the message lists what it stores.
        """
        stored = self.recipe.storage.levels
        try:
            name = self.recipe.storage.find(level)
            parse_level(name or level)
        except RecipeError as error:
            raise CacheError(f"{error} (stored here: {', '.join(stored)})") from error
        if name is None:
            raise CacheError(
                f"{self.root}: level {level} is not stored; stored are {', '.join(stored)}{nearest(level, stored)}"
            )
        return name

    def level_plan(self, level: str) -> StoredLevel:
        """Where a level is stored, looked up once: reading a small clip takes no longer than the look-up."""
        if level not in self._plans:
            self._plans[level] = StoredLevel.of(self.recipe, self.stored_level(level))
        return self._plans[level]

    def read_level(self, clip_id: str, level: str) -> np.ndarray:
        """All rows of a clip, as :meth:`CachedClip.level` describes them."""
        stored, place = self.level_plan(level), self.places[clip_id]
        shard, key = self.shards[place.shard_number], (clip_id, level)
        checked = (self._check_tokens and key not in self._checked) if stored.dataset.is_large else True
        with shard_bytes(shard) as file:
            values = read_decoded(file, shard, stored, place.rows, checked=checked)
        self._checked.add(key)
        return values

    def window_features(self, level: str = "mean") -> WindowFeatures:
        """One flattened float32 vector a window-view, clips in order: X (num_rows, dim), clip_index, multiplicity.

        Raises
        ------
        CacheError
            The level is not stored, no clip is finished, or a clip's values are damaged or not finite.
        """
        name = self.stored_level(level)
        return read_windows(self.shards, self._places_of_clips(), self.level_plan(name))

    def read_as(self, level: str) -> tuple[str, tuple[str, ...]]:
        """What :meth:`features` reads for a level's name: a stored level, and the statistics over its time, () for the level itself.

        Of features with a row a moment, ``mean`` and ``frames`` are the mean over the clip's moments.

        Raises
        ------
        CacheError
            The level is not stored, or there is no such statistic of it.
        """
        try:
            name, statistics = split_statistics(level)
        except RecipeError as error:
            raise CacheError(f"{self.root}: {error}") from error
        kind, at, layer = name.partition("@")
        if self.recipe.is_over_time and kind in ("mean", "frames"):
            return self.stored_level(f"frames{at}{layer}"), statistics or ("mean",)
        return self.stored_level(name), statistics

    def features(self, level: str = "mean", *, pool: str | Sequence[str] | None = "mean") -> Features:
        """The level, flattened, as float32 vectors with their labels.

        Parameters
        ----------
        level : str
            ``mean``, ``frames``, ``grid`` or ``tokens``, if the recipe stores it; or statistics of one, ``frames:mean+std``.
        pool : "mean", None or sequence of str
            "mean": one row a clip, the mean over its distinct windows and views. None: one row a window-view; a clip's label, subject
            and id stand once a row. A list such as ``["mean", "std"]``: one row a clip, statistics over the time axis of the level, one
            after the other, of ``mean, std, min, max, p10, p90, delta`` or another percentile; see :mod:`vjepa_fer.cache.over_time`.

        Returns
        -------
        Features
            ``X`` float32 (num_rows, dim), ``y``, ``subjects``, ``clip_ids`` str (num_rows,).

        Raises
        ------
        CacheError
            The level is not stored, no clip is finished, a clip has too few moments for a statistic, or a value is damaged or not finite.
        """
        if pool is not None and pool != "mean":
            level = self._with_statistics(level, pool)
        stored, statistics = self.read_as(level)
        y, subjects, clip_ids = (self.clips[name] for name in ("label", "subject", "clip_id"))
        if pool is None:
            windows = self.window_features(level)
            where = windows.clip_index
            return Features(windows.X, y[where], subjects[where], clip_ids[where])
        if statistics:
            pooled = statistics_of_clips(self._steps(stored), clip_ids.tolist(), statistics, self.root)
            return Features(pooled, y, subjects, clip_ids)
        return Features(mean_over_windows(self.window_features(level), len(self.clips)), y, subjects, clip_ids)

    def _steps(self, level: str) -> Iterator[tuple[int, Steps]]:
        """Number of each clip and its steps in time."""
        return read_steps_of_clips(self.shards, self._places_of_clips(), self.level_plan(level))

    def _places_of_clips(self) -> list[Place]:
        """Where each finished clip's rows are, in order; an error where none is finished."""
        if not self.clips:
            raise CacheError(f"{self.root}: no finished clip in this cache; run extract first")
        return [self.places[clip.clip_id] for clip in self.clips]

    def _with_statistics(self, level: str, pool: str | Sequence[str]) -> str:
        if isinstance(pool, str) or not pool:
            raise CacheError(
                f"pool {pool!r} is not 'mean' (one row a clip), None (one row a window) or a list of statistics over time, such as "
                "['mean', 'std']"
            )
        try:
            return with_statistics(level, pool)
        except RecipeError as error:
            raise CacheError(f"{self.root}: {error}") from error
