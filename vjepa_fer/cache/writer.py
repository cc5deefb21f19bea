"""Clips go in, complete shards come out: a shard appears under its name only when every byte of it is safely on disk.

rows in memory → NAME.partial → fsync → rename to NAME.h5 → fsync of the folder
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.frame import ShardFrame
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.sums import bytes_of, dataset_checksum, row_checksums
from vjepa_fer.disk import write_durably
from vjepa_fer.recipe import AnyRecipe, fingerprint

DEFAULT_SHARD_BYTES = 64 << 20


class ShardWriter:
    """Collects clips and writes them as shards of about `shard_bytes`. One writer belongs to one process.

    Parameters
    ----------
    folder : path
        The cache folder; shards go to its ``shards/``.
    recipe : Recipe or ImportedRecipe
    shard_bytes : int
        A shard is written when its rows reach this size. A kill costs at most the shard that is open.
    is_ours : callable
        Asked of each clip id before a shard appears: those that another process has taken over meanwhile are left out.

    Attributes
    ----------
    lost : set of str
        Ids of the clips that were left out.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        recipe: AnyRecipe,
        *,
        shard_bytes: int = DEFAULT_SHARD_BYTES,
        is_ours: Callable[[str], bool] = lambda clip_id: True,
    ) -> None:
        self.recipe = recipe
        self.shard_bytes = shard_bytes
        self.is_ours = is_ours
        self.lost: set[str] = set()
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
        while self._clips:
            ours = {clip_id for clip_id, _ in self._clips if self.is_ours(clip_id)}
            self.lost |= {clip_id for clip_id, _ in self._clips} - ours
            self._clips = [(clip_id, columns) for clip_id, columns in self._clips if clip_id in ours]
            done = tuple(clip_id for clip_id, _ in self._clips)
            if not done or self._write(done):
                self._clips, self._open_bytes = [], 0
                return done
        return ()

    def _write(self, clip_ids: Sequence[str]) -> bool:
        """Write the open clips as a shard; False if some of them became another process's meanwhile, and nothing is there."""
        columns = {path: [c[path] for _, c in self._clips] for path in self._clips[0][1]}
        name = f"{fingerprint(self.recipe)[:16]}-{self.writer_id}-{self._serial:05d}{layout.SHARD_SUFFIX}"
        path = self._shards / name
        try:
            write_durably(
                path,
                lambda file: write_shard(file, self.recipe, columns, writer_id=self.writer_id),
                before_rename=lambda: self._require_ours(clip_ids),
            )
        except _TakenOverError:
            return False
        self._serial += 1
        self.bytes_written += path.stat().st_size
        return True

    def _require_ours(self, clip_ids: Sequence[str]) -> None:
        if not all(map(self.is_ours, clip_ids)):
            raise _TakenOverError


class _TakenOverError(Exception):
    pass


def write_shard(file: BinaryIO, recipe: AnyRecipe, columns: dict[str, list[np.ndarray]], *, writer_id: str) -> None:
    """Write a shard that holds `columns` (dataset path → its rows, a clip an array) to an empty `file`.

    The checksums are computed while the rows are being written; the structure, which holds them, comes last.
    """
    ids = np.concatenate(columns[layout.CLIP_ID])
    width = max(1, int(np.char.str_len(ids).max()))
    columns = {**columns, layout.CLIP_ID: [ids.astype(f"S{width}")]}
    frame = ShardFrame(recipe, len(ids), id_bytes=width, writer_id=writer_id)
    try:
        with ThreadPoolExecutor(2, "vjepa-fer-checksums") as pool:
            digests = {path: pool.submit(dataset_checksum, parts) for path, parts in columns.items()}
            sums = {path: pool.submit(_checksums, parts) for path, parts in columns.items()}
            for path, parts in columns.items():
                _write_at(file, frame.offsets.get(path), parts)
            for path, values in sums.items():
                _write_at(file, frame.offsets[f"{layout.CHECKSUMS}/{path}"], [values.result()])
            frame.finish({path: digest.result() for path, digest in digests.items()}, file)
    finally:
        frame.close()


def _checksums(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([row_checksums(part) for part in parts])


def _write_at(file: BinaryIO, offset: int | None, parts: list[np.ndarray]) -> None:
    if offset is None:  # no bytes
        return
    file.seek(offset)
    for part in parts:
        file.write(bytes_of(part).data)
