"""A run goes in; every number behind its charts, tables and sentences comes out, once, so that page and paper cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vjepa_fer.cache import Cache
from vjepa_fer.judging import Predictions, group_clips
from vjepa_fer.recipe import flat_recipe
from vjepa_fer.report.grid import Grid, Sweep, grid_of, look_at_cells
from vjepa_fer.report.projection import Projection
from vjepa_fer.report.reproduce import commands, feature_commands
from vjepa_fer.runs import Doubt, Run, doubts_of, result_of, run_title

NUM_BINS = 10
NUM_MISTAKES = 20


@dataclass(frozen=True)
class SubjectScore:
    """One subject's clips; `war` is a fraction, `fold` the one that tested them (-1: several)."""

    name: str
    num_clips: int
    fold: int
    war: float


@dataclass(frozen=True)
class Bin:
    """Clips of about one confidence: how sure the probe was on average, and how often it was right; fractions."""

    low: float
    high: float
    num_clips: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Mistake:
    """A clip that the run got wrong.

    Attributes
    ----------
    clip_id, subject, true, predicted : str
    confidence : float or None
        Probability of the predicted class.
    times_wrong : int
        In how many of the sweep's cells (or, alone, in this run) it was wrong.
    """

    clip_id: str
    subject: str
    true: str
    predicted: str
    confidence: float | None
    times_wrong: int


@dataclass(frozen=True)
class Source:
    """What the run's cache says about it; a report without the cache has none."""

    num_asked: int
    num_failed: int
    recipe: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class RunNumbers:
    """Everything that a report says about one run.

    Attributes
    ----------
    name : str
        Of its folder.
    title : str
        What people call it.
    run : Run
    result : mapping
        As ``runs show --json`` prints it, in percent.
    majority : (str, float)
        The most frequent class and its share of the clips.
    subjects : tuple of SubjectScore
        Best first; empty where subjects are unknown.
    bins : tuple of Bin
    grid : Grid or None
        The sweep that the run was part of.
    mistakes : tuple of Mistake
        Most often wrong first, then the surest.
    num_judged : int
        Runs that `times_wrong` counts over.
    projection : Projection or None
    source : Source or None
    features_from, commands : tuple of str
        What makes the cache, and then the run.
    versions : mapping
    notes : tuple of str
        What could not be shown, and why.
    unread : tuple of str
        Other runs of the folders that were asked for which cannot be read, and why.
    to_report : bool
        See :func:`vjepa_fer.runs.to_report`.
    doubts : tuple of Doubt
        The labels that are most likely wrong, the most doubtful first.
    num_doubts : int
        How many there are in all.
    strips : mapping of str to bytes
        Clip → some of its frames as JPEG, where they were asked for.
    """

    name: str
    title: str
    run: Run
    result: Mapping[str, Any]
    majority: tuple[str, float]
    subjects: tuple[SubjectScore, ...]
    bins: tuple[Bin, ...]
    grid: Grid | None
    mistakes: tuple[Mistake, ...]
    num_judged: int
    projection: Projection | None
    source: Source | None
    features_from: tuple[str, ...]
    commands: tuple[str, ...]
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    to_report: bool = True
    doubts: tuple[Doubt, ...] = ()
    num_doubts: int = 0
    strips: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def predictions(self) -> Predictions:
        """One row a clip."""
        return self.run.evaluation.predictions

    @property
    def row_percent(self) -> np.ndarray:
        """The pooled confusion matrix in percent of each true class, float64 (C, C); 0 for a class without clips."""
        counts = np.array(self.result["confusion"])
        return 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)


def numbers_of(
    run: Run,
    *,
    sweep: Sweep | None = None,
    cache: Cache | None = None,
    projection: Projection | None = None,
    by: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> RunNumbers:
    """Compute them all from the run's predictions, the cells of its sweep (see :func:`vjepa_fer.report.grid.sweep_of`) and its cache.

    Raises
    ------
    ManifestError
        A column of `by` that the manifest lacks.
    """
    if cache is not None and by:
        run = replace(run, evaluation=replace(run.evaluation, groups=group_clips(cache.manifest, by)))
    evaluation = run.evaluation
    predictions = evaluation.predictions
    doubts = _doubts(run, cache)
    judged = sweep if sweep and sweep.cells else look_at_cells([run])
    return RunNumbers(
        name=run.path.resolve().name,
        title=run_title(evaluation),
        run=run,
        result=result_of(evaluation, str(run.path)),
        majority=_majority(predictions),
        subjects=subject_scores(predictions),
        bins=calibration_bins(predictions),
        grid=None if sweep is None else grid_of(run, sweep),
        mistakes=mistakes(predictions, judged.times_wrong),
        num_judged=len(judged.cells),
        projection=projection,
        source=None if cache is None else _source(cache),
        features_from=() if cache is None else feature_commands(cache.recipe, run.cache or str(cache.root)),
        commands=commands(run),
        versions=run.versions,
        doubts=doubts[:NUM_MISTAKES],
        num_doubts=len(doubts),
        notes=tuple(notes),
    )


def _doubts(run: Run, cache: Cache | None) -> tuple[Doubt, ...]:
    """None of a probe that was tested on another corpus, or gives no probabilities."""
    if run.evaluation.folds.name.startswith("test-on:") or run.evaluation.predictions.probabilities is None:
        return ()
    return doubts_of(run, () if cache is None else cache.manifest.clips)


def _majority(predictions: Predictions) -> tuple[str, float]:
    counts = np.bincount(predictions.truth, minlength=len(predictions.classes))
    return predictions.classes[int(counts.argmax())], float(counts.max() / counts.sum())


def subject_scores(predictions: Predictions) -> tuple[SubjectScore, ...]:
    """Every known subject's WAR, best first."""
    names, subject = np.unique(predictions.subjects, return_inverse=True)
    num_clips = np.bincount(subject)
    war = np.bincount(subject, predictions.predicted == predictions.truth) / num_clips
    lowest, highest = np.full(len(names), len(predictions)), np.full(len(names), -1)
    np.minimum.at(lowest, subject, predictions.fold)
    np.maximum.at(highest, subject, predictions.fold)
    fold = np.where(lowest == highest, lowest, -1)
    columns = (names.tolist(), num_clips.tolist(), fold.tolist(), war.tolist())
    scores = [SubjectScore(*one) for one in zip(*columns, strict=True) if one[0]]
    return tuple(sorted(scores, key=lambda one: -one.war))


def calibration_bins(predictions: Predictions) -> tuple[Bin, ...]:
    """Clips by the probability of the predicted class; empty bins are left out, and all of them without probabilities."""
    if predictions.probabilities is None:
        return ()
    confidence = predictions.probabilities[np.arange(len(predictions)), predictions.predicted]
    right = predictions.predicted == predictions.truth
    number = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    return tuple(
        Bin(
            k / NUM_BINS,
            (k + 1) / NUM_BINS,
            int((number == k).sum()),
            float(confidence[number == k].mean()),
            float(right[number == k].mean()),
        )
        for k in range(NUM_BINS)
        if (number == k).any()
    )


def mistakes(predictions: Predictions, times_wrong: Mapping[str, int], num: int = NUM_MISTAKES) -> tuple[Mistake, ...]:
    """The clips of `predictions` that are wrong, those first that most cells get wrong, then the surest."""
    wrong = np.flatnonzero(predictions.predicted != predictions.truth)
    sure = np.zeros(len(wrong))
    if predictions.probabilities is not None:
        sure = predictions.probabilities[wrong, predictions.predicted[wrong]]
    ids = predictions.clip_ids[wrong].tolist()
    ranked = zip([-times_wrong.get(clip, 0) for clip in ids], (-sure).tolist(), ids, wrong.tolist(), strict=True)
    return tuple(_mistake(predictions, row, times_wrong) for *_, row in sorted(ranked)[:num])


def _mistake(predictions: Predictions, row: int, times: Mapping[str, int]) -> Mistake:
    said, clip = int(predictions.predicted[row]), str(predictions.clip_ids[row])
    probabilities = predictions.probabilities
    return Mistake(
        clip_id=clip,
        subject=str(predictions.subjects[row]),
        true=predictions.classes[predictions.truth[row]],
        predicted=predictions.classes[said],
        confidence=None if probabilities is None else float(probabilities[row, said]),
        times_wrong=times.get(clip, 0),
    )


def _source(cache: Cache) -> Source:
    recipe = tuple((name, _short(value)) for name, value in flat_recipe(cache.recipe).items())
    return Source(len(cache.manifest.clips), len(cache.failures), recipe)


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
