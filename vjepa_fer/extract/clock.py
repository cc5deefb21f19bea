"""Seconds that each stage was busy go in; which stage the others wait for comes out."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Stage = Literal["decode", "transfer", "encode", "write", "wait for decode", "wait for write"]

_ADVICE = {
    "decode": "more --workers, or a disk that reads faster",
    "transfer": "nothing to turn here: the link to the device is the limit",
    "encode": "a faster device, --devices for several, or on a card --precision bfloat16",
    "write": "fewer or smaller levels, or a faster disk",
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Where the time of an extraction went.

    Attributes
    ----------
    wall_seconds : float
    busy : dict
        Stage → share of the time that it was busy, 0 to 1: of all decode workers together, of all devices, of the writer.
    waits : dict
        What the devices waited for (``decode``, ``write``) → share of their time.
    bottleneck : str
        The stage that the others wait for: ``decode``, ``transfer``, ``encode`` or ``write``.
    """

    wall_seconds: float
    busy: dict[str, float]
    waits: dict[str, float]
    bottleneck: str

    @classmethod
    def of_all(cls, profiles: Sequence[Profile]) -> Profile:
        """Of processes side by side: the longest time, and the mean of the shares."""
        longest = max(profiles, key=lambda one: one.wall_seconds)
        busy, waits = (_mean([getattr(one, name) for one in profiles]) for name in ("busy", "waits"))
        return cls(wall_seconds=longest.wall_seconds, busy=busy, waits=waits, bottleneck=longest.bottleneck)

    def __str__(self) -> str:
        shares = ", ".join(f"{stage} {share:.0%}" for stage, share in self.busy.items())
        return f"bottleneck: {self.bottleneck} ({_ADVICE[self.bottleneck]}); busy: {shares}"


def _mean(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(one[name] for one in shares) / len(shares) for name in shares[0]}


class StageClock:
    """Adds up, from any thread, what each stage was busy."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, stage: Stage, seconds: float) -> None:
        """`seconds` more of `stage`."""
        with self._lock:
            self._seconds[stage] += seconds

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Count the time of a ``with`` block."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started)

    @property
    def wall_seconds(self) -> float:
        """Since the clock was made."""
        return time.perf_counter() - self._started

    def profile(self, *, workers: int, devices: int) -> Profile:
        """Shares of the time until now, with so many decoders and devices side by side (no worker: decoding in line)."""
        wall = self.wall_seconds
        with self._lock:
            seconds = dict(self._seconds)
        lanes = {"decode": max(workers, 1), "transfer": devices, "encode": devices, "write": 1}
        busy = {stage: min(seconds.get(stage, 0.0) / (wall * count), 1.0) for stage, count in lanes.items()}
        waits = {
            stage: min(seconds.get(f"wait for {stage}", 0.0) / (wall * devices), 1.0) for stage in ("decode", "write")
        }
        shares = {"encode": busy["encode"], "transfer": busy["transfer"], **waits}  # of the devices' time
        bottleneck = max(shares, key=lambda stage: shares[stage])
        return Profile(wall_seconds=wall, busy=busy, waits=waits, bottleneck=bottleneck)
