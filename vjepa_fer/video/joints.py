"""A packet that libav marks as damaged comes in; whether a transport stream was only put together there comes out.

Each stream's packets of 188 bytes are counted from 0 to 15 and round again. Where two recordings were put together the count jumps
and libav supposes a loss; but there every stream, and the table of streams before them, begins at 0.

    … picture 6 7 8 | table 0 | picture 0 1 2 …       put together
    … picture 6 7   9 …                                lost
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import av

_LENGTH = 188
_TABLE = 0  # stream of the table of streams


def is_damaged(path: Path, packet: av.Packet) -> bool:
    """Whether a packet is marked as damaged, and not for a joint behind it."""
    return packet.is_corrupt and (packet.pos is None or not _is_joint(path, packet.pos))


def _is_joint(path: Path, place: int) -> bool:
    """Whether the first jump of the count behind the packet that begins at `place` is at the beginning of another recording."""
    heads = _heads(path, place)
    stream, _, last = next(heads, (_TABLE, False, 0))
    table = -1  # the count of the last table
    for one, begins, count in heads:
        if one == _TABLE:
            table = count
        elif one == stream:
            if count != (last + 1) % 16:
                return begins and count == table == 0
            last = count
    return False


def _heads(path: Path, place: int) -> Iterator[tuple[int, bool, int]]:
    """Of each packet with a payload: its stream, whether a picture or a table begins in it, and its count."""
    with path.open("rb") as file:
        file.seek(place)
        while len(data := file.read(_LENGTH)) == _LENGTH and data[:1] == b"G":
            if data[3] & 0x10:
                yield (data[1] & 0x1F) << 8 | data[2], bool(data[1] & 0x40), data[3] & 0x0F
