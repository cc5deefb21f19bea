"""Paths of runs and wishes go in; the numbers of each run, with what its cache adds where it is at hand, come out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vjepa_fer.cache import Cache
from vjepa_fer.disk import is_url
from vjepa_fer.errors import CacheError, RecipeMismatchError, RunError, VideoError, VjepaFerError
from vjepa_fer.recipe import Recipe
from vjepa_fer.report.grid import sweep_of
from vjepa_fer.report.numbers import RunNumbers, numbers_of
from vjepa_fer.report.projection import Method, Projection, level_to_show, project
from vjepa_fer.report.shelf import Shelf
from vjepa_fer.runs import RUN_JSON, Run, check_run, chosen_of, runs_of, to_report

Looked = TypeVar("Looked")
MOST_RUNS = 60
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
    paths: Sequence[str | os.PathLike[str]],
    settings: ReportSettings | None = None,
    *,
    progress: Callable[[str], None] = lambda word: None,
) -> tuple[RunNumbers, ...]:
    """The numbers of each run, in the order given; a run given twice counts once. Every run and cache is read once.

    A folder that ``probe --out`` filled stands for the choice among all of its cells and that of each family, or where nothing was
    chosen, for its runs.
    Runs of such a folder that cannot be read are named in ``unread`` of the others. `progress` is called with a word before each
    run is read, each cache is opened or projected, and each run's numbers are computed.

    Raises
    ------
    RunError
        No run, a damaged one that was named or has no other beside it, or one of a newer version; or `by` without a cache.
    RecipeMismatchError
        ``settings.cache`` holds other features than the run was made from.
    """
    shelf = Shelf(progress)
    runs, unread = _gather_runs([Path(path) for path in paths], shelf)
    found = (_one(run, settings or ReportSettings(), shelf) for run in runs)
    honest = to_report(runs)
    return tuple(replace(n, unread=tuple(unread), to_report=fine) for n, fine in zip(found, honest, strict=True))


def _gather_runs(paths: Sequence[Path], shelf: Shelf) -> tuple[list[Run], list[str]]:
    """The runs that are named or stand for a folder, each once; and why others of these folders cannot be read."""
    runs: dict[Path, Run] = {}
    unread: list[str] = []
    for path in paths:
        inside = _runs_inside(path)
        found, broken = _read_all(inside, shelf) if inside else ([shelf.run(path)], [])
        for run in found:
            runs.setdefault(run.path.resolve(), run)
        unread += broken
    return list(runs.values()), list(dict.fromkeys(unread))


def _runs_inside(path: Path) -> list[Path]:
    """The run folders of a folder that is none itself, what was chosen first."""
    return [] if not path.is_dir() or os.path.lexists(path / RUN_JSON) else runs_of(path)


def _read_all(inside: Sequence[Path], shelf: Shelf) -> tuple[list[Run], list[str]]:
    """Those of a folder's runs that a page should be about, and why some of all cannot be read."""
    unread: list[str] = []
    chosen = chosen_of(inside)
    others = [path for path in inside if path not in chosen]
    runs = _look_at(_few(chosen, unread), shelf.run, unread)
    if runs:
        _look_at(others, check_run, unread)
    else:
        runs = [run for run in _look_at(_few(others, unread), shelf.run, unread) if not run.repeats_a_cell]
    if not runs:
        raise RunError("\n".join([f"{inside[0].parent}: none of its runs can be read:", *unread]))
    return runs, unread


def _few(paths: Sequence[Path], unread: Sequence[str]) -> Sequence[Path]:
    if len(paths) <= MOST_RUNS:
        return paths
    many = f"{paths[0].parent}: there are {len(paths)} runs in it, too many for one page; name up to {MOST_RUNS} of them, such as {paths[0]}"
    raise RunError("\n".join([many, *unread]))


def _look_at(paths: Sequence[Path], look: Callable[[Path], Looked], unread: list[str]) -> list[Looked]:
    """What `look` makes of each path; why it cannot goes to `unread`."""
    seen: list[Looked] = []
    for path in paths:
        try:
            seen.append(look(path))
        except VjepaFerError as error:
            unread.append(str(error))
    return seen


def _one(run: Run, settings: ReportSettings, shelf: Shelf) -> RunNumbers:
    notes: list[str] = []
    cache = _find_cache(run, settings, shelf, notes)
    if settings.by and cache is None:
        raise RunError(f"{run.path}: figures by {', '.join(settings.by)} need the cache's manifest; {notes[0]}")
    projection = None if cache is None else _project(cache, run, settings, shelf, notes)
    sweep, unread = sweep_of(run, shelf)
    notes += unread
    shelf.progress(f"figures of {run.path.name}")
    numbers = numbers_of(run, sweep=sweep, cache=cache, projection=projection, by=settings.by, notes=notes)
    return _with_strips(numbers, cache, settings) if settings.thumbnails else numbers


def _find_cache(run: Run, settings: ReportSettings, shelf: Shelf, notes: list[str]) -> Cache | None:
    """The cache asked for, or the one that the run names if it is still there and the same."""
    if settings.cache is None and run.evaluation.folds.name.startswith("test-on:"):
        notes.append("trained on one corpus and tested on another: the features of the two are not drawn")
        return None
    if settings.cache is None and run.evaluation.beside.get("fusion"):
        notes.append("its features are of several streams, which are not drawn")
        return None
    if settings.cache is None and is_url(run.cache):
        notes.append(f"the features are at {run.cache}, where nothing is read unasked; --cache {run.cache} does")
        return None
    said = settings.cache or (Path(run.cache) if run.cache else None)
    if said is None:
        notes.append("the run does not say where its features are; --cache CACHE does")
        return None
    try:
        cache = shelf.cache(said)
        if cache.fingerprint != run.settings.get("fingerprint"):
            raise RecipeMismatchError(f"{said}: holds other features than {run.path} was made from")
    except (CacheError, RecipeMismatchError, OSError) as error:
        if settings.cache is not None:
            raise
        notes.append(f"its features are not at hand ({error}); --cache CACHE says where they are")
        return None
    return cache


def _with_strips(numbers: RunNumbers, cache: Cache | None, settings: ReportSettings) -> RunNumbers:
    """The clips that are named with their pictures; what could not be shown is a note."""
    if cache is None:
        return replace(
            numbers, notes=(*numbers.notes, "no thumbnails: the paths of the videos are in the cache's manifest")
        )
    from vjepa_fer.report.thumbnails import thumbnail_strip

    place = {clip.clip_id: number for number, clip in enumerate(cache.clips)}
    strips: dict[str, bytes] = {}
    lacking: list[str] = []
    wanted = dict.fromkeys([*(m.clip_id for m in numbers.mistakes), *(d.issue.clip_id for d in numbers.doubts)])
    for clip_id in wanted:
        try:
            clip = cache[place[clip_id]]
            sha256 = clip.source_sha256 if isinstance(cache.recipe, Recipe) else None
            strips[clip_id] = thumbnail_strip((settings.videos or Path()) / clip.clip.path, sha256=sha256)
        except (VideoError, KeyError) as error:
            lacking.append(str(error) if isinstance(error, VideoError) else f"{clip_id} is not in the cache")
    note = f"no thumbnails of {len(lacking)} of {len(wanted)} clips; the first: {lacking[0]}" if lacking else ""
    return replace(numbers, strips=strips, notes=(*numbers.notes, note) if note else numbers.notes)


def _project(cache: Cache, run: Run, settings: ReportSettings, shelf: Shelf, notes: list[str]) -> Projection | None:
    """The cache's projection: one and the same for all runs of a cache that were judged on the same clips in the same order."""
    predictions, level = run.evaluation.predictions, run.evaluation.cell.level.split(",")[0]
    try:
        return shelf.once(
            ("plane", cache.root, level_to_show(cache, level), predictions.clip_ids.tobytes()),
            lambda: project(cache, predictions, level, method=settings.method, seed=settings.seed),
            word=f"{settings.method} of {cache.root}",
        )
    except VjepaFerError as error:
        notes.append(f"no projection: {error}")
        return None
