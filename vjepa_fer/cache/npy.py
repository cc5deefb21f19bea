"""An NPY or NPZ file goes in, its arrays come out; what it says of itself is compared with the bytes that are there before any is made."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Collection
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
    size = file.seek(0, os.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        arrays, room = (
            {},
            most_bytes(size) if packed else size,
        )  # of all together: entries may be one and the same bytes
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if names is not None and name not in names:
                continue
            if info.compress_type not in (_METHODS if packed else {zipfile.ZIP_STORED}):
                raise CacheError(f"{source}: {name} is compressed otherwise than NumPy does")
            room -= info.file_size
            if info.file_size > most_bytes(min(info.compress_size, size)) or room < 0:
                raise CacheError(f"{source}: {name} says more bytes than the file can hold")
            with archive.open(info) as member:
                arrays[name] = read_npy_bytes(member, info.file_size, f"{source}: {name}")
                if member.read(1):  # reading to the end also compares the CRC
                    raise CacheError(f"{source}: {name} goes on after its last number")
        return arrays


def read_npy_bytes(file: IO[bytes], size: int, what: str) -> np.ndarray:
    """One array of a file of `size` bytes that is called `what`, after its header was compared with how many bytes there are."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = header(file)
    except (SyntaxError, TokenError, RecursionError, TypeError) as error:  # of a text that is no Python literal
        raise ValueError(f"no header of an array ({str(error)[:100]})") from error
    expected = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or expected > min(size, MAX_BYTES):
        raise CacheError(
            f"{what} says {dtype} of shape {shape}, but only {size} bytes are there, or it holds Python objects"
        )
    array = np.frombuffer(_read_whole(file, expected), dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)


def _read_whole(file: IO[bytes], count: int) -> bytearray:
    """So many bytes, or as many as there are, which are in memory once."""
    data = bytearray()
    while len(data) < count and (part := file.read(min(_PORTION, count - len(data)))):
        data += part
    return data


def most_bytes(stored: int) -> int:
    """How much may come out of `stored` compressed bytes: no features shrink to a hundredth, unless there are few."""
    return max(100 * stored, 64 << 20) if stored else 0
