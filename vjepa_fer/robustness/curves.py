"""An experiment and cache folders go in; every encoder's curves come out, as a value that goes to JSON and back."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.errors import CacheError
from vjepa_fer.evaluation import average_probabilities
from vjepa_fer.experiment import Experiment, plan_title
from vjepa_fer.judging import Predictions, subject_numbers
from vjepa_fer.remote import place_of
from vjepa_fer.robustness.conditions import CLEAN, Condition, Encoder, open_conditions
from vjepa_fer.robustness.drift import correlations, drifts, levels_to_compare, mean_drift
from vjepa_fer.robustness.figures import figures_of, relative_drops
from vjepa_fer.robustness.judge import check_asked, choose_cells, judge, leaks_in
from vjepa_fer.robustness.kept import SCHEMA, read_figures, write_figures

FLIP_VIEW = "clean+flip as views"
"""A clip seen twice, as it is and mirrored, and the two answers averaged."""


@dataclass(frozen=True)
class Robustness:
    """What came of it, as plain values.

    Attributes
    ----------
    facts : dict
        As ``robustness --json`` prints it.
    """

    facts: dict[str, Any]

    @property
    def encoders(self) -> list[dict[str, Any]]:
        """One an encoder: name, cell, conditions, drops, correlations."""
        return list(self.facts["encoders"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.facts)


def robustness_of(
    experiment: Experiment,
    caches: Sequence[str | os.PathLike[str]],
    *,
    augment: Sequence[str | os.PathLike[str]] = (),
    jobs: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> Robustness:
    """Judge an experiment's probe, fitted on clean clips, on the same test clips in every condition.

    Parameters
    ----------
    experiment : Experiment
        Cells, folds and seed; where its caches lie has no part in it.
    caches : sequence of path
        Of one or several encoders: a clean one each, and perturbed ones.
    augment : sequence of path
        Of these, perturbed ones whose training clips are trained on too; every condition is then judged both ways.
    jobs : int
        Processes, where cells have to be chosen.
    tell : callable
        Gets a line for people before each encoder.

    Raises
    ------
    ExperimentError
        An experiment that this does not do.
    CacheError, RecipeMismatchError
        Caches that do not belong together; see :func:`vjepa_fer.robustness.conditions.open_conditions`.
    SplitError, ProbeError
        As ``probe`` refuses folds or cells.
    """
    asked = experiment.resolved
    check_asked(asked)
    encoders = open_conditions(caches, exclude=asked.protocol.exclude)
    extra = _augmenting(encoders, [place_of(path) for path in augment])
    told = []
    for encoder in encoders:
        tell(f"{encoder.name}: {len(encoder.perturbed)} perturbed caches of {len(encoder.clean.clips):,} clips")
        told.append(_one(encoder, asked, extra[encoder.name], jobs))
    shown = {**asked.to_dict(), "fingerprint": asked.fingerprint}
    return Robustness(
        {"schema": SCHEMA, "encoders": told, "augment": [str(one) for one in augment], "experiment": shown}
    )


def write_robustness(found: Robustness, path: str | os.PathLike[str]) -> None:
    """Keep it as JSON, whole or not at all; :class:`RunError` where the file cannot be written."""
    write_figures(found.to_dict(), path)


def read_robustness(path: str | os.PathLike[str]) -> Robustness:
    """What :func:`write_robustness` wrote; :class:`RunError` where that is not there, or not whole."""
    return Robustness(read_figures(path))


def _augmenting(encoders: Sequence[Encoder], paths: Sequence[Path]) -> dict[str, list[Condition]]:
    wanted = {path.resolve() for path in paths}
    found = {one.name: [c for c in one.perturbed if c.cache.root.resolve() in wanted] for one in encoders}
    known = {c.cache.root.resolve() for conditions in found.values() for c in conditions}
    if lost := [str(path) for path in paths if path.resolve() not in known]:
        raise CacheError(f"--augment {lost[0]}: none of the perturbed caches that are judged; name it among them too")
    if wanted and (bare := [name for name, conditions in found.items() if not conditions]):
        raise CacheError(
            f"--augment has no cache of {bare[0]}: encoders beside each other are trained alike, so name one of each"
        )
    return found


def _one(encoder: Encoder, asked: Experiment, extra: Sequence[Condition], jobs: int) -> dict[str, Any]:
    clean, perturbed = encoder.clean, encoder.perturbed
    folds, cells = choose_cells(clean, asked, jobs=jobs)
    leaks = leaks_in(clean, folds, allowed=asked.protocol.allow_leak)
    seed = asked.protocol.seed
    said = judge(encoder.conditions, folds, cells, seed=seed)
    curves = _curves(perturbed)
    subject = subject_numbers(said[CLEAN])
    order = _rows_of(said[CLEAN], clean.clips)
    moved = {
        level: drifts(clean, perturbed, level) for level in levels_to_compare(clean, [cell.level for cell in cells])
    }
    moved = {level: {name: one[order] for name, one in by.items()} for level, by in moved.items()}
    facts: dict[str, Any] = {
        "name": encoder.name,
        "fingerprint": clean.fingerprint,
        "cells": list(dict.fromkeys(map(plan_title, cells))),
        "folds": folds.name,
        "leaks": leaks,
        "n_clips": len(said[CLEAN]),
        "n_subjects": said[CLEAN].num_subjects,
        "classes": list(said[CLEAN].classes),
        "curves": curves,
        **_judged(said, perturbed, curves, moved, subject),
        "correlation": {level: correlations(by, said, subject) for level, by in moved.items()},
        "flip_view": _flip_view(said),
        "augmented": None,
    }
    if extra:
        trained = judge(encoder.conditions, folds, cells, seed=seed, augment=extra)
        facts["augmented"] = {"with": [one.name for one in extra], **_augmented(said, trained, curves)}
    return facts


def _curves(perturbed: Sequence[Condition]) -> dict[str, list[str]]:
    """Perturbation → its conditions, by severity."""
    curves: dict[str, list[str]] = {}
    for one in perturbed:
        curves.setdefault(one.curve[0], []).append(one.name)
    return curves


def _rows_of(said: Predictions, clips: Sequence[Any]) -> np.ndarray:
    """Where the clean cache's features have the clips that were judged."""
    row = {clip.clip_id: number for number, clip in enumerate(clips)}
    return np.array([row[clip_id] for clip_id in said.clip_ids.tolist()])


def _judged(
    said: dict[str, Predictions],
    perturbed: Sequence[Condition],
    curves: dict[str, list[str]],
    moved: dict[str, dict[str, np.ndarray]],
    subject: np.ndarray,
) -> dict[str, Any]:
    figures = figures_of(said)
    conditions = [{"name": CLEAN, "curve": "", "severity": 0, "cache": "", "drift": {}, **figures[CLEAN]}]
    for one in perturbed:
        drift = {level: mean_drift(by[one.name], subject) for level, by in moved.items()}
        curve, severity = one.curve
        where = {"curve": curve, "severity": severity, "cache": str(one.cache.root)}
        conditions.append({"name": one.name, **where, "drift": drift, **figures[one.name]})
    return {"conditions": conditions, "relative_drop": relative_drops(said, curves)}


def _augmented(
    said: dict[str, Predictions],
    trained: dict[str, Predictions],
    curves: dict[str, list[str]],
) -> dict[str, Any]:
    """Every condition after training on augmented clips too, each compared with itself without."""
    figures = figures_of(trained)
    conditions = []
    for name, one in figures.items():
        pair = figures_of({CLEAN: said[name], "augmented": trained[name]})["augmented"]
        gain = {figure: pair[figure]["change"] for figure in ("war", "uar")}
        conditions.append({"name": name, **one, "gain": gain})
    return {"conditions": conditions, "relative_drop": relative_drops(trained, curves)}


def _flip_view(said: dict[str, Predictions]) -> dict[str, Any] | None:
    """The clean clip and its mirror image as two views, where there is a cache of these."""
    if "flip:1" not in said:
        return None
    both = average_probabilities([said[CLEAN], said["flip:1"]])
    return figures_of({CLEAN: said[CLEAN], FLIP_VIEW: dataclasses.replace(both)})[FLIP_VIEW]
