"""A video file goes in; whether its pictures are all there comes out: does the last part that holds some end within the file?

Only what containers say about bytes is read here, some dozens of bytes a file, never what they say about time: a header that counts
frames is often wrong (it was written before the last of them, or never filled in), while a part that reaches beyond the end of
its file has been cut off.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

_MOST_PARTS = 10_000
_MOST_BLOCKS = 1_000_000  # of one picture in a GIF
_OGG_PAGE = 27 + 255 + 255 * 255  # bytes of the largest
_UNKNOWN_LENGTH = 0x7FFF0000  # bytes of a WAV that was written to a pipe, at least
_STREAMED = (0, 0xFFFFFFFF)  # sizes in an AVI whose writer could not go back to fill them in
_CLUSTER, _CUES = b"\x1f\x43\xb6\x75", b"\x1c\x53\xbb\x6b"
_BEHIND_CLUSTERS = {_CUES, b"\x12\x54\xc3\x67", b"\x19\x41\xa4\x69", b"\x10\x43\xa7\x70"}  # tags, attachments, chapters
_BOXES_WITHOUT_PICTURES = {b"free", b"skip", b"mfra", b"sidx", b"uuid", b"udta", b"meta"}
_Y4M = {  # how much narrower and lower colours are than brightness, and how many planes there are
    "420": (2, 2, 3),
    "422": (2, 1, 3),
    "444": (1, 1, 3),
    "444alpha": (1, 1, 4),
    "411": (4, 1, 3),
    "mono": (1, 1, 1),
}
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_MXF_HEADER = bytes.fromhex("060e2b34020501010d0102010102")


def is_cut_off(path: Path, container: str) -> bool | None:
    """Whether bytes of pictures or sound are missing at a file's end.

    Parameters
    ----------
    container : str
        libav's name of the format.

    Returns
    -------
    bool or None
        None where the container does not say how long it is.
    """
    judge = next((judge for name, judge in _JUDGES.items() if name in container.split(",")), None)
    if judge is None:
        return None
    size = path.stat().st_size
    with path.open("rb") as file:
        return judge(file, size)


def _riff(file: BinaryIO, size: int) -> bool | None:
    """AVI: the chunks inside each RIFF, so that a wrong size of the whole does no harm."""
    place = 0
    for _ in range(_MOST_PARTS):
        name, length = _at(file, place, "<4sI") or (b"", 0)
        if name == b"RIFF":
            place += 12
            continue
        if not name or not name.strip(b"\0") or (name == b"LIST" and length in _STREAMED):
            return False
        place += 8 + length + length % 2
        if place > size + 1:  # some leave out the last byte of padding
            return name not in (b"idx1", b"JUNK")
    return None


def _wave(file: BinaryIO, size: int) -> bool | None:
    """WAV: its chunks; one whose writer could not go back says that its samples are gigabytes, or none."""
    place = 12
    for _ in range(_MOST_PARTS):
        name, length = _at(file, place, "<4sI") or (b"", 0)
        if not name.strip(b"\0") or (name == b"data" and (not length or length >= _UNKNOWN_LENGTH)):
            return False
        place += 8 + length + length % 2
        if place > size + 1:
            return True
    return None


def _boxes(file: BinaryIO, size: int) -> bool | None:
    """MP4 and QuickTime. One in fragments may end after any of them."""
    place, fragments = 0, False
    for _ in range(_MOST_PARTS):
        length, name = _at(file, place, ">I4s") or (0, b"")
        if not name and place < size:
            return fragments or None  # in the middle of a head
        if length == 1:
            (length,) = _at(file, place + 8, ">Q") or (0,)
        fragments |= name == b"moof"
        if length < 8:  # the last one may be of any length, which is said by 0
            break
        if name == b"moov" and place + length > size:
            length = 8  # which of its parts?
        place += length
        if place > size:
            return name not in _BOXES_WITHOUT_PICTURES
    return None if fragments else False


def _ebml(file: BinaryIO, size: int) -> bool | None:
    """Matroska and WebM: the header, then one segment. A live one does not know its length."""
    place = start = 0
    for identifier in (b"\x1aE\xdf\xa3", b"\x18S\x80g"):
        if _read(file, place, 4) != identifier:
            return None
        length = _ebml_number(_read(file, place + 4, 8))
        if length is None:
            return None
        number, width = length
        start = place + 4 + width
        place = start + number
    return place > size and _ends_before(file, start, size)


def _ends_before(file: BinaryIO, place: int, size: int) -> bool:
    """Whether a Matroska segment that goes on beyond its file loses a cluster there, and not only what comes behind them."""
    clusters = False
    for _ in range(_MOST_PARTS):
        identifier = _read(file, place, 4)
        clusters |= identifier == _CLUSTER
        wide = 4 if identifier[:1] < b"\x20" else 1  # Void and CRC-32 have short names
        length = _ebml_number(_read(file, place + wide, 8))
        if clusters and place == size:  # parts end where the file does: the segment's length is wrong
            return False
        if length is None or len(identifier) < 4:
            return True
        place += wide + length[1] + length[0]
        if place > size:
            return not (clusters and identifier in _BEHIND_CLUSTERS)
    return True


def _ebml_number(data: bytes) -> tuple[int, int] | None:
    """A length and the bytes that it takes; None for one that is unknown."""
    width = 9 - data[0].bit_length() if data and data[0] else 9
    if len(data) < width:
        return None
    number = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return None if number == (1 << 7 * width) - 1 else (number, width)


def _ogg(file: BinaryIO, size: int) -> bool | None:
    """The last page ends with the file and says that it is its stream's last."""
    tail = _read(file, max(size - _OGG_PAGE, 0), _OGG_PAGE)
    start = tail.rfind(b"OggS\0")
    if start < 0:
        return None
    page = tail[start:]
    return len(page) < 27 or len(page) < 27 + page[26] + sum(page[27 : 27 + page[26]]) or not page[5] & 4


def _gif(file: BinaryIO, size: int) -> bool | None:
    """Extensions and pictures, each ended by a block of no bytes, then a semicolon; whatever comes after that is no part of it."""
    place = 13 + _colours(_read(file, 10, 1))
    while kind := _read(file, place, 1):
        if kind == b";":
            return False
        if kind not in (b"!", b","):
            return None
        place += 2 if kind == b"!" else 11 + _colours(_read(file, place + 9, 1))
        for _ in range(_MOST_BLOCKS):
            (length,) = _read(file, place, 1) or b"\0"
            place += 1 + length
            if not length:
                break
        else:
            return None
    return True


def _colours(flags: bytes) -> int:
    """Bytes of the table of colours that these flags of a GIF announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 128 else 0


def _flv(file: BinaryIO, size: int) -> bool | None:
    """Each tag is followed by its length; many writers also say the file's size, some a wrong one."""
    head = _read(file, 0, 4096)
    said = re.search(rb"\x00\x08filesize\x00(.{8})", head, re.DOTALL)
    (length,) = _at(file, size - 4, ">I") or (0,)
    kind, high, low = _at(file, size - 4 - length, ">BBH") or (0, 0, 0)
    ends_well = kind in (8, 9, 18) and (high << 16 | low) + 11 == length
    if said and 0 < struct.unpack(">d", said[1])[0] < 2**62:
        more = bool(struct.unpack(">d", said[1])[0] > size)
        return None if more and ends_well else more
    return False if ends_well else None


def _transport_packets(file: BinaryIO, size: int) -> bool | None:
    """Packets of one length, each beginning with the letter G, some with four bytes before it."""
    for length, first in ((188, 0), (192, 4), (204, 0)):
        if all(_read(file, first + length * number, 1) == b"G" for number in range(3)):
            return size % length != 0
    return None


def _asf(file: BinaryIO, size: int) -> bool | None:
    """WMV: a header, then the packets; a live one does not know their length."""
    (header,) = _at(file, 16, "<Q") or (0,)
    name, length = _at(file, header, "<16sQ") or (b"", 0)
    return header + length > size if name == _ASF_DATA and length > 50 else None


def _dv(file: BinaryIO, size: int) -> bool | None:
    """Frames of one length: of 50 fields a second, or of 60."""
    (head,) = _at(file, 0, ">I") or (0,)
    return size % (144_000 if head & 0x80 else 120_000) != 0


def _mxf(file: BinaryIO, size: int) -> bool | None:
    """The first partition says where the last one begins, unless it was written before anybody knew."""
    name, length = _at(file, 0, ">14sxxB") or (b"", 0)
    value = 17 + (length & 0x7F if length & 0x80 else 0)
    (footer,) = _at(file, value + 24, ">Q") or (0,)
    return footer >= size if name == _MXF_HEADER and footer else None


def _y4m(file: BinaryIO, size: int) -> bool | None:
    """A line of text, then frames of one length, each behind the word FRAME."""
    line = _read(file, 0, 256).split(b"\n")[0]
    said = {word[:1]: word[1:].decode("ascii", "replace") for word in line.split()[1:]}
    colours = re.match(
        r"(420|422|444alpha|444|411|mono)[^p]*?(?:p?(9|1[0-6])|jpeg|mpeg2|paldv)?$", said.get(b"C", "420")
    )
    if not (colours and said.get(b"W", "").isdigit() and said.get(b"H", "").isdigit()):
        return None
    width, height = int(said[b"W"]), int(said[b"H"])
    across, down, planes = _Y4M[colours[1]]
    pixels = width * height * (1 + (planes == 4)) + (planes > 1) * 2 * -(-width // across) * -(-height // down)
    frame, start = 6 + pixels * (2 if colours[2] else 1), len(line) + 1
    if size > start + frame and _read(file, start + frame, 6) not in (b"FRAME\n", b"FRAME\n"[: size - start - frame]):
        return None
    return (size - start) % frame != 0


_JUDGES: dict[str, Callable[[BinaryIO, int], bool | None]] = {
    "avi": _riff,
    "wav": _wave,
    "mov": _boxes,
    "matroska": _ebml,
    "ogg": _ogg,
    "gif": _gif,
    "flv": _flv,
    "mpegts": _transport_packets,
    "asf": _asf,
    "dv": _dv,
    "mxf": _mxf,
    "yuv4mpegpipe": _y4m,
}


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    if not 0 <= place < 1 << 40:  # beyond any film, and some disks refuse such a place
        return b""
    file.seek(place)
    return file.read(count)


def _at(file: BinaryIO, place: int, layout: str) -> tuple[Any, ...] | None:
    data = _read(file, place, struct.calcsize(layout))
    return struct.unpack(layout, data) if len(data) == struct.calcsize(layout) else None
