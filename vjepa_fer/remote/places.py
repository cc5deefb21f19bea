"""A text or a path goes in; a path on a disk, or one elsewhere that answers what readers of a cache ask of a path, comes out."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, cast

from vjepa_fer.disk import AnyPath, Elsewhere, is_url
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.addresses import PROTOCOLS, checked_address
from vjepa_fer.remote.blocks import RangeFile
from vjepa_fer.remote.contents import Entry
from vjepa_fer.remote.log import read_contents

_PORTION = 8 << 20
_ONE_SLASH = re.compile(rf"({'|'.join(PROTOCOLS)}):/[^/]")


def place_of(path: AnyPath) -> Path:
    """A folder or a file on a disk, or one elsewhere if it is an address.

    Raises
    ------
    RemoteError
        An address that may not be one; see :func:`~vjepa_fer.remote.addresses.checked_address`.
    """
    if isinstance(path, Elsewhere):
        return cast(Path, path)
    if is_url(path):
        return cast(Path, RemotePath(RemoteFolder(checked_address(str(path)))))
    if _ONE_SLASH.match(str(path)):
        raise RemoteError(
            f"{path}: an address has two slashes, of which a pathlib.Path keeps one; give it as text, where one is taken"
        )
    return Path(path)


def snapshot_of(address: str, files: Mapping[str, Entry]) -> Path:
    """A folder elsewhere with these files, whatever is there by now."""
    return cast(Path, RemotePath(RemoteFolder(address, files)))


def place_here(path: AnyPath) -> Path:
    """A folder or a file on a disk.

    Raises
    ------
    RemoteError
        It is an address.
    """
    place = place_of(path)
    if isinstance(place, Elsewhere):
        raise RemoteError(
            f"{place}: is elsewhere, where this cannot be done; do it on a disk, and copy with `vjepa-fer cache mirror`"
        )
    return place


def sum_said_of(path: Path) -> str:
    """The SHA-256 that a file elsewhere is said to have; "" of others."""
    return path.sha256 if isinstance(path, RemotePath) else ""


class RemoteFolder:
    """A folder elsewhere, as it was when it was first looked into, or with the files that are known to be there.

    What comes later is seen by who opens it anew.
    """

    def __init__(self, address: str, files: Mapping[str, Entry] | None = None) -> None:
        self.address = address
        self.key = uuid.uuid4().hex
        if files is not None:
            self.files = dict(files)

    @functools.cached_property
    def files(self) -> dict[str, Entry]:
        """Path in the folder → size and sum."""
        return read_contents(self.address)

    @functools.cached_property
    def folders(self) -> dict[str, list[str]]:
        """Path of each folder with something in it → names there, sorted; the folder itself is ""."""
        found: dict[str, set[str]] = {}
        for path in self.files:
            parts = path.split("/")
            for depth, name in enumerate(parts):
                found.setdefault("/".join(parts[:depth]), set()).add(name)
        return {folder: sorted(names) for folder, names in found.items()}


class Status(NamedTuple):
    """What is known of a file elsewhere. A store's times are not the file's: there is none."""

    st_size: int
    st_mode: int = stat.S_IFREG
    st_mtime_ns: int | None = None


@functools.total_ordering
class RemotePath(Elsewhere):
    """A path in a :class:`RemoteFolder`. Equal by address, prints as it, and can be pickled.

    Parameters
    ----------
    root : RemoteFolder
    inside : str
        From there on, with ``/``; "" is the folder itself.
    """

    def __init__(self, root: RemoteFolder, inside: str = "") -> None:
        self.root, self._inside = root, inside

    def __str__(self) -> str:
        return f"{self.root.address}/{self._inside}".rstrip("/")

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(self.root, f"{self._inside}/{name}".lstrip("/"))

    @property
    def name(self) -> str:
        return str(self).rpartition("/")[2]

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def with_name(self, name: str) -> RemotePath:
        return RemotePath(self.root, f"{self._inside.rpartition('/')[0]}/{name}".lstrip("/"))

    def absolute(self) -> RemotePath:
        return self

    def resolve(self) -> RemotePath:
        return self

    def exists(self) -> bool:
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        return self._inside in self.root.files

    def is_dir(self) -> bool:
        return self._inside in self.root.folders

    def iterdir(self) -> Iterator[RemotePath]:
        return (self / name for name in self.root.folders.get(self._inside, []))

    def glob(self, pattern: str) -> Iterator[RemotePath]:
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def stat(self) -> Status:
        return Status(self._entry.size)

    def open_file(self) -> RangeFile:
        return RangeFile(f"{self.root.key}/{self._inside}", str(self), self._entry.size)

    open_ranges = open_file

    def open_copy(self) -> int:
        """A descriptor of a copy, made portion by portion."""
        file, size = self.open_file(), self._entry.size
        with tempfile.TemporaryFile() as copy:
            for start in range(0, size, _PORTION):
                data = bytearray(min(_PORTION, size - start))
                file.read_into(memoryview(data), start)
                copy.write(data)
            copy.seek(0)
            return os.dup(copy.fileno())

    @property
    def sha256(self) -> str:
        """What is said to be its sum; "" where nobody says."""
        return self._entry.sha256

    @property
    def _entry(self) -> Entry:
        if self._inside not in self.root.files:
            raise FileNotFoundError(2, "No such file", str(self))
        return self.root.files[self._inside]
