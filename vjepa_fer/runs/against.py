"""Differences between runs go in; the cells that tell each run's figure, and how far it is from the reference's, come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vjepa_fer.doors import Column, span

Differences = Mapping[str, Mapping[str, Any]]
"""By run, what ``runs compare --json`` says of its difference from the reference."""


def differences_from(reference: str | None, differences: Iterable[Mapping[str, Any]], figure: str) -> Differences:
    """Those of a figure (``war``, ``uar``) that start from the reference, by run."""
    return {one["second"]: one for one in differences if one["figure"] == figure and one["first"] == reference}


def figure_cells(result: Mapping[str, Any], figure: str) -> tuple[float, float | None, float | None]:
    """A figure of all clips, and the ends of its interval, in percent."""
    low, high = result[figure]["interval"] or (None, None)
    return result[figure]["pooled"], low, high


def apart_columns(apart: Differences, *, key: str = "difference", head: str = "− reference") -> tuple[Column, ...]:
    """Columns for :func:`apart_cells`: none where nothing was compared."""
    if not apart:
        return ()
    p = "p_holm" if key == "difference" else f"{key}_p_holm"
    return span(key, head, f"{key}_low", f"{key}_high", signed=True), Column((p,), "p Holm", "number", digits=4)


def apart_cells(apart: Differences, run: str) -> tuple[Any, ...]:
    """The difference with its interval, and p corrected for the number of runs; None where too few subjects differ to judge."""
    if not apart:
        return ()
    one = apart.get(run)
    if one is None:  # the reference itself
        return (None, None, None), None
    low, high = one["interval"] or (None, None)
    return (one["value"], low, high), None if one["real"] is None else one["p_holm"]
