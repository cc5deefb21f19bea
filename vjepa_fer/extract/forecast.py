"""What an extraction will take and what machines do in a second go in; hours, what sets them and what they cost come out."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Stage = Literal["decode", "device", "disk"]
RateSource = Literal["measured here", "as given"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an extraction will take.

    Attributes
    ----------
    clips : int
        Still to be done.
    counted, unreadable : int
        Clips whose frames were counted, evenly from all, and those of them that could not be read or are too short.
    shorter : int
        Clips of those counted that are shorter than a window, and repeat their last frame.
    window_seconds : tuple of float, or None
        Shortest and longest span of a window, from its first frame to its last, in the clips counted; None where nothing says.
    windows, rows, tokens : int
        Windows after equal ones are merged, window-views (rows of the cache), and tokens that the encoder makes.
    level_bytes : dict
        Level → bytes on disk.
    other_bytes : int
        Of the index and the checksums.
    free_bytes : int
        Room on the disk of the cache folder.
    seconds : float or None
        At the measured rate, if one was measured.
    """

    clips: int
    counted: int
    unreadable: int
    shorter: int
    window_seconds: tuple[float, float] | None
    windows: int
    rows: int
    tokens: int
    level_bytes: dict[str, int]
    other_bytes: int
    free_bytes: int
    seconds: float | None = None

    @property
    def needed_bytes(self) -> int:
        """Bytes on disk of all levels and the index."""
        return sum(self.level_bytes.values()) + self.other_bytes

    @property
    def fits(self) -> bool:
        """Whether the disk has room for it."""
        return self.needed_bytes <= self.free_bytes


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What one machine does in a second.

    Attributes
    ----------
    clips : float
        Clips that all its workers decode.
    rows : float
        Window-views that one of its devices encodes.
    source : {"measured here", "as given"}
        Where `rows` is from.
    disk_bytes : float or None
        Bytes that the disk of the cache takes, from all machines together; None where that is not known.
    cores_a_clip : float
        Seconds of all cores that decoding a clip takes from an encoder on the CPU; 0 where the encoder has a device of its own.
    in_turns : bool
        One clip is decoded at a time, and the device waits for it.
    """

    clips: float
    rows: float
    source: RateSource = "measured here"
    disk_bytes: float | None = None
    cores_a_clip: float = 0.0
    in_turns: bool = False


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Equal machines (or array tasks) that share one cache.

    Attributes
    ----------
    machines, devices : int
        How many, and how many devices each has.
    price : float or None
        Of a device for an hour.
    """

    machines: int = 1
    devices: int = 1
    price: float | None = None

    def __str__(self) -> str:
        counted = [(self.machines, "machine"), (self.devices, "device")]
        return " of ".join(f"{number:,} {name}{'s' * (number > 1)}" for number, name in counted)


class LevelForecast(NamedTuple):
    """What a level takes if it is the only one: bytes on disk, seconds, and money where a price is known."""

    level: str
    num_bytes: int
    seconds: float
    cost: float | None


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """How long a fleet takes for a plan. Decoding, encoding and writing go on side by side: the slowest counts.

    Attributes
    ----------
    rates, fleet
    stages : dict
        Seconds that each would take alone; ``disk`` only where its speed is known. Machines share it, and nothing else.
    levels : tuple of LevelForecast
    """

    rates: Rates
    fleet: Fleet
    stages: dict[Stage, float]
    shared_seconds: float
    levels: tuple[LevelForecast, ...]

    @classmethod
    def of(cls, plan: Plan, rates: Rates, fleet: Fleet) -> Forecast:
        """The forecast of a plan."""
        clips, rows = plan.clips / fleet.machines, plan.rows / fleet.machines
        decode, device = clips / rates.clips, rows / rates.rows / fleet.devices
        stages: dict[Stage, float] = {"decode": decode, "device": device}
        if rates.disk_bytes:
            stages["disk"] = plan.needed_bytes / rates.disk_bytes
        shared = (
            decode + device if rates.in_turns else clips * rates.cores_a_clip + device if rates.cores_a_clip else 0.0
        )
        bare = cls(rates=rates, fleet=fleet, stages=stages, shared_seconds=shared, levels=())
        return dataclasses.replace(bare, levels=tuple(bare._alone(*one) for one in plan.level_bytes.items()))

    @property
    def seconds(self) -> float:
        """Of the whole."""
        return max(*self.stages.values(), self.shared_seconds)

    @property
    def limit(self) -> Stage:
        """Which stage the others wait for."""
        return max(self.stages, key=lambda stage: self.stages[stage])

    @property
    def device_seconds(self) -> float:
        """Of all devices, whether they work or wait."""
        return self.seconds * self.fleet.machines * self.fleet.devices

    @property
    def cost(self) -> float | None:
        """Of all device hours; None without a price."""
        return None if self.fleet.price is None else self.device_seconds / 3600 * self.fleet.price

    @property
    def machines_at_disk(self) -> int | None:
        """The least number of such machines for which the disk is the limit; None where its speed is not known, or nothing is written."""
        disk = self.stages.get("disk", 0.0)
        alone = max(self.stages["decode"], self.stages["device"], self.shared_seconds) * self.fleet.machines
        return math.ceil(alone / disk) if disk else None

    def _alone(self, level: str, num_bytes: int) -> LevelForecast:
        disk: dict[Stage, float] = {"disk": num_bytes / self.rates.disk_bytes} if self.rates.disk_bytes else {}
        only = dataclasses.replace(self, stages={**self.stages, **disk})
        return LevelForecast(level, num_bytes, only.seconds, only.cost)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {"seconds": self.seconds, "limit": self.limit, "stages": dict(self.stages), "cost": self.cost}
        own |= {"device_seconds": self.device_seconds, "machines_at_disk": self.machines_at_disk}
        levels = [one._asdict() for one in self.levels]
        return {**dataclasses.asdict(self.fleet), **own, "rates": dataclasses.asdict(self.rates), "levels": levels}
