"""This process goes in, a name that no other has comes out; and of such a name, whether its process is certainly gone.

    MACHINE.PID.RANDOM

MACHINE stands for a host name, one start of its kernel, and one table of processes: two containers may share a host name and a
process number, and a machine that was started anew has none of its old processes. RANDOM makes every name unique, whatever else
two processes have in common.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
import sys
import uuid
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Ends the name of everything that is being written: never read, and swept when its writer is gone."""

_LONGEST = 120
"""Characters of a name that its partial repeats: names of 255 bytes are as long as they may be."""

OWNER = re.compile(r"(?P<machine>[0-9a-f]{16})\.(?P<pid>\d{1,10})\.[0-9a-f]{32}")


def new_owner() -> str:
    """A name of this process that was never given before and never will be again."""
    return f"{_machine()}.{os.getpid()}.{uuid.uuid4().hex}"


def partial_path(path: Path) -> Path:
    """A unique name beside `path` for what shall become it, hidden from listings: ``.NAME.OWNER.partial``."""
    return path.with_name(f".{path.name[:_LONGEST]}.{new_owner()}{PARTIAL_SUFFIX}")


def is_running_here(owner: str) -> bool:
    """Whether a name is one of a process of this machine that still runs: it may have stood still for any time."""
    known = OWNER.fullmatch(owner)
    return known is not None and known["machine"] == _machine() and not is_gone(owner)


def is_gone(owner: str) -> bool:
    """Whether a process of this machine, by the name that it gave itself, no longer runs; False for what cannot be known."""
    known = OWNER.fullmatch(owner)
    return known is not None and known["machine"] == _machine() and not _runs(int(known["pid"]))


if sys.platform == "win32":
    import _winapi

    _NO_SUCH_PROCESS = 87

    def _runs(pid: int) -> bool:
        """Asked by a handle: ``os.kill(pid, 0)`` would end it."""
        try:
            process = _winapi.OpenProcess(_winapi.SYNCHRONIZE, False, pid)
        except OSError as error:
            return error.winerror != _NO_SUCH_PROCESS
        except OverflowError:
            return False
        try:
            return _winapi.WaitForSingleObject(process, 0) != _winapi.WAIT_OBJECT_0
        finally:
            _winapi.CloseHandle(process)

else:

    def _runs(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:  # somebody else's
            return True
        return True


@functools.cache
def _machine() -> str:
    facts = [socket.gethostname(), _read("/proc/sys/kernel/random/boot_id"), _link("/proc/self/ns/pid")]
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
