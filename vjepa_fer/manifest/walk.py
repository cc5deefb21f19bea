"""Which clips lie under a folder: a download in; videos, folders of pictures, what was left out and what is wrong with some of them out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, cast

from vjepa_fer.disk import Elsewhere, open_regular, open_to_read
from vjepa_fer.doors import printable
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import abridged, may_be_written
from vjepa_fer.manifest.suffixes import PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_of
from vjepa_fer.remote import Entry, checked_address, list_files, snapshot_of

_LFS_PREFIX = b"version https://git-lfs"
_LFS_MAX_BYTES = 1024


@dataclass(frozen=True)
class Found:
    """What lies under a folder.

    Attributes
    ----------
    folder : Path
        Absolute.
    videos : tuple of Path
        Video files by suffix, sorted; links are followed.
    pictures : tuple of Path
        Folders that hold numbered pictures, as many data sets hand out their clips; sorted.
    unread : tuple of str
        A line each about folders that could not be looked into, and names that no manifest can hold.
    others : tuple of (str, int)
        Suffix → how many files have it that are no clips by it, most first.
    hidden : tuple of str
        Names of hidden files and folders, and of ``__MACOSX``.
    """

    folder: Path
    videos: tuple[Path, ...]
    pictures: tuple[Path, ...]
    unread: tuple[str, ...]
    others: tuple[tuple[str, int], ...]
    hidden: tuple[str, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """``("left out: 12 files that are no videos by their suffix (10 .jpg, 2 without one), 1 hidden (.DS_Store)",)``, or ()."""
        parts = []
        if self.others:
            total = sum(count for _, count in self.others)
            parts.append(f"{total:,} files that are no videos by their suffix ({abridged(self._counted(), 8)})")
        if self.hidden:
            names = abridged(sorted(map(printable, set(self.hidden))))
            parts.append(f"{len(self.hidden):,} hidden ({names})")
        return (f"left out: {', '.join(parts)}",) if parts else ()

    def _counted(self) -> list[str]:
        return [f"{count:,} {printable(suffix) or 'without one'}" for suffix, count in self.others]

    def require_videos(self) -> Found:
        """Itself; :class:`ManifestError` unless there is a video, saying what is there instead."""
        return self._require(self.videos)

    def require_clips(self) -> Found:
        """Itself; :class:`ManifestError` unless there is a video or a folder of pictures."""
        return self._require(self.videos + self.pictures, " nor folders of numbered pictures")

    def _require(self, wanted: Sequence[Path], nor: str = "") -> Found:
        if not wanted:
            hint = "; unpack the archives first" if ".zip" in dict(self.others) else ""
            instead = f", but {abridged(self._counted())}{hint}" if self.others else "; it is empty"
            raise ManifestError(f"{self.folder}: no video files in it{nor}{instead}", *self.unread)
        return self

    def for_manifest(self) -> Found:
        """Without the clips whose paths no table can hold; these are said by name."""
        odd = [path for path in self.videos + self.pictures if not may_be_written(str(path))]
        if not odd:
            return self
        names = abridged([printable(str(path.relative_to(self.folder))) for path in odd], 6)
        line = (
            f"{len(odd):,} left out for a control character or a byte that is no Unicode in the path; rename: {names}"
        )
        return dataclasses.replace(
            self,
            videos=tuple(path for path in self.videos if path not in odd),
            pictures=tuple(path for path in self.pictures if path not in odd),
            unread=(*self.unread, line),
        )


def look_through(root: str | os.PathLike[str]) -> Found:
    """Everything below `root`; hidden and ``__MACOSX`` files are left out, a folder that cannot be read stops nothing.

    Raises
    ------
    ManifestError
        `root` is not a folder.
    """
    folder = check_folder(root)
    videos: list[Path] = []
    pictures: list[Path] = []
    others: Counter[str] = Counter()  # suffix → files
    hidden: list[str] = []
    errors: list[OSError] = []
    for place in _walk(folder, errors):
        hidden += place.hidden
        videos += [place.folder / name for name in place.files if suffix_of(name) in VIDEO_SUFFIXES]
        is_clip = any(map(_is_frame, place.files))
        pictures += [place.folder] if is_clip else []
        passed = VIDEO_SUFFIXES | PICTURE_SUFFIXES if is_clip else VIDEO_SUFFIXES
        others.update(suffix for suffix in map(suffix_of, place.files) if suffix not in passed)
    return Found(
        folder=folder,
        videos=tuple(sorted(videos)),
        pictures=tuple(sorted(pictures)),
        unread=_about_errors(errors, folder),
        others=tuple(others.most_common()),
        hidden=tuple(hidden),
    )


def find_videos(root: str | os.PathLike[str]) -> list[Path]:
    """Video files below `root`, as :func:`look_through` finds them; :class:`ManifestError` where there is none."""
    return list(look_through(root).require_videos().videos)


def find_videos_elsewhere(address: str) -> list[Path]:
    """Video files below a folder of a store, hidden ones left out; :class:`ManifestError` where there is none.

    Raises
    ------
    RemoteError
        The store; or a web server, which lists nothing.
    """
    address = checked_address(address)
    sizes = {
        name: Entry(size)
        for name, size in list_files(address, depth=None).items()
        if suffix_of(name) in VIDEO_SUFFIXES and not any(map(_is_hidden, name.split("/")))
    }
    if not sizes:
        raise ManifestError(f"{address}: no videos there; look at the address")
    folder = snapshot_of(address, sizes)
    return [folder / name for name in sorted(sizes)]


def opened(file: Path) -> BufferedReader:
    """A video file that is looked at: one elsewhere is read by ranges."""
    return cast(BufferedReader, open_to_read(file)) if isinstance(file, Elsewhere) else open(open_regular(file), "rb")


def find_files(root: str | os.PathLike[str], pattern: str) -> list[Path]:
    """Files below `root` whose path, with ``/`` on every system, ends in a match of the regular expression; sorted."""
    ends = re.compile(rf"(?:.*/)?(?:{pattern})")
    files = (place.folder / name for place in _walk(check_folder(root), []) for name in place.files)
    return sorted(file for file in files if ends.fullmatch(file.as_posix()))


def check_folder(root: str | os.PathLike[str]) -> Path:
    """`root` as an absolute path; :class:`ManifestError` unless it is a folder that can be listed."""
    folder = Path(os.path.abspath(root))
    if not os.path.isdir(folder):
        raise ManifestError(f"{folder}: not a folder" if os.path.exists(folder) else f"{folder}: no such folder")
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be read ({error.strerror}); look at its permissions") from error
    return folder


def _is_frame(name: str) -> bool:
    return suffix_of(name) in PICTURE_SUFFIXES and name.rpartition(".")[0][-1:].isdigit()


class _Place(NamedTuple):
    """A folder, its files, and what in it was passed by."""

    folder: Path
    files: list[str]
    hidden: list[str]


def _walk(folder: Path, errors: list[OSError]) -> Iterator[_Place]:
    seen = set()  # a link that points upwards must not send us round for ever
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=errors.append):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        hidden = [name for name in [*folders, *files] if _is_hidden(name)]
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield _Place(Path(parent), [name for name in files if not _is_hidden(name)], hidden)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _about_errors(errors: Sequence[OSError], folder: Path) -> tuple[str, ...]:
    if not errors:
        return ()
    names = [f"{_below(str(error.filename), folder)} ({error.strerror})" for error in errors]
    return (f"{len(errors):,} folders cannot be read, and what is in them was left out: {abridged(names, 6)}",)


def _below(path: str, folder: Path) -> str:
    """As it is called from `folder`, on one line and not for ever."""
    name = printable(os.path.relpath(path, folder))
    return name if len(name) <= 200 else f"{name[:100]} … {name[-80:]}"


def is_lfs_pointer(file: Path) -> bool:
    """Whether `file` is the ~130-byte text that Git-LFS leaves in place of a file it has not fetched."""
    if file.stat().st_size > _LFS_MAX_BYTES:
        return False
    with opened(file) as stream:
        return stream.read(len(_LFS_PREFIX)) == _LFS_PREFIX


def file_notes(videos: Sequence[Path]) -> tuple[str, ...]:
    """What is wrong with these files at a glance: pointer stubs, empty, unreadable, links to nowhere; () when nothing is."""
    faults: dict[str, list[str]] = {}
    for file in videos:
        faults.setdefault(_fault(file), []).append(printable(file.name))
    return tuple(
        _FAULTS.get(fault, "{count:,} files cannot be read ({fault}): {names}").format(
            count=len(names), total=len(videos), names=abridged(names), fault=fault
        )
        for fault, names in sorted(faults.items())
        if fault
    )


_FAULTS = {
    "a stub": "{count:,} of {total:,} files are Git-LFS pointer stubs, not videos: run `git lfs pull` in the clone "
    "(a .zip from the web page never holds the videos)",
    "empty": "{count:,} files are empty (0 bytes): {names}",
    "nowhere": "{count:,} links lead nowhere: {names}",
}


def _fault(file: Path) -> str:
    """A key of :data:`_FAULTS`, the system's word for why it cannot be read, or ""."""
    try:
        if os.path.isdir(file):
            return ""
        if os.stat(file).st_size == 0:
            return "empty"
        return "a stub" if is_lfs_pointer(file) else ""
    except FileNotFoundError:
        return "nowhere"
    except OSError as error:
        return error.strerror or type(error).__name__
