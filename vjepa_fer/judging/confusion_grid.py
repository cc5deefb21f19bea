"""A table whose rows and columns are both named goes in; its numbers come out as a grid, rows = truth."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from vjepa_fer.doors import as_number
from vjepa_fer.errors import RunError
from vjepa_fer.judging.predictions import MOST_CLASSES
from vjepa_fer.manifest import MOST_SHOWN, Table, abridged

TRUTH, SAID, FOLD = "true_label", "predicted_label", "fold"

Rows = Literal["true", "predicted"]
"""What the rows of a published matrix are."""


class Grid(NamedTuple):
    """Numbers with the names of their rows and columns; `places` says for messages where each row stands in the file."""

    rows: tuple[str, ...]
    places: tuple[str, ...]
    columns: tuple[str, ...]
    values: np.ndarray

    def without(self, rows: Sequence[str], columns: Sequence[str]) -> Grid:
        """Only the rows and columns that are not named here."""
        keep_rows = [n for n, name in enumerate(self.rows) if name not in rows]
        keep_columns = [n for n, name in enumerate(self.columns) if name not in columns]
        return Grid(
            tuple(self.rows[n] for n in keep_rows),
            tuple(self.places[n] for n in keep_rows),
            tuple(self.columns[n] for n in keep_columns),
            self.values[np.ix_(keep_rows, keep_columns)],
        )

    def column(self, name: str) -> np.ndarray:
        """The numbers below a name."""
        return self.values[:, self.columns.index(name)]

    def transposed(self, path: object) -> Grid:
        """Rows for columns."""
        places = tuple(f"{path}, column {name!r}" for name in self.columns)
        return Grid(self.columns, places, self.rows, self.values.T)


class Headed(NamedTuple):
    """A table, the column that names its rows, what these are, and whether there are percent signs in it."""

    table: Table
    names: str
    rows: Rows

    @property
    def has_percent_signs(self) -> bool:
        """Whether somebody wrote ``46.2 %``."""
        return any("%" in text for _, row in self.table.rows for name, text in row.items() if name != self.names)


def headed(table: Table, rows: Rows | None) -> Headed:
    """Find the column that names the rows: ``true_label``, or the first, whatever it is called.

    One that is called like a prediction says that the rows are predicted classes, unless `rows` says what they are.
    """
    others = [name for name in table.header if name != FOLD]
    named = next((name for name in (TRUTH, SAID) if name in others), others[0] if others else "")
    if len(others) < 3:
        raise RunError(
            f"{table.path}, row 1: a confusion matrix has a column {TRUTH} and a column a predicted class; "
            f"the columns are {abridged(table.header, MOST_SHOWN)}"
        )
    begins_with_said = re.match(r"\W*(pred|said|output|hypothes|recogni[sz]ed|classified)", named.casefold())
    return Headed(table, named, rows or ("predicted" if begins_with_said else "true"))


def by_fold(table: Table) -> dict[str, Table]:
    """The matrices of a table: one, called "", or one a fold where a column says so."""
    if FOLD not in table.header:
        return {"": table}
    header = tuple(name for name in table.header if name != FOLD)
    rows: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for number, row in table.rows:
        rows.setdefault(row[FOLD], []).append((number, {name: row[name] for name in header}))
    return {fold: Table(table.path, header, tuple(of_fold)) for fold, of_fold in rows.items()}


def grid_of(head: Headed) -> Grid:
    """The numbers, rows = truth.

    Raises
    ------
    RunError
        More classes than anybody has, or a cell that is no number.
    """
    table = head.table
    columns = tuple(name for name in table.header if name != head.names)
    if max(len(columns), len(table.rows)) > MOST_CLASSES + MOST_SHOWN:
        many = max(len(columns), len(table.rows))
        raise RunError(f"{table.path}: {many:,} classes, over {MOST_CLASSES:,}; is it a confusion matrix?")
    values = [
        [_count(row[name], f"{table.path}, row {number}, column {name!r}") for name in columns]
        for number, row in table.rows
    ]
    names = tuple(row[head.names] for _, row in table.rows)
    places = tuple(f"{table.path}, row {number}" for number, _ in table.rows)
    grid = Grid(names, places, columns, np.array(values).reshape(len(names), len(columns)))
    return grid.transposed(table.path) if head.rows == "predicted" else grid


def _count(text: str, where: str) -> float:
    value = as_number(text.removesuffix("%"))
    if not 0 <= value < math.inf:
        raise RunError(f"{where}: {text!r} is not a count of clips; {_instead(text)}")
    return value


def _instead(text: str) -> str:
    """What to do about a cell that is no count."""
    if text in ("", "-", "–", "—"):
        return "write 0 where there is none"
    if math.isfinite(as_number(re.sub(r"[,.' \u00a0\u2009\u202f](?=[0-9]{3})", "", text))):
        return "write thousands without a mark"
    if re.match(r"[0-9.,]+ ?[(\[]", text):
        return "write the counts alone, without percentages behind them"
    return "expected a row a true class, a column a predicted one, and nothing but counts or percentages beside the names of rows"


def mixed_thousands(head: Headed) -> str:
    """A cell such as ``1.500`` among whole numbers without a point: a thousand and more to half of the world, one and a half to the other; or ""."""
    texts = [text for _, row in head.table.rows for name, text in row.items() if name != head.names]
    marked = [text for text in texts if re.fullmatch(r"[1-9][0-9]{0,2}(\.[0-9]{3})+", text)]
    others = [text for text in texts if text not in set(marked)]
    return marked[0] if marked and others and all(text.isdecimal() for text in others) else ""
