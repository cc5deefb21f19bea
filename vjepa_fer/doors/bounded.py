"""A path comes in, all its bytes go out: of a plain file, within a limit that is looked at while reading, packed ones unpacked."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from vjepa_fer.disk import open_regular

LARGEST_RATIO = 200
"""Times its packed size that a stream may unpack to, beyond the first :data:`ALWAYS_ALLOWED` bytes; tables reach 20."""

ALWAYS_ALLOWED = 4 << 20

_BLOCK = 1 << 18


class TooLargeError(ValueError):
    """More bytes than were allowed; the message says how many, not where."""


def read_bytes(path: str | os.PathLike[str], *, at_most: int, follow: bool = True) -> bytes:
    """All bytes of a regular file; of a ``.gz`` what they unpack to.

    Parameters
    ----------
    path : path
    at_most : int
        Bytes, after unpacking.
    follow : bool
        False refuses a link.

    Raises
    ------
    OSError
        Not there, no permission, a pipe or a device; or packed and damaged.
    TooLargeError
        There is more.
    """
    data = bytearray()
    for block in within(blocks_of(path, follow=follow), at_most):
        data += block
    return bytes(data)


def blocks_of(path: str | os.PathLike[str], *, follow: bool = True, ratio: int = LARGEST_RATIO) -> Iterator[bytes]:
    """The bytes of a regular file, block by block; of a ``.gz`` what they unpack to, `ratio` being as in :func:`unpacked`."""
    with open(open_regular(path, follow=follow), "rb") as file:
        blocks = _blocks(file)
        yield from unpacked(blocks, ratio=ratio) if str(path).lower().endswith(".gz") else blocks


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def within(blocks: Iterable[bytes], at_most: int) -> Iterator[bytes]:
    """The blocks, as long as all together are not over `at_most` bytes; then :class:`TooLargeError`."""
    taken = 0
    for block in blocks:
        taken += len(block)
        if taken > at_most:
            raise TooLargeError(f"over {at_most:,} bytes")
        yield block


def unpacked(blocks: Iterable[bytes], *, ratio: int = LARGEST_RATIO) -> Iterator[bytes]:
    """Blocks of a gzip stream, maybe of several members, unpacked bit by bit; up to `ratio` times what came in.

    Raises
    ------
    TooLargeError
        It unpacks to absurdly more than it is.
    OSError
        Not gzip, damaged, or cut off.
    """
    taken = given = 0
    inflate = zlib.decompressobj(wbits=31)
    try:
        for block in blocks:
            taken += len(block)
            while block:
                part = inflate.decompress(block, _BLOCK)
                given += len(part)
                if given > max(ALWAYS_ALLOWED, ratio * taken):
                    raise TooLargeError(
                        f"unpacks to over {ratio} times its size ({given:,} bytes so far; unpack it first if that is meant)"
                    )
                yield part
                block = inflate.unconsumed_tail or inflate.unused_data
                if inflate.eof and block.strip(b"\0"):
                    inflate = zlib.decompressobj(wbits=31)
                elif inflate.eof:
                    block = b""
    except zlib.error as error:
        raise OSError(f"not a whole gzip file ({error})") from error
    if not inflate.eof:
        raise OSError("not a whole gzip file: it is cut off")
