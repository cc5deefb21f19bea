"""Objects of an HDF5 file from anywhere go in; they come out only if they are plain, of bounded size and inside the file.

h5py's low level is used throughout: a cache has a thousand shards of twenty objects, and its high level takes four times as long.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.collecting import nothing_collected
from vjepa_fer.disk import Elsewhere, refuse_link
from vjepa_fer.errors import CacheError, VjepaFerError

_MAX_ATTRIBUTE_BYTES = 16 << 20


@contextlib.contextmanager
def shard_errors(path: Path) -> Iterator[None]:
    """Turn what HDF5 says about a damaged file into a :class:`CacheError` that names it."""
    try:
        yield
    except VjepaFerError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, UnicodeError, MemoryError, OverflowError) as error:
        if isinstance(error, FileNotFoundError):
            raise CacheError(f"{path}: the shard is gone; it was there when the cache was opened") from error
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise CacheError(f"{path}: not a readable shard ({reason}); move it away and run extract again") from error


@contextlib.contextmanager
def open_shard(path: Path) -> Iterator[h5py.File]:
    """Open a complete shard for reading. Shards never change, so no lock is taken (read-only network disks work)."""
    with nothing_collected() if isinstance(path, Elsewhere) else contextlib.nullcontext():
        with shard_errors(path):
            file = _opened(path)
        with file:
            yield file


def _opened(path: Path) -> h5py.File:
    if isinstance(path, Elsewhere):
        return h5py.File(path.open_file(), "r")
    refuse_link(path)
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise CacheError(f"{path}: not a file; move it away")
    return h5py.File(path, "r", locking=False)


def read_attribute(file: h5py.h5f.FileID, name: str, path: Path) -> Any:
    """A root attribute of bounded size: a text or a number."""
    if not h5py.h5a.exists(file, name.encode()):
        raise CacheError(f"{path}: the attribute {name!r} is missing; not a vjepa-fer shard, or damaged")
    stored = h5py.h5a.open(file, name.encode())
    if stored.get_storage_size() > _MAX_ATTRIBUTE_BYTES or stored.shape != ():
        raise CacheError(f"{path}: the attribute {name!r} is absurdly large; the file is damaged or hostile")
    dtype = stored.dtype
    if dtype.kind not in "Siu":
        raise CacheError(
            f"{path}: the attribute {name!r} is no text of fixed length and no number; not a vjepa-fer shard"
        )
    value = np.empty((), dtype)
    stored.read(value)
    return value.item().decode() if dtype.kind == "S" else value.item()


class PlainDataset(NamedTuple):
    """A dataset whose bytes are in this file, and the properties with which it was made."""

    id: h5py.h5d.DatasetID
    created: h5py.h5p.PropDCID


def plain_dataset(file: h5py.h5f.FileID, name: str, path: Path) -> PlainDataset:
    """The dataset `name`, reached through hard links only: a link could lead out of the file."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        kind = link_type(file, "/".join(parts[:depth]))
        if kind != h5py.h5l.TYPE_HARD:
            raise CacheError(f"{path}: {name} is {'missing' if kind is None else 'a link, which could lead anywhere'}")
    found = h5py.h5o.open(file, name.encode())
    created = found.get_create_plist() if isinstance(found, h5py.h5d.DatasetID) else None
    if created is None or created.get_layout() == h5py.h5d.VIRTUAL or created.get_external_count():
        raise CacheError(f"{path}: {name} is not a plain dataset inside the file")
    return PlainDataset(found, created)


def link_type(file: h5py.h5f.FileID, name: str) -> int | None:
    """Whether the last step to `name` is a hard, soft or external link; None if there is none."""
    links, encoded = file.links, name.encode()
    return int(links.get_info(encoded).type) if links.exists(encoded) else None


def stored_checksums(file: h5py.h5f.FileID, dataset: str, num_rows: int, path: Path) -> np.ndarray:
    """CRC-32 of each row of a dataset as the shard says them: uint32 (N,)."""
    name = f"{layout.CHECKSUMS}/{dataset}"
    found, created = plain_dataset(file, name, path)
    plain = created.get_layout() == h5py.h5d.CONTIGUOUS and found.get_storage_size() == 4 * num_rows
    if found.shape != (num_rows,) or found.dtype != np.dtype("<u4") or not plain:
        raise CacheError(f"{path}: {name} is not a plain uint32 column of {num_rows} rows; the file is damaged")
    return read_column(found)


def read_column(found: h5py.h5d.DatasetID) -> np.ndarray:
    """All values of a small dataset, whose size must have been checked."""
    values = np.empty(found.shape, found.dtype)
    if values.size:
        found.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values
