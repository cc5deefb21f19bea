"""A film's file goes in; the crop that its container asks for comes out, in the container's own words.

libav reads it, and PyAV does not pass it on: QuickTime and MP4 have ``clap`` beside the codec, Matroska four numbers in the track.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_PARTS = 1000  # that are looked at beside each other
_MOST_BYTES = 8  # of a number in Matroska

_Part = tuple[int, int, int]
"""Its name as a number, where its content starts, where it stops."""
_Parts = Callable[[BinaryIO, int, int], Iterator[_Part]]
_Step = tuple[int | None, int]
"""The name of a part, None for any, and how many bytes of its content stand before the parts inside."""

_ENTRY_BYTES = 78  # of what every film has before the boxes that only some have
_TO_CLAP: list[_Step] = [
    *((int.from_bytes(name, "big"), 0) for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl")),
    (int.from_bytes(b"stsd", "big"), 8),
    (None, _ENTRY_BYTES),
    (int.from_bytes(b"clap", "big"), 0),
]
_TO_PICTURE: list[_Step] = [(0x18538067, 0), (0x1654AE6B, 0), (0xAE, 0), (0xE0, 0)]  # segment, tracks, track, video
_EDGES = {0x54CC: "left", 0x54DD: "right", 0x54BB: "top", 0x54AA: "bottom"}


def container_crop(path: Path, container: str) -> str | None:
    """The crop of a film, None without one.

    Parameters
    ----------
    container : str
        libav's name of the format.
    """
    names = container.split(",")
    with path.open("rb") as file:
        end = file.seek(0, 2)
        if "mov" in names:
            return next((_clap(file, *place) for place in _find(_boxes, file, 0, end, _TO_CLAP)), None)
        if "matroska" in names:
            return next(
                filter(None, (_edges(file, *place) for place in _find(_elements, file, 0, end, _TO_PICTURE))), None
            )
    return None


def _find(parts: _Parts, file: BinaryIO, start: int, end: int, path: list[_Step]) -> Iterator[tuple[int, int]]:
    """Contents of the parts at the end of `path`."""
    (wanted, skipped), *rest = path
    for name, inside, stop in parts(file, start, end):
        if wanted not in (None, name):
            continue
        if rest:
            yield from _find(parts, file, inside + skipped, stop, rest)
        else:
            yield inside, stop


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """Of QuickTime and MP4."""
    for _ in range(_MOST_PARTS):
        head, inside = _read(file, start, 16, end), start + 8
        if len(head) < 8:
            return
        length, name = struct.unpack(">II", head[:8])
        if length == 1 and len(head) == 16:
            length, inside = int.from_bytes(head[8:], "big"), start + 16
        stop = start + length if length else end
        if stop < inside:
            return
        yield name, inside, min(stop, end)
        start = stop


def _clap(file: BinaryIO, start: int, stop: int) -> str:
    """Width and height are two whole numbers each, whose ratio counts."""
    width, of_width, height, of_height = struct.unpack(">4I", _read(file, start, 16, stop).ljust(16, b"\0"))
    return f"clap, {width / (of_width or 1):g}×{height / (of_height or 1):g} pixels"


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """Of Matroska and WebM. One of unknown length goes on to the end."""
    for _ in range(_MOST_PARTS):
        head = _read(file, start, 2 * _MOST_BYTES, end)
        name_bytes = _width(head)
        length_bytes = _width(head[name_bytes:])
        if not name_bytes or not length_bytes or len(head) < name_bytes + length_bytes:
            return
        inside, bits = start + name_bytes + length_bytes, 7 * length_bytes
        length = int.from_bytes(head[name_bytes : name_bytes + length_bytes], "big") & ((1 << bits) - 1)
        stop = end if length == (1 << bits) - 1 else min(inside + length, end)
        yield int.from_bytes(head[:name_bytes], "big"), inside, stop
        start = stop


def _width(data: bytes) -> int:
    """Bytes of the number that data begin with: one more than zeros lead the first; 0 if there is none."""
    return 9 - data[0].bit_length() if data and data[0] else 0


def _edges(file: BinaryIO, start: int, stop: int) -> str | None:
    found = {}
    for name, inside, end in _elements(file, start, stop):
        if name in _EDGES and end - inside <= _MOST_BYTES:
            found[_EDGES[name]] = int.from_bytes(_read(file, inside, end - inside, end), "big")
    said = ", ".join(f"{count} {edge}" for edge, count in found.items() if count)
    return f"PixelCrop, {said}" if said else None


def _read(file: BinaryIO, start: int, count: int, end: int) -> bytes:
    """Up to `count` bytes of those before `end`."""
    if not 0 <= start < end:
        return b""
    file.seek(start)
    return file.read(min(count, end - start))
