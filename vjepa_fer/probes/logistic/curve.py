"""A grid of C goes in as points on a curve; each is begun where the points before it say that the curve goes on.

::

    C          .  .  .  .  .  .  .  .          smooth in log C
    stations   S     S     S     S             each begun from the last three, ``STEP`` decades apart at most
    between       +     +     +                begun from the stations on both sides; most are there already

The first stations, A, and those after a gap, are begun anew, all together: where nothing is known of a curve no point tells the next, and
a product with many vectors takes little longer than with one. All weights come of the same training clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes.logistic.descent import Problem
from vjepa_fer.probes.logistic.newton import Finished, Place, at_a_time, finish, go_on, objectives
from vjepa_fer.probes.logistic.spaces import Space, polynomial

STEP = 0.6
"""Decades of C from station to station, at most, where there are points between them."""

GAP = 1.0
"""Decades without a point after which one is begun anew."""

BEHIND = 3
"""Stations that tell where the next one lies: further ones tell of other weather."""

FEWEST, MOST = 2, 8
"""Stations of a run that are begun anew."""

EASY = 0.5
"""The least penalty, in second derivatives by such a direction, at which more than the fewest are. This and ``MOST`` were chosen by counted
products on drawn features of 2,452 × 1,280; they cost steps, and no accuracy, where they do not suit."""


@dataclass(frozen=True)
class _Station:
    """Where the curve is at ``log`` of C, and the smallest eigenvalue known of its preconditioned model."""

    log: float
    place: Place
    smallest: float


def stations(logs: NDArray) -> list[list[int]]:
    """Numbers of the stations on rising decades of C, ``(J,)``, run by run; what lies between two of a run is on its curve."""
    runs = [[0]]
    for number in range(1, len(logs)):
        last = runs[-1][-1]
        far = logs[number] - logs[last] > STEP
        if far and last < number - 1:
            runs[-1].append(number - 1)
        if logs[number] - logs[number - 1] > GAP:
            runs.append([number])
        elif logs[number] - logs[runs[-1][-1]] > STEP:
            runs[-1].append(number)
    if runs[-1][-1] < len(logs) - 1:
        runs[-1].append(len(logs) - 1)
    return runs


@dataclass(frozen=True)
class Run:
    """Numbers of stations without a gap between them; the first `begun` of them are begun anew."""

    stations: list[int]
    begun: int


def plan(problem: Problem, variance: float, num_classes: int) -> list[Run]:
    """The grid's runs. Begun anew are two stations of each, and those where the penalty is not small beside what clips say along a
    direction of their mean `variance`: these are nearly there from the start."""
    easy = problem.penalties >= EASY * (num_classes - 1) / num_classes**2 * variance
    runs = stations(-np.log10(problem.penalties))
    return [Run(run, min(max(FEWEST, int(easy[run].sum())), MOST, len(run))) for run in runs]


def heads(runs: Sequence[Run]) -> list[int]:
    """Numbers of the stations that are begun anew, ``(H,)``, run by run."""
    return [number for run in runs for number in run.stations[: run.begun]]


def walk(
    space: Space, problem: Problem, runs: Sequence[Run], start: NDArray, *, tol: float, max_iter: int
) -> tuple[NDArray, NDArray[np.intp], NDArray[np.bool_]]:
    """Vectors ``(J, V)`` within `tol` of their optima, steps and whether they are, ``(J,)``: penalties fall along the grid.

    `start`, ``(H, V)``, is where the :func:`heads` begin.
    """
    return _Walk(space, problem, tol, max_iter).along(runs, start)


class _Walk:
    def __init__(self, space: Space, problem: Problem, tol: float, max_iter: int) -> None:
        self.space, self.problem, self.tol, self.max_iter = space, problem, tol, max_iter
        self.logs = -np.log10(problem.penalties)
        self.taken, self.done = np.zeros(len(self.logs), np.intp), np.zeros(len(self.logs), bool)

    def along(self, runs: Sequence[Run], start: NDArray) -> tuple[NDArray, NDArray[np.intp], NDArray[np.bool_]]:
        first = np.array(heads(runs))
        begun = finish(self.space, self._of(first), start, tol=self.tol, max_iter=self.max_iter)
        self.vectors = np.zeros((len(self.logs), start.shape[1]))
        self._keep(first, begun)
        smallest = dict(zip(first.tolist(), begun.smallest.tolist(), strict=True))
        for run in runs:
            if len(run.stations) > 1:
                self._run(run.stations, run.begun, smallest)
        return self.vectors, self.taken, self.done

    def _run(self, run: Sequence[int], count: int, smallest: Mapping[int, float]) -> None:
        """One station after the other, and then what lies between them, as much at a time as memory has room for."""
        begun = list(run[:count])
        places = Place.of(self.space, self.vectors[begun])
        known = [
            _Station(self.logs[number], places.take(np.array([at])), smallest[number])
            for at, number in enumerate(begun)
        ]
        for number in run[count:]:
            place, ended = self._solve([number], [known[-BEHIND:]])
            known.append(_Station(self.logs[number], place, float(ended.smallest[0])))
        gaps = np.searchsorted(run, np.arange(run[0], run[-1]), side="right")
        between = [(number, gap) for number, gap in enumerate(gaps.tolist(), run[0]) if number not in run]
        at_once = at_a_time(self.space, len(self.problem.codes))
        for start in range(0, len(between), at_once):
            numbers, after = zip(*between[start : start + at_once], strict=True)
            self._solve(numbers, [known[max(gap - 2, 0) : gap + 2] for gap in after])

    def _solve(self, numbers: Sequence[int], known: Sequence[Sequence[_Station]]) -> tuple[Place, Finished]:
        """Some problems at once, each from the stations known near it."""
        where = np.array(numbers)
        smallest = np.array([min(station.smallest for station in near) for near in known])
        starts = [self._begin(number, near) for number, near in zip(numbers, known, strict=True)]
        start, own = Place.stack(starts), self._of(where)
        place, ended = go_on(self.space, own, start, tol=self.tol, max_iter=self.max_iter, smallest=smallest)
        self._keep(where, ended)
        return place, ended

    def _begin(self, number: int, known: Sequence[_Station]) -> Place:
        """Where the objective is least: stations that are not quite at their optima make a high polynomial worse than a low one."""
        places = [_predicted(known[-count:], self.logs[number]) for count in range(1, len(known) + 1)]
        own = self._of(np.array([number]))
        return min(places, key=lambda place: float(objectives(place, own)[0]))

    def _of(self, where: NDArray[np.intp]) -> Problem:
        return replace(self.problem, penalties=self.problem.penalties[where])

    def _keep(self, where: NDArray[np.intp], ended: Finished) -> None:
        self.vectors[where], self.taken[where], self.done[where] = ended.vectors, ended.taken, ended.done


def _predicted(known: Sequence[_Station], log: float) -> Place:
    """Where the polynomial through the stations is at another log of C."""
    shares = polynomial(np.array([station.log for station in known]), log)
    return Place.sum([np.array([share]) for share in shares], [station.place for station in known])
