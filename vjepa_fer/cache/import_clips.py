"""Files with one array a clip go in, as MARLIN, video_features and many scripts write them; ids and one matrix come out.

An array is a vector (D,), or rows over time (T, D), whose mean is taken.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache.hdf5 import link_type
from vjepa_fer.cache.npy import MAX_BYTES, read_npy_bytes
from vjepa_fer.disk import open_regular
from vjepa_fer.errors import CacheError

MOST_CLIPS = 1_000_000


def stack_clips(clips: Iterable[tuple[str, np.ndarray]], source: Path) -> tuple[list[str], np.ndarray]:
    """Ids, and a row a clip, float64 (N, D).

    Raises
    ------
    CacheError
        An array that is no vector and no rows of vectors, or of another length than the first; or none at all.
    """
    ids: list[str] = []
    rows: list[np.ndarray] = []
    for clip_id, array in clips:
        if len(ids) == MOST_CLIPS:
            raise CacheError(f"{source}: over {MOST_CLIPS:,} clips")
        if array.ndim not in (1, 2) or array.dtype.kind not in "fiub" or 0 in array.shape:
            raise CacheError(
                f"{source}: clip {clip_id}: {array.dtype} of shape {array.shape}, expected numbers (features,) or (times, features); "
                "where one array holds all clips, --values names it and --id-column that of the ids"
            )
        row = array.astype(np.float64) if array.ndim == 1 else array.mean(axis=0, dtype=np.float64)
        if rows and len(row) != len(rows[0]):
            raise CacheError(f"{source}: clip {clip_id} has {len(row):,} features, {ids[0]} has {len(rows[0]):,}")
        ids.append(clip_id)
        rows.append(row)
        if len(rows) * row.nbytes > MAX_BYTES:
            raise CacheError(f"{source}: over {MAX_BYTES:,} bytes of features")
    if not rows:
        raise CacheError(f"{source}: no array of a clip in it")
    return ids, np.stack(rows)


@dataclass(frozen=True)
class ClipFolder:
    """A folder of NPY files, one a clip.

    Attributes
    ----------
    folder : Path
    ids : tuple of str
    paths : tuple of Path
    """

    folder: Path
    ids: tuple[str, ...]
    paths: tuple[Path, ...]

    def read(self) -> Iterator[tuple[str, np.ndarray]]:
        """Ids and arrays, one file in memory at a time.

        Raises
        ------
        CacheError
            A file that is no array.
        """
        for clip_id, path in zip(self.ids, self.paths, strict=True):
            data = _bytes_of(path)
            try:
                yield clip_id, read_npy_bytes(io.BytesIO(data), len(data), str(path))
            except (ValueError, EOFError) as error:
                raise CacheError(f"{path}: cannot be read as NPY ({str(error)[:200]})") from error

    def sha256(self) -> str:
        """Of all names and files, as hex."""
        sha256 = hashlib.sha256()
        for path in self.paths:
            data, name = _bytes_of(path), path.relative_to(self.folder).as_posix()
            sha256.update(f"{name}\0{len(data)}\0".encode(errors="surrogateescape") + data)
        return sha256.hexdigest()


def read_npy_folder(folder: Path, pattern: str) -> tuple[list[str], np.ndarray, str]:
    """A folder of NPY files, one a clip, as :func:`clips_in_folder` finds them: ids, values, and the SHA-256 of names and files."""
    found = clips_in_folder(folder, pattern)
    return *stack_clips(found.read(), folder), found.sha256()


def clips_in_folder(folder: Path, pattern: str) -> ClipFolder:
    """The NPY files of a folder, one a clip, at any depth; no link is followed.

    Parameters
    ----------
    folder : Path
    pattern : str
        Names of the files; what stands for its ``*`` is the clip id: ``*.npy``, ``*_rgb.npy``.

    Raises
    ------
    CacheError
        No such file, or a clip twice.
    """
    begin, star, end = pattern.partition("*")
    if not star or "*" in end:
        raise CacheError(
            f"{folder}: files {pattern!r}: expected a name with one * for the clip id, such as *.npy or *_rgb.npy"
        )
    paths = [path for path in _files_below(folder) if _is_called(path.name, begin, end)]
    if not paths:
        raise CacheError(
            f"{folder}: no file {pattern} in this folder, and no table (.csv, .tsv); --values '*_rgb.npy' says which arrays to read"
        )
    ids, seen = [path.name[len(begin) : len(path.name) - len(end)] for path in paths], dict[str, Path]()
    for clip_id, path in zip(ids, paths, strict=True):
        if seen.setdefault(clip_id, path) != path:
            raise CacheError(
                f"{folder}: the id {clip_id!r} stands twice: {seen[clip_id]} and {path}; expected one file a clip, and "
                "--values '*_rgb.npy' says which of several"
            )
    return ClipFolder(folder, tuple(ids), tuple(paths))


def _files_below(folder: Path) -> list[Path]:
    found = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    return sorted(path for path in found if not path.is_symlink())


def _is_called(name: str, begin: str, end: str) -> bool:
    return name.startswith(begin) and name.endswith(end) and len(name) > len(begin) + len(end)


def _bytes_of(path: Path) -> bytes:
    with open(open_regular(path, follow=False), "rb") as file:
        return file.read(MAX_BYTES + 1)


def hdf5_clips(file: h5py.File, values: str, source: Path) -> Iterable[tuple[str, str]]:
    """Id and path of each clip's dataset: at the root, or called `values` in a group of the clip's name."""
    for name in file:
        if link_type(file.id, name) != h5py.h5l.TYPE_HARD:
            raise CacheError(f"{source}: {name} is a link, which could lead anywhere")
        found = file[name]
        if isinstance(found, h5py.Dataset):
            yield name, name
        elif link_type(file.id, f"{name}/{values}") is not None:
            yield name, f"{name}/{values}"
        else:
            raise CacheError(
                f"{source}: no dataset {values!r}, and {name} is a group without one; --values says what it is called"
            )
