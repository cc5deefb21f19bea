"""Caches go in, a new cache with some or all of their clips comes out: merge, subset. No number is rounded again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.folder import copied_cache
from vjepa_fer.cache.hdf5 import open_shard, shard_errors, stored_checksums
from vjepa_fer.cache.index import read_shards
from vjepa_fer.cache.notes import notes_on
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.reading import read_rows, shard_bytes
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.cache.writer import DEFAULT_SHARD_BYTES, ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import AnyRecipe

CachePath = str | os.PathLike[str]


def checked_clips(shard: ShardIndex, clip_ids: Sequence[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Those clips of a shard with their columns as on disk, each compared with its checksums first.

    Raises
    ------
    CacheError
        A clip is damaged: it must not go into a new cache, where fresh checksums would bless it.
    """
    wanted = set(clip_ids)
    with shard_bytes(shard) as raw:
        for clip_id, rows in shard.clip_runs:
            if clip_id not in wanted:
                continue
            columns = {layout.CLIP_ID: np.full(rows.stop - rows.start, clip_id.encode())}
            columns |= {name: array[rows] for name, array in shard.columns.items()}
            columns |= {d.path: read_rows(raw, shard, d, rows) for d in layout.stored_datasets(shard.recipe)}
            yield clip_id, columns


def copy_clips(cache: Cache, clips: Sequence[Clip], out: Path, anonymiser: Anonymiser | None = None) -> None:
    """Copy those finished clips of `cache` that the folder `out` does not hold yet."""
    recipe = anonymiser.recipe(cache.recipe) if anonymiser else cache.recipe
    there = clips_there(out, recipe)
    by_shard: dict[int, list[str]] = {}
    for clip in clips:
        if clip.clip_id not in there:
            by_shard.setdefault(cache.places[clip.clip_id].shard_number, []).append(clip.clip_id)
    writer = ShardWriter(out, recipe, shard_bytes=DEFAULT_SHARD_BYTES)
    for number, clip_ids in sorted(by_shard.items()):
        for clip_id, columns in checked_clips(cache.shards[number], clip_ids):
            writer.add_columns(clip_id, anonymiser.columns(columns) if anonymiser else columns)
    writer.flush()


def clips_there(folder: Path, recipe: AnyRecipe) -> set[str]:
    """Ids of clips that are in complete shards of a folder, be it a cache yet or not."""
    return {clip_id for shard in read_shards(folder / layout.SHARDS, recipe) for clip_id in shard.clip_ids}


def merge_caches(sources: Sequence[CachePath], out: CachePath, *, anonymiser: Anonymiser | None = None) -> Cache:
    """Copy several caches of one recipe into a new one.

    A clip that several hold equally, bit for bit, is copied once.

    Parameters
    ----------
    sources : sequence of paths
    out : path
        A new folder.
    anonymiser : Anonymiser, optional

    Raises
    ------
    RecipeMismatchError
        Different recipes; each differing field is named.
    CacheError
        A clip has different labels, subjects or numbers in two of the sources; a clip is damaged; `out` exists.
    """
    cache = open_cache(list(sources))
    _refuse_conflicts(cache)
    return _copy(cache, cache.manifest.clips, out, anonymiser)


def subset_cache(
    root: CachePath | Sequence[CachePath],
    out: CachePath,
    keep: Callable[[Clip], bool],
    *,
    anonymiser: Anonymiser | None = None,
) -> Cache:
    """Copy the clips for which `keep` is true to a new cache.

    Raises
    ------
    CacheError
        No clip is kept, a clip is damaged, or `out` exists.
    """
    cache = open_cache(root)
    kept = [clip for clip in cache.manifest.clips if keep(clip)]
    if not kept:
        raise CacheError(f"{cache.root}: none of its {len(cache.manifest.clips)} clips is to be kept; nothing to do")
    return _copy(cache, kept, out, anonymiser)


def _copy(cache: Cache, clips: Sequence[Clip], out: CachePath, anonymiser: Anonymiser | None) -> Cache:
    manifest = cache.manifest.where(clips)
    listed = cache.failures
    failures = {clip.clip_id: listed[clip.clip_id] for clip in clips if clip.clip_id in listed}
    recipe, notes = cache.recipe, notes_on(cache.roots, {clip.clip_id for clip in clips})
    if anonymiser:
        recipe, manifest = anonymiser.recipe(recipe), anonymiser.manifest(manifest)
        failures, notes = anonymiser.failures(failures), ()
    wanted = [clip for clip in clips if clip.clip_id in cache.places]
    with copied_cache(out, recipe, manifest, failures, notes=notes, source=source_of(cache)) as folder:
        copy_clips(cache, wanted, folder, anonymiser)
    return open_cache(out)


def source_of(cache: Cache) -> str:
    """What a copy says it is made from."""
    return ", ".join(str(root.absolute()) for root in cache.roots)


def _refuse_conflicts(cache: Cache) -> None:
    """Refuse clips that stand in several shards with different numbers; checksums are compared, nothing large is read."""
    shards_of: dict[str, list[ShardIndex]] = {}
    for shard in cache.shards:
        for clip_id, _ in shard.clip_runs:
            shards_of.setdefault(clip_id, []).append(shard)
    twice = {clip_id: shards for clip_id, shards in shards_of.items() if len(shards) > 1}
    sums = {shard.path: _clip_checksums(shard) for shards in twice.values() for shard in shards}
    conflicts = [c for c, shards in twice.items() if len({sums[shard.path][c] for shard in shards}) > 1]
    if conflicts:
        first = shards_of[conflicts[0]]
        raise CacheError(
            f"{len(conflicts)} clips have different numbers in two caches, such as {', '.join(conflicts[:5])}: compare "
            f"{first[0].path} with {first[1].path}; take one side's out with `vjepa-fer cache subset`"
        )


def _clip_checksums(shard: ShardIndex) -> Mapping[str, bytes]:
    """All row checksums of each clip's levels."""
    datasets = layout.stored_datasets(shard.recipe)
    with open_shard(shard.path) as file, shard_errors(shard.path):
        columns = [stored_checksums(file.id, dataset.path, len(shard), shard.path) for dataset in datasets]
    return {clip_id: b"".join(column[rows].tobytes() for column in columns) for clip_id, rows in shard.clip_runs}
