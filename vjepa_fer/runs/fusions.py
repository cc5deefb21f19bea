"""Runs that make different things of the same streams go in; one table comes out: each stream alone, each fusion, and how far they are apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from vjepa_fer.doors import Column, Given, Sheet, span
from vjepa_fer.features import ONLY, Joined
from vjepa_fer.runs.against import apart_cells, apart_columns, differences_from, figure_cells

COUNTS = ("moments", "lost")


def fusion_facts(joined: Joined) -> dict[str, Any]:
    """What a run keeps of the streams behind its features.

    Returns
    -------
    dict
        ``how`` (``early``, ``late``, ``stacked``, ``only:NAME``) and ``streams``; where moments were aligned, ``moments`` and how many of these were ``lost``.
    """
    said: dict[str, Any] = {"how": joined.fusion, "streams": list(joined.streams)}
    found = joined.alignment
    return said if found is None else said | {"moments": found.num_moments, "lost": found.num_lost}


def read_fusion(said: Given) -> dict[str, Any]:
    """The same from a run's file.

    Raises
    ------
    RunError
        A value of another type.
    """
    counts = {name: said.whole(name) for name in COUNTS if name in said}
    return {"how": said.text("how"), "streams": list(said.texts("streams")), **counts}


def fusion_title(fusion: Mapping[str, Any]) -> str:
    """What a row is called: ``au alone``, ``late``, ``early, aligned``."""
    how = fusion["how"]
    if how.startswith(ONLY):
        return f"{how.removeprefix(ONLY)} alone"
    return f"{how}, aligned" if "moments" in fusion else how


def fusion_words(fusion: Mapping[str, Any]) -> str:
    """``streams au + vjepa: stacked``, and of aligned moments how many dropped out."""
    words = f"streams {' + '.join(fusion['streams'])}: {fusion_title(fusion)}"
    if "moments" not in fusion:
        return words
    return f"{words}; {fusion['lost']:,} of {fusion['moments']:,} moments had no partner near enough and dropped out"


def fusion_sheet(
    results: Mapping[str, Mapping[str, Any]],
    differences: Iterable[Mapping[str, Any]] = (),
    reference: str | None = None,
) -> Sheet | None:
    """A row a run, if they make different things of streams: WAR and UAR with intervals, and the differences to the reference's.

    Parameters
    ----------
    results : mapping of str to mapping
        By run: as :func:`vjepa_fer.runs.result_of` says. Runs without streams are left out.
    differences : iterable of mapping
        As of ``runs compare --json``; those from the reference count, p corrected for their number (Holm).
    reference : str, optional
        The run that the others are compared with.
    """
    known = {run: result for run, result in results.items() if result.get("fusion")}
    if len({fusion_title(result["fusion"]) for result in known.values()}) < 2:
        return None
    differences = list(differences)
    war, uar = (differences_from(reference, differences, figure) for figure in ("war", "uar"))
    columns = (
        Column(("run",), "run"),
        Column(("fusion",), "fusion"),
        span("war", "WAR, %", "war_low", "war_high"),
        span("uar", "UAR, %", "uar_low", "uar_high"),
        *apart_columns(war, head="WAR − reference"),
        *apart_columns(uar, key="uar_difference", head="UAR − reference"),
    )
    rows = (
        (
            run,
            fusion_title(result["fusion"]),
            figure_cells(result, "war"),
            figure_cells(result, "uar"),
            *apart_cells(war, run),
            *apart_cells(uar, run),
        )
        for run, result in known.items()
    )
    return Sheet(columns, tuple(rows))


def stacker_words(streams: Sequence[str], stackers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line a stream: ``au moves the stacked decision by 62 % (58 to 67 over 5 folds)``."""
    shares = 100 * np.array([one["shares"] for one in stackers])
    for name, own in zip(streams, shares.T, strict=True):
        yield (
            f"{name} makes up {own.mean():.0f} % of what moves the stacked decision "
            f"({own.min():.0f} to {own.max():.0f} over {len(own)} folds)"
        )
