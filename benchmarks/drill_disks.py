"""Disks that come and go for `drill.py`, and what is said of a machine that has not what a scenario needs."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class MissingError(Exception):
    """This machine has not what a scenario needs."""


def need(is_there: bool, what: str) -> None:
    if not is_there:
        raise MissingError(what)


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    need(done.returncode == 0, f"{words[0]}: {done.stderr.strip()}")


@contextmanager
def mounted(point: Path, *words: str) -> Iterator[None]:
    point.mkdir()
    run("mount", *words, str(point))
    try:
        yield
    finally:
        run("umount", "-l", str(point))
        keep(point, back=True)


def keep(target: Path, *, back: bool = False) -> None:
    """What lies on a disk that goes is looked at afterwards."""
    kept = target.with_name(f"{target.name}-kept")
    if not back:
        shutil.copytree(target, kept, copy_function=shutil.copy2)
    elif kept.exists():
        target.rmdir()
        kept.rename(target)
