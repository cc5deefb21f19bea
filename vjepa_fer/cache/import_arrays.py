"""Features in a file of any kind, or a folder of NPY files, go in, a checked feature table comes out. Nothing is unpickled, nothing is believed."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache.chosen_columns import match_columns, named_by, roles_of_others
from vjepa_fer.cache.column_roles import Role
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.hdf5 import link_type, plain_dataset
from vjepa_fer.cache.import_clips import hdf5_clips, read_npy_folder, stack_clips
from vjepa_fer.cache.import_exports import read_parquet, read_safetensors
from vjepa_fer.cache.imports import FeatureTable, check_ids, sha256_of_file
from vjepa_fer.cache.npy import MAX_BYTES, most_bytes, read_npy, read_npz
from vjepa_fer.cache.rounding import to_float32
from vjepa_fer.doors import read_text
from vjepa_fer.errors import CacheError, VjepaFerError

MOST_ROWS, MOST_COLUMNS = 10_000_000, 1 << 20
"""Each has a name, which takes a hundred times the room of a number."""

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", "")


def read_feature_table(
    path: str | os.PathLike[str],
    *,
    ids: str = "clip_id",
    values: str = "X",
    columns: Sequence[str] = ("*",),
) -> FeatureTable:
    """Read features of any kind of file that we know, by its suffix.

    Parameters
    ----------
    path : path
        ``.csv``/``.tsv``/``.txt``, packed (``.gz``) or not; ``.npz`` or ``.h5``/``.hdf5`` with an array of ids (N,) and one of
        values (N, D), or with one array a clip, (D,) or (T, D), under its id; ``.npy`` with values (N, D); ``.safetensors``
        and ``.parquet`` as :func:`vjepa_fer.cache.exports.export_features` writes them; a folder of ``.npy``, one a clip.
    ids : str
        Name of the column, array or dataset that holds the clip ids. For ``.npy``: a text file, one id a line.
    values : str
        Name of the array or dataset that holds the values; not used for CSV, NPY and Parquet. For a folder: names of its files,
        ``*.npy`` unless they are given; what stands for the ``*`` is the clip id.
    columns : sequence of str
        Which features, names or patterns. The columns of arrays are an array ``columns`` beside them, or ``X_0``, ``X_1`` ….

    Raises
    ------
    CacheError
        Names the file and what is wrong with it.
    """
    source = Path(path)
    if source.is_dir():
        clip_ids, array, sha256 = read_npy_folder(source, values if "*" in values else "*.npy")
        return _checked_table(
            source, clip_ids, array, None, values if "*" not in values else "X", "file names", columns, sha256
        )
    if not source.is_file():
        raise CacheError(f"{source}: no such file or folder")
    suffix = source.suffix.lower()
    if suffix == ".gz":
        suffix = Path(source.stem).suffix.lower()
        if suffix not in TABLE_SUFFIXES:
            raise CacheError(f"{source}: only tables are read packed; unpack it first")
    if suffix in TABLE_SUFFIXES:
        return read_feature_csv(source, id_column=ids, columns=columns)
    reader = _READERS.get(suffix)
    if reader is None:
        known = ", ".join([*TABLE_SUFFIXES[:-1], *_READERS])
        raise CacheError(f"{source}: unknown suffix {source.suffix!r}; features come in as one of {known}")
    with read_errors(source):
        clip_ids, array, names = reader(source, ids, values)
    return _checked_table(source, clip_ids, array, names, values, ids, columns, sha256_of_file(source))


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """What a damaged file makes the libraries say, as an error that names it."""
    try:
        yield
    except VjepaFerError:
        raise
    except zipfile.BadZipFile as error:
        raise CacheError(f"{path}: not a whole NPZ file ({error})") from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        EOFError,
        MemoryError,
        NotImplementedError,
    ) as error:
        kind = path.suffix[1:].upper() or "a folder of arrays"
        raise CacheError(f"{path}: cannot be read as {kind} ({str(error)[:200]})") from error


def _checked_table(
    source: Path,
    clip_ids: list[str],
    array: np.ndarray,
    names: list[str] | None,
    values: str,
    ids: str,
    columns: Sequence[str],
    sha256: str,
) -> FeatureTable:
    if array.ndim == 2 and (len(array) > MOST_ROWS or array.shape[1] > MOST_COLUMNS):
        raise CacheError(
            f"{source}: {values} has {len(array):,} rows of {array.shape[1]:,} columns, over {MOST_ROWS:,} or {MOST_COLUMNS:,}; "
            "one row a clip is expected"
        )
    if array.ndim != 2 or array.dtype.kind not in "fiub" or 0 in array.shape:
        raise CacheError(
            f"{source}: {values} is {array.dtype} of shape {array.shape}, expected numbers (clips, features)"
        )
    if len(clip_ids) != len(array):
        raise CacheError(f"{source}: {len(clip_ids)} ids, but {len(array)} rows of values")
    check_ids(clip_ids, source)
    names = names or [f"{values}_{n}" for n in range(array.shape[1])]
    if len(names) != array.shape[1]:
        raise CacheError(f"{source}: {len(names)} column names, but {array.shape[1]} columns of values")
    place = {name: number for number, name in enumerate(names)}
    chosen = [place[name] for name in match_columns(names, columns, None, source)]
    chosen_names = tuple(names[n] for n in chosen)
    table = to_float32(array if chosen == list(range(len(names))) else array[:, chosen], chosen_names, clip_ids, source)
    others = (Role(ids, "clip ids"), *roles_of_others(names, chosen_names, None))
    asked = named_by(chosen_names, columns)
    return FeatureTable(tuple(clip_ids), chosen_names, table, source.name, sha256, (), asked, others)


def _read_npz(source: Path, ids: str, values: str) -> tuple[list[str], np.ndarray, list[str] | None]:
    with source.open("rb") as file:
        arrays = read_npz(file, source, (ids, values, "columns"))
        if not arrays:
            return *stack_clips(read_npz(file, source).items(), source), None
    for name in (ids, values):
        if name not in arrays:
            raise CacheError(f"{source}: no array {name!r}; the arrays are {', '.join(sorted(arrays)) or 'others'}")
    names = texts_of(arrays["columns"], source) if "columns" in arrays else None
    return texts_of(arrays[ids], source), arrays[values], names


def _read_npy(source: Path, ids: str, values: str) -> tuple[list[str], np.ndarray, None]:
    try:
        lines = read_text(ids, error=CacheError).removeprefix("\ufeff").splitlines()
    except (FileNotFoundError, CacheError) as error:
        raise CacheError(
            f"{source}: an NPY file has no ids; expected a text file of them, one a line, at {ids}"
        ) from error
    return [line.strip() for line in lines if line.strip()], read_npy(source), None


def _read_hdf5(source: Path, ids: str, values: str) -> tuple[list[str], np.ndarray, list[str] | None]:
    with h5py.File(source, "r", locking=False) as file:
        if link_type(file.id, values.partition("/")[0]) is None and link_type(file.id, ids.partition("/")[0]) is None:
            clips = ((clip_id, _bounded(file, name, source)) for clip_id, name in hdf5_clips(file, values, source))
            return *stack_clips(clips, source), None
        array = _bounded(file, values, source)
        clip_ids = texts_of(_bounded(file, ids, source), source)
        names = None if link_type(file.id, "columns") is None else texts_of(_bounded(file, "columns", source), source)
    return clip_ids, array, names


def _bounded(file: h5py.File, name: str, source: Path) -> np.ndarray:
    """The values, as :func:`whole_dataset` finds them."""
    found = whole_dataset(file, name, source)
    if found.nbytes > MAX_BYTES:
        raise CacheError(f"{source}: {name} says shape {found.shape}, more than {MAX_BYTES:,} bytes")
    return found[()]


def whole_dataset(file: h5py.File, name: str, source: Path) -> h5py.Dataset:
    """A dataset, if all of its values are in the file: what was never written would read as zeros."""
    found = h5py.Dataset(plain_dataset(file.id, name, source).id)
    stored = found.id.get_storage_size()
    if found.nbytes > most_bytes(stored):
        raise CacheError(f"{source}: {name} says shape {found.shape}, more than the file can hold")
    whole = (
        stored >= found.nbytes
        if found.chunks is None
        else found.id.get_num_chunks() == math.prod(-(-n // c) for n, c in zip(found.shape, found.chunks, strict=True))
    )
    if not whole:
        raise CacheError(f"{source}: {name} has shape {found.shape}, but was not written to its end")
    return found


def texts_of(array: np.ndarray, source: Path) -> list[str]:
    if array.ndim != 1:
        raise CacheError(f"{source}: ids and column names should be one-dimensional, have shape {array.shape}")
    if len(array) > MOST_ROWS:
        raise CacheError(f"{source}: {len(array):,} ids or column names, over {MOST_ROWS:,}")
    texts = [value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist()]
    "".join(texts).encode()  # no half of a Unicode pair, which could not be written
    return texts


_READERS: dict[str, Callable[[Path, str, str], tuple[list[str], np.ndarray, list[str] | None]]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".safetensors": read_safetensors,
    ".parquet": read_parquet,
}
