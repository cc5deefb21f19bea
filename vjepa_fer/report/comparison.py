"""Numbers of several runs go in; what tells them apart, and how far each is from the others or from one reference, comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.doors import Sheet, nearest
from vjepa_fer.errors import RunError
from vjepa_fer.experiment import Cell
from vjepa_fer.judging import Comparison, compare_predictions
from vjepa_fer.report.grid import settings_of
from vjepa_fer.report.numbers import RunNumbers
from vjepa_fer.report.ticks import short, signed
from vjepa_fer.runs import encoder_sheet, fusion_sheet

MOST_OPEN = 8
"""More runs than these are a table first, compared with one of them; their details are folded."""


@dataclass(frozen=True)
class Apart:
    """How far a run is from the reference, in points, as words: the difference, its interval, and p; `value` sorts."""

    value: float
    difference: str
    interval: str
    p: str
    real: bool


@dataclass(frozen=True, eq=False)
class Compared:
    """What a page says of several runs together.

    Attributes
    ----------
    names : tuple of str
        Titles, or paths where titles are the same.
    reference : int or None
        The run that all others are compared with; None where each is with each.
    parameters : tuple of str
        Settings in which the runs differ.
    settings : tuple of mapping
        Each run's, by these names, as a value to sort by and a text; a choice among cells has none.
    comparison : Comparison or None
    why_not : str
        Why there are no differences.
    apart : tuple of (Apart or None)
        Each run's difference in WAR from the reference.
    subjects : tuple of (str, tuple of (float or None))
        Each subject's WAR in percent in each run, the most difficult first.
    encoders : Sheet or None
        What each run's encoder costs beside its WAR, where the runs are of several.
    fusions : Sheet or None
        What each run made of several streams, and how far it is from the reference.
    """

    names: tuple[str, ...]
    reference: int | None
    parameters: tuple[str, ...]
    settings: tuple[dict[str, tuple[Any, str]], ...]
    comparison: Comparison | None
    why_not: str
    apart: tuple[Apart | None, ...]
    subjects: tuple[tuple[str, tuple[float | None, ...]], ...]
    encoders: Sheet | None = None
    fusions: Sheet | None = None


def compare_runs(runs: Sequence[RunNumbers], asked: str | None = None) -> Compared:
    """Each run with each, or where they are many or a reference is asked for, with one.

    Parameters
    ----------
    runs : sequence of RunNumbers
        At least two.
    asked : str, optional
        Path, folder name or title of the reference. Where there are more than :data:`MOST_OPEN` runs, it is the first whose figure is
        one to report, or the first.

    Raises
    ------
    RunError
        The reference is none of the runs, or several.
    """
    titles = [numbers.title for numbers in runs]
    names = titles if len(set(titles)) == len(titles) else [str(numbers.run.path) for numbers in runs]
    reference = None if asked is None else find_reference(runs, asked)
    if reference is None and len(runs) > MOST_OPEN:
        reference = next((number for number, numbers in enumerate(runs) if numbers.to_report), 0)
    found, why_not = _differences(names, runs, reference)
    parameters, settings = _parameters(runs)
    apart = tuple(_apart(found, name) for name in names)
    against = names[reference] if reference is not None else names[0] if len(runs) == 2 else None
    results = {name: numbers.result for name, numbers in zip(names, runs, strict=True)}
    differences = found.to_dict()["differences"] if found else ()
    sheets = (of(results, differences, against) for of in (encoder_sheet, fusion_sheet))
    return Compared(tuple(names), reference, parameters, settings, found, why_not, apart, _subjects(runs), *sheets)


def find_reference(runs: Sequence[RunNumbers], asked: str) -> int:
    """The number of the run that is called so, by path, folder or title."""
    there = Path(asked).resolve()
    called = [(numbers.run.path.resolve() == there, asked in (numbers.name, numbers.title)) for numbers in runs]
    found = [n for n, (path, _) in enumerate(called) if path] or [n for n, (_, name) in enumerate(called) if name]
    if len(found) == 1:
        return found[0]
    names = [numbers.name for numbers in runs]
    if found:
        raise RunError(f"--reference {asked}: {len(found)} runs are called so; give the path of one")
    raise RunError(
        f"--reference {asked}: none of the {len(runs)} runs of this report; they are {', '.join(names[:3])}"
        f"{' …' if len(names) > 3 else ''}{nearest(Path(asked).name, names)}"
    )


def _differences(
    names: Sequence[str], runs: Sequence[RunNumbers], reference: int | None
) -> tuple[Comparison | None, str]:
    """The runs on their common clips; or why they cannot be compared."""
    leaky = [name for name, numbers in zip(names, runs, strict=True) if numbers.result["leaky"]]
    predictions = {name: numbers.predictions for name, numbers in zip(names, runs, strict=True)}
    chosen = None if reference is None else names[reference]
    try:
        return compare_predictions(predictions, intersect=True, leaky=leaky, reference=chosen), ""
    except RunError as error:
        return None, str(error)


def _parameters(runs: Sequence[RunNumbers]) -> tuple[tuple[str, ...], tuple[dict[str, tuple[Any, str]], ...]]:
    """The settings in which the cells among the runs differ, and each run's."""
    cells = [numbers.run.evaluation.cell for numbers in runs]
    settings = [settings_of(cell) if isinstance(cell, Cell) else {} for cell in cells]
    names = dict.fromkeys(name for one in settings for name in one)
    said = {name: {repr(one[name]) for one in settings if name in one} for name in names}
    differ = tuple(name for name in names if len(said[name]) > 1)
    return differ, tuple({n: (one[n], short(one[n])) for n in differ if n in one} for one in settings)


def _apart(found: Comparison | None, name: str) -> Apart | None:
    """The run minus the reference; of pairs that are each with each, none."""
    own = [d for d in found.differences if d.figure == "war" and d.second == name] if found else []
    if len(own) != 1:
        return None
    said = own[0].to_dict()
    interval = said["interval"]
    ends = "–" if interval is None else f"{signed(interval[0], 1)} … {signed(interval[1], 1)}"
    p = f"{said['p_holm']:.4f}" if said["real"] is not None else "cannot be judged"
    return Apart(said["value"], signed(said["value"]), ends, p, bool(said["real"]))


def _subjects(runs: Sequence[RunNumbers]) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    columns = [{one.name: 100 * one.war for one in numbers.subjects} for numbers in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, tuple(column.get(name) for column in columns)) for name in names]
    return tuple(sorted(rows, key=lambda row: (np.mean([war for war in row[1] if war is not None]), row[0])))
