"""Clips go in, complete shards come out: a shard appears under its name only when every byte of it is safely on disk.

    rows in memory → HDF5 image in memory → NAME.partial → fsync → rename to NAME.h5 → fsync of the folder

The image is built in memory because HDF5's own file writing can take the interpreter down on a full disk; plain writes of
finished bytes end in an ordinary OSError.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import uuid
import zlib
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_to_json

DEFAULT_SHARD_BYTES = 64 << 20

HDF5_VERSIONS = ("v110", "v110")
"""HDF5 1.10's file structures carry checksums of their own; the older ones do not, and can send HDF5 round in circles."""


class ShardWriter:
    """Collects clips and writes them as shards of about `shard_bytes`. One writer belongs to one process.

    Parameters
    ----------
    folder : path
        The cache folder; shards go to its ``shards/``.
    recipe : Recipe or ImportedRecipe
    shard_bytes : int
        A shard is written when its rows reach this size. A kill costs at most the shard that is open.
    """

    def __init__(
        self, folder: str | os.PathLike[str], recipe: AnyRecipe, *, shard_bytes: int = DEFAULT_SHARD_BYTES
    ) -> None:
        self.recipe = recipe
        self.shard_bytes = shard_bytes
        self.writer_id = uuid.uuid4().hex[:12]
        self.bytes_written = 0
        self._shards = Path(folder) / layout.SHARDS
        self._serial = 0
        self._clips: list[tuple[str, dict[str, np.ndarray]]] = []
        self._open_bytes = 0

    def add(self, rows: ClipRows) -> tuple[str, ...]:
        """Add one clip, and write the shard if it is full.

        Returns
        -------
        tuple of str
            The clip ids that are safely on disk because of this call; empty while the shard is still open.
        """
        return self.add_columns(rows.clip_id, rows.columns(self.recipe))

    def add_columns(self, clip_id: str, columns: dict[str, np.ndarray]) -> tuple[str, ...]:
        """Add one clip whose columns are as on disk already: copying from cache to cache must not round again."""
        self._clips.append((clip_id, columns))
        self._open_bytes += sum(a.nbytes for path, a in columns.items() if path != layout.CLIP_ID)
        return self.flush() if self._open_bytes >= self.shard_bytes else ()

    def flush(self) -> tuple[str, ...]:
        """Write the open shard, if any clip is in it; returns the clip ids that are now safe."""
        if not self._clips:
            return ()
        columns = {path: np.concatenate([c[path] for _, c in self._clips]) for path in self._clips[0][1]}
        name = f"{fingerprint(self.recipe)[:16]}-{self.writer_id}-{self._serial:05d}{layout.SHARD_SUFFIX}"
        image = shard_image(self.recipe, columns, writer_id=self.writer_id)
        write_durably(self._shards / name, image)
        done = tuple(clip_id for clip_id, _ in self._clips)
        self._serial += 1
        self.bytes_written += len(image)
        self._clips, self._open_bytes = [], 0
        return done


def shard_image(recipe: AnyRecipe, columns: dict[str, np.ndarray], *, writer_id: str) -> bytes:
    """The bytes of a shard file that holds `columns` (dataset path → array of N rows)."""
    ids = columns[layout.CLIP_ID]
    width = max(1, max(len(i) for i in ids))
    columns = {**columns, layout.CLIP_ID: ids.astype(f"S{width}")}
    with h5py.File(f"{writer_id}.h5", "w", driver="core", backing_store=False, libver=HDF5_VERSIONS) as file:
        for dataset in layout.shard_datasets(recipe):
            _create(file, dataset, columns[dataset.path])
        for path, array in columns.items():
            file.create_dataset(f"{layout.CHECKSUMS}/{path}", data=row_checksums(array))
        file.attrs["format_version"] = layout.FORMAT_VERSION
        checksums = json.dumps({path: dataset_checksum(a) for path, a in columns.items()})
        texts = {"format": layout.SHARD_FORMAT, "recipe": recipe_to_json(recipe), "fingerprint": fingerprint(recipe)}
        for name, text in (texts | {"writer": writer_id, "checksums": checksums}).items():
            file.attrs[name] = np.bytes_(text.encode())  # of fixed length: HDF5's heap of long strings has no checksum
        file.flush()
        return file.id.get_file_image()


def _create(file: h5py.File, dataset: layout.Dataset, array: np.ndarray) -> None:
    if dataset.path == layout.CLIP_ID:
        dtype = h5py.string_dtype("utf-8", array.dtype.itemsize)
        file.create_dataset(dataset.path, data=array.astype(dtype), dtype=dtype)
    elif dataset.is_large:
        file.create_dataset(dataset.path, data=array, chunks=(1, *dataset.row_shape))
    else:
        file.create_dataset(dataset.path, data=array)


def row_checksums(array: np.ndarray) -> np.ndarray:
    """CRC-32 of each row's bytes: ndarray of uint32, shape (N,). It names the clip that a flipped bit belongs to."""
    flat = np.ascontiguousarray(array).reshape(len(array), -1)
    if flat.shape[1] == 0:
        return np.zeros(len(array), "<u4")
    return np.array([zlib.crc32(row.tobytes()) for row in flat], "<u4")


def dataset_checksum(array: np.ndarray) -> str:
    """SHA-256 of a dataset's bytes in C order, as hex."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def write_durably(path: Path, data: bytes) -> None:
    """Write `data` so that `path` either holds all of it, also after a power cut, or does not exist.

    Raises
    ------
    OSError
        Disk full, no permission …; the temporary file is removed.
    """
    partial = path.with_name(f"{path.name}.{_host()}.{os.getpid()}{layout.PARTIAL_SUFFIX}")
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_partials(folder: Path) -> list[Path]:
    """Remove what killed writers left in `folder`; a partial of a process that is alive, or of another machine's, stays.

    Another machine's partial goes once it is an hour old: nobody takes an hour to write one shard.
    """
    stale = [p for p in folder.glob(f"*{layout.PARTIAL_SUFFIX}") if _is_stale(p)]
    for partial in stale:
        partial.unlink(missing_ok=True)
    return stale


def _is_stale(partial: Path) -> bool:
    parts = partial.name.removesuffix(layout.PARTIAL_SUFFIX).rsplit(".", 2)
    if len(parts) == 3 and parts[1] == _host() and parts[2].isdigit():
        return not _is_alive(int(parts[2]))
    try:
        return time.time() - partial.stat().st_mtime > 3600
    except FileNotFoundError:
        return False


def _is_alive(pid: int) -> bool:
    if os.name == "nt" or pid == os.getpid():  # os.kill(pid, 0) would end the process on Windows
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return "".join(c if c.isalnum() else "-" for c in socket.gethostname())[:40] or "host"
