"""What is odd about the video of a clip that was done goes into a list that many processes add to; by clip it comes out again.

    notes/OWNER.csv     what one process added, row by row
    notes.csv           all of it, for people

Nothing is computed from notes: a row that a kill cut off is left out. Copies of a cache carry those of their clips, but an anonymous one,
as it carries no messages either.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import IO

from vjepa_fer.cache import layout
from vjepa_fer.disk import make_own_folder, new_owner, refuse_link, write_durably
from vjepa_fer.doors import csv_text, from_spreadsheet, read_bytes
from vjepa_fer.errors import CacheError

_HEADER = ("clip_id", "path", "note")
_LARGEST = 1 << 28


class NoteList:
    """One process's piece of the list.

    Parameters
    ----------
    root : Path
        The cache folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: IO[bytes] | None = None

    def add(self, clip_id: str, path: str, notes: Sequence[str]) -> None:
        """Append a row a note.

        Raises
        ------
        OSError
            The disk.
        """
        if not notes:
            return
        file = self._file = self._file or self._begin()
        lines = [csv_text((clip_id, path, note), ()) for note in notes]
        file.write("".join(lines).encode())
        file.flush()

    def close(self) -> None:
        """Make sure that all rows are on disk, and bring ``notes.csv`` up to date."""
        if self._file is None:
            return
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        write_durably(self._root / layout.NOTES_CSV, csv_text(_HEADER, _rows(self._root)))

    def _begin(self) -> IO[bytes]:
        folder = self._root / layout.NOTES_PIECES
        make_own_folder(folder)
        file = (folder / f"{new_owner()}.csv").open("xb")
        file.write(csv_text(_HEADER, ()).encode())
        return file


Row = tuple[str, str, str]
"""Clip id, path and note."""


def notes_on(roots: Iterable[Path], clip_ids: Collection[str]) -> tuple[Row, ...]:
    """The rows about these clips in several caches, each once.

    Raises
    ------
    CacheError
        A piece cannot be read.
    """
    rows = (row for root in roots for row in _rows(root))
    return tuple(dict.fromkeys(row for row in rows if row[0] in clip_ids))


def write_notes(root: Path, rows: Iterable[Row]) -> None:
    """List notes that another cache has, as one piece, and bring ``notes.csv`` up to date."""
    mine = NoteList(root)
    for clip_id, path, note in rows:
        mine.add(clip_id, path, [note])
    mine.close()


def read_notes(root: Path) -> dict[str, tuple[str, ...]]:
    """The notes on each clip that has some, by clip id.

    Raises
    ------
    CacheError
        A piece cannot be read.
    """
    found: dict[str, dict[str, None]] = {}
    for clip_id, _, note in _rows(root):
        found.setdefault(clip_id, {})[note] = None
    return {clip_id: tuple(notes) for clip_id, notes in found.items()}


def _rows(root: Path) -> list[Row]:
    """Every row once; a clip that was done again has its note again."""
    folder = root / layout.NOTES_PIECES
    refuse_link(folder)
    pieces = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    return list(dict.fromkeys(row for piece in pieces for row in _piece(piece)))


def _piece(path: Path) -> list[Row]:
    try:
        text = read_bytes(path, at_most=_LARGEST, follow=False).decode("utf-8", "replace")
        rows = [tuple(map(from_spreadsheet, row)) for row in csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))]
    except (OSError, ValueError, csv.Error) as error:
        raise CacheError(f"{path}: cannot be read ({error}); nothing depends on it: remove it") from error
    return [(row[0], row[1], row[2]) for row in rows[1:] if len(row) == len(_HEADER)]
