"""Stretches of files elsewhere are asked for; what was read of them lately is remembered block by block, so that no byte comes twice."""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from vjepa_fer.remote.stores import read_ranges

BLOCK = 1 << 16
"""Bytes; what is asked for is rounded to blocks, at both ends."""

ROOM = 256 << 20
"""Bytes that are remembered by one process."""


class Blocks:
    """The blocks that were read last, of all files of one process. Threads may share it."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def read(self, key: str, address: str, size: int, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of a file of `size` bytes that is at `address` and goes by `key`."""
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        with self._lock:
            blocks = {n: self._kept[key, n] for n in numbers if (key, n) in self._kept}
        runs = [*_runs(n for n in numbers if n not in blocks)]
        found = read_ranges(address, [(run.start * BLOCK, min(run.stop * BLOCK, size)) for run in runs])
        for run, data in zip(runs, found, strict=True):
            for place, number in enumerate(run):
                blocks[number] = data[place * BLOCK : (place + 1) * BLOCK]
        self._keep(key, blocks)
        whole = b"".join(blocks[number] for number in numbers)
        return whole[start - numbers.start * BLOCK : stop - numbers.start * BLOCK]

    def _keep(self, key: str, blocks: dict[int, bytes]) -> None:
        with self._lock:
            for number in sorted(blocks):
                before = self._kept.pop((key, number), b"")
                self._kept[key, number] = blocks[number]
                self._bytes += len(blocks[number]) - len(before)
            while self._bytes > ROOM:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)


def _runs(numbers: Iterable[int]) -> Iterator[range]:
    """Ascending numbers as stretches without a gap."""
    run: range | None = None
    for number in numbers:
        if run is not None and number == run.stop:
            run = range(run.start, number + 1)
            continue
        if run is not None:
            yield run
        run = range(number, number + 1)
    if run is not None:
        yield run


_lately = Blocks()


class RangeFile(io.RawIOBase):
    """A file elsewhere, as Python's own and as :class:`~vjepa_fer.disk.elsewhere.Ranges`.

    Parameters
    ----------
    key : str
        Distinguishes what was at the address before.
    """

    step = 16 << 20

    def __init__(self, key: str, address: str, size: int) -> None:
        super().__init__()
        self._key, self._address, self._size, self._position = key, address, size, 0

    def read_into(self, target: memoryview, offset: int) -> int:
        """Fill `target` from `offset` on; how many bytes there were."""
        stop = min(offset + len(target), self._size)
        if offset >= stop:
            return 0
        target[: stop - offset] = _lately.read(self._key, self._address, self._size, offset, stop)
        return stop - offset

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self.read_into(memoryview(buffer).cast("B"), self._position)
        self._position += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
