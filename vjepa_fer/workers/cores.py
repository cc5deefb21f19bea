"""The system is asked, and the number of cores that this process may use comes out: one answer for everybody who shares them."""

from __future__ import annotations

import math
import os
from pathlib import Path

_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


def num_cores() -> int:
    """Cores that this process may use, at least one: those that it may run on, or fewer if its container has a quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, int(min(allowed, _quota())))


def _quota() -> float:
    """Cores' worth of time that Linux (cgroup v2) gives to the groups that this process is in; infinite where nothing is said.

    A container or a batch job often sees all cores of its machine, and is stopped for the rest of each tenth of a second once it has
    used its share.
    """
    try:
        lines = _OWN_GROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.inf
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return math.inf
    group = _GROUPS / own
    return min(_quota_of(each) for each in (group, *group.parents) if each.is_relative_to(_GROUPS))


def _quota_of(group: Path) -> float:
    """``cpu.max`` is ``QUOTA PERIOD`` in microseconds, or ``max PERIOD``."""
    try:
        quota, period = (group / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
