"""A finished sweep goes in; its best cell, fitted once on all clips, is left in that cell's run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.disk import refuse_link, sweep_partial_folders
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.evaluation import Targets, fit_on_all, save_fitted
from vjepa_fer.experiment import Cell
from vjepa_fer.features import Windowed
from vjepa_fer.probes import probe_entry
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.runs import FITTED, load_fitted
from vjepa_fer.sweep.asked import Judged, read_tokens
from vjepa_fer.sweep.loop import Swept
from vjepa_fer.sweep.sharing import Shared
from vjepa_fer.sweep.source import Source


def best_cell(swept: Swept) -> Judged:
    """The cell with the highest pooled WAR, of equals the first.

    All clips have a say in this, as they should where the next clip is a new one; the figure to report for it is the nested
    one, not the cell's own.

    Raises
    ------
    RunError
        Every cell was lost.
    """
    if not swept.cells:
        raise RunError("there is no finished cell to fit again")
    return max(swept.cells, key=lambda one: one.evaluation.scores["war"].pooled)


def refit_best(
    source: Source,
    swept: Swept,
    *,
    recipe: AnyRecipe,
    seed: int,
    targets: Targets | None = None,
    shared: Shared | None = None,
) -> tuple[Judged, Path]:
    """Fit the best cell on all clips; a probe that is there already, or that another process leaves meanwhile, is taken as it is.

    Returns
    -------
    tuple
        The cell and the folder, for :func:`vjepa_fer.runs.load_fitted`.

    Raises
    ------
    RunError
        The sweep has written no runs, or the probe that is there already is damaged or of other features.
    ProbeError
        That probe's own files were changed.
    VjepaFerError
        A link is where the fitted probe should be.
    """
    best = best_cell(swept)
    if best.run is None:
        raise RunError("a fitted probe is kept in its run folder: say where with --out")
    folder, cell = best.run / FITTED, best.evaluation.cell
    assert isinstance(cell, Cell)
    sweep_partial_folders(best.run)
    refuse_link(folder)
    if not folder.exists() and (shared is None or shared.alone_at(FITTED, folder.exists)):
        fitted = fit_on_all(_rows(source, cell), cell, recipe=recipe, seed=seed, targets=targets)
        try:
            save_fitted(folder, fitted)
        except RunError:
            if not folder.exists():
                raise
        else:
            return best, folder
    _check_fitted(best.run, cell, recipe)
    return best, folder


def _check_fitted(run: Path, cell: Cell, recipe: AnyRecipe) -> None:
    """Refuse a probe that is there and is not what would have been put there."""
    try:
        fitted = load_fitted(run)
        require_same_recipe(fitted.recipe, recipe, f"the fitted probe in {run}")
        there = (type(fitted.probe.probe).__name__, fitted.level, fitted.decision)
        asked = (probe_entry(cell.probe).class_name, cell.level, cell.decision)
        if there != asked:
            raise RunError(f"{run / FITTED}: holds {', '.join(there)}; expected {', '.join(asked)}")
    except VjepaFerError as error:
        error.add_note(f"Remove {run / FITTED} and run again: the probe is fitted anew.")
        raise


def _rows(source: Source, cell: Cell) -> Features | Windowed:
    """Rows as the sweep fitted them: of clips, windows or views, as vectors or as a stream of tokens."""
    if not cell.windowed and not probe_entry(cell.probe).reads_tokens:
        return source.features(cell.level)
    y, subjects, clip_ids = (
        np.array([getattr(clip, name) for clip in source.clips]) for name in ("label", "subject", "clip_id")
    )
    if not probe_entry(cell.probe).reads_tokens:
        windows = source.window_features(cell.level)
        return Windowed(windows.X, y, subjects, clip_ids, windows.clip_index)
    tokens: Any = read_tokens(source, cell.level, cell.row)
    if cell.windowed:
        return Windowed(tokens, y, subjects, clip_ids, tokens.clip_index)
    return Features(tokens, y, subjects, clip_ids)
