"""A capacity in bytes comes in, memory that processes share goes out, region by region: whoever asks for more than is free waits.

The memory has no name and belongs to no folder, so that nothing is left behind by a kill, and the 64 MB that containers
give to ``/dev/shm`` do not matter. Only pages that were ever used take room.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import threading

import numpy as np


class ArenaClosedError(Exception):
    """The arena was closed while somebody waited for room in it."""


class Arena:
    """Shared memory of a fixed capacity, given out first fit.

    Parameters
    ----------
    capacity : int
        Bytes; never more are in use.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.descriptor = _anonymous_file(capacity)
        self._memory = mmap.mmap(self.descriptor, capacity)
        self._used: dict[int, int] = {}  # offset → size
        self._changed = threading.Condition()
        self._turn = threading.Lock()
        self._closed = False

    def allocate(self, size: int) -> int:
        """Offset of a free region of `size` bytes, as soon as there is one; who waits first is served first.

        Raises
        ------
        ValueError
            `size` is more than the capacity: no waiting would help.
        ArenaClosedError
            The arena was closed meanwhile.
        """
        size = padded(size)
        if size > self.capacity:
            raise ValueError(f"{size:,} bytes asked for; the arena has {self.capacity:,}")
        with self._turn, self._changed:
            while (offset := self._find(size)) is None and not self._closed:
                self._changed.wait()
            if self._closed:
                raise ArenaClosedError
            assert offset is not None
            self._used[offset] = size
            return offset

    def _find(self, size: int) -> int | None:
        start = 0
        for offset, used in sorted(self._used.items()):
            if offset - start >= size:
                return start
            start = offset + used
        return start if self.capacity - start >= size else None

    def release(self, offset: int) -> None:
        """Give a region back; views of it must not be used any more."""
        with self._changed:
            del self._used[offset]
            self._changed.notify_all()

    def view(self, offset: int, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        """The array that lies at `offset`, without a copy."""
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._memory, dtype, count, offset).reshape(shape)

    @property
    def bytes_used(self) -> int:
        """Bytes given out now."""
        with self._changed:
            return sum(self._used.values())

    def close(self) -> None:
        """Wake everybody who waits; the memory itself goes when its last view does."""
        with self._changed:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)
            self._changed.notify_all()


def padded(size: int) -> int:
    """`size` rounded up to whole cache lines, at least one, so that any number may follow."""
    return max(-(-size // 64), 1) * 64


def _anonymous_file(capacity: int) -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("vjepa-fer")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, capacity)
    return descriptor
