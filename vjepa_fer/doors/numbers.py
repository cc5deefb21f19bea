"""A cell of a table goes in; the number that it holds comes out, the same in every reader, whether decimals are written with a point or a comma."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

_COMMA = re.compile(r"([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


_POINTED = re.compile(r"[1-9][0-9]{0,2}(\.[0-9]{3})+")
FEWEST_POINTED = 2
"""Cells such as ``1.037`` that may be thousands before a column is asked about."""


class Pointed:
    """Looks for columns in which a point may part thousands: whole numbers below a thousand, and others with three digits behind a point.

    Half of the world writes 1.037 for what the other half writes 1,037; a column of decimals has some with fewer digits, or below one.
    """

    def __init__(self, num_columns: int) -> None:
        self._open: dict[int, list[tuple[int, str]]] = {column: [] for column in range(num_columns)}
        self._whole: set[int] = set()

    def see(self, number: int, texts: Sequence[str]) -> None:
        """A row's cells; a column that cannot be one any more is not looked at again."""
        for column in tuple(self._open):
            text = texts[column].strip()
            if _POINTED.fullmatch(text):
                self._open[column].append((number, text))
            elif text.isdecimal() and len(text) <= 3:
                self._whole.add(column)
            else:
                del self._open[column]

    def found(self) -> Iterator[tuple[int, int, str]]:
        """Column, and number and text of the first such cell, of each that is one."""
        for column, cells in self._open.items():
            if len(cells) >= FEWEST_POINTED and column in self._whole:
                yield column, *cells[0]


def as_number(text: str) -> float:
    """The number in a cell; NaN where there is none, or it may be one of two.

    Spreadsheets of half of Europe write ``0,75``, with semicolons between columns. But ``1,234`` is a thousand and more in the other half.

    >>> as_number("0.75"), as_number("0,75"), as_number("1,234"), as_number("1_000")
    (0.75, 0.75, nan, nan)
    """
    if "_" in text or _THOUSANDS.fullmatch(text.strip()):
        return math.nan
    try:
        return float(_COMMA.sub(r"\1.\2", text.strip(), count=1) if _COMMA.fullmatch(text.strip()) else text)
    except ValueError:
        return math.nan
