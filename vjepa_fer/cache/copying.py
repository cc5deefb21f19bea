"""Caches go in, a new cache with some or all of their clips comes out: repair, merge, subset. No number is rounded again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.folder import create_cache, read_cache_recipe, write_failures
from vjepa_fer.cache.hdf5 import open_shard, shard_errors, stored_checksums
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.reading import read_rows, shard_bytes
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.cache.verify import Problem, shard_files, verify_shard
from vjepa_fer.cache.writer import DEFAULT_SHARD_BYTES, ShardWriter
from vjepa_fer.disk import sweep_partials, sync_folder
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


def copy_clips(cache: Cache, clips: Sequence[Clip], out: CachePath, anonymiser: Anonymiser | None = None) -> Cache:
    """Copy those finished clips of `cache` to its folder-to-be `out`, whose manifest is made already."""
    by_shard: dict[int, list[str]] = {}
    for clip in clips:
        by_shard.setdefault(cache.places[clip.clip_id].shard_number, []).append(clip.clip_id)
    recipe = anonymiser.recipe(cache.recipe) if anonymiser else cache.recipe
    writer = ShardWriter(out, recipe, shard_bytes=DEFAULT_SHARD_BYTES)
    for number, clip_ids in sorted(by_shard.items()):
        for clip_id, columns in checked_clips(cache.shards[number], clip_ids):
            writer.add_columns(clip_id, anonymiser.columns(columns) if anonymiser else columns)
    writer.flush()
    return open_cache(out)


@dataclass(frozen=True)
class Repair:
    """What :func:`repair_cache` did.

    Attributes
    ----------
    problems : tuple of Problem
        What was wrong.
    rescued : tuple of str
        Clips that were taken out of damaged shards whole.
    set_aside : tuple of Path
        Damaged shards, kept under another name that no reader looks at. Delete them when you no longer want them.
    swept : tuple of Path
        What killed writers had left.
    """

    problems: tuple[Problem, ...]
    rescued: tuple[str, ...]
    set_aside: tuple[Path, ...]
    swept: tuple[Path, ...]


def repair_cache(root: CachePath, *, progress: Callable[[str], None] = lambda shard: None) -> Repair:
    """Take out what is damaged, so that extract does exactly that again.

    The whole clips of a damaged shard are first copied to a new shard; then the damaged one is renamed to
    ``NAME.h5.damaged``. Nothing is deleted but partial shards of writers that are dead.

    Raises
    ------
    CacheError
        `root` is not a cache, or its ``cache.json`` is damaged.
    """
    folder = Path(root)
    recipe = read_cache_recipe(folder)
    problems: list[Problem] = []
    rescued: list[str] = []
    set_aside: list[Path] = []
    for path in shard_files(folder):
        shard, found = verify_shard(path, recipe)
        if found:
            problems += found
            rescued += _rescue(folder, recipe, shard, found) if shard else []
            set_aside.append(path.rename(path.with_name(path.name + layout.DAMAGED_SUFFIX)))
            sync_folder(path.parent)
        progress(path.name)
    (folder / layout.SHARDS / layout.INDEX_NPZ).unlink(missing_ok=True)  # the next reader makes it again
    swept = sweep_partials(folder / layout.SHARDS)
    return Repair(tuple(problems), tuple(rescued), tuple(set_aside), tuple(swept))


def _rescue(folder: Path, recipe: AnyRecipe, shard: ShardIndex, problems: Sequence[Problem]) -> list[str]:
    bad = {problem.clip_id for problem in problems}
    if None in bad:  # not known which clip it is
        return []
    writer = ShardWriter(folder, recipe, shard_bytes=1 << 62)
    whole = [clip_id for clip_id, _ in shard.clip_runs if clip_id not in bad]
    for clip_id, columns in checked_clips(shard, whole):
        writer.add_columns(clip_id, columns)
    writer.flush()
    return whole


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
    failures = {clip.clip_id: cache.failures[clip.clip_id] for clip in clips if clip.clip_id in cache.failures}
    recipe = cache.recipe
    if anonymiser:
        recipe, manifest = anonymiser.recipe(recipe), anonymiser.manifest(manifest)
        failures = anonymiser.failures(failures)
    create_cache(out, recipe, manifest)
    write_failures(Path(out), failures)
    return copy_clips(cache, [clip for clip in clips if clip.clip_id in cache.places], out, anonymiser)


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
