"""Paths of runs and wishes go in; the numbers of each run, with what its cache adds where it is at hand, come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vjepa_fer.cache import Cache, open_cache
from vjepa_fer.errors import CacheError, RecipeMismatchError, RunError, VideoError, VjepaFerError
from vjepa_fer.recipe import Recipe
from vjepa_fer.report.numbers import RunNumbers, numbers_of
from vjepa_fer.report.projection import Method, Projection, project
from vjepa_fer.runs import RUN_JSON, Run, read_run

MOST_RUNS = 12
"""A folder of more runs than these makes no page that anyone would read."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What a report adds to a run's own numbers.

    Attributes
    ----------
    cache : Path, optional
        Where the features are, if not where the run says.
    method : {"tsne", "pca"}
        Of the projection.
    by : tuple of str
        Manifest columns to give figures by, in place of the run's own.
    seed : int
        Of the clips that are drawn for the projection.
    thumbnails : bool
        Show some frames of the clips that are most often wrong, where their videos are at hand. Faces are personal data: a page
        with thumbnails is shared as its videos are.
    videos : Path, optional
        The folder that the manifest's paths start from, if not the current one.
    """

    cache: Path | None = None
    method: Method = "tsne"
    by: tuple[str, ...] = ()
    seed: int = 0
    thumbnails: bool = False
    videos: Path | None = None


def gather_numbers(
    paths: Sequence[str | os.PathLike[str]], settings: ReportSettings | None = None
) -> tuple[RunNumbers, ...]:
    """The numbers of each run, in the order given; a run given twice counts once.

    A folder that ``probe --out`` filled stands for the honest choice of each family in it, or where nothing was chosen, for its runs.

    Raises
    ------
    RunError
        No run, a damaged one, or one of a newer version; or `by` without a cache.
    RecipeMismatchError
        ``settings.cache`` holds other features than the run was made from.
    """
    runs = [run for path in paths for run in _runs_in(Path(path))]
    different = dict.fromkeys(path.resolve() for path in runs)
    asked = {path.resolve(): path for path in reversed(runs)}  # as typed, for messages
    return tuple(_one(asked[path], settings or ReportSettings()) for path in different)


def _runs_in(path: Path) -> list[Path]:
    """The folder itself if it is a run, or holds none; else the runs in it that a page should be about."""
    inside = [] if (path / RUN_JSON).exists() else sorted(found.parent for found in path.glob(f"*/{RUN_JSON}"))
    chosen = [run for run in inside if "-nested" in run.name] or inside
    if len(chosen) > MOST_RUNS:
        raise RunError(
            f"{path}: there are {len(chosen)} runs in it, too many for one page; name up to {MOST_RUNS} of them, such as {chosen[0]}"
        )
    return chosen or [path]


def _one(path: Path, settings: ReportSettings) -> RunNumbers:
    run = read_run(path)
    notes: list[str] = []
    cache = _find_cache(run, settings, notes)
    if settings.by and cache is None:
        raise RunError(f"{path}: figures by {', '.join(settings.by)} need the cache's manifest; {notes[0]}")
    projection = None if cache is None else _project(cache, run, settings, notes)
    numbers = numbers_of(run, cache=cache, projection=projection, by=settings.by, notes=notes)
    return _with_strips(numbers, cache, settings) if settings.thumbnails else numbers


def _find_cache(run: Run, settings: ReportSettings, notes: list[str]) -> Cache | None:
    """The cache asked for, or the one that the run names if it is still there and the same."""
    if settings.cache is None and run.evaluation.folds.name.startswith("test-on:"):
        notes.append("trained on one corpus and tested on another: the features of the two are not drawn")
        return None
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


def _with_strips(numbers: RunNumbers, cache: Cache | None, settings: ReportSettings) -> RunNumbers:
    """The mistakes with their pictures; what could not be shown is a note."""
    if cache is None:
        return replace(
            numbers, notes=(*numbers.notes, "no thumbnails: the paths of the videos are in the cache's manifest")
        )
    from vjepa_fer.report.thumbnails import thumbnail_strip

    place = {clip.clip_id: number for number, clip in enumerate(cache.clips)}
    strips: dict[str, bytes] = {}
    lacking: list[str] = []
    for one in numbers.mistakes:
        try:
            clip = cache[place[one.clip_id]]
            sha256 = clip.source_sha256 if isinstance(cache.recipe, Recipe) else None
            strips[one.clip_id] = thumbnail_strip((settings.videos or Path()) / clip.clip.path, sha256=sha256)
        except (VideoError, KeyError) as error:
            lacking.append(str(error) if isinstance(error, VideoError) else f"{one.clip_id} is not in the cache")
    mistakes = tuple(replace(one, strip=strips.get(one.clip_id)) for one in numbers.mistakes)
    note = f"no thumbnails of {len(lacking)} of {len(mistakes)} clips; the first: {lacking[0]}" if lacking else ""
    return replace(numbers, mistakes=mistakes, notes=(*numbers.notes, note) if note else numbers.notes)


def _project(cache: Cache, run: Run, settings: ReportSettings, notes: list[str]) -> Projection | None:
    level = run.evaluation.cell.level.split(",")[0]
    try:
        return project(cache, run.evaluation.predictions, level, method=settings.method, seed=settings.seed)
    except VjepaFerError as error:
        notes.append(f"no projection: {error}")
        return None
