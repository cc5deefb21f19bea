"""Times of a clip's rows go in; which places on one even grid they have comes out, or the row at which there is no such grid.

frames   0 1 2 4 5        times   0.00 0.04 0.08 0.16 0.20
place    0 1 2 4 5        place   0    1    2    4    5        3 is a gap: 4 does not follow 2 directly
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vjepa_fer.cache.column_roles import Role
from vjepa_fer.cache.time_grid import NEAR, Grid, grids_of, rounded_by
from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import Clock

TOLERANCE = 0.25
"""Of a step, that a time may lie off the grid."""

ROUNDED = 0.0011
"""Seconds that two times may be off because each was written with three decimals, as OpenFace does."""

ALIKE = 0.05
"""Of a step, by which steps of one rate differ."""

USUAL, FEWEST_USUAL = 2 / 3, 12
"""Share and number of steps that are alike, from which on others than whole numbers of these are another rate, and no missing frames."""


@dataclass(frozen=True, eq=False)
class Moments:
    """One clip's rows that hold something, in time order.

    Attributes
    ----------
    clip_id : str
        As the source spells it.
    where : str
        ``au.csv, rows 2 to 91``.
    place : ndarray of int64, shape (T,)
        On the clip's grid, from 0: rows that follow each other directly differ by 1.
    frame : ndarray of int64, shape (T,)
        Frame numbers as the source has them; the place, where it has none.
    time : ndarray of float64, shape (T,)
        By the stream's clock.
    values : ndarray of float64, shape (T, D)
    num_rows : int
        Of the source, those without a face too.
    span : int
        Places from the clip's first row to its last.
    unfilled : mapping of str to int
        Columns that are empty where others hold something, and in how many rows, which are left out for it.
    """

    clip_id: str
    where: str
    place: np.ndarray
    frame: np.ndarray
    time: np.ndarray
    values: np.ndarray
    num_rows: int
    span: int
    unfilled: Mapping[str, int] = field(default_factory=dict)

    @property
    def num_masked(self) -> int:
        """Rows without a face, or without numbers."""
        return self.num_rows - len(self.place)

    @property
    def num_gaps(self) -> int:
        """Places that have no row at all."""
        return self.span - self.num_rows


@dataclass(frozen=True, eq=False)
class FrameStream:
    """Features over time of many clips, read clip by clip as often as they are asked for.

    Attributes
    ----------
    columns : tuple of str
        Of length D.
    source, source_sha256 : str
        Name and hash of the file or folder.
    clock : {"frames", "seconds"}
    read : callable
        Gives the clips; a clip is in memory at a time.
    named : frozenset of str
        The columns that were asked for letter by letter, not by a pattern.
    others : tuple of Role
        Every other column, and what it is instead of a feature.
    """

    columns: tuple[str, ...]
    source: str
    source_sha256: str
    clock: Clock
    read: Callable[[], Iterator[Moments]] = field(repr=False)
    named: frozenset[str] = field(default=frozenset(), repr=False)
    others: tuple[Role, ...] = field(default=(), repr=False)


def places_of(frames: np.ndarray | None, seconds: np.ndarray | None, where: Callable[[int], str]) -> np.ndarray:
    """Places on the clip's grid, int64 (T,), by frame numbers, seconds or both.

    Parameters
    ----------
    frames, seconds : ndarray of float64, shape (T,), or None
        One of them at least.
    where : callable
        Row of the clip → what a message calls it.

    Raises
    ------
    CacheError
        The row at which time steps back or stands still, or from which on rows come at another rate.
    """
    for times, unit in ((frames, "frame"), (seconds, "second")):
        if times is not None:
            _require_forwards(times, unit, where)
    known = None if frames is None else _places_by_frames(frames, where)
    return known if seconds is None else _places_by_seconds(seconds, known, where)  # type: ignore[return-value]


def _require_forwards(times: np.ndarray, unit: str, where: Callable[[int], str]) -> None:
    wrong = np.flatnonzero(np.diff(times) <= 0)
    if len(wrong):
        row = int(wrong[0])
        before, here = times[row], times[row + 1]
        if before == here:
            raise CacheError(
                f"{where(row + 1)}: {unit} {here:g} stands there twice; expected one row a frame: keep one face of those in a frame"
            )
        raise CacheError(
            f"{where(row + 1)}: {unit} {here:g} comes after {unit} {before:g}: time steps back; sort the clip's rows by time, and leave "
            "them out where the clip stands there twice"
        )


def _places_by_frames(frames: np.ndarray, where: Callable[[int], str]) -> np.ndarray:
    steps = np.diff(frames).astype(np.int64)
    if not len(steps):
        return np.zeros(len(frames), np.int64)
    wrong = _leaves_the_rest(steps)
    if wrong is not None:
        raise CacheError(
            f"{where(wrong + 1)}: {steps[wrong]} frames after the row before, where the clip has a row every {_most_frequent(steps):g} frames: "
            "another frame rate than the rest of the clip"
        )
    return np.concatenate([[0], np.cumsum(steps // np.gcd.reduce(steps))])


def _leaves_the_rest(steps: np.ndarray) -> int | None:
    """The first of whole steps that no number of the usual ones makes; None where so few are usual that frames are merely missing."""
    usual = _most_frequent(steps)
    num_usual, wrong = np.count_nonzero(steps == usual), np.flatnonzero(steps % usual != 0)
    return int(wrong[0]) if len(wrong) and num_usual >= max(FEWEST_USUAL, USUAL * len(steps)) else None


def _most_frequent(steps: np.ndarray) -> float:
    values, counts = np.unique(steps, return_counts=True)
    return float(values[counts.argmax()])


def _places_by_seconds(seconds: np.ndarray, known: np.ndarray | None, where: Callable[[int], str]) -> np.ndarray:
    """Places by `seconds`; where they are `known` by frame numbers, only whether the seconds go with them."""
    steps = np.diff(seconds)
    if not len(steps):
        return np.zeros(len(seconds), np.int64)
    grids = grids_of(seconds) if known is None and len(steps) > 1 else []
    if len(grids) > 1:
        raise CacheError(_between(grids, seconds, where))
    if grids:
        return _places_on(grids[0], steps, where)
    rounded = max(ROUNDED, 2.2 * rounded_by(seconds))
    counts = None if known is None else np.diff(known)
    each = steps if counts is None else steps / counts
    usual = _most_frequent(np.round(each, 3)) or float(np.median(each))
    found, step, off = _on_grid(steps, counts, usual, rounded)
    if known is None and len(steps) > 1 and np.mean(found == 1) < USUAL:
        raise CacheError(
            f"{where(int(steps.argmin()) + 1)}: {steps.min():.4g} s after the row before, the shortest step of the clip's {len(seconds)} rows, "
            "and no frame rate goes with all of their times; add a column of frame numbers (frame), or write the times with more decimals"
        )
    if off is not None:
        raise CacheError(_another_rate(where(off + 1), steps[off], step))
    return np.concatenate([[0], np.cumsum(found)])


def _places_on(grid: Grid, steps: np.ndarray, where: Callable[[int], str]) -> np.ndarray:
    wrong = _leaves_the_rest(grid.counts)
    if wrong is not None:
        raise CacheError(_another_rate(where(wrong + 1), float(steps[wrong]), grid.step * _most_frequent(grid.counts)))
    return np.concatenate([[0], np.cumsum(grid.counts)])


def _another_rate(place: str, step: float, usual: float) -> str:
    return (
        f"{place}: {step:.4g} s after the row before, where the clip has {1 / usual:.4g} rows a second: another frame rate than the rest of "
        "the clip"
    )


def _between(grids: list[Grid], seconds: np.ndarray, where: Callable[[int], str]) -> str:
    one, other = grids[:2]
    row = int(np.flatnonzero(one.counts != other.counts)[0]) + 1
    return (
        f"{where(row)}: its second {seconds[row]:g} is rounded too much to tell how many frames lie before it: by the clip's {len(seconds)} rows "
        f"{one.counts[row - 1]} at {1 / one.step:.4g} a second, or {other.counts[row - 1]} at {1 / other.step:.4g}; add a column of frame "
        "numbers (frame), or write the times with more decimals"
    )


def _on_grid(
    steps: np.ndarray, counts: np.ndarray | None, usual: float, rounded: float
) -> tuple[np.ndarray, float, int | None]:
    """How many places each step goes, the length of one, and the first step that leaves the grid, None where all keep to it."""
    one = _counted(steps, usual) if counts is None else counts
    alike = (np.abs(steps / one - usual) <= ALIKE * usual + rounded) & (
        one <= NEAR
    )  # over a long gap, the count may be off
    step = float(steps[alike].sum() / one[alike].sum()) if alike.any() else usual
    one = _counted(steps, step) if counts is None else counts
    away = np.cumsum(np.where(one > NEAR, 0, steps - one * step))
    off = np.flatnonzero(np.abs(away) > TOLERANCE * step + rounded)
    return one, step, int(off[0]) if len(off) else None


def _counted(steps: np.ndarray, one: float) -> np.ndarray:
    return np.maximum(np.rint(steps / one), 1).astype(np.int64)
