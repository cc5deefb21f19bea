"""Clips that could not be done go into a list that many processes add to; the clips that still are not done come out.

    failed/OWNER.csv    what one process added, row by row: this is what is read
    failed.csv          all of it as it stands, for people

Each row carries a turn and its own CRC-32: of several rows about a clip the one of the highest turn counts, a row that was cut off by
a kill counts for nothing, and one that changed on the disk is known. A row without a reason takes an earlier one back.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import IO

from vjepa_fer.cache import layout
from vjepa_fer.disk import make_own_folder, new_owner, refuse_link, sync_folder, write_durably
from vjepa_fer.doors import TableLimits, csv_text, from_spreadsheet, parse_rows, printable, read_bytes, read_rows
from vjepa_fer.errors import CacheError, VideoError

_LIST = TableLimits(size=1 << 30)
SYNC_SECONDS = 1.0
"""How much a power cut may cost: these clips are tried again, nothing else."""

_PIECE = re.compile(r"[\w.-]{1,120}\.csv")
_TURN = re.compile(r"[0-9]{1,18}")
_MOVE = "move it away, and its clips are tried again"
_ADVICE = "`vjepa-fer cache repair` sets it aside"


@dataclass(frozen=True)
class Failure:
    """One clip that could not be done: a row of ``failed.csv``."""

    clip_id: str
    path: str
    reason: str
    message: str
    traceback_sha256: str

    @classmethod
    def from_error(cls, clip_id: str, path: str, error: BaseException) -> Failure:
        """The row for `error`; the hash of its traceback tells equal faults from different ones.

        The message is text that a terminal only shows, for people look at the list with ``cat``: names of files are in it.
        """
        text = "".join(traceback.format_tb(error.__traceback__))
        reason = error.reason if isinstance(error, VideoError) else "unreadable"
        message = error.message if isinstance(error, VideoError) else f"{type(error).__name__}: {error}"
        return cls(
            clip_id, path, reason, printable(" ".join(message.split())), hashlib.sha256(text.encode()).hexdigest()[:16]
        )


_COLUMNS = tuple(field.name for field in fields(Failure))
_cells = attrgetter(*_COLUMNS)
_HEADER = (*_COLUMNS, "turn", "crc32")


class FailureList:
    """One process's piece of the list: rows are appended, and are on disk a second later, or on :meth:`close` or leaving it.

    Parameters
    ----------
    root : Path
        The cache folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / layout.FAILED_PIECES
        self._turns = {clip_id: turn for clip_id, (turn, _) in _latest(root).items()}
        self._file: IO[bytes] | None = None
        self._synced = 0.0

    def __enter__(self) -> FailureList:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, failures: Iterable[Failure]) -> None:
        """Append rows.

        Raises
        ------
        OSError
            The disk.
        """
        lines = [self._line(failure) for failure in failures]
        if not lines:
            return
        file = self._file = self._file or self._begin()
        file.write("".join(lines).encode())
        file.flush()
        if time.monotonic() - self._synced >= SYNC_SECONDS:
            os.fsync(file.fileno())
            self._synced = time.monotonic()

    def take_back(self, clip_ids: Iterable[str]) -> None:
        """Say of clips that they are to be tried again."""
        self.add(Failure(clip_id, "", "", "", "") for clip_id in clip_ids)

    def close(self) -> None:
        """Make sure that all rows are on disk."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def _line(self, failure: Failure) -> str:
        turn = self._turns[failure.clip_id] = self._turns.get(failure.clip_id, -1) + 1
        return _signed([*_cells(failure), str(turn)])

    def _begin(self) -> IO[bytes]:
        make_own_folder(self._folder)
        file = (self._folder / f"{new_owner()}.csv").open("xb")
        file.write(csv_text(_HEADER, ()).encode())
        sync_folder(self._folder)
        return file


def read_failures(root: Path) -> dict[str, Failure]:
    """The latest row of each clip, by clip id, without those taken back; a clip may have been done since.

    Raises
    ------
    CacheError
        A piece is damaged; file and row are named.
    """
    return {clip_id: row for clip_id, (_, row) in _latest(root).items() if row.reason}


def read_turns(root: Path) -> dict[str, int]:
    """The turn of each clip that is listed: it rises with every new failure."""
    return {clip_id: turn for clip_id, (turn, row) in _latest(root).items() if row.reason}


def write_failures(root: Path, failures: Mapping[str, Failure]) -> None:
    """List clips that could not be done, as one piece, and bring ``failed.csv`` up to date."""
    with FailureList(root) as mine:
        mine.add(failures.values())
    refresh_failed(root, lambda: frozenset())


def refresh_failed(root: Path, done: Callable[[], frozenset[str]]) -> None:
    """Make ``failed.csv`` say what is listed and not done; without such a clip it goes.

    Of several processes that do so at once, the last leaves everything in it.
    """
    before: object = None
    while before != (before := _state(root)):
        listed = read_failures(root)
        finished = done() if listed else frozenset()
        rows = [failure for clip_id, failure in listed.items() if clip_id not in finished]
        if rows:
            write_durably(root / layout.FAILED_CSV, csv_text(_COLUMNS, map(_cells, rows)))
        else:
            (root / layout.FAILED_CSV).unlink(missing_ok=True)


def failure_pieces(root: Path) -> list[Path]:
    """Every process's list, by name."""
    folder = root / layout.FAILED_PIECES
    refuse_link(folder)
    return sorted(p for p in folder.iterdir() if _PIECE.fullmatch(p.name)) if folder.is_dir() else []


def read_failure_piece(path: Path) -> list[tuple[int, Failure]]:
    """The rows of one piece with their turns; a last one that was cut off is none."""
    try:
        data = read_bytes(path, at_most=_LIST.size, follow=False)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise CacheError(f"{path}: cannot be read ({error}); {_ADVICE}") from error
    end = data.rfind(b"\n") + 1
    if _is_signed(data[end:-1].decode(errors="replace")):  # all of a row, and then something else than its line end
        raise CacheError(f"{path}: its last row is not what was written; {_ADVICE}")
    rows = parse_rows([data[:end]], str(path), delimiter=lambda _: ",", limits=_LIST, error=CacheError, advice=_ADVICE)
    if next(rows, (1, list(_HEADER))) != (1, list(_HEADER)):
        raise CacheError(f"{path}, row 1: is not the header that was written; {_ADVICE}")
    return [_checked(row, path, number) for number, row in rows]


def _latest(root: Path) -> dict[str, tuple[int, Failure]]:
    """Of each clip the row of the highest turn, with the turn."""
    latest = {} if failure_pieces(root) else _of_version_1(root)
    for path in failure_pieces(root):
        for turn, row in read_failure_piece(path):
            if turn >= latest.get(row.clip_id, (-1, row))[0]:
                latest[row.clip_id] = turn, row
    return latest


def adopt_version_1(root: Path) -> None:
    """Make the ``failed.csv`` of a cache of format version 1 a piece, before anything is added."""
    if not failure_pieces(root) and (known := _of_version_1(root)):
        with FailureList(root) as mine:
            mine.add(row for _, row in known.values())


def _of_version_1(root: Path) -> dict[str, tuple[int, Failure]]:
    path = root / layout.FAILED_CSV
    if (root / layout.MANIFEST_PIECES).exists() or not path.exists():
        return {}
    (_, header), *rows = [*read_rows(path, delimiter=lambda _: ",", limits=_LIST, error=CacheError, advice=_MOVE)] or [
        (1, [])
    ]
    if not {*_COLUMNS} <= {*header} or any(row and len(row) != len(header) for _, row in rows):
        raise CacheError(f"{path}: not the list that extract writes; {_MOVE}")
    place = [header.index(name) for name in _COLUMNS]
    listed = [Failure(*(row[column] for column in place)) for _, row in rows if row]
    return {row.clip_id: (0, row) for row in listed}


def _state(root: Path) -> list[tuple[str, int]]:
    return [(path.name, path.stat().st_size) for path in failure_pieces(root)]


def _checked(row: list[str], path: Path, number: int) -> tuple[int, Failure]:
    row = list(map(from_spreadsheet, row))
    if len(row) != len(_HEADER) or not _signed(row[:-1]).endswith(f",{row[-1]}\n") or not _TURN.fullmatch(row[-2]):
        raise CacheError(
            f"{path}, row {number}: is not what was written (its CRC-32 differs); `vjepa-fer cache repair` sets the list aside, "
            "and its clips are tried again"
        )
    return int(row[-2]), Failure(*row[: len(_COLUMNS)])


def _signed(cells: list[str]) -> str:
    """A line with the CRC-32 of what stands before it."""
    body = csv_text(cells, ()).removesuffix("\n")
    return f"{body},{_checksum(body)}\n"


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _is_signed(line: str) -> bool:
    """Whether a line without its end is one that :func:`_signed` made."""
    body, _, checksum = line.rpartition(",")
    return checksum == _checksum(body)
