"""One shard file goes in, checked; its index and levels come out. Nothing about a file is believed before it is checked."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.errors import CacheError, RecipeError, VjepaFerError
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_from_json

_MAX_ATTRIBUTE_BYTES = 16 << 20


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
    offsets : dict
        Dataset path → ndarray of int64 (N,): at which byte of the file each row of a level begins.
    size, mtime_ns : int
        Of the file: bytes, and time of its last change.

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
    size: int
    mtime_ns: int

    def __post_init__(self) -> None:
        if len(self.clip_runs) != len(set(self.clip_ids)):
            raise CacheError(f"{self.path}: the rows of a clip are not adjacent; the file is damaged")
        if not self.columns[layout.SOURCE_SHA256].tobytes().isascii():
            raise CacheError(f"{self.path}: {layout.SOURCE_SHA256} holds no hexadecimal digits; the file is damaged")
        if self.columns[layout.MULTIPLICITY].min() < 1:
            raise CacheError(f"{self.path}: {layout.MULTIPLICITY} holds a value below 1; the file is damaged")
        for dataset in layout.stored_datasets(self.recipe):
            offsets = self.offsets[dataset.path]
            if offsets.min() < 0 or offsets.max() + dataset.row_bytes > self.size:
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


@contextlib.contextmanager
def shard_errors(path: Path) -> Iterator[None]:
    """Turn what HDF5 says about a damaged file into a :class:`CacheError` that names it."""
    try:
        yield
    except VjepaFerError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UnicodeError, MemoryError) as error:
        if isinstance(error, FileNotFoundError):
            raise CacheError(f"{path}: the shard is gone; it was there when the cache was opened") from error
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CacheError(f"{path}: not a readable shard ({reason}); move it away and run extract again") from error


def open_shard(path: Path) -> h5py.File:
    """Open a complete shard for reading. Shards never change, so no lock is taken (read-only network disks work)."""
    if path.exists() and not path.is_file():
        raise CacheError(f"{path}: not a file; move it away")
    with shard_errors(path):
        return h5py.File(path, "r", locking=False)


def read_shard_index(path: Path) -> ShardIndex:
    """Check a shard's structure and read its index; the levels are not touched.

    Raises
    ------
    CacheError
        Not HDF5, not a shard, of a newer format, or with a dataset missing or of another shape or dtype than the recipe
        says.
    """
    with open_shard(path) as file, shard_errors(path):
        status = path.stat()
        recipe = read_recipe(file, path)
        num_rows = _num_rows(file, path)
        for dataset in layout.shard_datasets(recipe):
            check_dataset(file, dataset, num_rows, path)
        ids = tuple(i.decode() for i in file[layout.CLIP_ID][:].astype(bytes))
        columns = {  # viewed as the plain dtype: h5py adds a note to text
            d.path: file[d.path][:].view(d.dtype) for d in layout.index_datasets(recipe) if d.path != layout.CLIP_ID
        }
        offsets = {d.path: _row_offsets(file[d.path], d, path) for d in layout.stored_datasets(recipe)}
        return ShardIndex(path, recipe, ids, columns, offsets, status.st_size, status.st_mtime_ns)


def _row_offsets(found: h5py.Dataset, dataset: layout.Dataset, path: Path) -> np.ndarray:
    """At which byte of the file each row begins: int64 (N,)."""
    if not dataset.is_large:
        return found.id.get_offset() + np.arange(len(found), dtype=np.int64) * dataset.row_bytes
    offsets = np.full(len(found), -1, np.int64)

    def note(chunk: h5py.h5d.StoreInfo) -> None:
        if chunk.size != dataset.row_bytes or chunk.filter_mask or chunk.chunk_offset[0] >= len(offsets):
            raise CacheError(f"{path}: {dataset.path} has a chunk that no row has; the file is damaged")
        offsets[chunk.chunk_offset[0]] = chunk.byte_offset

    found.id.chunk_iter(note)
    return offsets


def read_recipe(file: h5py.File, path: Path) -> AnyRecipe:
    """The recipe in a shard's attributes, after its format, version and fingerprint were checked."""
    if file.userblock_size:
        raise CacheError(f"{path}: begins with a foreign block of {file.userblock_size} bytes; not a vjepa-fer shard")
    if read_attribute(file, "format", path) != layout.SHARD_FORMAT:
        raise CacheError(f"{path}: an HDF5 file, but not a vjepa-fer shard (no format {layout.SHARD_FORMAT!r})")
    version = read_attribute(file, "format_version", path)
    check_version(version, path)
    try:
        recipe = recipe_from_json(str(read_attribute(file, "recipe", path)))
    except RecipeError as error:
        raise CacheError(f"{path}: {error}") from error
    if fingerprint(recipe) != read_attribute(file, "fingerprint", path):
        raise CacheError(f"{path}: the stored recipe does not have the stored fingerprint; the file is damaged")
    return recipe


def check_version(version: Any, path: Path) -> None:
    """Refuse a format version that this code does not know."""
    if not isinstance(version, int | np.integer) or version < 1:
        raise CacheError(f"{path}: format_version {version!r} is not a whole number from 1")
    if version > layout.FORMAT_VERSION:
        raise CacheError(
            f"{path}: written by a newer vjepa-fer (format version {version}, this one reads up to "
            f"{layout.FORMAT_VERSION}): pip install -U vjepa-fer"
        )


def read_attribute(file: h5py.File, name: str, path: Path) -> Any:
    """A root attribute of bounded size."""
    if name not in file.attrs:
        raise CacheError(f"{path}: the attribute {name!r} is missing; not a vjepa-fer shard, or damaged")
    stored = file.attrs.get_id(name)
    if stored.get_storage_size() > _MAX_ATTRIBUTE_BYTES or stored.shape != ():
        raise CacheError(f"{path}: the attribute {name!r} is absurdly large; the file is damaged or hostile")
    if stored.dtype.kind not in "Siu":
        raise CacheError(
            f"{path}: the attribute {name!r} is no text of fixed length and no number; not a vjepa-fer shard"
        )
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else value.item() if isinstance(value, np.generic) else value


def hard_dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """The dataset `name`, reached through hard links only: a link could lead out of the file."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        link = file.get("/".join(parts[:depth]), getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise CacheError(f"{path}: {name} is {'missing' if link is None else 'a link, which no shard holds'}")
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        raise CacheError(f"{path}: {name} is not a plain dataset inside the file")
    return found


def _num_rows(file: h5py.File, path: Path) -> int:
    ids = hard_dataset(file, layout.CLIP_ID, path)
    if ids.ndim != 1 or ids.shape[0] == 0:
        raise CacheError(f"{path}: {layout.CLIP_ID} has shape {ids.shape}, expected (N,) with N above 0")
    return int(ids.shape[0])


def check_dataset(file: h5py.File, dataset: layout.Dataset, num_rows: int, path: Path) -> None:
    """Refuse a dataset of another shape or dtype, or one whose bytes are not in the file (it would read as zeros)."""
    found = hard_dataset(file, dataset.path, path)
    want = (num_rows, *dataset.row_shape)
    if found.shape != want:
        raise CacheError(f"{path}: {dataset.path} has shape {found.shape}, expected {want}")
    if dataset.path == layout.CLIP_ID:
        if found.dtype.kind != "S" or found.dtype.itemsize > layout.MAX_CLIP_ID_BYTES:
            raise CacheError(f"{path}: {dataset.path} has dtype {found.dtype}, expected fixed-width UTF-8")
    elif found.dtype != dataset.dtype:
        raise CacheError(f"{path}: {dataset.path} has dtype {found.dtype}, expected {dataset.dtype}")
    check_storage(found, dataset, path)


def check_storage(found: h5py.Dataset, dataset: layout.Dataset, path: Path) -> None:
    """Refuse a dataset whose bytes are not all in the file, unfiltered and where the format says."""
    expected, stored = found.size * found.dtype.itemsize, found.id.get_storage_size()
    if stored != expected or stored > path.stat().st_size:
        raise CacheError(f"{path}: {dataset.path} stores {stored} bytes, expected {expected}; the file is damaged")
    created = found.id.get_create_plist()
    chunks = (1, *dataset.row_shape) if dataset.is_large else None
    if found.chunks != chunks or created.get_nfilters() or created.get_layout() == h5py.h5d.COMPACT:
        raise CacheError(f"{path}: {dataset.path} is compressed, or chunked otherwise than {chunks}; not a shard")
