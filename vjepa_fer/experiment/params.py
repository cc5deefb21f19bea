"""A cell as it was typed goes in; the same cell with every parameter by its full name and its default, comes out.

``C=1``, ``C=1.0`` and no C at all are one cell: what a probe is asked is compared and kept in this form.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import ProbeError
from vjepa_fer.experiment.protocol import DECISIONS, Cell
from vjepa_fer.recipe import split_statistics

SEED = "random_state"
"""Comes from the experiment's seed, and is a parameter of the cell only where it was typed as one."""


def resolve(cell: Cell) -> Cell:
    """The cell with all parameters of its probe: short names written out, presets unfolded, defaults filled in.

    Raises
    ------
    ProbeError
        No probe or parameter has this name.
    """
    from vjepa_fer.probes import full_parameters

    full = full_parameters(cell.probe, cell.params)
    kept = {name: canonical_number(value) for name, value in full.items() if name != SEED or SEED in cell.params}
    return dataclasses.replace(cell, params=kept)


def check_decision(cell: Cell) -> None:
    """Refuse a decision that there is not, or that the cell's probe cannot be put under.

    Raises
    ------
    ProbeError
    """
    from vjepa_fer.probes import PROBES, probe_entry

    if cell.decision not in DECISIONS:
        raise ProbeError(not_one_of("decision", cell.decision, DECISIONS))
    if cell.row == "view" and not probe_entry(cell.probe).reads_tokens:
        able = ", ".join(name for name, entry in PROBES.items() if entry.reads_tokens)
        raise ProbeError(
            f"decision {cell.decision!r} shows the probe the tokens of all windows as one sequence, and {cell.probe} reads one "
            f"vector: take --probe {able}, or another decision"
        )
    if split_statistics(cell.level)[1] and (PROBES[cell.probe].reads_tokens or cell.windowed):
        what = (
            f"{cell.probe} reads the tokens themselves"
            if not cell.windowed
            else f"decision {cell.decision!r} is by windows"
        )
        raise ProbeError(
            f"features {cell.level!r} are statistics of whole clips, and {what}: leave the statistics (--pool) out"
        )


def by_short_name(cell: Cell) -> Mapping[str, Any]:
    """All parameters of a cell, by the names that people type; of a plug-in's probe, which may not be here, those that it was kept with."""
    from vjepa_fer.probes import PROBES

    if cell.probe not in PROBES:
        return cell.params
    short = {full: name for name, full in PROBES[cell.probe].aliases.items()}
    return {short.get(name, name): value for name, value in resolve(cell).params.items()}


def told_apart(cell: Cell) -> Mapping[str, Any]:
    """The parameters by which a cell differs from its probe's defaults, by the names that people type."""
    plain = by_short_name(Cell(probe=cell.probe, params={}))
    return {name: value for name, value in by_short_name(cell).items() if name not in plain or value != plain[name]}


def canonical_number(value: Any) -> Any:
    """The value that equal values have in common: 1.0 is 1, a list is a tuple."""
    if isinstance(value, tuple | list):
        return tuple(map(canonical_number, value))
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
