"""The address of a video, or a member of an archive, goes in; a copy on this machine's disk comes out, and goes when it is done with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from vjepa_fer.disk import is_url, open_to_read, scratch_folder
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.addresses import checked_address
from vjepa_fer.remote.stores import read_ranges, size_of
from vjepa_fer.remote.tars import SIGN, Stretch, find_member

_PORTION = 16 << 20


def must_be_brought(path: str) -> bool:
    """Whether a path of a manifest is no file of a disk: an address, or a member of an archive."""
    return is_url(path) or SIGN in path


def check_source(path: str) -> None:
    """Raise :class:`~vjepa_fer.errors.RemoteError` if a path of a manifest is an address that may not be one."""
    archive, sign, member = path.partition(SIGN)
    if is_url(archive):
        checked_address(archive)
    if sign and (not member or ".." in member.split("/") or member.startswith("/")):
        raise RemoteError(f"{path[:200]}: expected ARCHIVE.tar{SIGN}MEMBER, without ..")


def find_source(path: str) -> Stretch:
    """Where the bytes of a path lie that must be brought.

    Raises
    ------
    FileNotFoundError, RemoteError
    """
    check_source(path)
    return find_member(path) if SIGN in path else Stretch(path, 0, size_of(path))


def bring(source: Stretch, target: Path) -> None:
    """Write all bytes of it to a new file.

    Raises
    ------
    FileNotFoundError, RemoteError
    OSError
        The disk.
    """
    with target.open("xb") as file:
        for data in _portions(source):
            file.write(data)
    if target.stat().st_size != source.size:
        raise RemoteError(f"{source.file}: breaks off; {target.stat().st_size:,} of {source.size:,} bytes came")


def name_here(path: str) -> str:
    """A suffix for the copy, for decoders look at it; nothing else of the name is used."""
    suffix = PurePosixPath(path.rpartition(SIGN)[2]).suffix
    return f"clip{suffix}" if suffix[1:].isalnum() and len(suffix) <= 10 else "clip"


@contextmanager
def brought(path: str) -> Iterator[str]:
    """The path of a file here: `path` itself, or that of a copy as long as the block lasts.

    Raises
    ------
    FileNotFoundError, RemoteError
    """
    if not must_be_brought(path):
        yield path
        return
    source = find_source(path)
    with scratch_folder() as folder:
        copy = Path(folder, name_here(path))
        bring(source, copy)
        yield str(copy)


def _portions(source: Stretch) -> Iterator[bytes]:
    if not is_url(source.file):
        with open_to_read(Path(source.file)) as file:
            file.seek(source.start)
            left = source.size
            while left and (data := file.read(min(_PORTION, left))):
                left -= len(data)
                yield data
        return
    stop = source.start + source.size
    for start in range(source.start, stop, _PORTION):
        yield read_ranges(source.file, [(start, min(start + _PORTION, stop))])[0]
