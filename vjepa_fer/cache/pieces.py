"""Texts that several processes add to one list come in; each is a file that nobody changes, and all are read in one order.

    manifest/0000-SHA256.csv      NUMBER-DIGEST: a piece's place in the order, and half of the SHA-256 of its bytes
    manifest/0001-SHA256.csv

A piece is named by what it holds: a changed one is known, and two processes that add the same at once add it once.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from vjepa_fer.disk import create_exclusively, make_own_folder, refuse_link
from vjepa_fer.doors import read_bytes
from vjepa_fer.errors import CacheError

LARGEST_PIECE = 1 << 30  # a million clips take 64 MiB, and several manifests may be in one
_NAME = re.compile(r"(\d{4,9})-([0-9a-f]{32})\.csv")


def add_piece(folder: Path, text: str) -> Path:
    """Write a piece that comes after all that are there; one that is there as the last already is not added again."""
    make_own_folder(folder)
    last, digest = next(reversed(piece_paths(folder)), None), digest_of(text.encode())
    if last is not None and digest in last.name:
        return last
    number = 0 if last is None else int(last.name.partition("-")[0]) + 1
    path = folder / f"{number:04d}-{digest}.csv"
    create_exclusively(path, text)
    return path


def piece_paths(folder: Path) -> list[Path]:
    """The pieces, in order; none where there is no folder."""
    refuse_link(folder)
    return [folder / name for name in sorted(_names(folder), key=lambda name: (int(name.partition("-")[0]), name))]


def read_piece(path: Path) -> bytes:
    """A piece's bytes.

    Raises
    ------
    CacheError
        It cannot be read, or is not what was written.
    """
    try:
        data = read_bytes(path, at_most=LARGEST_PIECE, follow=False)
    except (OSError, ValueError) as error:
        raise CacheError(f"{path}: cannot be read ({error})") from error
    if digest_of(data) not in path.name:
        raise CacheError(
            f"{path}: is not what was written (its SHA-256 is not the one in its name); `vjepa-fer cache repair` mends it "
            "if it can"
        )
    return data


def digest_of(data: bytes) -> str:
    """Half of the SHA-256, as 32 hex digits: what a piece is called by."""
    return hashlib.sha256(data).hexdigest()[:32]


def _names(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        yield from (path.name for path in folder.iterdir() if _NAME.fullmatch(path.name))
