"""A cell of a table goes in; the number that it holds comes out, the same in every reader, whether decimals are written with a point or a comma."""

from __future__ import annotations

import math
import re

_COMMA = re.compile(r"([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)")
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")


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
