"""One shard file goes in, checked; its index, and where its levels lie, come out. Nothing is believed before it is checked."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.hdf5 import open_shard, plain_dataset, read_attribute, read_column, shard_errors, stored_checksums
from vjepa_fer.cache.sums import are_unchanged
from vjepa_fer.errors import CacheError, RecipeError
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_from_json


@dataclass(frozen=True, eq=False)
class Notebook:
    """What was found out so far about the shards that one ``index.npz`` tells of.

    Attributes
    ----------
    agreed : set of str
        Names of those that were found to say the same.
    alike : dict
        Rows, bytes of an id and bytes of the file → where shards of this kind have everything.
    """

    agreed: set[str] = field(default_factory=set)
    alike: dict[tuple[int, int, int], Places] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Places:
    """Where a shard has everything.

    Attributes
    ----------
    columns : dict
        Dataset path → at which byte of the file it begins, for each of ``index/`` and ``checksums/`` that has bytes.
    rows : dict
        Dataset path → ndarray of int64 (N,): at which byte each row of a level begins.
    """

    columns: dict[str, int]
    rows: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """What a shard says about its N rows.

    Attributes
    ----------
    path : Path
    recipe : Recipe or ImportedRecipe
    clip_ids : tuple of str, length N
    columns : dict
        Dataset path → ndarray (N, …) for every ``index/`` dataset but the clip ids.
    offsets, checksums : dict
        Dataset path → ndarray of int64 (N,): at which byte of the file each row of a level begins; and uint32 (N,): its CRC-32.
    size, mtime_ns : int
        Of the file: bytes, and time of its last change.
    notebook : Notebook or None
        Where all this is written that was not read of the shard itself; see :mod:`vjepa_fer.cache.agreement`.

    Raises
    ------
    CacheError
        Rows of one clip that are not adjacent, a multiplicity below 1, or bytes outside the file.
    """

    path: Path
    recipe: AnyRecipe
    clip_ids: tuple[str, ...]
    columns: dict[str, np.ndarray]
    offsets: dict[str, np.ndarray]
    checksums: dict[str, np.ndarray]
    size: int
    mtime_ns: int
    notebook: Notebook | None = None

    def __post_init__(self) -> None:
        if len(self.clip_runs) != len(set(self.clip_ids)):
            raise CacheError(f"{self.path}: the rows of a clip are not adjacent; the file is damaged")
        if not self.columns[layout.SOURCE_SHA256].tobytes().isascii():
            raise CacheError(f"{self.path}: {layout.SOURCE_SHA256} holds no hexadecimal digits; the file is damaged")
        if self.columns[layout.MULTIPLICITY].min() < 1:
            raise CacheError(f"{self.path}: {layout.MULTIPLICITY} holds a value below 1; the file is damaged")
        for dataset in layout.stored_datasets(self.recipe):
            offsets = self.offsets[dataset.path]
            if offsets.min() < 0 or int(offsets.max()) + dataset.row_bytes > self.size:
                raise CacheError(f"{self.path}: {dataset.path} lies outside the file; the file is damaged")

    @functools.cached_property
    def clip_runs(self) -> list[tuple[str, slice]]:
        """Each clip with its rows, in the shard's order."""
        starts = [i for i, clip in enumerate(self.clip_ids) if i == 0 or clip != self.clip_ids[i - 1]]
        return [(self.clip_ids[a], slice(a, b)) for a, b in zip(starts, [*starts[1:], len(self)], strict=True)]

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __repr__(self) -> str:
        return f"ShardIndex({self.path.name}, {len(self)} rows, {len(set(self.clip_ids))} clips)"


def read_shard_index(path: Path, *, checked: bool = True) -> ShardIndex:
    """Check a shard's structure and read its index; the levels are not touched.

    Parameters
    ----------
    path : Path
    checked : bool
        Compare the index with its checksums; False is for who does it row by row.

    Raises
    ------
    CacheError
        Not HDF5, not a shard, of a newer format, with a dataset missing or of another shape or dtype than the recipe says,
        or with an index that is damaged.
    """
    with open_shard(path) as opened, shard_errors(path):
        file, status = opened.id, path.stat()
        recipe = read_recipe(file, path)
        num_rows = _num_rows(file, path)
        found = {d.path: _checked(file, d, num_rows, status.st_size, path) for d in layout.shard_datasets(recipe)}
        columns = {d.path: read_column(found[d.path]) for d in layout.index_datasets(recipe)}
        sums = {d.path: stored_checksums(file, d.path, num_rows, path) for d in layout.shard_datasets(recipe)}
        if checked:
            _require_unchanged(columns, sums, path)
        ids = tuple(i.decode() for i in columns.pop(layout.CLIP_ID).astype(bytes).tolist())
        columns[layout.SOURCE_SHA256] = columns[layout.SOURCE_SHA256].astype("S64")  # h5py adds a note to text
        offsets = {d.path: _row_offsets(found[d.path], d, num_rows, path) for d in layout.stored_datasets(recipe)}
        checksums = {d.path: sums[d.path] for d in layout.stored_datasets(recipe)}
        return ShardIndex(path, recipe, ids, columns, offsets, checksums, status.st_size, status.st_mtime_ns)


def says_the_same(shard: ShardIndex, other: ShardIndex) -> bool:
    """Whether two indices say the same of the rows, and of where they lie."""
    parts = ((getattr(shard, part), getattr(other, part)) for part in ("columns", "offsets", "checksums"))
    same = all(np.array_equal(mine[name], theirs[name]) for mine, theirs in parts for name in mine)
    return shard.clip_ids == other.clip_ids and same


def places_in(shard: ShardIndex) -> Places:
    """Where the file, whose index was read just now, has everything."""
    names = [dataset.path for dataset in layout.index_datasets(shard.recipe)]
    names += [f"{layout.CHECKSUMS}/{dataset.path}" for dataset in layout.stored_datasets(shard.recipe)]
    with open_shard(shard.path) as file, shard_errors(shard.path):
        found = {name: plain_dataset(file.id, name, shard.path).id.get_offset() for name in names}
    return Places({name: offset for name, offset in found.items() if offset is not None}, shard.offsets)


def _require_unchanged(columns: dict[str, np.ndarray], checksums: dict[str, np.ndarray], path: Path) -> None:
    for name, column in columns.items():
        if not are_unchanged(column, checksums[name]):
            raise CacheError(f"{path}: {name} is damaged: not what was written; run `vjepa-fer cache repair`")


def _row_offsets(found: h5py.h5d.DatasetID, dataset: layout.Dataset, num_rows: int, path: Path) -> np.ndarray:
    """At which byte of the file each row begins: int64 (N,)."""
    if not dataset.is_large:
        return found.get_offset() + np.arange(num_rows, dtype=np.int64) * dataset.row_bytes
    offsets = np.full(num_rows, -1, np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.size != dataset.row_bytes or chunk.filter_mask or chunk.chunk_offset[0] >= len(offsets):
            raise CacheError(f"{path}: {dataset.path} has a chunk that no row has; the file is damaged")
        offsets[chunk.chunk_offset[0]] = chunk.byte_offset

    found.chunk_iter(note)
    return offsets


def read_recipe(file: h5py.h5f.FileID, path: Path) -> AnyRecipe:
    """The recipe in a shard's attributes, after its format, version and fingerprint were checked."""
    user_block = file.get_create_plist().get_userblock()
    if user_block:
        raise CacheError(f"{path}: begins with a foreign block of {user_block} bytes; not a vjepa-fer shard")
    if read_attribute(file, "format", path) != layout.SHARD_FORMAT:
        raise CacheError(f"{path}: an HDF5 file, but not a vjepa-fer shard (no format {layout.SHARD_FORMAT!r})")
    check_version(read_attribute(file, "format_version", path), path)
    try:
        recipe, expected = _parsed(str(read_attribute(file, "recipe", path)))
    except RecipeError as error:
        raise CacheError(f"{path}: {error}") from error
    if expected != read_attribute(file, "fingerprint", path):
        raise CacheError(f"{path}: the stored recipe does not have the stored fingerprint; the file is damaged")
    return recipe


@functools.lru_cache(maxsize=4)
def _parsed(text: str) -> tuple[AnyRecipe, str]:
    """A recipe and its fingerprint. All shards of a cache say the same, so they also share one object."""
    recipe = recipe_from_json(text)
    return recipe, fingerprint(recipe)


def check_version(version: Any, path: Path, *, known: int = layout.FORMAT_VERSION) -> None:
    """Refuse a format version that this code does not know."""
    if type(version) is not int or version < 1:
        raise CacheError(f"{path}: format_version {version!r} is not a whole number from 1")
    if version > known:
        raise CacheError(
            f"{path}: written by a newer vjepa-fer (format version {version}, this one reads up to {known}): "
            "pip install -U vjepa-fer"
        )


def _num_rows(file: h5py.h5f.FileID, path: Path) -> int:
    shape = plain_dataset(file, layout.CLIP_ID, path).id.shape
    if len(shape) != 1 or shape[0] == 0:
        raise CacheError(f"{path}: {layout.CLIP_ID} has shape {shape}, expected (N,) with N above 0")
    return int(shape[0])


def _checked(
    file: h5py.h5f.FileID, dataset: layout.Dataset, num_rows: int, file_bytes: int, path: Path
) -> h5py.h5d.DatasetID:
    """The dataset; refused if of another shape or dtype, or if its bytes are not in the file (it would read as zeros)."""
    found, created = plain_dataset(file, dataset.path, path)
    want = (num_rows, *dataset.row_shape)
    shape, dtype = found.shape, found.dtype
    if shape != want:
        raise CacheError(f"{path}: {dataset.path} has shape {shape}, expected {want}")
    if dataset.path == layout.CLIP_ID:
        if dtype.kind != "S" or dtype.itemsize > layout.MAX_CLIP_ID_BYTES:
            raise CacheError(f"{path}: {dataset.path} has dtype {dtype}, expected fixed-width UTF-8")
    elif dtype != dataset.dtype:
        raise CacheError(f"{path}: {dataset.path} has dtype {dtype}, expected {dataset.dtype}")
    stored, expected = found.get_storage_size(), math.prod(shape) * dtype.itemsize
    if stored != expected or stored > file_bytes:
        raise CacheError(f"{path}: {dataset.path} stores {stored} bytes, expected {expected}; the file is damaged")
    _check_storage(created, dataset, path)
    return found


def _check_storage(created: h5py.h5p.PropDCID, dataset: layout.Dataset, path: Path) -> None:
    """Refuse a dataset that is filtered, or laid out otherwise than the format says."""
    chunks = (1, *dataset.row_shape) if dataset.is_large else None
    kind = created.get_layout()
    have = created.get_chunk() if kind == h5py.h5d.CHUNKED else None
    if have != chunks or created.get_nfilters() or kind == h5py.h5d.COMPACT:
        raise CacheError(f"{path}: {dataset.path} is compressed, or chunked otherwise than {chunks}; not a shard")
