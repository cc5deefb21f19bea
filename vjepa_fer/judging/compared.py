"""A comparison in the words of ``--json`` goes in; a table to paste comes out: a row a pair and figure, with both values.

What must be read beside a difference stands in its row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from vjepa_fer.doors import Column, Sheet, span

LEAKY = "LEAKY, not comparable"
ONE_OF_SEVERAL = "picked from several, not the figure to report"
P_VALUES = (("p", "p"), ("p_holm", "p Holm"), ("p_mcnemar", "McNemar"))


def comparison_sheet(compared: Mapping[str, Any], leaky: Collection[str] = (), picked: Collection[str] = ()) -> Sheet:
    """A row a pair and figure of ``runs compare --json``: both values, their difference and whether it is real."""
    value = {run["name"]: run for run in compared["runs"]}
    notes = dict.fromkeys(leaky, LEAKY) | {name: ONE_OF_SEVERAL for name in picked if name not in leaky}
    columns = (
        Column(("figure",), "figure"),
        Column(("first",), "first"),
        Column(("second",), "second"),
        Column(("first_value",), "first, %", "number"),
        Column(("second_value",), "second, %", "number"),
        span("difference", "second − first", "difference_low", "difference_high", signed=True),
        *(Column((key,), head, "number", digits=4) for key, head in P_VALUES),
        Column(("real",), "real"),
        Column(("note",), "note", aside=not notes),
        Column(("n_clips",), "clips", "count", aside=True),
        Column(("n_subjects",), "subjects", "count", aside=True),
    )
    rows = []
    for one in compared["differences"]:
        both, key = (one["first"], one["second"]), one["figure"]
        about = _note(both, notes)
        figures = (value[both[0]][key], value[both[1]][key], (one["value"], *(one["interval"] or (None, None))))
        p_values = (one["p"], one["p_holm"], one["p_mcnemar"])
        rows.append(
            (key.upper(), *both, *figures, *p_values, _verdict(one), about, compared["n_clips"], compared["n_subjects"])
        )
    return Sheet(columns, tuple(rows))


def _verdict(difference: Mapping[str, Any]) -> str:
    return "LEAKY" if difference["leaky"] else {None: "cannot be judged", True: "yes", False: "no"}[difference["real"]]


def _note(both: tuple[str, str], notes: Mapping[str, str]) -> str:
    said = [notes.get(name, "") for name in both]
    if said[0] == said[1]:
        return said[0] and f"both: {said[0]}"
    return "; ".join(f"{name}: {note}" for name, note in zip(both, said, strict=True) if note)
