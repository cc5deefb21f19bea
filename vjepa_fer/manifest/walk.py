"""Which video files lie under a folder: a download in, sorted paths and what is wrong with some of them out."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import abridged

VIDEO_SUFFIXES = frozenset(
    [".mp4", ".m4v", ".mov", ".avi", ".flv", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".3gp"]
)

_LFS_PREFIX = b"version https://git-lfs"
_LFS_MAX_BYTES = 1024


def find_videos(root: str | os.PathLike[str]) -> list[Path]:
    """Video files below `root` by suffix, sorted; links are followed, hidden and ``__MACOSX`` files left out.

    Raises
    ------
    ManifestError
        `root` is not a folder, or there is no video below it; the message says what is there instead.
    """
    folder = check_folder(root)
    files = [Path(parent, name) for parent, names in _walk(folder) for name in names]
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES]
    if not videos:
        raise ManifestError(f"{folder}: no video files in it{_instead(files)}")
    return sorted(videos)


def find_frame_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders below `root` that hold numbered pictures instead of a video, as many data sets are handed out; sorted."""
    found = [Path(parent) for parent, names in _walk(check_folder(root)) if any(map(_is_frame, names))]
    return sorted(found)


def find_files(root: str | os.PathLike[str], pattern: str) -> list[Path]:
    """Files below `root` whose path, with ``/`` on every system, ends in a match of the regular expression; sorted."""
    ends = re.compile(rf"(?:.*/)?(?:{pattern})")
    files = (Path(parent, name) for parent, names in _walk(check_folder(root)) for name in names)
    return sorted(file for file in files if ends.fullmatch(file.as_posix()))


def check_folder(root: str | os.PathLike[str]) -> Path:
    """`root` as an absolute path; :class:`ManifestError` unless it is a folder."""
    folder = Path(os.path.abspath(root))
    if not folder.is_dir():
        raise ManifestError(f"{folder}: not a folder" if folder.exists() else f"{folder}: no such folder")
    return folder


def _is_frame(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() in ("jpg", "jpeg", "png", "bmp") and stem[-1:].isdigit()


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    seen = set()  # a link that points upwards must not send us round for ever
    for parent, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        yield parent, [name for name in files if not name.startswith(".")]


def _instead(files: Sequence[Path]) -> str:
    if not files:
        return "; it is empty"
    others = Counter(file.suffix.lower() or "(no suffix)" for file in files)
    listed = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3))
    hint = "; unpack the archives first" if others[".zip"] else ""
    return f", but {listed}{hint}"


def is_lfs_pointer(file: Path) -> bool:
    """Whether `file` is the ~130-byte text that Git-LFS leaves in place of a file it has not fetched."""
    if file.stat().st_size > _LFS_MAX_BYTES:
        return False
    with open(open_regular(file), "rb") as stream:
        return stream.read(len(_LFS_PREFIX)) == _LFS_PREFIX


def file_notes(videos: Sequence[Path]) -> tuple[str, ...]:
    """What is wrong with these files at a glance: pointer stubs, empty files, broken links; () when nothing is."""
    stubs = sum(file.is_file() and is_lfs_pointer(file) for file in videos)
    empty = [file for file in videos if file.is_file() and file.stat().st_size == 0]
    broken = [file for file in videos if not file.is_file()]
    notes = []
    if stubs:
        fetch = "run `git lfs pull` in the clone (a .zip from the web page never holds the videos)"
        notes.append(f"{stubs:,} of {len(videos):,} files are Git-LFS pointer stubs, not videos: {fetch}")
    if empty:
        notes.append(f"{len(empty):,} files are empty (0 bytes): {abridged([file.name for file in empty])}")
    if broken:
        notes.append(f"{len(broken):,} links lead nowhere: {abridged([file.name for file in broken])}")
    return tuple(notes)
