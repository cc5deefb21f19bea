"""A cache goes in; every byte of it is read, and what is wrong comes out, by shard and clip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.asked import read_cache_manifest
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import failure_pieces, read_failure_piece, read_failures
from vjepa_fer.cache.hdf5 import open_shard, read_attribute, shard_errors, stored_checksums
from vjepa_fer.cache.index import remembered_shards
from vjepa_fer.cache.pieces import piece_paths, read_piece
from vjepa_fer.cache.reader import CachePath
from vjepa_fer.cache.reading import BATCH_BYTES, read_rows, shard_bytes
from vjepa_fer.cache.shard import ShardIndex, read_shard_index, says_the_same
from vjepa_fer.cache.sums import bytes_of, finite_rows, row_checksums
from vjepa_fer.doors import parse_object
from vjepa_fer.errors import CacheError, VjepaFerError
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.remote import place_of


@dataclass(frozen=True)
class Problem:
    """Something wrong with a shard, or with another file of the cache.

    Attributes
    ----------
    shard : str
        The file's name.
    clip_id : str or None
        The clip whose rows are wrong; None when it is the shard as a whole.
    what : str
    """

    shard: str
    clip_id: str | None
    what: str

    def __str__(self) -> str:
        return f"{self.shard}: {f'clip {self.clip_id}: ' if self.clip_id else ''}{self.what}"


@dataclass(frozen=True)
class Verification:
    """What :func:`verify_cache` read, and what is wrong with it."""

    shards: int
    clips: int
    rows: int
    bytes_read: int
    problems: tuple[Problem, ...]


def verify_cache(root: CachePath, *, progress: Callable[[str], None] = lambda shard: None) -> Verification:
    """Read all shards of a cache and compare every row and every dataset with its checksums.

    A flipped bit in a row names the clip; what cannot be tied to a clip names the shard. Each level is read both as HDF5
    reads it and as :class:`Cache` does, so that the two cannot differ unnoticed.

    Parameters
    ----------
    root : path
    progress : callable
        Told the name of each shard when it is done.

    Raises
    ------
    CacheError
        `root` is not a cache, or its ``cache.json`` is damaged.
    """
    folder = place_of(root)
    recipe = read_cache_recipe(folder)
    paths = shard_files(folder)
    known = {shard.path.name: shard for shard in remembered_shards(folder / layout.SHARDS, recipe)}
    problems = _wrong_texts(folder)
    num_clips = num_rows = 0
    for path in paths:
        shard, found = verify_shard(path, recipe)
        problems += found
        if shard and path.name in known and not _is_same(shard, known[path.name]):
            what = f"says other things of {path.name} than it holds; delete it, it makes itself again"
            problems.append(Problem(layout.INDEX_NPZ, None, what))
        num_clips += len(shard.clip_runs) if shard else 0
        num_rows += len(shard) if shard else 0
        progress(path.name)
    return Verification(len(paths), num_clips, num_rows, sum(p.stat().st_size for p in paths), tuple(problems))


def _wrong_texts(folder: Path) -> list[Problem]:
    """What is wrong with the lists of clips and of failures, piece by piece."""
    return [
        *_wrong(piece_paths(folder / layout.MANIFEST_PIECES), read_piece),
        *_wrong(failure_pieces(folder), read_failure_piece),
        *_wrong([folder / layout.MANIFEST_CSV], lambda path: read_cache_manifest(folder)),
        *_wrong([folder / layout.FAILED_CSV], lambda path: read_failures(folder)),
    ]


def _wrong(paths: Iterable[Path], read: Callable[[Path], object]) -> Iterator[Problem]:
    for path in paths:
        try:
            read(path)
        except VjepaFerError as error:
            if str(error).startswith(str(path)):  # else it is about another file, which has a problem of its own
                yield Problem(path.name, None, str(error).removeprefix(f"{path}: "))


def _is_same(shard: ShardIndex, other: ShardIndex) -> bool:
    """Whether the index that was remembered of a shard, as it is now, says what the shard does."""
    is_stale = (shard.size, shard.mtime_ns) != (other.size, other.mtime_ns)  # it is compared before it is used
    return is_stale or says_the_same(shard, other)


def shard_files(root: Path) -> list[Path]:
    """The complete shards of a cache folder, by name."""
    return sorted((root / layout.SHARDS).glob(f"*{layout.SHARD_SUFFIX}"))


def verify_shard(path: Path, recipe: AnyRecipe) -> tuple[ShardIndex | None, list[Problem]]:
    """The index of one shard (None if it cannot be read) and what is wrong with it."""
    try:
        shard = read_shard_index(path, checked=False)
        require_same_recipe(shard.recipe, recipe, path.name)
        with open_shard(path) as file, shard_errors(path):
            return shard, _wrong_rows(file, shard)
    except VjepaFerError as error:
        return None, [Problem(path.name, None, str(error).removeprefix(f"{path}: "))]


def _wrong_rows(file: h5py.File, shard: ShardIndex) -> list[Problem]:
    digests = _stored_digests(file, shard.path)
    problems = []
    for dataset in layout.shard_datasets(shard.recipe):
        wrong, digest = _check_rows(file, shard, dataset)
        clips = [clip_id for clip_id, rows in shard.clip_runs if wrong[rows].any()]
        problems += [Problem(shard.path.name, clip, f"{dataset.path} is damaged") for clip in clips]
        if digest != digests.get(dataset.path) and not clips:
            what = f"{dataset.path} does not have the SHA-256 that the shard says, though its rows are right"
            problems.append(Problem(shard.path.name, None, what))
    return problems


def _stored_digests(file: h5py.File, path: Path) -> dict[str, str]:
    said = str(read_attribute(file.id, "checksums", path))
    return parse_object(
        said, f"{path}: the attribute 'checksums'", error=CacheError, advice="the file is damaged"
    ).values


def _check_rows(file: h5py.File, shard: ShardIndex, dataset: layout.Dataset) -> tuple[np.ndarray, str]:
    """Which rows are wrong, bool (N,), and the SHA-256 of all of them; in batches, so that memory stays bounded."""
    want = stored_checksums(file.id, dataset.path, len(shard), shard.path)
    wrong = np.zeros(len(shard), bool)
    digest = hashlib.sha256()
    step = max(1, BATCH_BYTES // max(1, dataset.row_bytes))
    with shard_bytes(shard) as raw:
        for start in range(0, len(shard), step):
            rows = slice(start, start + step)
            values = file[dataset.path][rows]
            digest.update(bytes_of(values).data)
            wrong[rows] = row_checksums(values) != want[rows]
            if dataset.path in shard.offsets:
                wrong[rows] |= _differ(values, read_rows(raw, shard, dataset, rows, checked=False))
                wrong[rows] |= ~finite_rows(values)
    return wrong, digest.hexdigest()


def _differ(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which rows differ in any bit: bool (N,)."""
    return np.array([not np.array_equal(bytes_of(a), bytes_of(b)) for a, b in zip(values, others, strict=True)], bool)
