"""A folder of ours goes in; what is opened, made or removed in it is really in it: no link leads out, and only plain files go.

A cache or a run may come from a stranger. A link in it, where a folder of ours should be, would make us remove or read files of
other programs.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from vjepa_fer.disk.durable import make_folders
from vjepa_fer.disk.elsewhere import Elsewhere
from vjepa_fer.disk.whose import OWNER, PARTIAL_SUFFIX, is_gone, is_running_here
from vjepa_fer.errors import VjepaFerError

NOBODYS_AFTER_SECONDS = 3600.0
"""A partial of another machine's process that was not written to for so long belongs to nobody."""

_PARTIAL = re.compile(rf"\.?.+\.({OWNER.pattern}){re.escape(PARTIAL_SUFFIX)}")
_ANY_PARTIAL = re.compile(  # or one of vjepa-fer 0.1.0, NAME.HOST.PID.partial
    rf"{_PARTIAL.pattern}|.+\.[A-Za-z0-9-]{{1,40}}\.\d{{1,10}}{re.escape(PARTIAL_SUFFIX)}"
)


def refuse_link(path: Path) -> None:
    """Raise :class:`VjepaFerError` if `path`, which may be absent, is a link or another way out of its folder."""
    if isinstance(path, Elsewhere):  # stores know no links
        return
    try:
        status = os.lstat(path)
    except OSError:
        return
    if stat.S_ISLNK(status.st_mode) or (hasattr(os.path, "isjunction") and os.path.isjunction(path)):
        raise VjepaFerError(
            f"{path}: is a link, which could lead anywhere; put the files themselves there (the whole folder may be a link)"
        )


def make_own_folder(path: Path) -> Path:
    """Make a folder, or take the one that is there; refused if that is a link.

    Raises
    ------
    VjepaFerError
        It is a link.
    OSError
        Something else is in the way, or it cannot be made.
    """
    refuse_link(path)
    make_folders(path)
    refuse_link(path)
    return path


def open_regular(path: str | os.PathLike[str] | Elsewhere, *, follow: bool = True) -> int:
    """A descriptor of a regular file, to read; a pipe or a device is refused before it can make anybody wait.

    Of a file elsewhere it is a descriptor of a copy, made here and now: right for all that is small.

    Parameters
    ----------
    path : path
    follow : bool
        False refuses a link as the last step.

    Raises
    ------
    OSError
        No such file, no permission, or (``EINVAL``) not a regular file but a folder, a pipe, a socket or a device.
    """
    if isinstance(path, Elsewhere):
        return path.open_copy()
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP):  # what cannot even be opened to be looked at
            raise _irregular(path, os.stat(path).st_mode) from error
        raise
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise _irregular(path, mode)


def open_to_read(path: Path) -> BinaryIO:
    """A regular file, unbuffered, no link followed; one elsewhere is read by ranges."""
    if isinstance(path, Elsewhere):
        return cast(BinaryIO, path.open_file())
    return io.FileIO(open_regular(path, follow=False))


def require_regular(path: str | os.PathLike[str]) -> None:
    """Raise what :func:`open_regular` raises, before a library opens the file by its name."""
    os.close(open_regular(path))


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _irregular(path: str | os.PathLike[str], mode: int) -> OSError:
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    return OSError(errno.EINVAL, f"not a regular file but {kind}", os.fspath(path))


def remove_files(folder: Path, names: re.Pattern[str], choose: Callable[[str], bool] = lambda name: True) -> list[Path]:
    """Remove the plain files of `folder` whose whole name matches and that `choose` says yes to; the ones removed.

    The folder is opened once, no link followed, and everything is done through that: swapping it for a link in between leads
    nowhere.
    """
    removed = []
    with _opened(folder) as place:
        for name in sorted(os.listdir(place)):
            if names.fullmatch(name) and _is_plain(name, place, folder) and choose(name):
                with contextlib.suppress(FileNotFoundError):
                    _unlink(name, place, folder)
                    removed.append(folder / name)
    return removed


def sweep_partials(folder: Path) -> list[Path]:
    """Remove the files that killed writers left in `folder`; what belongs to somebody who may be alive stays.

    A process of this machine is asked for by its number; another machine's partial goes once it has not been written to for an
    hour by the clock of the disk.
    """
    return remove_files(folder, _ANY_PARTIAL, lambda name: is_nobodys(folder / name, NOBODYS_AFTER_SECONDS))


def sweep_partial_folders(folder: Path) -> list[Path]:
    """The same for folders that were being filled, :func:`vjepa_fer.disk.new_folder`'s; another machine's go after a day."""
    removed = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        is_folder = entry.is_dir(follow_symlinks=False) and _PARTIAL.fullmatch(entry.name)
        if is_folder and is_nobodys(Path(entry.path), 24 * NOBODYS_AFTER_SECONDS):
            shutil.rmtree(entry.path, ignore_errors=True)
            removed.append(Path(entry.path))
    return removed


def is_nobodys(partial: Path, after_seconds: float) -> bool:
    """Whether the owner in its name is gone; or cannot be known, and has not written to it for so long."""
    owner = _PARTIAL.fullmatch(partial.name)
    if owner and is_gone(owner[1]):
        return True
    try:
        age = _time_of_disk(partial.parent) - os.lstat(partial).st_mtime
    except OSError:
        return False
    return age > after_seconds and not (owner and is_running_here(owner[1]))


def _time_of_disk(folder: Path) -> float:
    """Now, by the clock that stamps the files of `folder`: never compared with another machine's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | Path]:
    """A descriptor of the folder itself where the system works on those, else its path once it is known to be no link."""
    refuse_link(folder)
    if os.unlink not in os.supports_dir_fd or os.listdir not in os.supports_fd:
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_plain(name: str, place: int | Path, folder: Path) -> bool:
    try:
        status = os.lstat(folder / name) if isinstance(place, Path) else os.lstat(name, dir_fd=place)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode)


def _unlink(name: str, place: int | Path, folder: Path) -> None:
    if isinstance(place, Path):
        (folder / name).unlink()
    else:
        os.unlink(name, dir_fd=place)
