"""Rows go in; their checksums come out, and whether all of their numbers are numbers. No row is copied for it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable

import numpy as np

_BLOCK = 1 << 18
"""Numbers looked at in one go, so that the second look finds them in the processor's cache."""

_LARGEST = {2: ("<i2", 0x7C00, "<u2", 0xFC00), 4: ("<i4", 0x7F800000, "<u4", 0xFF800000)}
"""By width of a float: its bits as signed integers and those of infinity, as unsigned ones and those of minus infinity."""


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
    if array.dtype.itemsize not in _LARGEST or not array.dtype.isnative:
        return bool(np.isfinite(array).all())
    # Infinity and NaN have the largest bits of their sign: two maxima tell, many times faster than isfinite for float16.
    signed, infinity, unsigned, minus_infinity = _LARGEST[array.dtype.itemsize]
    flat = np.ascontiguousarray(array).reshape(-1)
    positive, negative = flat.view(np.dtype(signed)), flat.view(np.dtype(unsigned))
    blocks = [slice(i, i + _BLOCK) for i in range(0, flat.size, _BLOCK)]
    return all(positive[b].max() < infinity and negative[b].max() < minus_infinity for b in blocks)
