"""Names come in, names for files beside each other come out: no disk takes two of them for one.

macOS and Windows write ``Clip`` over ``clip``, and macOS ``é`` over ``e`` with an accent.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from itertools import count


def unique_names(names: Iterable[str]) -> list[str]:
    """Each name as it is, numbered where a disk would not tell it from one before it: ``clip``, ``Clip-2``.

    >>> unique_names(["clip", "Clip", "other"])
    ['clip', 'Clip-2', 'other']
    """
    chosen: list[str] = []
    taken: set[str] = set()
    last: dict[str, int] = {}  # the number that a name had the last time: it only rises
    for name in names:
        for number in count(last.get(name, 1)):
            candidate = name if number == 1 else f"{name}-{number}"
            if on_disk(candidate) not in taken:
                break
        last[name] = number
        chosen.append(candidate)
        taken.add(on_disk(candidate))
    return chosen


def on_disk(name: str) -> str:
    """What a disk that ignores letter case and ways of writing an accent goes by: equal for names that are one file there."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).upper().casefold())
