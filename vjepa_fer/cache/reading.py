"""A checked shard, a dataset and row numbers go in; the bytes of those rows come out, read straight from the file.

Shards are unfiltered, so a row is a run of bytes at a known place. Reading them without HDF5 costs a third of the time for a
random clip, and leaves no handle open: a cache can be pickled, forked and have more shards than a process may have files.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.agreement import require_agreement
from vjepa_fer.cache.hdf5 import shard_errors
from vjepa_fer.cache.int8 import dequantise
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.cache.sums import all_finite, crc32, finite_rows, joined_checksum, row_checksums
from vjepa_fer.disk import Elsewhere, Ranges, open_regular
from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import AnyRecipe

_READ_BYTES = 1 << 20
"""Read in one go and looked at at once, while the bytes are in the processor's cache."""

BATCH_BYTES = 16 << 20
"""Rows are converted in batches of about this size, so that memory stays bounded whatever the size of a shard."""


ShardFile = int | Ranges
"""A descriptor of a file here, or a file elsewhere."""


@contextmanager
def shard_bytes(shard: ShardIndex) -> Iterator[ShardFile]:
    """Open a shard for :func:`read_rows`; refused if it is no longer the file that was checked."""
    require_agreement(shard)
    with shard_errors(shard.path):
        if isinstance(shard.path, Elsewhere):  # nobody changes a file there: its size is what was read of it
            yield shard.path.open_ranges()
            return
        file = open_regular(shard.path, follow=False)
        try:
            size = os.fstat(file).st_size
            if size != shard.size:
                raise CacheError(
                    f"{shard.path}: has {size:,} bytes, had {shard.size:,} when it was opened; open the cache again"
                )
            yield file
        finally:
            os.close(file)


def read_rows(
    file: ShardFile,
    shard: ShardIndex,
    dataset: layout.Dataset,
    rows: slice | np.ndarray,
    out: np.ndarray | None = None,
    *,
    checked: bool = True,
) -> np.ndarray:
    """Rows of a dataset as stored: ndarray (R, …), into `out` if given. Neighbours in the file are one read.

    Parameters
    ----------
    checked : bool
        Compare what was read with its checksums, and refuse what is no number.

    Raises
    ------
    CacheError
        The file ends too early, or a row is not what was written or holds NaN or infinity; its clip is named.
    """
    offsets = shard.offsets[dataset.path][rows]
    row_bytes = dataset.row_bytes
    if out is None:
        out = np.empty((len(offsets), *dataset.row_shape), dataset.dtype)
    if row_bytes == 0:
        return out
    target, sound = out.reshape(-1).view(np.uint8).data, True
    for start, stop in _neighbours(offsets, row_bytes):
        blocks = _read_blocks(file, shard, int(offsets[start]), target[start * row_bytes : stop * row_bytes])
        if checked:
            sound &= _are_sound(blocks, dataset, shard.checksums[dataset.path][rows][start:stop])
        else:
            deque(blocks, maxlen=0)
    if not sound:
        raise CacheError(_about_damage(shard, dataset, rows, out))
    return out


def _neighbours(offsets: np.ndarray, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Runs of rows that lie one after the other in the file."""
    breaks = (np.flatnonzero(np.diff(offsets) != row_bytes) + 1).tolist() if len(offsets) > 1 else []
    return zip([0, *breaks], [*breaks, len(offsets)], strict=True)


def _are_sound(blocks: Iterable[memoryview], dataset: layout.Dataset, checksums: np.ndarray) -> bool:
    """Whether rows that come block by block are what was written, and numbers."""
    checksum, finite = 0, True
    for block in blocks:
        checksum = crc32(block, checksum)
        finite = finite and all_finite(np.frombuffer(block, dataset.dtype))
    return finite and checksum == joined_checksum(checksums, dataset.row_bytes)


def _about_damage(shard: ShardIndex, dataset: layout.Dataset, rows: slice | np.ndarray, values: np.ndarray) -> str:
    changed = row_checksums(values) != shard.checksums[dataset.path][rows]
    wrong = changed if changed.any() else ~finite_rows(values)
    clip = shard.clip_ids[np.arange(len(shard))[rows][wrong.argmax()]]
    what = "is damaged: not what was written" if changed.any() else "holds NaN or infinity"
    return f"{shard.path}: clip {clip}: {dataset.path} {what}; run `vjepa-fer cache repair`, then extract again"


def _read_blocks(file: ShardFile, shard: ShardIndex, offset: int, target: memoryview) -> Iterator[memoryview]:
    """Fill `target` from `offset` on, and give each part of it as soon as it is there."""
    step = _READ_BYTES if isinstance(file, int) else file.step
    for start in range(0, len(target), step):
        block = target[start : start + step]
        _read_into(file, shard, offset + start, block)
        yield block


def _read_into(file: ShardFile, shard: ShardIndex, offset: int, target: memoryview) -> None:
    while target:
        count = _pread(file, target, offset)
        if not count:
            raise CacheError(f"{shard.path}: ends at byte {offset:,}, in the middle of a row; run `cache repair`")
        target, offset = target[count:], offset + count


def _pread(file: ShardFile, target: memoryview, offset: int) -> int:
    if not isinstance(file, int):
        return file.read_into(target, offset)
    if hasattr(os, "preadv"):
        return os.preadv(file, [target], offset)
    os.lseek(file, offset, os.SEEK_SET)  # Windows
    data = os.read(file, len(target))
    target[: len(data)] = data
    return len(data)


@dataclass(frozen=True)
class StoredLevel:
    """A level of a recipe: its dataset, and that of its scales if it is int8."""

    dataset: layout.Dataset
    scale: layout.Dataset | None

    @classmethod
    def of(cls, recipe: AnyRecipe, level: str) -> StoredLevel:
        """The level by the name under which the recipe stores it."""
        return cls(layout.level_dataset(recipe, level), layout.scale_dataset(recipe, level))


def read_decoded(
    file: ShardFile, shard: ShardIndex, level: StoredLevel, rows: slice | np.ndarray, *, checked: bool = True
) -> np.ndarray:
    """Rows of a level in float16 or float32 as stored; int8 becomes float32."""
    values = read_rows(file, shard, level.dataset, rows, checked=checked)
    if level.scale is None:
        return values
    return dequantise(values, read_rows(file, shard, level.scale, rows, checked=checked))


def read_into(file: ShardFile, shard: ShardIndex, level: StoredLevel, rows: np.ndarray, out: np.ndarray) -> None:
    """Rows of a level into `out`, float32 (R, dim)."""
    dataset = level.dataset
    if dataset.dtype == out.dtype and out.flags.c_contiguous:
        read_rows(file, shard, dataset, rows, out)
        return
    step = max(1, BATCH_BYTES // dataset.row_bytes)
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        out[start : start + step] = read_decoded(file, shard, level, batch).reshape(len(batch), -1)
