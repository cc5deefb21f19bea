"""Arrays with a time axis go in; features over time come out, a clip at a time: ``(clips, times, features)``, or an array a clip.

Clips of unequal length are padded in one array; which of its frames are real says an array ``lengths`` (clips,), or ``mask`` (clips,
times) that is true where there is something. A frame that holds NaN is no moment of the clip either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache.chosen_columns import match_columns, named_by, roles_of_others
from vjepa_fer.cache.column_roles import Role
from vjepa_fer.cache.hdf5 import link_type
from vjepa_fer.cache.import_arrays import read_errors, texts_of, whole_dataset
from vjepa_fer.cache.import_clips import clips_in_folder, hdf5_clips
from vjepa_fer.cache.imports import check_ids, sha256_of_file
from vjepa_fer.cache.moments import FrameStream, Moments
from vjepa_fer.cache.npy import each_of_npz, read_header, read_npz, rows_of_npy, rows_of_npz, shape_in_npz
from vjepa_fer.doors import read_text
from vjepa_fer.errors import CacheError

LENGTHS, MASK = "lengths", "mask"

Clips = Iterator[tuple[str, np.ndarray]]
"""Ids with what is there of each clip: (T, D), rows of NaN where nothing is."""


@dataclass(frozen=True)
class _Beside:
    """What stands beside an array of all clips: ids, which of its frames are real, and the features' names."""

    ids: list[str]
    lengths: np.ndarray | None
    mask: np.ndarray | None
    columns: list[str] | None


def holds_arrays_over_time(path: Path, values: str) -> bool:
    """Whether the array `values` of a file has three axes."""
    with read_errors(path):
        if path.suffix.lower() == ".npz":
            with path.open("rb") as file:
                return len(shape_in_npz(file, values) or ()) == 3
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return len(read_header(file)[0]) == 3
        if path.suffix.lower() in (".h5", ".hdf5"):
            with h5py.File(path, "r", locking=False) as file:
                found = link_type(file.id, values.partition("/")[0]) is not None
                return found and len(whole_dataset(file, values, path).shape) == 3
    return False


def read_frame_arrays(
    path: Path,
    *,
    ids: str = "clip_id",
    values: str = "X",
    columns: Sequence[str] = ("*",),
    fps: float | None = None,
) -> FrameStream:
    """Features over time of an NPZ, NPY or HDF5 file, or of a folder of NPY files, one a clip.

    Parameters
    ----------
    path : Path
    ids, values : str
        As in :func:`vjepa_fer.cache.import_arrays.read_feature_table`; `values` (N, T, D), with ``lengths`` or ``mask`` beside it, or
        one array a clip, (T, D).
    columns : sequence of str
        Which features; their names are an array ``columns``, or ``X_0``, ``X_1`` ….
    fps : float, optional
        Frames a second.

    Raises
    ------
    CacheError
        Names the file and what is wrong with it; when clips are read, the clip.
    """
    with read_errors(path):
        clips, sha256, names = _opened(path, ids, values)
        width = _width(clips, path)
    names = names or [f"{'X' if '*' in values else values}_{number}" for number in range(width)]
    if len(names) != width:
        raise CacheError(f"{path}: {len(names)} column names, but {width} features")
    chosen = match_columns(names, columns, None, path)
    place = [names.index(name) for name in chosen]
    return FrameStream(
        columns=tuple(chosen),
        source=path.name,
        source_sha256=sha256,
        clock="frames" if fps is None else "seconds",
        read=partial(_read, path, clips, width, place, fps),
        named=named_by(chosen, columns),
        others=(Role(ids if path.is_file() else "file names", "clip ids"), *roles_of_others(names, chosen, None)),
    )


def _opened(path: Path, ids: str, values: str) -> tuple[Callable[[], Clips], str, list[str] | None]:
    """A way to read the clips, the hash of what is read, and the features' names where the file says them."""
    if path.is_dir():
        folder = clips_in_folder(path, values if "*" in values else "*.npy")
        return folder.read, folder.sha256(), None
    reader = {".npz": _of_npz, ".npy": _of_npy, ".h5": _of_hdf5, ".hdf5": _of_hdf5}.get(path.suffix.lower())
    if reader is None:
        raise CacheError(
            f"{path}: suffix {path.suffix!r}: features over time come in as a table, NPZ, NPY or HDF5, or as a folder of tables or NPY files"
        )
    clips, names = reader(path, ids, values)
    return clips, sha256_of_file(path), names


def _of_npz(path: Path, ids: str, values: str) -> tuple[Callable[[], Clips], list[str] | None]:
    with path.open("rb") as file:
        shape = shape_in_npz(file, values)
        found = read_npz(file, path, (ids, LENGTHS, MASK, "columns")) if shape is not None else {}
    if shape is None:
        return partial(_each_npz, path), None
    if ids not in found:
        raise CacheError(f"{path}: no array {ids!r}; expected the clips' ids in it")
    beside = _beside(found, ids, shape, path, values)
    return partial(_padded, path, partial(_rows_npz, path, values), beside), beside.columns


def _each_npz(path: Path) -> Clips:
    with path.open("rb") as file:
        yield from each_of_npz(file, path)


def _rows_npz(path: Path, values: str) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        yield from rows_of_npz(file, path, values)


def _of_npy(path: Path, ids: str, values: str) -> tuple[Callable[[], Clips], None]:
    try:
        lines = read_text(ids, error=CacheError).removeprefix("\ufeff").splitlines()
    except (FileNotFoundError, CacheError) as error:
        raise CacheError(
            f"{path}: an NPY file has no ids; expected a text file of them, one a line, at {ids}"
        ) from error
    with path.open("rb") as file:
        shape = read_header(file)[0]
    found = {ids: np.array([line.strip() for line in lines if line.strip()], dtype=str)}
    return partial(_padded, path, partial(_rows_npy, path), _beside(found, ids, shape, path, values)), None


def _rows_npy(path: Path) -> Iterator[np.ndarray]:
    with path.open("rb") as file:
        yield from rows_of_npy(file, path.stat().st_size, str(path))


def _of_hdf5(path: Path, ids: str, values: str) -> tuple[Callable[[], Clips], list[str] | None]:
    with h5py.File(path, "r", locking=False) as file:
        if link_type(file.id, values.partition("/")[0]) is None and link_type(file.id, ids.partition("/")[0]) is None:
            return partial(_each_hdf5, path, values), None
        shape = whole_dataset(file, values, path).shape
        names = [ids, *(name for name in (LENGTHS, MASK, "columns") if link_type(file.id, name) is not None)]
        found = {name: whole_dataset(file, name, path)[()] for name in names}
    beside = _beside(found, ids, shape, path, values)
    return partial(_padded, path, partial(_rows_hdf5, path, values), beside), beside.columns


def _each_hdf5(path: Path, values: str) -> Clips:
    with h5py.File(path, "r", locking=False) as file:
        for clip_id, name in hdf5_clips(file, values, path):
            yield clip_id, whole_dataset(file, name, path)[()]


def _rows_hdf5(path: Path, values: str) -> Iterator[np.ndarray]:
    with h5py.File(path, "r", locking=False) as file:
        yield from whole_dataset(file, values, path)


def _beside(found: dict[str, np.ndarray], ids: str, shape: tuple[int, ...], path: Path, values: str) -> _Beside:
    """What stands beside the array, compared with its shape."""
    if len(shape) != 3 or 0 in shape:
        raise CacheError(f"{path}: {values} has shape {tuple(shape)}, expected (clips, times, features)")
    clip_ids = texts_of(found[ids], path)
    if len(clip_ids) != shape[0]:
        raise CacheError(f"{path}: {len(clip_ids)} ids, but {shape[0]} clips in {values}")
    check_ids(clip_ids, path)
    lengths, mask = found.get(LENGTHS), found.get(MASK)
    if lengths is not None:
        fits = lengths.shape == shape[:1] and lengths.dtype.kind in "iu"
        bad = np.flatnonzero((lengths < 0) | (lengths > shape[1])).tolist() if fits else []
        if not fits or len(bad):
            said = (
                f"{lengths[bad[0]]} for clip {clip_ids[bad[0]]}"
                if fits
                else f"{lengths.dtype} of shape {lengths.shape}"
            )
            raise CacheError(f"{path}: {LENGTHS} is {said}, expected whole numbers ({shape[0]},) from 0 to {shape[1]}")
    if mask is not None and (mask.shape != shape[:2] or not np.isin(mask, (0, 1)).all()):
        raise CacheError(
            f"{path}: {MASK} is {mask.dtype} of shape {mask.shape}, expected true or false of shape {tuple(shape[:2])}"
        )
    names = texts_of(found["columns"], path) if "columns" in found else None
    return _Beside(clip_ids, lengths, mask, names)


def _padded(path: Path, rows: Callable[[], Iterator[np.ndarray]], beside: _Beside) -> Clips:
    """Each clip of an array of all, without its padding, NaN where the mask says that nothing is."""
    for number, (clip_id, array) in enumerate(zip(beside.ids, rows(), strict=True)):
        _require_numbers(array, clip_id, path)
        values = array.astype(np.float64)
        if beside.mask is not None:
            values[~beside.mask[number].astype(bool)] = np.nan
        yield clip_id, values if beside.lengths is None else values[: int(beside.lengths[number])]


def _require_numbers(array: np.ndarray, clip_id: str, path: Path) -> None:
    if array.ndim != 2 or array.dtype.kind not in "fiub" or array.shape[1] == 0:
        raise CacheError(
            f"{path}: clip {clip_id}: {array.dtype} of shape {array.shape}, expected numbers (times, features)"
        )


def _width(clips: Callable[[], Clips], path: Path) -> int:
    for clip_id, array in clips():
        _require_numbers(array, clip_id, path)
        return int(array.shape[1])
    raise CacheError(f"{path}: no array of a clip in it")


def _read(
    path: Path, clips: Callable[[], Clips], width: int, chosen: Sequence[int], fps: float | None
) -> Iterator[Moments]:
    with read_errors(path):
        for clip_id, array in clips():
            _require_numbers(array, clip_id, path)
            if array.shape[1] != width:
                raise CacheError(
                    f"{path}: clip {clip_id} has {array.shape[1]:,} features, the first clip has {width:,}"
                )
            yield _moments(path, clip_id, array[:, chosen].astype(np.float64), fps)


def _moments(path: Path, clip_id: str, values: np.ndarray, fps: float | None) -> Moments:
    beyond = np.argwhere(np.abs(values) > np.finfo(np.float32).max)
    if len(beyond):
        row, column = beyond[0]
        raise CacheError(
            f"{path}: clip {clip_id}, frame {row}: feature {column} is {values[row, column]:g}, expected a finite number, or NaN where there is nothing"
        )
    kept = np.flatnonzero(np.isfinite(values).all(axis=1))
    time = kept.astype(np.float64) if fps is None else kept / fps
    return Moments(
        clip_id=clip_id,
        where=f"{path.name}, clip {clip_id}",
        place=kept,
        frame=kept,
        time=time,
        values=values[kept],
        num_rows=len(values),
        span=len(values),
    )
