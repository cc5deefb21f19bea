"""Rows go in and CSV text comes out whose cells no spreadsheet takes for formulas; and the other way, cell by cell.

A text that begins like a formula and is no number gets an apostrophe in front, which spreadsheets take for "this is text"; so does one
that has such apostrophes already. :func:`from_spreadsheet` takes one off, so that every text comes back as it was.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?((\d+[.,]?\d*|[.,]\d+)(e[+-]?\d+)?|inf|infinity|nan)", re.ASCII | re.IGNORECASE)


def csv_text(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table as a text, commas and ``\\n``; cells that are texts, names of columns too, are no formulas in it."""
    lines = _Lines()
    writer = csv.writer(lines)
    for row in (header, *rows):
        writer.writerow([for_spreadsheet(cell) if isinstance(cell, str) else cell for cell in row])
    return "".join(lines)


class _Lines(list[str]):
    r"""A file for :class:`csv.writer` that ends rows by ``\n``; asked for that ending, it would leave a cell's ``\r`` unquoted."""

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def for_spreadsheet(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula.

    >>> for_spreadsheet("=1+1"), for_spreadsheet("'=1+1"), for_spreadsheet("-1.5"), for_spreadsheet("'tis")
    ("'=1+1", "''=1+1", '-1.5', "'tis")
    """
    return f"'{cell}" if _is_formula(cell.lstrip("'")) else cell


def from_spreadsheet(cell: str) -> str:
    """What :func:`for_spreadsheet` was given; any other text is left alone."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell.lstrip("'")) else cell


def _is_formula(text: str) -> bool:
    return text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
