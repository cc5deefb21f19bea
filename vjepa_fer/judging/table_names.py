"""A table of predictions goes in as it was read; the same comes out with one spelling a name, or is refused where a name has several."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from vjepa_fer.errors import RunError
from vjepa_fer.manifest import (
    Table,
    one_spelling,
    refuse_marked,
    refuse_measurements,
    refuse_missing,
    refuse_no_clips,
    refuse_spelled_twice,
    respelled,
    rows_of,
    shown,
)

Spelling = Literal["refuse", "unify", "kept"]
"""What becomes of a name that is spelled in several ways; ``kept`` is for tables that this program wrote itself."""

LABELS = ("true_label", "predicted_label")


def settle_names(table: Table, classes: Sequence[str], spelling: Spelling, *, foreign: bool = False) -> Table:
    """The table with names that can be compared byte for byte.

    Parameters
    ----------
    table : Table
        With the columns ``clip_id``, ``true_label``, and what else there is of ``predicted_label``, ``fold`` and ``subject``.
    classes : sequence of str
        The class columns, whose spelling is the one that labels take.
    spelling : {"refuse", "unify", "kept"}
    foreign : bool
        Labels are another corpus's, so that they are not compared with the class columns.

    Raises
    ------
    RunError
        A name in several spellings (not with ``unify``, clips excepted), a word for missing data, or labels that are measurements.
    """
    if spelling == "kept":
        return table
    where = f"{table.path}: "
    said = ((number, row["clip_id"], row["true_label"]) for number, row in table.rows)
    refuse_no_clips(list(said), str(table.path), error=RunError)
    _refuse_missing(table, where)
    refuse_spelled_twice("class columns", dict.fromkeys(classes, ""), f"{table.path}, row 1: ", error=RunError)
    refuse_spelled_twice("clip ids", _rows(table, ["clip_id"]), where, error=RunError)
    refuse_marked("labels", _rows(table, LABELS), where, error=RunError)
    refuse_marked("subjects", _rows(table, ["subject"]), where, error=RunError)
    if spelling == "unify":
        return _unified(table, () if foreign else classes)
    if not foreign:
        _refuse_other_spelling(table, classes)
    for kind, columns in (("labels", LABELS), ("subjects", ["subject"]), ("folds", ["fold"])):
        refuse_spelled_twice(kind, _rows(table, columns), where, error=RunError)
    return table


def changed_names(before: Table, after: Table) -> tuple[tuple[str, str], ...]:
    """Each name that :func:`settle_names` took for another spelling of it, and that; sorted."""
    if after is before:
        return ()
    rows = zip(before.rows, after.rows, strict=True)
    cells = ((old, new) for (_, was), (_, now) in rows for old, new in zip(was.values(), now.values(), strict=True))
    return tuple(sorted({(old, new) for old, new in cells if old != new}))


def _refuse_missing(table: Table, where: str) -> None:
    for column in ("clip_id", *LABELS, "fold", "subject"):  # that cells are empty is for the reader to say
        refuse_missing(
            column, {name: row for name, row in _rows(table, [column]).items() if name}, where, error=RunError
        )
    refuse_measurements([name for name in _rows(table, ["true_label"]) if name], f"{where}true_label: ", error=RunError)


def _refuse_other_spelling(table: Table, classes: Sequence[str]) -> None:
    rows = _rows(table, LABELS)
    for told, column in respelled(rows, _ends(classes)).items():
        said, known = shown([told, column])
        raise RunError(
            f"{table.path}: the label {said} ({rows[told]}) and the class column {known} differ only in spelling; spell them alike, "
            "or --unify-names takes them for one name"
        )


def _unified(table: Table, classes: Sequence[str]) -> Table:
    labels = [row[column] for _, row in table.rows for column in LABELS if column in row]
    spelt: dict[str, Mapping[str, str]] = dict.fromkeys(
        LABELS, one_spelling(labels) | respelled(labels, _ends(classes))
    )
    spelt |= {name: one_spelling(row.get(name, "") for _, row in table.rows) for name in ("subject", "fold")}
    rows = tuple(
        (number, {name: spelt.get(name, {}).get(value, value) for name, value in row.items()})
        for number, row in table.rows
    )
    return dataclasses.replace(table, rows=rows)


def _rows(table: Table, columns: Iterable[str]) -> dict[str, str]:
    said = ((number, row[column]) for number, row in table.rows for column in columns if column in row)
    return rows_of(dict.fromkeys(said))


def _ends(classes: Sequence[str]) -> dict[str, None]:
    """The class columns, and what is left of each without something in front: ``prob_sad``, ``sad``."""
    starts = ((name, match.end()) for name in classes for match in re.finditer(r"^|[_\-:. ]", name))
    return dict.fromkeys(name[start:] for name, start in starts)
