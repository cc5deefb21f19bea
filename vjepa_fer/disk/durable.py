"""Bytes come in, a file or a folder comes out that is there whole or not at all, also after a power cut.

Everything that a command says it wrote goes through here: a unique name beside the place, write, fsync, rename, fsync of the folder,
and of each folder that got a new one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vjepa_fer.disk.whose import partial_path

Content = bytes | str | Callable[[BinaryIO], None]
"""Bytes, a text (UTF-8), or a function that writes them to an open file."""


def write_durably(path: Path, content: Content, *, before_rename: Callable[[], None] = lambda: None) -> None:
    """Make `path` hold all of `content`, replacing what was there; or leave everything as it was.

    Parameters
    ----------
    path : Path
    content : bytes, str or callable
    before_rename : callable
        Called when all is on disk under the other name; an exception of its calls the whole off.

    Raises
    ------
    OSError
        Disk full, no permission …; the temporary file is removed.
    """
    with _written(path, content) as partial:
        before_rename()
        os.replace(partial, path)
    sync_folder(path.parent)


def create_exclusively(path: Path, content: Content) -> bool:
    """Make `path` hold all of `content` unless something is there; of several processes that try at once, one succeeds.

    Returns
    -------
    bool
        False when something was there; nothing is left behind then.
    """
    if os.path.lexists(path):
        return False
    with _written(path, content) as partial:
        made = _link_or_rename(partial, path)
    sync_folder(path.parent)
    return made


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends well it appears as `path`, every file of it on disk.

    Raises
    ------
    FileExistsError
        Something is at `path`, or another process was first; nothing of this one is left.
    OSError
        The disk, or a file where a folder above should be.
    """
    partial = partial_path(path)
    make_folders(path.parent)
    partial.mkdir()
    try:
        yield partial
        _sync_tree(partial)
        _rename_to_new(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    sync_folder(path.parent)


def make_folders(path: Path) -> None:
    """Make a folder and those above it that are missing; the name of each is on disk when this returns.

    Raises
    ------
    NotADirectoryError
        Something else is in the way.
    OSError
        The disk.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    for folder in reversed(missing):
        try:
            folder.mkdir(exist_ok=True)  # another process may be making it
        except FileExistsError as error:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(folder)) from error
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut. Windows cannot open folders and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot, such as some network disks
            raise
    finally:
        os.close(descriptor)


@contextmanager
def _written(path: Path, content: Content) -> Iterator[Path]:
    """A new file beside `path` with all of `content` on disk; it is removed at the end if it is still there."""
    partial = partial_path(path)
    try:
        with partial.open("xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _link_or_rename(partial: Path, path: Path) -> bool:
    """Give `partial` the name `path` unless it is taken."""
    try:
        os.link(partial, path)
    except FileExistsError:
        return False
    except (OSError, AttributeError):  # no hard links there: exFAT, some network disks
        return _copy_exclusively(partial, path)
    return True


def _copy_exclusively(partial: Path, path: Path) -> bool:
    """As far as one can without hard links: a reader may see the file grow."""
    try:
        with path.open("xb") as file:
            file.write(partial.read_bytes())
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _rename_to_new(partial: Path, path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path))
    try:
        os.rename(partial, path)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # another process was first by an instant
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(path)) from error
        raise


def _sync_tree(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        for name in files:
            with open(os.path.join(parent, name), "rb+") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
