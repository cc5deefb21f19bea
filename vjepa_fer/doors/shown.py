"""Text from outside comes in; text that a terminal or a spreadsheet only shows, and never obeys, goes out."""

from __future__ import annotations

import re

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but for tab and line feed, delete, C1: colours, titles, links, answers typed for us
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction: text that reads otherwise than it is
    "\u2028\u2029\ufff9-\ufffb\U000e0001-\U000e007f"  # line and paragraph ends, annotations, tags that nobody sees
    "\ud800-\udfff]"  # bytes of a file name that are no Unicode
)

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str) -> str:
    r"""The text with every character that a terminal would obey written out; tabs and line ends stay.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROL.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def for_spreadsheet(cell: str) -> str:
    """A table's cell that no spreadsheet takes for a formula: an apostrophe before what begins like one and is no number."""
    return f"'{cell}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else cell
