"""A table of clips on disk: read into a checked manifest, written back whole or not at all.

Accepted: UTF-8 with or without BOM, any line ending, commas, semicolons or tabs. Written: UTF-8, commas, ``\\n``. A text that a
spreadsheet would take for a formula has an apostrophe in front on disk (``'=SUM``, ``'-left``), and none once it is read.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vjepa_fer.disk import write_durably
from vjepa_fer.doors import TABLE, csv_text, from_spreadsheet, nearest, parse_rows, read_rows
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import COLUMNS, MOST_SHOWN, Clip, Manifest, abridged, check_label, check_names
from vjepa_fer.manifest.spelling import refuse_missing, refuse_spelled_twice, rows_of
from vjepa_fer.manifest.unify import unified

MADE_BY = "`vjepa-fer manifest --help` lists the commands that make one"

ROW_NAMES = "Unnamed: 0"
"""What a first column without a name is called, as pandas calls it: above the names of rows neither pandas nor R writes anything."""


@dataclass(frozen=True)
class Table:
    """A text table as it is on disk.

    Attributes
    ----------
    path : pathlib.Path
        The file.
    header : tuple of str
        Column names, each once.
    rows : tuple of (int, dict)
        Row number as a spreadsheet shows it (the header is row 1), and the values by column: stripped, and without the
        apostrophe that keeps a spreadsheet from taking a text for a formula.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


def read_table(
    path: str | os.PathLike[str],
    header: Sequence[str] | None = None,
    *,
    corner: str = "",
    check: Callable[[Table], object] | None = None,
    made_by: str = "",
) -> Table:
    """Read a text table; empty rows are skipped, but counted in the row numbers.

    A first column without a name is called :data:`ROW_NAMES`; another is none, as separators at line ends make it, and must be empty.

    Parameters
    ----------
    path
        The file; unpacked on the way when its name ends in ``.gz``.
    header
        Column names of a file that has no header row.
    corner
        What the first column is called where the header has no name for it.
    check
        Called with the table before it has rows: where columns are missing, none of millions of rows need be read.
    made_by
        What makes such files, as it is said where there is none.

    Raises
    ------
    ManifestError
        Missing, a folder, too big, not UTF-8, empty, a column twice, a row of another length, a value in a column without a name, or the
        header once more.
    """
    file = Path(path)
    try:
        return _table(file, read_rows(file, delimiter=_delimiter, error=ManifestError), header, check, corner)
    except FileNotFoundError as error:
        raise ManifestError(f"{file}: no such file" + (f"; {made_by}" if made_by else "")) from error


def parse_table(data: bytes, file: Path, *, check: Callable[[Table], object] | None = None) -> Table:
    """The bytes of a text table, read from `file`; see :func:`read_table`."""
    limits = dataclasses.replace(TABLE, size=len(data))  # which whoever read them looked at
    return _table(
        file, parse_rows([data], str(file), delimiter=_delimiter, limits=limits, error=ManifestError), None, check
    )


def _table(
    file: Path,
    rows: Iterable[tuple[int, list[str]]],
    header: Sequence[str] | None,
    check: Callable[[Table], object] | None,
    corner: str = "",
) -> Table:
    stripped = ((number, [from_spreadsheet(cell.strip()) for cell in row]) for number, row in rows)
    filled: Iterator[tuple[int, list[str]]] = ((number, cells) for number, cells in stripped if any(cells))
    if header is None:
        _, header = next(filled, (1, []))
        filled = _without_header(file, header, filled)
    if not header:
        raise ManifestError(f"{file}: empty file; a table needs a header row and one row a clip")
    header = [header[0] or corner or ROW_NAMES, *header[1:]]
    names = tuple(filter(None, header))
    _check_header(file, names)
    if check is not None:
        check(Table(file, names, ()))
    return Table(file, names, tuple((number, _as_dict(file, number, header, row)) for number, row in filled))


def _without_header(
    file: Path, header: Sequence[str], rows: Iterable[tuple[int, list[str]]]
) -> Iterator[tuple[int, list[str]]]:
    """The rows, of which none is the header: tables that were put one below the other have it in their midst, as a clip called ``clip_id``."""
    for number, row in rows:
        if row == header and len(row) > 1:
            raise ManifestError(f"{file}, row {number}: the header once more; a table has one: take this row out")
        yield number, row


def _delimiter(first: str) -> str:
    def likelihood(delimiter: str) -> tuple[int, int]:
        names = [name.strip(' "\r') for name in first.split(delimiter)]
        return sum(name in COLUMNS for name in names), len(names)

    return max(",;\t", key=likelihood)


def _check_header(file: Path, header: Sequence[str]) -> None:
    name, count = Counter(header).most_common(1)[0]
    if count > 1:
        raise ManifestError(f"{file}, row 1: column {name!r} is there {'twice' if count == 2 else f'{count:,} times'}")


def _as_dict(file: Path, number: int, header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise ManifestError(
            f"{file}, row {number}: {len(row)} values, but the header has {len(header)} columns; "
            "a value that holds a separator must stand in quotation marks"
        )
    if "" in header:
        return _named(file, number, header, row)
    return {name: cell for name, cell in zip(header, row, strict=True)}  # noqa: C416 - a fifth smaller than dict(zip())


def _named(file: Path, number: int, header: Sequence[str], row: Sequence[str]) -> dict[str, str]:
    """The row without the columns that have no name, which hold nothing."""
    for name, cell in zip(header, row, strict=True):
        if cell and not name:
            raise ManifestError(
                f"{file}, row {number}: {cell!r} stands in a column without a name; name it in the header, and take lines above the header out"
            )
    return {name: cell for name, cell in zip(header, row, strict=True) if name}


class Listed(NamedTuple):
    """The columns and clips of a table, each clip by itself right; whether they go together, a :class:`Manifest` says."""

    columns: tuple[str, ...]
    clips: tuple[Clip, ...]


def read_manifest(
    path: str | os.PathLike[str], *, labels: Sequence[str] | None = None, unify_names: bool = False
) -> Manifest:
    """Read a manifest; its columns are ``clip_id, path, label, subject`` and any further ones.

    Parameters
    ----------
    path
        The table. Without a column ``path`` it can be used for imported features only.
    labels
        The labels that may occur; any when not given.
    unify_names
        Names that differ only in spelling are one name, in its most frequent spelling, and a note says so; otherwise they are refused.

    Raises
    ------
    ManifestError
        The table cannot be used; the message names file, row, column and value.
    """
    return manifest_from_table(
        read_table(path, check=_require_own, made_by=MADE_BY), labels=labels, unify_names=unify_names
    )


def parse_listed(data: bytes, file: Path) -> Listed:
    """The clips in the bytes of a manifest that this program wrote to `file`; see :func:`read_manifest`."""
    table = parse_table(data, file, check=_require_own)
    _, clips = _clips(table, None)
    return Listed(table.header, clips)


def manifest_from_table(table: Table, *, labels: Sequence[str] | None = None, unify_names: bool = False) -> Manifest:
    """A table with our column names as a manifest; see :func:`read_manifest`."""
    _require_own(table)
    rows, clips = _clips(table, labels)
    notes: tuple[str, ...] = ()
    if unify_names:
        clips, notes = unified(clips)
    where = f"{table.path}: "
    named = {
        column: rows_of((row, clip.value(column)) for row, clip in zip(rows, clips, strict=True)) for column in _NAMES
    }
    check_names(named["label"], named["subject"], where)
    refuse_missing("clip_id", named["clip_id"], where)
    refuse_spelled_twice("clip ids", named["clip_id"], where)
    return Manifest(clips=clips, columns=table.header, source=table.path, notes=notes)


_NAMES = ("clip_id", "label", "subject")


def _clips(table: Table, labels: Sequence[str] | None) -> tuple[list[int], tuple[Clip, ...]]:
    """Row numbers and clips."""
    first_row: dict[str, int] = {}
    clips = []
    for number, row in table.rows:
        try:
            clips.append(_clip(row, labels))
            _check_first(clips[-1].clip_id, number, first_row)
        except ManifestError as error:
            raise ManifestError(f"{table.path}, row {number}: {error}") from None
    return list(first_row.values()), tuple(clips)


def _require_own(table: Table) -> None:
    for column in _NAMES:
        require_column(table, column)


def _clip(row: Mapping[str, str], labels: Sequence[str] | None) -> Clip:
    extra = {name: value for name, value in row.items() if name not in COLUMNS}
    clip = Clip(row["clip_id"], row.get("path", ""), row["label"], row["subject"], extra)
    if labels is not None:
        check_label(clip.label, labels)
    return clip


def _check_first(clip_id: str, number: int, first_row: dict[str, int]) -> None:
    if first_row.setdefault(clip_id, number) != number:
        raise ManifestError(
            f"clip_id {clip_id!r} is already in row {first_row[clip_id]}; every clip needs its own: where names begin anew with each subject "
            "or session, put that in front, and of a row a frame keep one a clip"
        )


def require_column(table: Table, column: str, *, instead: str = "") -> None:
    """Raise :class:`ManifestError`, listing the columns there are, unless the table has `column`; `instead` would do as well."""
    if column not in table.header:
        typed = f"vjepa-fer manifest csv {table.path} --column {column}=NAME -o OUT.csv"
        advice = (f"To use another name's column: {typed}",) if len(table.header) > 1 else ()
        raise ManifestError(_no_column(table, column, instead), *advice)


def _no_column(table: Table, column: str, instead: str = "", advice: str = "") -> str:
    """That there is none, which there are, and what to do: of a single one, which all of the line became, something else than `advice`."""
    either = f" and no column {instead!r}" if instead else ""
    alone = "; expected commas, semicolons or tabs between cells, and the names of columns in the first line, with nothing above"
    return (
        f"{table.path}: no column {column!r}{either}; its columns are {abridged(table.header, MOST_SHOWN)}"
        f"{nearest(column, table.header)}{alone if len(table.header) == 1 else advice}"
    )


def place_of(manifest: Manifest, clip_id: str) -> str:
    """Where a clip stands, for a message: the file and its row, where the manifest was read from one."""
    if manifest.source is None or not manifest.source.is_file():
        return "the manifest"
    table = read_table(manifest.source)
    rows = (f", row {number}" for number, row in table.rows if clip_id in row.values())
    return f"{manifest.source}{next(rows, '')}"


def rename_columns(table: Table, columns: Mapping[str, str]) -> Table:
    """The table under our column names: ``{"label": "emotion"}`` calls its column ``emotion`` ``label``.

    A column of its own that is called so already may be given another name at the same time: ``{"label": "emotion", "valence": "label"}``.

    Raises
    ------
    ManifestError
        It lacks a column, has one of our name already, or one column would get two names.
    """
    if not columns:  # of millions of rows no copy
        return table
    new: dict[str, str] = {}
    for ours, theirs in columns.items():
        if theirs not in table.header:
            raise ManifestError(_no_column(table, theirs, advice=f"; --column {ours}=NAME takes one that is there"))
        if ours in table.header and ours != theirs and ours not in columns.values():
            raise ManifestError(
                f"{table.path}: cannot call {theirs!r} {ours!r}: it has a column {ours!r} already; give that another name as well: "
                f"--column other_{ours}={ours}"
            )
        if new.setdefault(theirs, ours) != ours:
            raise ManifestError(
                f"{table.path}: one column cannot have two names: {theirs!r} is {new[theirs]} already; copy it in the table for {ours}"
            )
    header = tuple(new.get(name, name) for name in table.header)
    rows = tuple((number, {new.get(name, name): value for name, value in row.items()}) for number, row in table.rows)
    return Table(table.path, header, rows)


def write_manifest(manifest: Manifest, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a manifest under a temporary name, then rename: a reader sees the old file or the whole new one.

    Relative paths that were read from another folder are written absolute, so that they keep pointing at the same videos.

    Raises
    ------
    ManifestError
        The file is there already and `force` is not set, or it cannot be written.
    """
    target = Path(path)
    if target.exists() and not force:
        raise ManifestError(f"{target}: is there already; choose another name, or --force to replace it")
    moved = manifest.source is not None and manifest.source.parent.resolve() != target.parent.resolve()
    clips = [manifest.absolute(clip) if moved else clip for clip in manifest.clips]
    try:
        write_durably(target, manifest_csv(manifest.columns, clips))
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written ({error.strerror or error})") from error


def manifest_csv(columns: Sequence[str], clips: Sequence[Clip]) -> str:
    """The text of a manifest file, header first."""
    return csv_text(columns, ([clip.value(column) for column in columns] for clip in clips))
