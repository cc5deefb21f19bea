"""The system is asked, and the number of cores that this process may use comes out: one answer for everybody who shares them.

A container or a batch job often sees all cores of its machine, and is stopped for the rest of each tenth of a second once it has used
its share. So two things are looked at: on which cores the process may run, and how much of their time Linux gives to its control groups
(version 2, version 1, or both, as ``/proc/self/mountinfo`` says where they are).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc/self")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_given = math.inf  # what use_at_most said
_ours: dict[str, str] = {}  # what limit_threads set: no person did


def num_cores() -> int:
    """Cores that this process may use, at least one: those that it may run on, or fewer if its container has a quota or it was given fewer."""
    return max(1, int(min(_allowed(), _quota(), _given)))


def use_at_most(cores: float) -> None:
    """Use no more than so many cores: others of the machine are at work beside this process, and nothing in the system says so."""
    global _given
    _given = cores


def few_threads(num_processes: int) -> dict[str, str]:
    """The environment of a child that shares the cores; numerical libraries read it once, when they are imported.

    What a person set stays as it is.
    """
    share = str(max(1, num_cores() // num_processes))
    return {name: share for name in _THREADS if os.environ.get(name) == _ours.get(name)}


def limit_threads() -> None:
    """Have the numerical libraries of this process, which must not be loaded yet, start no more threads than a quota, or whoever started it, lets run.

    They look by themselves on which cores they may run, and often know better than we how many threads suit these.
    """
    if min(_quota(), _given) < _allowed():
        _ours.update(few_threads(1))
        os.environ.update(_ours)


def _allowed() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _quota() -> float:
    """Cores' worth of time that Linux gives to the groups that this process is in; infinite where nothing is said."""
    try:
        own = _own_groups((_PROC / "cgroup").read_text(encoding="utf-8"))
        mounts = list(_mounts((_PROC / "mountinfo").read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return math.inf
    groups = (group for mount in mounts for group in mount.groups(own.get(mount.controller)))
    return min((_quota_of(group) for group in groups), default=math.inf)


class _Mount(NamedTuple):
    """A tree of control groups that limit time on the cores: where it lies, and which group lies at its root."""

    controller: str
    point: Path
    root: str

    def groups(self, own: str | None) -> Iterator[Path]:
        """The folders of this process' group and of those that it is in; in a container all that can be seen is one folder."""
        if own is None:
            return
        below = own.removeprefix(self.root.rstrip("/")) if own.startswith(self.root) else ""
        inside = [name for name in below.split("/") if name and name != ".."]
        yield self.point
        for depth in range(len(inside)):
            yield self.point.joinpath(*inside[: depth + 1])


def _own_groups(text: str) -> dict[str, str]:
    """``4:cpu,cpuacct:/path`` and, of version 2, ``0::/path``; by controller, "" for version 2."""
    lines = (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)
    return {controller: path for _, controllers, path in lines for controller in controllers.split(",")}


def _mounts(text: str) -> Iterator[_Mount]:
    """``36 35 0:31 ROOT POINT options … - cgroup cgroup rw,cpu,cpuacct``; ``- cgroup2 …`` of version 2."""
    for line in text.splitlines():
        where, _, what = line.partition(" - ")
        places, kind = where.split(" "), what.split(" ")
        if len(places) < 5 or len(kind) < 3:
            continue
        root, point = (_unescaped(place) for place in places[3:5])
        if kind[0] == "cgroup2":
            yield _Mount("", Path(point), root)
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            yield _Mount("cpu", Path(point), root)


def _unescaped(text: str) -> str:
    r"""A blank is written ``\040`` there."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _quota_of(group: Path) -> float:
    """Version 2's ``cpu.max`` is ``QUOTA PERIOD`` in microseconds, or ``max PERIOD``; version 1 has a file for each, and -1."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
