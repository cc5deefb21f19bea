"""A finished sweep goes in; its best cell, fitted once on all clips, is left in that cell's run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.decisions import Windowed
from vjepa_fer.errors import RunError
from vjepa_fer.evaluate import Targets
from vjepa_fer.fitted import fit_on_all, save_fitted
from vjepa_fer.probes import PROBES
from vjepa_fer.protocol import Cell
from vjepa_fer.recipe import AnyRecipe
from vjepa_fer.runs import FITTED
from vjepa_fer.sweep import Judged, Source, Swept, read_tokens


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


def refit(
    source: Source, swept: Swept, *, recipe: AnyRecipe, seed: int, targets: Targets | None = None
) -> tuple[Judged, Path]:
    """Fit the best cell on all clips; a probe that is there already is left as it is.

    Returns
    -------
    tuple
        The cell and the folder, for :func:`vjepa_fer.runs.load_fitted`.

    Raises
    ------
    RunError
        The sweep has written no runs.
    """
    best = best_cell(swept)
    if best.run is None:
        raise RunError("a fitted probe is kept in its run folder: say where with --out")
    folder = best.run / FITTED
    if not folder.exists():
        cell = best.evaluation.cell
        assert isinstance(cell, Cell)
        features = _rows(source, cell)
        save_fitted(folder, fit_on_all(features, cell, recipe=recipe, seed=seed, targets=targets))
    return best, folder


def _rows(source: Source, cell: Cell) -> Features | Windowed:
    """Rows as the sweep fitted them: of clips or windows, as vectors or as a stream of tokens."""
    if not cell.windowed and not PROBES[cell.probe].reads_tokens:
        return source.features(cell.level)
    y, subjects, clip_ids = (
        np.array([getattr(clip, name) for clip in source.clips]) for name in ("label", "subject", "clip_id")
    )
    if not PROBES[cell.probe].reads_tokens:
        windows = source.window_features(cell.level)
        return Windowed(windows.X, y, subjects, clip_ids, windows.clip_index)
    tokens: Any = read_tokens(source, cell.level, by_window=cell.windowed)
    if cell.windowed:
        return Windowed(tokens, y, subjects, clip_ids, tokens.clip_index)
    return Features(tokens, y, subjects, clip_ids)
