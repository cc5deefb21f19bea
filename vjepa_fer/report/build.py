"""Paths of runs and wishes go in; the numbers of each run, with what its cache adds where it is at hand, come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.cache import Cache, open_cache
from vjepa_fer.errors import CacheError, RecipeMismatchError, RunError, VjepaFerError
from vjepa_fer.report.numbers import RunNumbers, numbers_of
from vjepa_fer.report.projection import Method, Projection, project
from vjepa_fer.runs import RUN_JSON, Run, read_run


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a report adds to a run's own numbers.

    Attributes
    ----------
    cache : Path, optional
        Where the features are, if not where the run says.
    method : {"pca", "tsne"}
        Of the projection.
    by : tuple of str
        Manifest columns to give figures by, in place of the run's own.
    seed : int
        Of the clips that are drawn for the projection.
    """

    cache: Path | None = None
    method: Method = "pca"
    by: tuple[str, ...] = ()
    seed: int = 0


def gather_numbers(
    paths: Sequence[str | os.PathLike[str]], settings: ReportSettings | None = None
) -> tuple[RunNumbers, ...]:
    """The numbers of each run, in the order given; a run given twice counts once.

    Raises
    ------
    RunError
        No run, a damaged one, or one of a newer version; or `by` without a cache.
    RecipeMismatchError
        ``settings.cache`` holds other features than the run was made from.
    """
    different = dict.fromkeys(Path(path).resolve() for path in paths)
    asked = {Path(path).resolve(): Path(path) for path in reversed(paths)}  # as typed, for messages
    return tuple(_one(asked[path], settings or ReportSettings()) for path in different)


def _one(path: Path, settings: ReportSettings) -> RunNumbers:
    run = _read(path)
    notes: list[str] = []
    cache = _find_cache(run, settings, notes)
    if settings.by and cache is None:
        raise RunError(f"{path}: figures by {', '.join(settings.by)} need the cache's manifest; {notes[0]}")
    projection = None if cache is None else _project(cache, run, settings, notes)
    return numbers_of(run, cache=cache, projection=projection, by=settings.by, notes=notes)


def _read(path: Path) -> Run:
    try:
        return read_run(path)
    except RunError as error:
        inside = [] if (path / RUN_JSON).exists() else sorted(p.parent for p in path.glob(f"*/{RUN_JSON}"))
        nested = [p for p in inside if "-nested" in p.name]
        if inside:
            error.add_note(f"There are {len(inside)} runs in it; try {(nested or inside)[0]}")
        raise


def _find_cache(run: Run, settings: ReportSettings, notes: list[str]) -> Cache | None:
    """The cache asked for, or the one that the run names if it is still there and the same."""
    said = settings.cache or (Path(run.cache) if run.cache else None)
    if said is None:
        notes.append("the run does not say where its features are; --cache CACHE does")
        return None
    try:
        cache = open_cache(said)
        if cache.fingerprint != run.settings.get("fingerprint"):
            raise RecipeMismatchError(f"{said}: holds other features than {run.path} was made from")
    except (CacheError, RecipeMismatchError) as error:
        if settings.cache is not None:
            raise
        notes.append(f"its features are not at hand ({error}); --cache CACHE says where they are")
        return None
    return cache


def _project(cache: Cache, run: Run, settings: ReportSettings, notes: list[str]) -> Projection | None:
    level = run.evaluation.cell.level.split(",")[0]
    try:
        return project(cache, run.evaluation.predictions, level, method=settings.method, seed=settings.seed)
    except VjepaFerError as error:
        notes.append(f"no projection: {error}")
        return None
