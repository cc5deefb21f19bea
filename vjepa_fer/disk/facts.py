"""A folder or file comes in, what the file system under it can do goes out: locks, case, speed."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes]) -> None:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(error.errno, "held by another process") from error

else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold `path` for this process while the block runs; the file stays, since removing it would race with others.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    OSError
        The file system has no locks.
    """
    with path.open("ab") as file:
        _lock(file)
        yield


def is_case_sensitive(folder: Path) -> bool:
    """Whether ``a`` and ``A`` are two files there."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix="vjepa-fer-case-") as file:
        path = Path(file.name)
        return not path.with_name(path.name.upper()).exists()


def can_lock(folder: Path) -> bool:
    """Whether a lock that is held keeps a second one out."""
    handle, name = tempfile.mkstemp(dir=folder, prefix="vjepa-fer-lock-")
    os.close(handle)
    try:
        with exclusive_lock(Path(name)):
            try:
                with exclusive_lock(Path(name)):
                    return False
            except BlockingIOError:
                return True
    except OSError:
        return False
    finally:
        Path(name).unlink(missing_ok=True)


def write_speed(folder: Path, megabytes: int = 64) -> float:
    """Megabytes a second that reach the disk, by writing and removing `megabytes` of random bytes."""
    block = os.urandom(1_000_000)
    with tempfile.TemporaryFile(dir=folder, prefix="vjepa-fer-speed-") as file:
        start = time.perf_counter()
        for _ in range(megabytes):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return megabytes / (time.perf_counter() - start)


def bytes_for_people(num_bytes: float) -> str:
    """Three figures and a decimal unit: ``3.21 GB``."""
    value, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:  # 999.9 would round to 1e+03
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"
