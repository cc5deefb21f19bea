"""Seconds that were rounded when they were written go in; the places of a clip's rows on one even grid come out, if one grid alone fits.

Where most frames have no row, no two rows may be neighbours, and the shortest step says little. But frames come at few rates, and at the
right one every time lies on the grid within what rounding did to it:

seconds  0.000 0.133 0.233 0.300        at 30 a second 0 4 7 9; at 25 they would lie up to 0.02 s off
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATES = ((24, 24000 / 1001), (25,), (30, 30000 / 1001), (50,), (60, 60000 / 1001))
"""Frames a second of cameras and films; rows of every n-th frame lie on the same grids."""

NEAR = 8
"""Places within which rounded times tell how many there are; over a longer gap the nearest number is taken."""

MOST_DIVIDED = 6
"""Parts into which the shortest step is divided where no known rate fits."""

MOST_TRIED = 256
"""Steps that are tried for one such part."""

FINEST = 2e-4
"""Seconds that times may be off though they are written with many decimals: clocks of containers tick."""


SURE, LIKELY = 1e-5, 0.05
"""How likely a grid may fit by chance that is taken for the one whatever else fits; and where nothing else does."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Places that the steps between rows go, int64 (T - 1,), the seconds a place, those a frame of the rate that was tried, and how many steps it is made of."""

    counts: np.ndarray
    step: float
    finest: float
    made_of: int

    @property
    def has_no_gap(self) -> bool:
        """Whether all rows are neighbours."""
        return bool((self.counts == 1).all())

    def by_chance(self, off: float) -> float:
        """How likely it is that rows anywhere would lie on the grid, which some of them made."""
        return float((2 * off / self.finest) ** (len(self.counts) - self.made_of))

    def is_like(self, other: Grid) -> bool:
        """Whether both say the same of all steps that are not long."""
        near = (self.counts <= NEAR) | (other.counts <= NEAR)
        return bool((self.counts == other.counts)[near].all())


def rounded_by(seconds: np.ndarray) -> float:
    """How far each time may be off because of the decimals that it was written with: half the last of 2 or 3, or nearly nothing."""
    for digits in (2, 3):
        if np.allclose(seconds, np.round(seconds, digits), rtol=0, atol=1e-7):
            return 0.5 * 10.0**-digits
    return FINEST


def grids_of(seconds: np.ndarray) -> list[Grid]:
    """The grids on which all rows lie, each otherwise than the ones before it: none, the one, or several between which nobody can tell.

    A grid on which rows lie more exactly than their decimals made them is looked for first: that of 25 a second, which two decimals hold.
    One on which they all would hardly lie by chance is the one.

    Parameters
    ----------
    seconds : ndarray of float64, shape (T,)
        Ascending, T at least 3.
    """
    off, found = rounded_by(seconds), list[Grid]()
    for allowed in dict.fromkeys((FINEST, off)):
        found = []
        for look in (_of_known_rates, _of_own_rate):
            grids = look(seconds, allowed)
            sure = [grid for grid in grids if grid.has_no_gap or grid.by_chance(off) < SURE]
            if sure:
                return _different(sure)
            found += grids
    return [grid for grid in _different(found) if grid.by_chance(off) < LIKELY or len(found) > 1]


def _different(grids: list[Grid]) -> list[Grid]:
    """The first; and those that say otherwise. A grid without a gap is the only one."""
    different: list[Grid] = []
    for grid in [grid for grid in grids if grid.has_no_gap] or grids:
        if not any(grid.is_like(other) for other in different):
            different.append(grid)
    return different


def _of_known_rates(seconds: np.ndarray, off: float) -> list[Grid]:
    return [grid for family in RATES if (grid := _best(seconds, [1 / rate for rate in family], off))]


def _of_own_rate(seconds: np.ndarray, off: float) -> list[Grid]:
    """The coarsest grid of which the shortest step is a few places."""
    steps = (_refined(seconds, number, off) for number in range(1, MOST_DIVIDED + 1))
    found = [grid for step in steps if (grid := _best(seconds, [step], off, made_of=1))]
    return [grid for grid in found if not grid.has_no_gap or np.ptp(np.diff(seconds)) <= 2.02 * off][:1]


def _best(seconds: np.ndarray, steps: list[float], off: float, made_of: int = 0) -> Grid | None:
    """The grid of the step that fits best; None where none fits within `off`."""
    found = [(*_placed(seconds, step), step) for step in steps if step > 3 * off]
    spread, places, step = min(found, key=lambda one: one[0], default=(np.inf, np.zeros(2), 0.0))
    counts = np.diff(places)
    if spread > (1 + 0.1 * made_of) * _widest(step, off) or not (counts > 0).all():
        return None
    shared = int(np.gcd.reduce(counts))
    return Grid(counts // shared, step * shared, step, made_of)


def _widest(step: float, off: float) -> float:
    """How far rounded times may spread around a grid; on one whose step is whole in the last decimal they lie exactly."""
    units = step / (2 * off)
    return off if off > FINEST and abs(units - round(units)) < 1e-6 else 2.02 * off


def _placed(seconds: np.ndarray, step: float) -> tuple[float, np.ndarray]:
    """How far the times spread around the grid that begins where they spread least, and their places."""
    turns = np.exp(2j * np.pi * (seconds - seconds[0]) / step).mean()
    start = np.angle(turns) / (2 * np.pi) * step
    places = np.rint((seconds - seconds[0] - start) / step).astype(np.int64)
    return float(np.ptp(seconds - places * step)), places


def _refined(seconds: np.ndarray, number: int, off: float) -> float:
    """The step into `number` of which the shortest one is parted, by all rows: that at which they lie together best."""
    shortest = float(np.diff(seconds).min())
    slow, fast = number / (shortest + 2 * off), number / max(shortest - 2 * off, shortest / 2)
    num_tried = min(int((fast - slow) * np.ptp(seconds) * 4) + 3, MOST_TRIED)
    rates = np.linspace(slow, fast, num_tried)
    together = np.abs(np.exp(2j * np.pi * np.outer(rates, seconds[:MOST_TRIED] - seconds[0])).sum(axis=1))
    rate = float(rates[int(np.argmax(together))])
    _, places = _placed(seconds, 1 / rate)
    return float(np.polyfit(places, seconds, 1)[0]) if len(np.unique(places)) > 1 else 1 / rate
