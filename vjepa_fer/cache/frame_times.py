"""What a column of a table says of times goes in; seconds come out, and a unit that is likely another is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from vjepa_fer.errors import CacheError

LONGEST_STEP = 5
"""Seconds from frame to frame, from which on they are likelier to be milliseconds; a column of seconds by its name may have longer ones."""

_SAYS_SECONDS = frozenset({"seconds", "time_s", "timestamp_s"})
_CLOCK = re.compile(r"(?:([0-9]+) days?)?(?: ?([0-9]+):([0-5][0-9]):([0-5][0-9](?:[.,][0-9]+)?))?")
"""As FaceReader (``00:00:01.040``) and pandas (``0 days 00:00:01.04``) write times."""


def clock_seconds(text: str) -> float | None:
    """The reading of a clock in seconds; None where the text is none.

    >>> clock_seconds("0 days 00:01:00.5"), clock_seconds("1.5")
    (60.5, None)
    """
    clock = _CLOCK.fullmatch(text.strip())
    if not clock or not text.strip():
        return None
    days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in clock.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def refuse_other_unit(times: Sequence[float], name: str, seconds_a_unit: float, where: str) -> None:
    """Milliseconds under a name that says nothing of them would make a clip of a minute last sixteen hours.

    Raises
    ------
    CacheError
        The seconds `times` of a clip's rows, from a column called `name` in such units, are far apart.
    """
    if len(times) < 2 or name.lower() in _SAYS_SECONDS:
        return
    step = float(np.median(np.diff(times)))
    if step >= LONGEST_STEP:
        unit = "seconds" if seconds_a_unit == 1 else "milliseconds"
        raise CacheError(
            f"{where}: column {name} goes up by {step / seconds_a_unit:g} from row to row: are these {unit} between frames? Call it "
            "timestamp_ms where they are milliseconds, timestamp_s where they are seconds, and bring other units to one of these"
        )
