"""The name of an archive, or of many at once, and of a member go in; where the member's bytes lie comes out. Nothing is unpacked.

::

    shards-{000..099}.tar::clip.mp4      the member clip.mp4 of the one of a hundred archives that has it, as WebDataset names them

Headers are read once an archive, and only they. A member is found by its name and copied by its place: no name in an archive ever becomes a
path. What is no plain file (links, sparse files, devices) is refused by name.
"""

from __future__ import annotations

import functools
import io
import re
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from vjepa_fer.disk import is_url, open_to_read
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.blocks import RangeFile
from vjepa_fer.remote.stores import size_of

SIGN = "::"
MOST_ARCHIVES = 10_000
MOST_MEMBERS = 1_000_000
_LARGEST_HEADER = 1 << 20
_BRACES = re.compile(r"\{(?:(\d{1,9})\.\.(\d{1,9})|([^{}]*,[^{}]*))\}")
_AT_ONCE = 8
_PACKED = (".gz", ".xz", ".bz2", ".tgz", ".zst")


Members = dict[str, tuple[int, int] | str]
"""Name of a member → where it begins and how many bytes it has; or what it is, if no plain file."""


class Stretch(NamedTuple):
    """Where the bytes of a file lie: in which file, from where on, how many."""

    file: str
    start: int
    size: int


def expanded(name: str) -> Iterator[str]:
    """``a-{08..10}.tar`` as ``a-08.tar``, ``a-09.tar``, ``a-10.tar``; ``{a,b}`` as both."""
    found = _BRACES.search(name)
    if found is None:
        yield name
        return
    first, last, words = found.groups()
    if words is None and int(last) - int(first) >= MOST_ARCHIVES:
        raise RemoteError(f"{name}: stands for more than {MOST_ARCHIVES:,} archives")
    middles = (
        words.split(",") if words is not None else [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    )
    for middle in middles:
        yield from expanded(f"{name[: found.start()]}{middle}{name[found.end() :]}")


def find_member(path: str) -> Stretch:
    """Where ``ARCHIVE::MEMBER`` lies.

    Raises
    ------
    FileNotFoundError
        No such archive, or none of them has it.
    RemoteError
        Several have it; it is no plain file; or an archive is damaged or compressed.
    """
    archives, _, member = path.partition(SIGN)
    names = [*expanded(archives)]
    found = zip(names, _indices(names), strict=True)
    having = [(name, members[member]) for name, members in found if member in members]
    if not having:
        raise FileNotFoundError(
            2, f"no member {member!r} in {'it' if len(names) == 1 else f'these {len(names):,}'}", archives
        )
    if len(having) > 1:
        raise RemoteError(f"{path}: is in {having[0][0]} and in {having[1][0]}; name the archive that is meant")
    name, place = having[0]
    if isinstance(place, str):
        raise RemoteError(f"{name}{SIGN}{member}: is {place}, which is not followed; name the file itself")
    return Stretch(name, *place)


def _indices(archives: list[str]) -> list[Members]:
    if len(archives) == 1:
        return [_members(archives[0])]
    with ThreadPoolExecutor(min(_AT_ONCE, len(archives))) as threads:
        return [*threads.map(_members, archives)]


@functools.lru_cache(maxsize=512)
def _members(archive: str) -> Members:
    found: Members = {}
    try:
        with _opened(archive) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                cast(Any, tar).members = []  # else all of them stay in memory twice
                name = member.name.removeprefix("./")
                found[name] = "there twice" if name in found else _place(member)
                if len(found) > MOST_MEMBERS:
                    raise RemoteError(f"{archive}: has more than {MOST_MEMBERS:,} members")
    except (tarfile.TarError, ValueError, EOFError) as error:
        hint = "; a compressed one cannot be read by ranges: unpack it" if archive.endswith(_PACKED) else ""
        raise RemoteError(f"{archive}: not a readable tar archive ({error}){hint}") from error
    return found


def _place(member: tarfile.TarInfo) -> tuple[int, int] | str:
    if member.issparse():
        return "a sparse file"
    if member.issym() or member.islnk():
        return f"a link to {member.linkname[:80]!r}"
    return (member.offset_data, member.size) if member.isfile() else "no file"


def _opened(archive: str) -> BinaryIO:
    file = RangeFile(archive, archive, size_of(archive)) if is_url(archive) else open_to_read(Path(archive))
    return cast(BinaryIO, _Careful(cast(io.RawIOBase, file)))


class _Careful(io.RawIOBase):
    """A file that gives few bytes at once: headers are short, and only hostile ones say otherwise."""

    def __init__(self, file: io.RawIOBase) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        data = b""
        while len(data) < size and (part := self._file.read(size - len(data))):
            data += part
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()
