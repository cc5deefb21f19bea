"""What a shard shall hold goes in; its HDF5 structure comes out, and the place in the file of every byte that is not structure.

HDF5 lays the file out and writes its structure, a few kB, to memory; the rows never pass through it. They go straight to the
file, so that writing costs their checksums and the disk and no copy, and a full disk is an ordinary OSError: HDF5's own file
writing can take the interpreter down then.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_to_json

HDF5_VERSIONS = ("v110", "v110")
"""HDF5 1.10's file structures carry checksums of their own; the older ones do not, and can send HDF5 round in circles."""


class ShardFrame:
    """The structure of one shard of N rows, with room for their bytes.

    Attributes
    ----------
    offsets : dict
        Dataset path → at which byte of the file its first row begins; the others follow. Also of the ``checksums/``.
        A dataset without bytes is absent.
    """

    def __init__(self, recipe: AnyRecipe, num_rows: int, *, id_bytes: int, writer_id: str) -> None:
        self.offsets: dict[str, int] = {}
        self._structure = _SparseFile()
        self._file = h5py.File(self._structure, "w", libver=HDF5_VERSIONS)
        datasets = layout.shard_datasets(recipe)
        for dataset in datasets:
            self._reserve(dataset, num_rows, _hdf5_type(dataset, id_bytes))
        for dataset in datasets:
            path = f"{layout.CHECKSUMS}/{dataset.path}"
            self._reserve(layout.Dataset(path, (), np.dtype("<u4")), num_rows, h5py.h5t.STD_U32LE)
        self._file.attrs["format_version"] = layout.FORMAT_VERSION
        texts = {"format": layout.SHARD_FORMAT, "recipe": recipe_to_json(recipe), "fingerprint": fingerprint(recipe)}
        for name, text in (texts | {"writer": writer_id}).items():
            self._file.attrs[name] = np.bytes_(text.encode())  # of fixed length: HDF5's heap has no checksum

    def _reserve(self, dataset: layout.Dataset, num_rows: int, dtype: h5py.h5t.TypeID) -> None:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        created.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        if dataset.is_large:
            created.set_chunk((1, *dataset.row_shape))
        group, name = dataset.path.rsplit("/", 1)
        space = h5py.h5s.create_simple((num_rows, *dataset.row_shape))
        made = h5py.h5d.create(self._file.require_group(group).id, name.encode(), dtype, space, created)
        if num_rows * math.prod(dataset.row_shape):
            self.offsets[dataset.path] = _first_byte(made, dataset, num_rows)

    def finish(self, digests: Mapping[str, str], file: BinaryIO) -> None:
        """Take in the SHA-256 of each dataset and write the structure to `file`, which then is as long as a shard must be."""
        self._file.attrs["checksums"] = np.bytes_(json.dumps(digests).encode())
        self.close()
        for offset, data in self._structure.writes:
            file.seek(offset)
            file.write(data)
        file.truncate(self._structure.size)

    def close(self) -> None:
        """Let HDF5's memory go."""
        self._file.close()


def _hdf5_type(dataset: layout.Dataset, id_bytes: int) -> h5py.h5t.TypeID:
    if dataset.path == layout.CLIP_ID:
        return h5py.h5t.py_create(h5py.string_dtype("utf-8", id_bytes), logical=True)
    return h5py.h5t.py_create(dataset.dtype, logical=True)


def _first_byte(made: h5py.h5d.DatasetID, dataset: layout.Dataset, num_rows: int) -> int:
    """Where the rows begin, after a look that they follow each other without a gap."""
    if not dataset.is_large:
        return int(made.get_offset())
    found: dict[int, int] = {}
    made.chunk_iter(lambda chunk: found.__setitem__(chunk.chunk_offset[0], chunk.byte_offset))
    first = found[0]
    if found != {row: first + row * dataset.row_bytes for row in range(num_rows)}:
        raise RuntimeError(f"HDF5 {h5py.version.hdf5_version} lays {dataset.path} out with gaps between its rows")
    return first


class _SparseFile(io.RawIOBase):
    """A file in memory for HDF5 to write its structure into; it keeps what was written and takes no room for the rest."""

    PAGE = 1 << 12

    def __init__(self) -> None:
        self.writes: list[tuple[int, bytes]] = []
        self.size = 0
        self._pages: dict[int, bytearray] = {}
        self._position = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        written = bytes(data)
        self.writes.append((self._position, written))
        for page, start, part in self._parts(len(written)):
            self._pages.setdefault(page, bytearray(self.PAGE))[start : start + part.stop - part.start] = written[part]
        self._position += len(written)
        self.size = max(self.size, self._position)
        return len(written)

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), max(0, self.size - self._position))
        for page, start, part in self._parts(count):
            buffer[part] = self._pages.get(page, bytes(self.PAGE))[start : start + part.stop - part.start]
        self._position += count
        return count

    def _parts(self, count: int) -> Iterator[tuple[int, int, slice]]:
        """The pages that `count` bytes from here touch: number, where in the page, and which of the bytes."""
        done = 0
        while done < count:
            page, start = divmod(self._position + done, self.PAGE)
            stop = min(count, done + self.PAGE - start)
            yield page, start, slice(done, stop)
            done = stop
