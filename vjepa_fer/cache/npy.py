"""An NPY or NPZ file goes in, its arrays come out; what it says of itself is compared with the bytes that are there before any is made."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from vjepa_fer.errors import CacheError

MAX_BYTES = 8 << 30
"""Arrays larger than this are refused: a table has one row a clip, and a few bytes of a file can claim any shape."""

_PORTION = 16 << 20
"""Bytes that are read at once."""

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
"""How NumPy packs; other ways may ask for gigabytes before the first byte."""


def read_npy(path: Path) -> np.ndarray:
    """The array of an NPY file.

    Raises
    ------
    CacheError
        It says more than the file holds, or holds Python objects.
    OSError, ValueError
        Not an NPY file.
    """
    with path.open("rb") as file:
        return read_npy_bytes(file, os.fstat(file.fileno()).st_size, str(path))


def read_npz(
    file: IO[bytes], source: Path, names: Collection[str] | None = None, *, packed: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file by name; only those of `names`, and an absent one is none. `packed` False refuses compressed ones.

    Raises
    ------
    CacheError
        An array says more than the file holds, or holds Python objects; or it is compressed in a way that NumPy does not know.
    OSError, ValueError, zipfile.BadZipFile
        Not an NPZ file.
    """
    return dict(each_of_npz(file, source, names, packed=packed))


def each_of_npz(
    file: IO[bytes], source: Path, names: Collection[str] | None = None, *, packed: bool = True
) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays that :func:`read_npz` reads, one after the other: no two need be in memory at once."""
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        room = most_bytes(size) if packed else size  # of all together: entries may be one and the same bytes
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            room -= info.file_size
            _check_member(info, size, room, f"{source}: {name}", packed=packed)
            with archive.open(info) as member:
                array = read_npy_bytes(member, info.file_size, f"{source}: {name}")
                _require_end(member, f"{source}: {name}")
            yield name, array


def rows_of_npz(file: IO[bytes], source: Path, name: str) -> Iterator[np.ndarray]:
    """An array of an NPZ file, row by row: one row is in memory at a time. Raises as :func:`read_npz`."""
    size, what = file.seek(0, os.SEEK_END), f"{source}: {name}"
    with zipfile.ZipFile(file) as archive:
        info = next(info for info in archive.infolist() if info.filename.removesuffix(".npy") == name)
        _check_member(info, size, 0, what, packed=True)
        with archive.open(info) as member:
            yield from rows_of_npy(member, info.file_size, what)
            _require_end(member, what)


def shape_in_npz(file: IO[bytes], name: str) -> tuple[int, ...] | None:
    """The shape that an array of an NPZ file says it has; None where there is no such array."""
    with zipfile.ZipFile(file) as archive:
        info = next((info for info in archive.infolist() if info.filename.removesuffix(".npy") == name), None)
        if info is None or info.compress_type not in _METHODS:
            return None
        with archive.open(info) as member:
            return read_header(member)[0]


def _check_member(info: zipfile.ZipInfo, size: int, room: int, what: str, *, packed: bool) -> None:
    """Refuse an array whose bytes cannot be in a file of `size`."""
    if info.compress_type not in (_METHODS if packed else {zipfile.ZIP_STORED}):
        raise CacheError(f"{what} is compressed otherwise than NumPy does")
    if info.file_size > most_bytes(min(info.compress_size, size)) or room < 0:
        raise CacheError(f"{what} says more bytes than the file can hold")


def _require_end(member: IO[bytes], what: str) -> None:
    if member.read(1):  # reading to the end also compares the CRC
        raise CacheError(f"{what} goes on after its last number")


def read_npy_bytes(file: IO[bytes], size: int, what: str) -> np.ndarray:
    """One array of a file of `size` bytes that is called `what`, after its header was compared with how many bytes there are."""
    shape, fortran, dtype = read_header(file)
    expected = math.prod(shape) * dtype.itemsize
    _check_size(shape, dtype, min(size, MAX_BYTES), what)
    array = np.frombuffer(_read_whole(file, expected), dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def rows_of_npy(file: IO[bytes], size: int, what: str) -> Iterator[np.ndarray]:
    """An array as :func:`read_npy_bytes` gives it, row by row: one row is in memory at a time."""
    shape, fortran, dtype = read_header(file)
    _check_size(shape, dtype, size, what)
    if fortran and len(shape) > 1:
        raise CacheError(f"{what} lies in Fortran's order, clips innermost; save numpy.ascontiguousarray of it")
    row_bytes = math.prod(shape[1:]) * dtype.itemsize
    if row_bytes > MAX_BYTES:
        raise CacheError(f"{what}: a row has {row_bytes:,} bytes, over {MAX_BYTES:,}")
    for _ in range(shape[0]):
        yield np.frombuffer(_read_whole(file, row_bytes), dtype).reshape(shape[1:])


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran's order and dtype, as an NPY file says them."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return header(file)
    except (SyntaxError, TokenError, RecursionError, TypeError) as error:  # of a text that is no Python literal
        raise ValueError(f"no header of an array ({str(error)[:100]})") from error


def _check_size(shape: tuple[int, ...], dtype: np.dtype, size: int, what: str) -> None:
    if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize > size:
        raise CacheError(
            f"{what} says {dtype} of shape {shape}, but only {size} bytes are there, or it holds Python objects"
        )


def _read_whole(file: IO[bytes], count: int) -> bytearray:
    """So many bytes, or as many as there are, which are in memory once."""
    data = bytearray()
    while len(data) < count and (part := file.read(min(_PORTION, count - len(data)))):
        data += part
    return data


def most_bytes(stored: int) -> int:
    """How much may come out of `stored` compressed bytes: no features shrink to a hundredth, unless there are few."""
    return max(100 * stored, 64 << 20) if stored else 0
