"""A text table of features, one row a clip, goes in; its numbers by clip come out."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.cache.chosen_columns import match_columns, named_by, roles_of_others, some_of
from vjepa_fer.cache.column_roles import Role
from vjepa_fer.cache.imports import FeatureTable, sha256_of_file
from vjepa_fer.cache.rounding import to_float32
from vjepa_fer.doors import Pointed, TableLimits, as_number, from_spreadsheet, nearest, read_rows
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import is_missing

FEATURE_LIMITS = TableLimits(size=8 << 30, cells=1 << 31)
"""A cell becomes four bytes here, and none is kept as a text."""


def read_feature_csv(path: str | os.PathLike[str], *, id_column: str, columns: Sequence[str]) -> FeatureTable:
    """Read a CSV of features, one row a clip; comma, semicolon or tab.

    Parameters
    ----------
    path : path
    id_column : str
        The column that holds the clip id.
    columns : sequence of str
        Feature columns: names or patterns such as ``AU*``, in the file's order.

    Raises
    ------
    CacheError
        Names file, row, column and value of what is wrong: no such column, not a finite number, an id twice.
    """
    source = Path(path)
    try:
        rows = ((n, row) for n, row in read_rows(source, limits=FEATURE_LIMITS, error=CacheError) if row)
        return _read_table(rows, source, id_column, columns)
    except FileNotFoundError as error:
        raise CacheError(f"{source}: cannot be read ({error.strerror})") from error


def _read_table(
    rows: Iterator[tuple[int, list[str]]], source: Path, id_column: str, columns: Sequence[str]
) -> FeatureTable:
    header, rows = _without_trailing(_header(rows, source, id_column), rows, source)
    header = [name or f"Unnamed: {number}" for number, name in enumerate(header)]  # as pandas calls it
    names = match_columns(header, columns, id_column, source)
    values, row_numbers = _vectors(rows, source, header, id_column, names)
    table = to_float32([*values.values()], names, list(values), source)
    others = (Role(id_column, "clip ids"), *roles_of_others(header, names, id_column))
    sha256 = sha256_of_file(source)
    return FeatureTable(
        tuple(values), tuple(names), table, source.name, sha256, tuple(row_numbers), named_by(names, columns), others
    )


def _header(rows: Iterator[tuple[int, list[str]]], source: Path, id_column: str) -> list[str]:
    """The first row, in which the column of ids stands once."""
    _, header = next(rows, (1, []))
    header = [from_spreadsheet(name.strip()) for name in header]  # OpenFace writes a blank after each comma
    if not header:
        raise CacheError(f"{source}: empty; expected a header and one row a clip")
    if id_column not in header:
        one = "; if cells are parted otherwise, or lines stand above the header: expected commas, semicolons or tabs, and the header first"
        raise CacheError(
            f"{source}: no column {id_column!r}; the columns are {some_of(header)}{one if len(header) == 1 else nearest(id_column, header)}"
        )
    if header.count(id_column) > 1:
        raise CacheError(f"{source}: the column {id_column!r} stands twice in the header")
    return header


def _vectors(
    rows: Iterator[tuple[int, list[str]]], source: Path, header: list[str], id_column: str, names: list[str]
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Clip id → its numbers in the columns `names`, and in which row of the file each stands."""
    place = {name: number for number, name in enumerate(header)}
    positions, id_position = [place[name] for name in names], header.index(id_column)
    values: dict[str, np.ndarray] = {}
    row_numbers: list[int] = []
    pointed = Pointed(len(names))
    for number, row in rows:
        if len(row) != len(header):
            raise CacheError(
                f"{source}, row {number}: {len(row)} values, the header has {len(header)}; expected a name for every column, row names too, and "
                "quotation marks around a value that holds a separator"
            )
        clip_id = from_spreadsheet(row[id_position].strip())
        if not clip_id:
            raise CacheError(
                f"{source}, row {number}: {id_column} is empty; a row of units, a second line of names or a sum is no clip: take it out"
            )
        if clip_id in values:
            raise CacheError(f"{source}, row {number}: the id {clip_id!r} stands twice; expected one row a clip")
        row_numbers.append(number)
        texts = [row[p] for p in positions]
        values[clip_id] = _numbers(texts, source, number, names)
        pointed.see(number, texts)
    if not values:
        raise CacheError(f"{source}: only a header; expected one row a clip below it")
    for column, number, text in pointed.found():
        raise CacheError(
            f"{source}, row {number}: column {names[column]} holds {text!r} beside whole numbers below a thousand: is the point a decimal one, or does "
            "it part thousands? Write thousands without a point, and of decimals every number with its decimals (12.000)"
        )
    return values, row_numbers


def _without_trailing(
    header: list[str], rows: Iterator[tuple[int, list[str]]], source: Path
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Header and rows without what a separator at the end of every line makes: last columns without a name and a value."""
    first = next(rows, None)
    length = len(header)
    while (
        first
        and len(first[1]) == len(header)
        and length > 1
        and not (header[length - 1] or first[1][length - 1].strip())
    ):
        length -= 1
    again = rows if first is None else itertools.chain([first], rows)
    if length == len(header):
        return header, again
    return header[:length], (_cut(number, row, length, source) for number, row in again)


def _cut(number: int, row: list[str], length: int, source: Path) -> tuple[int, list[str]]:
    beyond = next((cell for cell in row[length:] if cell.strip()), None)
    if beyond is not None:
        raise CacheError(f"{source}, row {number}: {beyond!r} stands in a column without a name; name it in the header")
    return number, row[:length]


def _numbers(texts: list[str], path: Path, row: int, names: list[str]) -> np.ndarray:
    """One row of features, float64 (D,), each of which is finite in float32 too."""
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        values = np.array([as_number(text) for text in texts])
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rounded))
    if len(bad):
        text = texts[bad[0]]
        raise CacheError(
            f"{path}, row {row}: column {names[bad[0]]} holds {text!r}, expected a finite number; {_what_to_do(text)}"
        )
    return values


def _what_to_do(text: str) -> str:
    """About a cell that is no number."""
    if "," in text and np.isfinite(as_number(text.replace(",", ".", 1))):
        return "write decimals with a point"
    if "," in text and np.isfinite(as_number(text.replace(",", ""))):
        return "write thousands without a comma"
    if text.strip().lower() in ("true", "false"):
        return "write 1 and 0, or leave the column out by --columns"
    if re.search(r"[0-9]:[0-5][0-9]|[0-9] days", text):
        return "if it is a time, leave the column out by --columns, and where each row is a frame, call it timestamp"
    if is_missing(text):
        return "take the clip out, fill the cell in, or leave the column out by --columns"
    return "if the column is no feature, leave it out by --columns"
