"""What a user typed goes in (probes, levels, ``C=0.1,1``); the cells of the sweep come out."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vjepa_fer.doors import nearest
from vjepa_fer.errors import ProbeError
from vjepa_fer.experiment.params import check_decision
from vjepa_fer.experiment.protocol import MEAN_FEATURE, Cell
from vjepa_fer.recipe import with_statistics

Grid = Mapping[str, Sequence[Any]]
"""Values to try by parameter name, as typed; ``mlp.alpha`` is meant for the probe mlp only."""


def parse_value(text: str) -> Any:
    """A parameter's value: whole number, float, true/false, none, ``(80, 40)``, else the text itself."""
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        return tuple(parse_value(part) for part in text[1:-1].split(",") if part.strip())
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_params(assignments: Sequence[str]) -> dict[str, list[Any]]:
    """Read ``NAME=VALUE[,VALUE…]`` or ``NAME=logspace:FIRST:LAST:COUNT`` (powers of ten) into values by name.

    Raises
    ------
    ProbeError
        Not of this form, a name twice, or a value that is missing or listed twice.
    """
    grid: dict[str, list[Any]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not (equals and name and text.strip()):
            raise ProbeError(
                f"parameter {assignment!r} is not NAME=VALUE, such as k=10 or C=0.1,1 or C=logspace:-5:1:12"
            )
        if name in grid:
            raise ProbeError(f"parameter {name!r} is given twice; list its values with commas: {name}=1,2")
        grid[name] = _values(name, text.strip())
    return grid


def _values(name: str, text: str) -> list[Any]:
    if text.startswith("logspace:"):
        return _logspace(name, text)
    values = [parse_value(part) for part in re.split(r",(?![^(]*\))", text)]  # commas inside (80, 40) separate nothing
    if "" in values or any(values.count(v) > 1 for v in values):
        raise ProbeError(f"parameter {name}={text}: a value is missing or listed twice")
    return values


def _logspace(name: str, text: str) -> list[float]:
    try:
        first, last, count = text.split(":")[1:]
        low, high, num = float(first), float(last), int(count)
    except ValueError:
        low = high = math.nan
        num = 0
    if not (math.isfinite(low) and math.isfinite(high) and 2 <= num <= 1000):
        raise ProbeError(
            f"parameter {name}={text} is not logspace:FIRST:LAST:COUNT, such as logspace:-5:1:12 for 1e-5 … 10"
        )
    return [float(f"{10 ** (low + (high - low) * i / (num - 1)):.6g}") for i in range(num)]


def make_cells(
    probes: Sequence[str],
    levels: Sequence[str],
    grid: Grid,
    *,
    scales: Sequence[str],
    decisions: Sequence[str] = (MEAN_FEATURE,),
    pool: Sequence[str] = (),
) -> list[Cell]:
    """Every combination. A parameter goes to those probes that have it; a probe that norms its tokens itself has scale none.

    With `pool`, of every level the statistics over time that it names, side by side.

    Raises
    ------
    ProbeError
        A probe or a decision that does not exist, a parameter that none of the probes has, or a decision that one of the probes
        cannot be put under.
    """
    from vjepa_fer.probes import probe_entry, probe_parameters

    entries = {probe: probe_entry(probe) for probe in probes}
    known = {
        probe: {*probe_parameters(probe), *entry.aliases, *(["preset"] if entry.presets else [])}
        for probe, entry in entries.items()
    }
    for name in grid:
        if not any(_meant_for(name, probe, known[probe]) for probe in probes):
            listed = "; ".join(f"{probe} has {', '.join(sorted(names))}" for probe, names in known.items())
            near = nearest(_bare(name), set().union(*known.values()))
            raise ProbeError(f"no probe asked for has a parameter {name!r}: {listed}{near}")
    cells = [
        Cell(probe=probe, params=params, level=level, scale=scale, decision=decision)
        for probe in probes
        for level in (with_statistics(level, pool) for level in levels)
        for scale in (("none",) if entries[probe].reads_tokens else scales)
        for decision in decisions
        for params in _combinations({_bare(n): v for n, v in grid.items() if _meant_for(n, probe, known[probe])})
    ]
    for cell in cells:
        check_decision(cell)
    return cells


def _meant_for(name: str, probe: str, known: set[str]) -> bool:
    owner, dot, bare = name.rpartition(".")
    return bare in known and (not dot or owner == probe)


def _bare(name: str) -> str:
    return name.rpartition(".")[2]


def _combinations(grid: Grid) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
