"""Rows go in; their checksums come out, and whether all of their numbers are numbers. No row is copied for it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np

_BLOCK = 1 << 16
"""Numbers looked at in one go, so that what is derived from them stays in the processor's cache."""

_EXPONENT: dict[int, tuple[np.dtype, Any]] = {
    2: (np.dtype("<u2"), np.uint16(0x7C00)),
    4: (np.dtype("<u4"), np.uint32(0x7F800000)),
}
"""By width of a float: its bits as an integer, and the exponent that only infinity and NaN have (IEEE 754)."""


def row_checksums(array: np.ndarray) -> np.ndarray:
    """CRC-32 of each row's bytes: ndarray of uint32, shape (N,). It names the clip that a flipped bit belongs to."""
    flat = bytes_of(array).reshape(len(array), -1)
    if flat.shape[1] == 0:
        return np.zeros(len(array), "<u4")
    return np.array([zlib.crc32(row.data) for row in flat], "<u4")


def dataset_checksum(parts: Iterable[np.ndarray]) -> str:
    """SHA-256, as hex, of a dataset's bytes in C order; `parts` are its rows, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(bytes_of(part).data)
    return digest.hexdigest()


def bytes_of(array: np.ndarray) -> np.ndarray:
    """The array's bytes in C order, uint8 (num_bytes,); a view of an array that lies in this order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def finite_rows(array: np.ndarray) -> np.ndarray:
    """Which rows hold neither NaN nor infinity: bool (N,)."""
    return np.array([all_finite(row) for row in array], bool)


def all_finite(array: np.ndarray) -> bool:
    """Whether the array holds neither NaN nor infinity."""
    if array.dtype.kind != "f":
        return True
    if array.dtype.itemsize not in _EXPONENT:
        return bool(np.isfinite(array).all())
    dtype, exponent = _EXPONENT[array.dtype.itemsize]  # for float16 a sixth of the time of numpy's isfinite
    bits = np.ascontiguousarray(array).reshape(-1).view(dtype)
    return all(int((bits[i : i + _BLOCK] & exponent).max()) < exponent for i in range(0, bits.size, _BLOCK))
