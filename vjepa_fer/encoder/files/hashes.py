"""A file comes in, its SHA-256 goes out; for large files that have not changed since, without reading them again. Needs no torch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vjepa_fer.disk import make_own_folder, open_regular, write_durably
from vjepa_fer.doors import read_object
from vjepa_fer.encoder.files.home import HASHES, home_folder
from vjepa_fer.errors import CheckpointError, VjepaFerError

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
        with open(open_regular(path), "rb") as file:
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
    about = {"path": str(path), "start": start, "state": before}
    if (known := _recall(about)) is not None:
        return known
    digest = file_sha256(path, start=start)
    if before and before == _state_of(path) and _is_settled(before):
        _remember(about, digest)
    return digest


def sha256_of_parts(files: Sequence[Path]) -> str:
    """One SHA-256 of several files, whatever they are called: of their own, sorted, a line each; that of a file is its own."""
    digests = sorted(map(known_sha256, files))
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()
    )


def _state_of(path: Path) -> list[int] | None:
    """Size, times of change and inode; None when there is no file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _is_settled(state: list[int]) -> bool:
    return time.time_ns() - max(state[1:3]) > SETTLED_SECONDS * 10**9


def _note(about: Mapping[str, Any]) -> Path:
    """A file for each weights file, so that processes which hash several at once do not forget each other's."""
    key = hashlib.sha256(f"{about['start']}:{about['path']}".encode(errors="surrogateescape")).hexdigest()
    return home_folder() / HASHES / f"{key[:32]}.json"


def _recall(about: Mapping[str, Any]) -> str | None:
    """The hash of this very file in this very state; whatever is not one is as good as forgotten."""
    try:
        note = read_object(_note(about), at_most=1 << 16)
        same = all(note.values.get(name) == value for name, value in about.items())
        return note.text("sha256") if same else None
    except (OSError, VjepaFerError):
        return None


def _remember(about: Mapping[str, Any], digest: str) -> None:
    with contextlib.suppress(OSError, UnicodeError):  # a home folder that cannot be written costs time, nothing else
        make_own_folder(home_folder() / HASHES)
        write_durably(_note(about), json.dumps({**about, "sha256": digest}, indent=1) + "\n")
        _forget_oldest()


def _forget_oldest() -> None:
    notes = list((home_folder() / HASHES).glob("*.json"))
    if len(notes) > _MOST_REMEMBERED:
        min(notes, key=lambda note: note.stat().st_mtime).unlink(missing_ok=True)
