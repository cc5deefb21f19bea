"""Encoders on their devices and the windows to come go in; those encoders are compiled that it pays for, and what was done is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from vjepa_fer.encoder import can_compile
from vjepa_fer.errors import RecipeError
from vjepa_fer.extract.batches import Batcher, RowEncoder, Tell

WORTH_SECONDS = 600.0
"""Of encoding on every device, for each device: compiling should take about a minute, and gain 10 to 20 % of the time. Neither is measured
on a GPU yet."""

LEAST_BATCHES = 20
"""For each device: fewer are not measured, which takes two."""


class Part(NamedTuple):
    """What compiling needs to know of a cache that a job fills.

    Attributes
    ----------
    devices : sequence of RowEncoder
        The same encoder on each.
    rows : callable
        Window-views that are expected of this process; asked only where it matters.
    """

    devices: Sequence[RowEncoder]
    rows: Callable[[], float]


def encoding_seconds(rows: float, seconds_a_row: Sequence[float]) -> float:
    """Of devices side by side, each of which takes what it can.

    >>> encoding_seconds(1000, [2.0, 2.0])
    1000.0
    """
    return rows / sum(1 / seconds for seconds in seconds_a_row)


def pays(seconds: float, num_devices: int) -> bool:
    """Whether so long an encoding is worth compiling for: devices compile one after another, and each waits for all.

    >>> pays(601, 1), pays(601, 2)
    (True, False)
    """
    return seconds > WORTH_SECONDS * num_devices


def compile_where_it_pays(parts: Sequence[Part], tell: Tell) -> None:
    """Compile each part's encoder, on all of its devices or on none. What fails is told once: that part and those after it stay as they are."""
    for part in parts:
        on_cards = [one for one in part.devices if isinstance(one, Batcher) and can_compile(one.encoder)]
        if len(on_cards) < len(part.devices):
            continue
        rows = part.rows()
        seconds = _expected_seconds(on_cards, rows)
        if not pays(seconds, len(on_cards)):
            continue
        tell(_about(on_cards, rows, seconds))
        if not _is_compiled(on_cards, tell):
            return


def _expected_seconds(devices: Sequence[Batcher], rows: float) -> float:
    """0 of so few windows that they are not worth the measuring."""
    if rows < LEAST_BATCHES * sum(one.size for one in devices):
        return 0.0
    return encoding_seconds(rows, [one.seconds_a_row() for one in devices])


def _is_compiled(devices: Sequence[Batcher], tell: Tell) -> bool:
    """Whether all could be; else none is any more."""
    try:
        for one in devices:
            one.compile(tell)
        return True
    except RecipeError as error:
        tell(f"note: {error}; it runs as it is")
    for one in devices:  # the error is gone by now, and with it what it held of the device's memory
        one.leave_eager()
    return False


def _about(devices: Sequence[Batcher], rows: float, seconds: float) -> str:
    name, each = devices[0].encoder.spec.name, " on each device" if len(devices) > 1 else ""
    return (
        f"compiling {name} first, about a minute{each}: the {rows:,.0f} windows to come would take about {seconds / 60:,.0f} minutes "
        "without (--no-compile)"
    )
