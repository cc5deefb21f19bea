"""A file comes in, its SHA-256 goes out; for large files that have not changed since, without reading them again. Needs no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from vjepa_fer.disk import replace_text
from vjepa_fer.encoder.home import home_folder
from vjepa_fer.errors import CheckpointError

SETTLED_SECONDS = 2
"""A file younger than this may yet change within one tick of the clock: its hash is not remembered."""

_MOST_REMEMBERED = 1000


def file_sha256(path: str | Path, *, start: int = 0) -> str:
    """SHA-256 of a file's bytes from `start` on, as 64 hex digits.

    Raises
    ------
    CheckpointError
        There is no such file, or it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            file.seek(start)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error


def known_sha256(path: str | Path, *, start: int = 0) -> str:
    """SHA-256 of a file's bytes from `start` on, remembered in the home folder as long as its size and times stay what they were.

    Raises
    ------
    CheckpointError
        There is no such file, or it cannot be read.
    """
    path = Path(path).absolute()
    before = _state_of(path)
    key = f"{start}:{path}"
    known = _read_known().get(key)
    if known and known[:-1] == before:
        return str(known[-1])
    digest = file_sha256(path, start=start)
    if before and before == _state_of(path) and _is_settled(before):
        _remember(key, [*before, digest])
    return digest


def _state_of(path: Path) -> list[int] | None:
    """Size, times of change and inode; None when there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _is_settled(state: list[int]) -> bool:
    return time.time_ns() - max(state[1:3]) > SETTLED_SECONDS * 10**9


def _read_known() -> dict[str, list[int | str]]:
    """Remembered hashes by path; whatever is not one is as good as forgotten."""
    try:
        data = json.loads((home_folder() / "hashes.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    entries = data.items() if isinstance(data, dict) else ()
    return {k: v for k, v in entries if isinstance(v, list) and len(v) == 5 and isinstance(v[-1], str)}


def _remember(key: str, entry: list[int | str]) -> None:
    known = {k: v for k, v in _read_known().items() if k != key and os.path.exists(k.partition(":")[2])}
    known[key] = entry
    newest = dict(list(known.items())[-_MOST_REMEMBERED:])
    with contextlib.suppress(OSError):  # a home folder that cannot be written costs time, nothing else
        home_folder().mkdir(parents=True, exist_ok=True)
        replace_text(home_folder() / "hashes.json", json.dumps(newest, indent=1) + "\n")
