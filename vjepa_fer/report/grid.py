"""A run goes in; the other cells of its sweep, as they lie beside it, come out as a curve or a table of WAR."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.errors import VjepaFerError
from vjepa_fer.experiment import PLAN_WORDS, Cell, Nest, Plan, by_short_name
from vjepa_fer.judging import Predictions, Score
from vjepa_fer.report.shelf import Shelf
from vjepa_fer.runs import BEST, Run, runs_of


@dataclass(frozen=True)
class Axis:
    """What varies, and its values in ascending order where they have one."""

    name: str
    values: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        """The values are numbers: there is an edge beyond which better ones may lie."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)


@dataclass(frozen=True, eq=False)
class GridPoint:
    """One cell.

    Attributes
    ----------
    at : tuple of int
        Position on each axis; -1 where the cell has no such parameter.
    words : str
    war, sd : float
        Mean and sd over folds, percent; `sd` is 0 for a single fold.
    chosen_in : tuple of int
        The folds whose training part chose it.
    """

    at: tuple[int, ...]
    words: str
    war: float
    sd: float
    chosen_in: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Grid:
    """A sweep; `chosen` are the numbers of the points that inner folds chose, or else the best one."""

    axes: tuple[Axis, ...]
    points: tuple[GridPoint, ...]
    nested: bool

    @property
    def chosen(self) -> tuple[GridPoint, ...]:
        """What inner folds chose; without them, the best on the test parts."""
        if self.nested:
            return tuple(point for point in self.points if point.chosen_in)
        return (max(self.points, key=lambda point: point.war),)


@dataclass(frozen=True, eq=False)
class Sweep:
    """The cells beside a run.

    Attributes
    ----------
    cells : tuple of Run
        Single cells of the same probe and level, judged on the same clips and folds, by name; the run itself included if it is one.
    war : tuple of Score
        Of each.
    times_wrong : mapping of str to int
        How many of them are wrong about each clip; clips about which none is are left out.
    """

    cells: tuple[Run, ...]
    war: tuple[Score, ...]
    times_wrong: Mapping[str, int]


def sweep_of(run: Run, shelf: Shelf) -> tuple[Sweep, tuple[str, ...]]:
    """The cells beside a run, and a line for each neighbour that cannot be read; of the cells of one sweep, one and the same value."""
    found, unread = [], []
    for folder in shelf.once(("beside", run.path.resolve().parent), lambda: _neighbours(run)):
        try:
            if _same_sweep(*shelf.plan(folder), run):
                found.append(shelf.run(folder))
        except VjepaFerError as error:
            unread.append(f"a neighbouring run is left out of the sweep: {error}")
    key = ("sweep", *(one.path for one in found))
    return shelf.once(key, lambda: look_at_cells(found)), tuple(unread)


def look_at_cells(cells: Sequence[Run]) -> Sweep:
    """What is counted over all cells, counted once."""
    war = tuple(one.evaluation.scores["war"] for one in cells)
    return Sweep(tuple(cells), war, count_wrong([one.evaluation.predictions for one in cells]))


def count_wrong(judged: Sequence[Predictions]) -> Mapping[str, int]:
    """How many of some predictions are wrong about each clip, for the clips where one is."""
    return Counter(clip for one in judged for clip in one.clip_ids[one.predicted != one.truth].tolist())


def _neighbours(run: Run) -> list[Path]:
    """The run folders beside it, itself included; what is closed to us, such as other people's folders, is none of its sweep."""
    try:
        parent = run.path.resolve().parent
        folders = runs_of(parent.parent if parent.name == BEST else parent)
    except OSError:
        return [run.path]
    return [folder for folder in folders if os.access(folder, os.R_OK | os.X_OK)]


def _same_sweep(settings: Mapping[str, Any], plan: Plan, run: Run) -> bool:
    own = run.evaluation.cell
    if not isinstance(plan, Cell) or (isinstance(own, Nest) and plan not in own.cells):
        return False
    if isinstance(own, Cell) and (plan.probe, plan.level) != (own.probe, own.level):
        return False
    names = {*settings, *run.settings}.difference(PLAN_WORDS)
    return all(settings.get(name) == run.settings.get(name) for name in names)


def grid_of(run: Run, sweep: Sweep) -> Grid | None:
    """The sweep as axes and points; None where nothing was given two values."""
    settings = [settings_of(one.evaluation.cell) for one in sweep.cells]
    axes = _axes(settings)
    if not axes:
        return None
    choices = run.evaluation.choices
    points = [
        GridPoint(
            at=tuple(axis.values.index(values[axis.name]) if axis.name in values else -1 for axis in axes),
            words=", ".join(f"{axis.name}={values[axis.name]}" for axis in axes if axis.name in values),
            war=100 * war.mean,
            sd=100 * (war.sd or 0),
            chosen_in=tuple(fold for fold, choice in enumerate(choices) if choice.cell == one.evaluation.cell),
        )
        for one, war, values in zip(sweep.cells, sweep.war, settings, strict=True)
    ]
    return Grid(axes, tuple(sorted(points, key=lambda point: point.at)), nested=bool(choices))


def settings_of(cell: Any) -> dict[str, Any]:
    """Everything that a cell was given, by the names that people type."""
    return {
        **by_short_name(cell),
        "features": cell.level,
        "scale": cell.scale,
        "decision": cell.decision,
        "probe": cell.probe,
    }


def _axes(settings: Sequence[dict[str, Any]]) -> tuple[Axis, ...]:
    """What differs between cells, the longest first: it goes along the chart."""
    names = dict.fromkeys(name for values in settings for name in values)
    axes = [Axis(name, _ascending([values[name] for values in settings if name in values])) for name in names]
    return tuple(sorted((axis for axis in axes if len(axis.values) > 1), key=lambda a: (not a.ordered, -len(a.values))))


def _ascending(values: Sequence[Any]) -> tuple[Any, ...]:
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    axis = Axis("", tuple(different))
    return tuple(sorted(different, key=None if axis.ordered else str))
