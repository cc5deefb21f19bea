r"""Text from outside comes in; text that a terminal or a page only shows, and never obeys, goes out, on one line.

What is written out are commands (C0, delete, C1: colours, titles, links, answers typed for us), line ends, which would forge lines of
ours, and what nobody sees (Unicode's default-ignorable characters: direction, joiners, tags), with which text reads otherwise
than it is. A line break of ours stands between two texts, never inside one.
"""

from __future__ import annotations

import json
import re
import struct
from typing import Any

_UNSEEN = (  # Unicode's default-ignorable characters, without those that are never written
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_NOT_SHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, delete, C1
    "\u2028\u2029\ufff9-\ufffb\ud800-\udfff"  # line and paragraph ends, annotations, bytes of a file name that are no Unicode
    f"{_UNSEEN}]"
)
_ANY_UNSEEN = re.compile(f"[{_UNSEEN}]")


def without_unseen(text: str) -> str:
    r"""The text without the characters that nobody sees: joiners, marks of direction, byte order marks, soft hyphens.

    >>> without_unseen("\ufeffha\u200bppy")
    'happy'
    """
    return _ANY_UNSEEN.sub("", text)


def printable(text: str) -> str:
    r"""The text with every character written out that a terminal would obey or nobody would see.

    >>> printable("a\x1b[31mb\n\u202ec")
    'a\\x1b[31mb\\n\\u202ec'
    """
    return _NOT_SHOWN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def printable_json(value: Any) -> str:
    r"""The value as JSON on indented lines, with those characters written out as JSON does: it reads back equal.

    >>> print(printable_json(["\x9b31m é"]))
    [
      "\u009b31m é"
    ]
    """
    lines = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).split("\n")
    return "\n".join(_NOT_SHOWN.sub(lambda match: _json_escape(match[0]), line) for line in lines)


def _json_escape(character: str) -> str:
    units = struct.iter_unpack(">H", character.encode("utf-16-be", "surrogatepass"))
    return "".join(f"\\u{unit:04x}" for (unit,) in units)
