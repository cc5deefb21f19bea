"""What libav says while it reads a file, which no return value tells: that the file ended too early, that a picture would not unpack.

It says much else of files that are well, so only the words for bytes that are not there count.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

_CONTAINER = re.compile(r"ended prematurely|partial file|truncated file|unexpected end", re.IGNORECASE)
_PICTURE = re.compile(
    r"LZW|overread|invalid data|no more data|not enough data|larger than data|end of file|truncated|prematurely"
    r"|error while decoding|damaged|error at MB|error y=\d+ x=\d+",
    re.IGNORECASE,
)
_LOST = re.compile(r"CRC mismatch|Packet mismatch (?!0 )|packet_obj_size .* invalid")  # Ogg, FLV (0: padding), ASF
_SPOILT = re.compile(r"LZW decode failed|error y=\d+ x=\d+")  # GIF, JPEG: of a frame that does not bear a mark


def is_spoilt(complaint: str) -> bool:
    """Whether a complaint is of a picture whose pixels are wrong, wherever in its film it is."""
    return _SPOILT.search(complaint) is not None


class Hear:
    """What libav said to this thread since it was last asked."""

    def __init__(self, said: list[tuple[int, str, str]]) -> None:
        self._said = said

    def about_the_container(self) -> tuple[str, ...]:
        """The first complaint that the container should go on, and the first that packets in its middle are lost; "" without any."""
        return self._first(_CONTAINER, _LOST)

    def about_pictures(self) -> str:
        """The first complaint that a picture's bytes do not suffice; "" without any."""
        return self._first(_PICTURE)[0]

    def _first(self, *kinds: re.Pattern[str]) -> tuple[str, ...]:
        texts = [" ".join(text.split()) for _, _, text in self._said]
        self._said.clear()  # a damaged film has thousands
        return tuple(next((text for text in texts if words.search(text)), "") for words in kinds)


_lock = threading.Lock()
_before: list[tuple[int | None, bool]] = []  # libav's level and habit, one entry for each that listens


@contextmanager
def listening() -> Iterator[Hear]:
    """Hear libav's errors about what this thread does meanwhile; they reach neither the terminal nor Python's logging."""
    with _lock:  # both settings are of the whole process
        _before.append((av.logging.get_level(), av.logging.get_skip_repeated()))
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as said:
            yield Hear(said)
    finally:
        with _lock:
            first = _before[0]
            _before.pop()
            if not _before:
                level, skips = first  # of before anybody listened
                av.logging.set_level(level)
                av.logging.set_skip_repeated(skips)
