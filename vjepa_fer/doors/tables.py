"""A table file from anywhere comes in; its rows go out one by one, of a size that was looked at while reading, never after.

A quarter of a megabyte can unpack to a quarter of a gigabyte of commas, and these to gigabytes of cells: bytes, characters of a row,
columns, rows and cells are counted as they come, and the first that is too many ends the reading.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from vjepa_fer.doors.bounded import TooLargeError, blocks_of, within
from vjepa_fer.errors import VjepaFerError

_QUOTED = re.compile(r'"[^"]*"')
"""A name in quotation marks, in which separators part nothing: ``"age, in years"``."""


@dataclass(frozen=True)
class TableLimits:
    """What a table may be, with room for millions of rows.

    Attributes
    ----------
    size : int
        Bytes, after unpacking.
    ratio : int
        Times its packed size that a ``.gz`` may unpack to, beyond the first 4 MiB; tables reach 20.
    rows, columns, cells : int
        Cells of all rows together.
    row : int
        Characters of one row, its line breaks and quotation marks too.
    """

    size: int = 256 << 20
    ratio: int = 50
    rows: int = 10_000_000
    columns: int = 65_536
    cells: int = 50_000_000
    row: int = 4 << 20


TABLE = TableLimits()

_EXCEL = re.compile('"?sep=([,;\t|])"?[,;\t|]*', re.IGNORECASE)
"""The line in front of the header by which Excel is told, and tells, what stands between cells."""


def read_rows(
    path: str | os.PathLike[str],
    *,
    delimiter: Callable[[str], str] | None = None,
    limits: TableLimits = TABLE,
    error: type[VjepaFerError] = VjepaFerError,
    advice: str = "",
    follow: bool = True,
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file, each with its number as a spreadsheet shows it; empty lines count, and come as empty lists.

    Parameters
    ----------
    path : path
        UTF-8 with or without BOM, any line ending; unpacked on the way when its name ends in ``.gz``.
    delimiter : callable, optional
        First line that is not empty → what stands between cells; by default the most frequent of comma, semicolon and tab. A line ``sep=;``
        in front of it, as Excel writes one, says it first.
    limits : TableLimits
    error : type of VjepaFerError
    advice : str
        What to do about a damaged file, for the end of messages.
    follow : bool
        False refuses a link.

    Raises
    ------
    FileNotFoundError
        No such file: what that means, the caller knows.
    VjepaFerError
        `error`: it cannot be read, is not UTF-8 or no CSV, or is larger than `limits`; the message says which, and how much there was.
    """
    try:
        blocks = blocks_of(path, follow=follow, ratio=limits.ratio)
        yield from parse_rows(blocks, str(path), delimiter=delimiter, limits=limits, error=error, advice=advice)
    except FileNotFoundError:
        raise
    except OSError as fault:
        raise error(_said(f"{path}: cannot be read ({fault.strerror or fault})", advice)) from fault


def parse_rows(
    blocks: Iterable[bytes],
    source: str,
    *,
    delimiter: Callable[[str], str] | None = None,
    limits: TableLimits = TABLE,
    error: type[VjepaFerError] = VjepaFerError,
    advice: str = "",
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file whose bytes come in blocks; see :func:`read_rows`."""
    lines = _Lines(blocks, limits)
    try:
        yield from _counted(lines, delimiter or _most_frequent, limits)
    except TooLargeError as fault:
        raise error(_said(f"{source}: {fault}, more than a table may have; is it the right file?", advice)) from fault
    except UnicodeDecodeError as fault:
        row = lines.count + fault.object[: fault.start].count(b"\n") + 1
        what = f"byte 0x{fault.object[fault.start]:02x} is not UTF-8; save the table as 'CSV UTF-8'"
        raise error(_said(f"{source}, row {row}: {what}", advice)) from fault
    except csv.Error as fault:
        what = f"not a readable table ({fault}); is a quotation mark left open near line {lines.count}?"
        raise error(_said(f"{source}: {what}", advice)) from fault


class _Lines:
    """The lines of a text that comes in blocks; none is read to its end that would make its row too long."""

    def __init__(self, blocks: Iterable[bytes], limits: TableLimits) -> None:
        stream = io.BufferedReader(_Stream(within(blocks, limits.size)))
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        self._limit = self._room = limits.row
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self._room + 1)
        self._room -= len(line)
        if self._room < 0:
            _refuse(f"the row that begins near line {self.count + 1} has over", self._limit, "characters")
        if not line:
            raise StopIteration
        self.count += 1
        return line

    def end_row(self) -> None:
        self._room = self._limit


class _Stream(io.RawIOBase):
    """Blocks of bytes as a file that is read from its beginning to its end."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, room: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        taken = self._rest[: len(room)]
        room[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


def _counted(lines: _Lines, delimiter: Callable[[str], str], limits: TableLimits) -> Iterator[tuple[int, list[str]]]:
    before, first, told = 0, "", ""
    for first in lines:
        lines.end_row()
        words = None if told else _EXCEL.fullmatch(first.strip("\r\n"))
        if first.strip("\r\n") and words is None:
            break
        told = words[1] if words else told
        before += 1
    else:
        return
    between = told or delimiter(_QUOTED.sub("", first.strip("\r\n")))
    rest = csv.reader(itertools.chain([first], lines), delimiter=between, strict=True)
    cells = 0
    for number, row in enumerate(rest, start=before + 1):
        lines.end_row()
        cells += len(row)
        if len(row) > limits.columns:
            _refuse(f"row {number} has {len(row):,} columns, over", limits.columns, "")
        if number > limits.rows:
            _refuse("has over", limits.rows, "rows")
        if cells > limits.cells:
            _refuse(f"its first {number:,} rows have over", limits.cells, "cells")
        yield number, row


def _most_frequent(line: str) -> str:
    return max(",;\t", key=line.count)


def _refuse(what: str, limit: int, unit: str) -> NoReturn:
    raise TooLargeError(f"{what} {limit:,} {unit}".rstrip())


def _said(what: str, advice: str) -> str:
    return f"{what}; {advice}" if advice else what
