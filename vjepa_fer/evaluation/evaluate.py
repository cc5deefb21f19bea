"""Features and folds go in; one honest prediction a clip comes out, from a probe that never saw the clip's subject."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vjepa_fer.doors import card, frame_of
from vjepa_fer.errors import ProbeError, SplitError
from vjepa_fer.experiment import Cell, Choice, Plan, Selection, Statistics, plan_title, rule_of
from vjepa_fer.features import Scaler, TokenStream, Windowed, fit_scaler, join_windows, rows_of, take_rows
from vjepa_fer.folds import AnyFolds, Split, find_leaks, identities, refuse_leaks, shortlist
from vjepa_fer.judging import LEAKY, ONE_OF_SEVERAL, Groups, Predictions, Score, notes_on, score
from vjepa_fer.manifest import Absent, Damage

if TYPE_CHECKING:
    from vjepa_fer.cache import Features

    AnyFeatures = Features | Windowed

MOST_LEAKS = 3


@dataclass(frozen=True, eq=False, kw_only=True)
class Evaluation:
    """A cell, or the honest choice among many, judged.

    Attributes
    ----------
    cell, folds, seed
        What was done.
    predictions : Predictions
        One row a clip, in manifest order.
    seconds : float
        Fitting and predicting, all folds.
    choices : tuple of Choice
        What was chosen for each fold; empty where there was one cell.
    leaks : tuple of str
        What training and test parts share, in words; not empty where a leak was allowed.
    groups : mapping
        Manifest columns to give figures by, and each clip's value.
    damage : Damage
        Which clips with a damaged file were judged, and which were left out.
    absent : Absent
        How many clips of the manifest have no features.
    selection : {"fixed", "grid", "nested"}
        See :data:`vjepa_fer.experiment.Selection`.
    among : int
        How many cells its experiment tried.
    statistics : Statistics
        How its intervals are made.
    beside : mapping
        What counted as right and what raters said; see :meth:`vjepa_fer.evaluation.reference.VoteBook.beside`.
    settled : tuple of mapping
        What each fold's training part made of the probe's parameters that are "auto"; empty where none is.
    stackers : tuple of mapping
        What each fold's training part made of several streams that were stacked; see :meth:`vjepa_fer.evaluation.stacking.Stacker.to_dict`.
    """

    cell: Plan
    folds: AnyFolds
    seed: int
    predictions: Predictions
    seconds: float
    choices: tuple[Choice, ...] = ()
    leaks: tuple[str, ...] = ()
    groups: Groups = field(default_factory=dict, repr=False)
    damage: Damage = field(default_factory=Damage)
    absent: Absent = field(default_factory=Absent)
    selection: Selection = "fixed"
    among: int = 1
    statistics: Statistics = field(default_factory=Statistics)
    beside: Mapping[str, Any] = field(default_factory=dict, repr=False)
    settled: tuple[Mapping[str, int | None], ...] = ()
    stackers: tuple[Mapping[str, Any], ...] = ()

    @property
    def scores(self) -> Mapping[str, Score]:
        """Headline figures by name."""
        return score(self.predictions)

    @property
    def in_words(self) -> str:
        """What was done, on a line."""
        return f"{plan_title(self.cell)} · {self.folds.name} · {self.predictions.in_words}"

    def __repr__(self) -> str:
        return f"Evaluation({self.in_words})"

    def _repr_html_(self) -> str:
        return card("Evaluation", self.in_words, **self.to_card())

    def to_card(self) -> dict[str, Any]:
        """What a notebook's card shows of it; see :func:`vjepa_fer.doors.card`."""
        leaks = [f"{LEAKY}: {leak}" for leak in self.leaks[:MOST_LEAKS]]
        picked = [f"one of {self.among} cells: {ONE_OF_SEVERAL}"] * (self.selection == "grid")
        notes = [*notes_on(self.predictions), *([str(self.absent)] if self.absent else [])]
        return {
            **self.predictions.to_card(),
            "warnings": [*leaks, *picked],
            "notes": [*notes, "large: all clips pooled"],
        }

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a fold: how many clips it tests, and each headline figure in percent.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        said, scores = self.predictions, self.scores
        counts = np.unique(said.fold, return_counts=True)[1].tolist()
        figures = ([100 * value for value in one.folds] for one in scores.values())
        return frame_of(["fold", "n_clips", *scores], list(zip(said.names_of_folds, counts, *figures, strict=True)))


def cross_validate(
    features: AnyFeatures, folds: AnyFolds, cell: Cell, *, seed: int = 0, allow_leak: bool = False
) -> Evaluation:
    """Fit the probe once a fold on the other folds' subjects, and predict the fold.

    Scaling and everything else that is fitted sees the training part only; the test part reaches `predict` alone.

    Parameters
    ----------
    features : Features, or Windowed where the cell decides by windows
        ``X`` float32 (num_rows, dim), ``y``, ``subjects``, ``clip_ids`` str (num_clips,).
    folds : Folds or ClipFolds
    cell : Cell
        `level` is recorded only: the features are already of it.
    seed : int
        ``random_state`` of the probe.
    allow_leak : bool
        Go on where training and test parts share a subject, and say so in the result.

    Raises
    ------
    SplitError
        A leak, folds and clips do not fit, or a training part lacks a class that its test part asks for.
    ProbeError
        Features that are not finite or not of windows where these decide, unknown probe or parameters.
    """
    if cell.windowed != isinstance(features, Windowed):
        raise ProbeError(f"decision {cell.decision!r} needs {'window' if cell.windowed else 'clip'} features")
    if cell.row == "view" and features.X.ndim != 3:
        raise ProbeError(f"decision {cell.decision!r} needs the tokens of whole views: TokenStream(…, row='view')")
    check_features(features)
    started = time.perf_counter()
    splits = check_splits(features, folds)
    leaks = find_leaks(splits, identities(features.clip_ids.tolist(), features.subjects.tolist()), folds.fold_names)
    if not allow_leak:
        refuse_leaks(folds.name, leaks)
    decided = [fit_predict(features, split, [cell], seed)[0] for split in splits]
    predictions, seconds = gather(features, splits, decided, folds.names), time.perf_counter() - started
    return Evaluation(
        cell=cell,
        folds=folds,
        seed=seed,
        predictions=predictions,
        seconds=seconds,
        leaks=tuple(map(str, leaks)),
        settled=settled_in(decided),
    )


def settled_in(decided: Sequence[Decided]) -> tuple[Mapping[str, int | None], ...]:
    """What each fold made of parameters that are "auto"; empty where there are none."""
    return tuple(one.settled for one in decided) if any(one.settled for one in decided) else ()


def stackers_in(decided: Sequence[Decided]) -> tuple[Mapping[str, Any], ...]:
    """What each fold made of streams that were stacked; empty where none were."""
    return tuple(one.stacker for one in decided if one.stacker)


class Decided(NamedTuple):
    """A fitted probe's answer: its classes, probabilities (num_rows, num_classes), labels (num_rows,).

    `settled` is what its training part made of parameters that are "auto", `stacker` of streams that were stacked.
    """

    classes: np.ndarray
    probabilities: np.ndarray
    labels: np.ndarray
    settled: Mapping[str, int | None] = MappingProxyType({})
    stacker: Mapping[str, Any] | None = None


def check_splits(features: AnyFeatures, folds: AnyFolds) -> list[Split]:
    """Row numbers of each fold, after a look that each can be fitted.

    Raises
    ------
    SplitError
        Folds and clips do not fit, or a training part lacks a class that its test part asks for.
    """
    splits = folds.rows(features)
    for name, split in zip(folds.fold_names, splits, strict=True):
        check_classes(features.y, split, f"fold {name} of {folds.name}")
    return splits


class Targets(NamedTuple):
    """What to train towards where a clip has more than one label: ``classes`` and shares, float64 (num_clips, num_classes)."""

    classes: tuple[str, ...]
    shares: np.ndarray


def fit_predict(
    features: AnyFeatures, split: Split, cells: Sequence[Cell], seed: int, targets: Targets | None = None
) -> list[Decided]:
    """Fit every cell on ``split.train`` and answer for ``split.test``; cells share what a training part has in common.

    With `targets`, a clip is trained on once a label that it has, weighing that label's share. One scaling a way
    of scaling, one call of :func:`vjepa_fer.probes.fit_probes`, so that a grid of C costs one path, and one fit for all ways of
    joining windows.
    """
    decided: dict[int, Decided] = {}
    for scale in dict.fromkeys(cell.scale for cell in cells):
        numbers = [number for number, cell in enumerate(cells) if cell.scale == scale]
        answers = _fit_predict_scaled(features, split, [cells[number] for number in numbers], scale, seed, targets)
        decided.update(zip(numbers, answers, strict=True))
    return [decided[number] for number in range(len(cells))]


def _fit_predict_scaled(
    features: AnyFeatures, split: Split, cells: Sequence[Cell], scale: str, seed: int, targets: Targets | None
) -> Iterator[Decided]:
    from vjepa_fer.probes import answer_probes

    fits = {_fit_key(cell): cell for cell in cells}
    scaler, probes = fit_cells(features, split.train, list(fits.values()), scale, seed, targets)
    rows, clips = rows_of(features, split.test)
    test = take_rows(features.X, rows)
    if scaler is not None:
        test = scaler.apply(test, out=test if test.dtype == np.float32 else None)
    said = zip(fits, probes, answer_probes(probes, test), strict=True)
    answers = {key: Decided(np.asarray(probe.classes_), *answer, dict(probe.settled)) for key, probe, answer in said}
    for cell in cells:
        yield _joined(answers[_fit_key(cell)], cell, np.searchsorted(split.test, clips))


def _fit_key(cell: Cell) -> str:
    """Cells that differ only in how windows are joined share a fit."""
    return repr((cell.probe, sorted(cell.params.items())))


def _joined(answer: Decided, cell: Cell, clip: np.ndarray) -> Decided:
    """One decision a clip, by the cell's rule; `clip` numbers each row's clip."""
    if not cell.windowed:
        return answer
    votes = np.searchsorted(answer.classes, answer.labels)
    joined = join_windows(rule_of(cell.decision), answer.probabilities, votes, clip)
    return Decided(answer.classes, joined.probabilities, answer.classes[joined.predicted], answer.settled)


def fit_cells(
    features: AnyFeatures,
    rows: np.ndarray,
    cells: Sequence[Cell],
    scale: str,
    seed: int,
    targets: Targets | None = None,
) -> tuple[Scaler | None, list[Any]]:
    """Fit cells of one scaling on some rows, int64 (num_rows,): the scaling and the fitted probes."""
    from vjepa_fer.probes import fit_probes, make_probe

    rows, clips = rows_of(features, rows)
    x, subjects = take_rows(features.X, rows), features.subjects[clips]
    scaler = fit_scaler(scale, x)
    if scaler is not None:
        x = scaler.apply(x, out=x if x.dtype == np.float32 else None)  # the rows were copied out of the features
    probes: list[Any] = [make_probe(cell.probe, dict(cell.params), random_state=seed) for cell in cells]
    if targets is None:
        fit_probes(probes, x, features.y[clips], groups=subjects)
        return scaler, probes
    shares = targets.shares[clips]
    row, label = np.nonzero(shares)
    names = np.array(targets.classes)[label]
    fit_probes(probes, take_rows(x, row), names, sample_weight=shares[row, label], groups=subjects[row])
    return scaler, probes


class FoldFit(NamedTuple):
    """A cell fitted on the training part of a fold, to be asked about clips of other caches too."""

    cell: Cell
    scaler: Scaler | None
    probe: Any

    def decide(self, features: AnyFeatures, clip_ids: np.ndarray) -> Decided:
        """Answer for these clips of `features`, by their ids and in their order: features of their own, made alike."""
        row_of = {clip_id: row for row, clip_id in enumerate(features.clip_ids.tolist())}
        asked = np.array([row_of[clip_id] for clip_id in clip_ids.tolist()], np.int64)
        clips = np.sort(asked)
        answer = _answered(self, features, clips)
        place = np.searchsorted(clips, asked)
        return answer._replace(probabilities=answer.probabilities[place], labels=answer.labels[place])


def _answered(fit: FoldFit, features: AnyFeatures, clips: np.ndarray) -> Decided:
    from vjepa_fer.probes import answer_probes

    rows, of_clip = rows_of(features, clips)
    test = take_rows(features.X, rows)
    if fit.scaler is not None:
        test = fit.scaler.apply(test, out=test if test.dtype == np.float32 else None)
    (answer,) = answer_probes([fit.probe], test)
    decided = Decided(np.asarray(fit.probe.classes_), *answer, dict(fit.probe.settled))
    return _joined(decided, fit.cell, np.searchsorted(clips, of_clip))


def fit_fold(features: AnyFeatures, train: np.ndarray, cell: Cell, seed: int) -> FoldFit:
    """Fit one cell on some clips, by their row numbers int64 (num_train,)."""
    scaler, (probe,) = fit_cells(features, train, [cell], cell.scale, seed)
    return FoldFit(cell, scaler, probe)


def gather(
    features: AnyFeatures, splits: Sequence[Split], decided: Sequence[Decided], fold_names: tuple[str, ...] = ()
) -> Predictions:
    """One row a tested clip, from one answer a fold, and what the folds are called; `truth` may have classes that no training part has."""
    classes = np.unique(np.concatenate([features.y, *(answer.classes for answer in decided)]))
    truth = np.searchsorted(classes, features.y)
    probabilities, predicted = np.zeros((len(truth), len(classes))), np.zeros(len(truth), np.int64)
    fold_of = np.full(len(truth), -1)
    for number, (split, answer) in enumerate(zip(splits, decided, strict=True)):
        fold_of[split.test] = number
        probabilities[split.test], predicted[split.test] = align(answer, classes)
    everyone = Predictions(
        classes=tuple(map(str, classes)),
        clip_ids=features.clip_ids,
        subjects=features.subjects,
        fold=fold_of,
        truth=truth,
        predicted=predicted,
        probabilities=probabilities,
        fold_names=fold_names,
    )
    return everyone.take(fold_of >= 0)


def align(decided: Decided, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and class numbers over all classes; one that the training part lacked has probability 0."""
    columns = np.searchsorted(classes, decided.classes)
    probabilities = np.zeros((len(decided.labels), len(classes)))
    probabilities[:, columns] = decided.probabilities
    return probabilities, np.searchsorted(classes, decided.labels)


def check_features(features: AnyFeatures) -> None:
    """Refuse features that no probe can read, naming the clips."""
    streamed = isinstance(features.X, TokenStream)  # it looks at each clip as it reads it
    finite = np.ones(len(features.X), bool) if streamed else np.isfinite(features.X).all(axis=1)
    if not finite.all():
        clips = features.clip_index if isinstance(features, Windowed) else np.arange(len(finite))
        bad = [str(clip) for clip in features.clip_ids[np.unique(clips[~finite])]]
        raise ProbeError(
            f"{len(bad)} clips have NaN or infinite features: {shortlist(bad)}; extract or import them again"
        )
    if len(set(features.y.tolist())) < 2:
        raise ProbeError(
            f"all {len(features.y)} clips have the label {str(features.y[0])!r}; a classifier needs at least two"
        )


def check_classes(y: np.ndarray, split: Split, where: str) -> None:
    """Refuse a test part that asks for a class which its training part never shows."""
    unseen = set(y[split.test].tolist()) - set(y[split.train].tolist())
    if unseen:
        raise SplitError(
            f"{where}: class {shortlist(unseen)} is tested but has no clip in the training part, so no probe can know it; "
            f"use other folds, or take the class out of the manifest"
        )
