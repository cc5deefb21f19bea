"""A file with somebody's predictions goes in; its rows come out under our column names, whole, each clip once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping

from vjepa_fer.doors import nearest
from vjepa_fer.errors import RunError
from vjepa_fer.judging.class_columns import COLUMNS
from vjepa_fer.manifest import (
    MOST_SHOWN,
    ROW_NAMES,
    Table,
    abridged,
    canonical,
    clip_of_path,
    read_table,
    rename_columns,
)

LONGEST_NAME = 1000
"""Characters of a clip, subject, fold or class; arrays give every name the room of the longest."""


def read_rows_of_predictions(
    path: str | os.PathLike[str], columns: Mapping[str, str], *, has_truths: bool = True
) -> Table:
    """The table under our names; neither are names compared yet, nor cells looked at. Without `has_truths` true labels may be absent.

    Raises
    ------
    ManifestError, RunError
        Not a readable table, a column that it lacks, or a text too long for a name.
    """
    needed = ("clip_id", "true_label") if has_truths else ("clip_id",)
    table = read_table(
        path,
        check=lambda headed: _require_columns(rename_columns(headed, columns), needed),
        made_by="`vjepa-fer probe CACHE --out DIR` writes predictions.csv into each run",
    )
    table = rename_columns(table, columns)
    _refuse_long(table)
    return table


def check_rows_of_predictions(table: Table, *, by_fold: bool) -> None:
    """Raise :class:`RunError` for an empty cell or a clip twice; with `by_fold` a clip may be there once a fold."""
    for column in COLUMNS:
        if column in table.header and column != "subject":
            _refuse_empty(table, column)
    _refuse_twice(table, ("clip_id", "fold") if by_fold and "fold" in table.header else ("clip_id",))


def cells(table: Table, column: str) -> list[str]:
    """A column from top to bottom; empty where the table lacks it."""
    return [row[column] for _, row in table.rows] if column in table.header else []


def _require_columns(table: Table, needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in table.header:
            raise RunError(
                f"{table.path}, row 1: no column {name!r}; the columns are {abridged(table.header, MOST_SHOWN)}"
                f"{nearest(name, table.header)}{_instead(name, table)}"
            )


def _instead(name: str, table: Table) -> str:
    """What may stand in for an absent column."""
    if name == "true_label":
        return "; --manifest gives true labels"
    rows = f"; --column '{name}={ROW_NAMES}' takes the names of the rows" if ROW_NAMES in table.header else ""
    return rows or f"; --column {name}=NAME takes another, and where clips have no names, number the rows"


def with_truths(table: Table, truths: Mapping[str, str]) -> Table:
    """The table with a column of true labels, each clip's in `truths`; as it is where it has one.

    Raises
    ------
    RunError
        A clip that `truths` lacks.
    """
    if "true_label" in table.header:
        return table
    of_form = {canonical(clip): label for clip, label in truths.items()}
    names = [clip_of_path(clip, truths) for clip in cells(table, "clip_id")]
    found = [truths.get(clip) or of_form.get(canonical(clip)) for clip in names]
    strangers = [clip for clip, label in zip(cells(table, "clip_id"), found, strict=True) if label is None]
    if strangers:
        raise RunError(
            f"{table.path}: no column 'true_label', and {len(strangers):,} of {len(found):,} clips are not in the manifest either: "
            f"{abridged(strangers, MOST_SHOWN)}; are they of another data set, or are the ids file names?"
        )
    rows = tuple((n, row | {"true_label": str(label)}) for (n, row), label in zip(table.rows, found, strict=True))
    return dataclasses.replace(table, header=(*table.header, "true_label"), rows=rows)


def _refuse_long(table: Table) -> None:
    said = [(1, name) for name in table.header]
    said += [(number, row[name]) for number, row in table.rows for name in COLUMNS if name in row]
    for number, text in said:
        if len(text) > LONGEST_NAME:
            raise RunError(
                f"{table.path}, row {number}: {text[:20]!r}… has {len(text):,} characters, too many for a name"
            )


def _refuse_empty(table: Table, column: str) -> None:
    for number, row in table.rows:
        if not row[column]:
            raise RunError(f"{table.path}, row {number}: {column} is empty")


def _refuse_twice(table: Table, columns: tuple[str, ...]) -> None:
    rows_of: dict[str, list[int]] = {}
    for number, row in table.rows:
        rows_of.setdefault(" of fold ".join(row[name] for name in columns), []).append(number)
    twice = {clip: rows for clip, rows in rows_of.items() if len(rows) > 1}
    if twice:
        shown = "; ".join(f"{clip} in rows {', '.join(map(str, rows[:4]))}" for clip, rows in list(twice.items())[:3])
        more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
        raise RunError(
            f"{table.path}: {len(twice)} clips have more than one row: {shown}{more}; a clip is decided once: of frames or windows, take each clip's mean"
        )
