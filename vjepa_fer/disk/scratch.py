"""An empty folder for what nobody wants to keep comes out, where the system keeps such; it goes with its process, or at the next start.

A process that is killed cleans nothing up. So the folder's name says whose it is, and whoever comes next removes what belongs to nobody.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from vjepa_fer.disk.inside import is_nobodys
from vjepa_fer.disk.whose import OWNER, PARTIAL_SUFFIX, new_owner

_PREFIX = "vjepa-fer-"
_NAME = re.compile(rf"{_PREFIX}\w+\.{OWNER.pattern}{re.escape(PARTIAL_SUFFIX)}")
_OTHERS_AFTER_SECONDS = 7 * 24 * 3600.0
"""Another container may be at work in the same folder for days, and be heard of only by what it writes."""


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """An empty folder that only this user may enter, to be used in a ``with``; what killed processes left there goes first."""
    sweep_scratch()
    suffix = f".{new_owner()}{PARTIAL_SUFFIX}"
    return tempfile.TemporaryDirectory(suffix, _PREFIX, ignore_cleanup_errors=True)


def sweep_scratch() -> list[Path]:
    """Remove this user's scratch folders whose process is gone; no link is followed. Another machine's go after a week."""
    removed = []
    with os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and _is_own(entry) and is_nobodys(Path(entry.path), _OTHERS_AFTER_SECONDS):
                shutil.rmtree(entry.path, ignore_errors=True)
                removed.append(Path(entry.path))
    return removed


def _is_own(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, no link, and this user's."""
    with contextlib.suppress(OSError):  # gone meanwhile
        if entry.is_dir(follow_symlinks=False):
            return not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
    return False
