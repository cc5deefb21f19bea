"""One encoder's caches and an experiment go in; each clip's prediction in every condition comes out, by a probe of other people's clean clips.

::

    clean       train train train ▒▒▒▒ test          each fold is fitted once, on clean clips (and, where asked,
    mouth:1       ·     ·     ·   ▒▒▒▒ test          on augmented clips of the same people), and judged in
    mouth:2       ·     ·     ·   ▒▒▒▒ test          every condition on the same test clips
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from vjepa_fer.cache import Cache, Features
from vjepa_fer.errors import ExperimentError
from vjepa_fer.evaluation import FoldFit, check_features, check_splits, fit_fold, gather
from vjepa_fer.experiment import Cell, Experiment
from vjepa_fer.features import Row, TokenStream, Windowed, rows_of
from vjepa_fer.folds import AnyFolds, Split, find_leaks, identities, plan_folds, refuse_leaks
from vjepa_fer.judging import Predictions
from vjepa_fer.probes import PROBES
from vjepa_fer.robustness.conditions import Condition
from vjepa_fer.sweep import sweep


def check_asked(asked: Experiment) -> None:
    """Refuse what this does not do.

    Raises
    ------
    ExperimentError
        The experiment joins streams, tests on another corpus, counts perceived labels, or repeats draws of folds.
    """
    refused = {
        "streams": bool(asked.streams),
        "test_on": bool(asked.test_on),
        f"labels = {asked.labels!r}": asked.labels != "intended",
        f"repeats = {asked.protocol.repeats}": asked.protocol.repeats > 1,
        f"{len(asked.cells)} cells and nested = false": len(asked.cells) > 1 and not asked.protocol.nested,
    }
    for what, there in refused.items():
        if there:
            raise ExperimentError(
                f"the experiment has {what}: robustness judges intended labels in one draw of folds, by one "
                "cell or by the choice among several on inner folds"
            )


def choose_cells(clean: Cache, asked: Experiment, *, jobs: int = 1) -> tuple[AnyFolds, list[Cell]]:
    """The folds, and for each the cell that is fitted: the only one, or the one that inner folds of clean training clips choose."""
    if len(asked.cells) == 1:
        folds = plan_folds(asked.protocol.folds, clean.manifest, clean.clips, asked.protocol.seed)
        return folds, [asked.cells[0]] * len(folds)
    swept = sweep(clean, asked.cells, dataclasses.replace(asked.protocol, exclude=None), jobs=jobs)
    if swept.winner is None:
        raise ExperimentError("\n".join(["some cells could not be fitted, so none was chosen:", *swept.lost]))
    chosen = swept.winner.evaluation
    return chosen.folds, [choice.cell for choice in chosen.choices]


def leaks_in(clean: Cache, folds: AnyFolds, *, allowed: bool) -> list[str]:
    """What training and test parts share, a subject, a recording or a film, in words.

    Raises
    ------
    SplitError
        They share something, and that is not `allowed`.
    """
    who = _who(clean)
    recordings, films = [clip.value("recording") for clip in clean.clips], [one.source_sha256 for one in clean]
    shares = identities(who.clip_ids.tolist(), who.subjects.tolist(), recordings, films)
    leaks = find_leaks(folds.rows(who), shares, folds.fold_names)
    if not allowed:
        refuse_leaks(folds.name, leaks)
    return list(map(str, leaks))


def judge(
    conditions: Sequence[Condition],
    folds: AnyFolds,
    cells: Sequence[Cell],
    *,
    seed: int = 0,
    augment: Sequence[Condition] = (),
) -> dict[str, Predictions]:
    """Fit each fold's cell on its clean training clips and predict its test clips in every condition.

    Parameters
    ----------
    conditions : sequence of Condition
        The clean one first.
    folds : Folds or ClipFolds
    cells : sequence of Cell, one a fold
    seed : int
    augment : sequence of Condition
        Their rows of the training clips are added to the clean ones; rows of test clips never are.

    Raises
    ------
    SplitError
        Folds and clips do not fit.

    Returns
    -------
    mapping of str to Predictions
        By the condition's name, clips in the clean cache's order.
    """
    clean = conditions[0].cache
    kinds = dict.fromkeys(map(_kind, cells))
    features = {kind: features_of(clean, kind) for kind in kinds}
    who = next(iter(features.values()))
    splits = check_splits(who, folds)
    extra = {kind: [features_of(one.cache, kind) for one in augment] for kind in kinds}
    fits = [
        _fit(features[_kind(cell)], extra[_kind(cell)], split, cell, seed)
        for split, cell in zip(splits, cells, strict=True)
    ]
    del extra
    said = {}
    for condition in conditions:
        held = features if condition.cache is clean else {kind: features_of(condition.cache, kind) for kind in kinds}
        decided = [
            fit.decide(held[_kind(fit.cell)], who.clip_ids[split.test]) for fit, split in zip(fits, splits, strict=True)
        ]
        said[condition.name] = gather(who, splits, decided, folds.names)
    return said


def _kind(cell: Cell) -> tuple[str, str, bool]:
    """What its features are: the level, what a row is, and whether tokens are read as they are needed."""
    return cell.level, cell.row, PROBES[cell.probe].reads_tokens


def features_of(cache: Cache, kind: tuple[str, str, bool]) -> Features | Windowed:
    """A cache's features of a level, a row a clip, window or view; tokens are read as they are needed where the last says so."""
    level, row, streamed = kind
    if streamed:
        return _streamed(cache, level, cast("Row", row))
    found = cache.features(level) if row == "clip" else _windows(cache, level)
    check_features(found)
    return found


def _streamed(cache: Cache, level: str, row: Row) -> Features | Windowed:
    stream: Any = TokenStream(list(cache), level, row=row)
    who = _who(cache)
    return (
        who._replace(X=stream)
        if row == "clip"
        else Windowed(stream, who.y, who.subjects, who.clip_ids, stream.clip_index)
    )


def _windows(cache: Cache, level: str) -> Windowed:
    windows, who = cache.window_features(level), _who(cache)
    return Windowed(windows.X, who.y, who.subjects, who.clip_ids, windows.clip_index)


def _who(cache: Cache) -> Features:
    """The clips without their features."""
    y, subjects, clip_ids = (
        np.array([getattr(clip, name) for clip in cache.clips]) for name in ("label", "subject", "clip_id")
    )
    return Features(np.empty((len(y), 0), np.float32), y, subjects, clip_ids)


def _fit(
    clean: Features | Windowed, extra: Sequence[Features | Windowed], split: Split, cell: Cell, seed: int
) -> FoldFit:
    """On the clean rows of the training clips, and those of the same clips in other conditions."""
    train = clean.clip_ids[split.train]
    if not extra:
        return fit_fold(clean, split.train, cell, seed)
    if isinstance(clean.X, TokenStream):
        raise ExperimentError(
            f"a probe that reads tokens ({cell.probe}) takes no augmented clips: choose one of pooled levels"
        )
    parts = [only_clips(one, train) for one in (clean, *extra)]
    return fit_fold(joined_rows(parts), np.arange(len(parts) * len(train)), cell, seed)


def only_clips(features: Features | Windowed, clip_ids: np.ndarray) -> Features | Windowed:
    """The rows of these clips alone: what is not there cannot be trained on."""
    clips = np.flatnonzero(np.isin(features.clip_ids, clip_ids))
    rows, of_clip = rows_of(features, clips)
    x, y, subjects, ids = features.X[rows], features.y[clips], features.subjects[clips], features.clip_ids[clips]
    if isinstance(features, Windowed):
        return Windowed(x, y, subjects, ids, np.searchsorted(clips, of_clip))
    return Features(x, y, subjects, ids)


def joined_rows(parts: Sequence[Features | Windowed]) -> Features | Windowed:
    """Rows below each other; a clip in two conditions is two clips of one subject."""
    x, y, subjects, ids = (np.concatenate([part[number] for part in parts]) for number in range(4))
    if not isinstance(parts[0], Windowed):
        return Features(x, y, subjects, ids)
    starts = np.cumsum([0, *(len(part.y) for part in parts[:-1])]).tolist()
    windows = [(part, start) for part, start in zip(parts, starts, strict=True) if isinstance(part, Windowed)]
    return Windowed(x, y, subjects, ids, np.concatenate([part.clip_index + start for part, start in windows]))
