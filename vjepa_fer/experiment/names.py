"""A plan goes in; what people call it, and the name of its folder, come out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from vjepa_fer.disk import on_disk
from vjepa_fer.doors import canonical_json
from vjepa_fer.experiment.params import by_short_name, told_apart
from vjepa_fer.experiment.protocol import MEAN_FEATURE, Cell, Plan

DOT = " · "
LONGEST = 80
"""Characters of a folder's name before its hash: some disks take 255 bytes, and paths add up."""


def plan_title(plan: Plan) -> str:
    """``logreg C=10 · frames · standard``; of a choice, ``best of 4 logreg cells · frames``."""
    if isinstance(plan, Cell):
        return cell_title(plan, told_apart(plan))
    probes, levels = (list(dict.fromkeys(getattr(cell, name) for cell in plan.cells)) for name in ("probe", "level"))
    kind = f"{probes[0]} cell" if len(probes) == 1 else "cell"
    level = [levels[0]] if len(levels) == 1 else []
    return DOT.join([f"best of {len(plan.cells)} {kind}{'s' * (len(plan.cells) > 1)}", *level])


def cell_title(cell: Cell, params: Mapping[str, Any], *, leave_out: Sequence[str] = ()) -> str:
    """A cell in words: its probe with some of its parameters, level, scaling, and decision where it is not the usual one.

    Parameters
    ----------
    leave_out : sequence of {"features", "scale", "decision"}
        What a table's heading says for all of its rows.
    """
    given = {"features": cell.level, "scale": cell.scale, "decision": cell.decision}
    named = [value for name, value in given.items() if name not in leave_out and value != MEAN_FEATURE]
    return DOT.join([" ".join([cell.probe, *(f"{name}={spelled(value)}" for name, value in params.items())]), *named])


def cell_titles(cells: Sequence[Cell], *, leave_out: Sequence[str] = ()) -> list[str]:
    """Of cells in one list: each with the parameters that differ from its probe's defaults, and those that tell it from the others."""
    apart, titles = [told_apart(cell) for cell in cells], []
    for cell, own in zip(cells, apart, strict=True):
        peers = [other for other in cells if other.probe == cell.probe]
        told = {name for other, named in zip(cells, apart, strict=True) if other.probe == cell.probe for name in named}
        given = by_short_name(cell) if told and len(peers) > 1 else own
        titles.append(cell_title(cell, {n: v for n, v in given.items() if n in told}, leave_out=leave_out))
    return titles


def folder_name(plan: Plan) -> str:
    """:func:`plan_title` in letters that every disk takes; whatever it does not tell apart, a short hash does.

    Cells that differ from the defaults in nothing that the name could lose have none; nor would a disk that ignores letter case
    take two of these for one.
    """
    name = _safe(plan_title(plan))
    if (
        isinstance(plan, Cell)
        and not told_apart(plan)
        and name == on_disk(name)
        and _safe(plan.level) == _without_colons(plan.level)
    ):
        return name
    digest = hashlib.sha256(canonical_json(plan.to_dict()).encode()).hexdigest()
    return f"{name[:LONGEST].rstrip('-.')}-{digest[:8]}"


def _safe(title: str) -> str:
    """``logreg C=10 · frames`` as ``logreg-C10-frames``."""
    return re.sub(r"[^A-Za-z0-9.+_]+", "-", _without_colons(title.replace("=", ""))).strip("-.")


def _without_colons(title: str) -> str:
    """``grid:4`` as ``grid4``, ``frames:mean+std`` as ``frames-mean+std``."""
    return re.sub(r":(?=[a-z])", "-", title).replace(":", "")


def spelled(value: Any) -> str:
    """A parameter's value as it is typed: ``none``, ``true``, ``(80, 40)``."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(spelled, value))}{',' * (len(value) == 1)})"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return str(value)
