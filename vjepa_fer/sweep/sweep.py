"""A cache and the cells of a sweep go in; each cell's evaluation and the honest choice among them come out.

What is on disk already is read, not fitted again. The unit of work is one training part: all cells of a probe that still need
it are fitted together, in this process or in one of several.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from typing import Protocol as Protocol_

import numpy as np

from vjepa_fer.cache import Cache, CachedClip, Features, WindowFeatures
from vjepa_fer.disk import sweep_partial_folders
from vjepa_fer.errors import CacheError, RunError, RunExistsError
from vjepa_fer.evaluation.evaluate import Decided, Evaluation, check_features, check_splits, gather
from vjepa_fer.evaluation.nested import choose, nested_evaluation, pick_winner
from vjepa_fer.evaluation.protocol import Cell, Nest, Plan, Protocol
from vjepa_fer.evaluation.reference import Reference, VoteBook, make_reference
from vjepa_fer.evaluation.tasks import Answer, Study, Task, run_tasks_on
from vjepa_fer.features.matrix import Joined
from vjepa_fer.features.token_stream import TokenStream
from vjepa_fer.features.windows import Windowed
from vjepa_fer.folds.leaks import find_leaks, identities, refuse_leaks
from vjepa_fer.folds.sources import AnyFolds, plan_folds
from vjepa_fer.judging.groups import group_clips
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.manifest.absent import absent_from
from vjepa_fer.manifest.damage import damage_of, leave_out
from vjepa_fer.probes import PROBES
from vjepa_fer.runs import Run, digest_of_clips, finished_run, run_name, run_settings, write_run
from vjepa_fer.runs.results import Selection, result_of
from vjepa_fer.workers import Lost

Progress = Callable[[int], AbstractContextManager[Callable[[str], None]]]
"""Told how many fits there are; gives a function to call with a word after each."""


@dataclass(frozen=True, eq=False)
class Judged:
    """An evaluation and where it is kept.

    Attributes
    ----------
    evaluation : Evaluation
    run : pathlib.Path or None
        Its run folder, None when nothing was to be written.
    resumed : bool
        It was read from that folder: it was there already, or another process was first.
    selection : {"fixed", "grid", "nested"}
        See :data:`vjepa_fer.runs.results.Selection`.
    """

    evaluation: Evaluation
    run: Path | None
    resumed: bool = False
    selection: Selection = "fixed"

    @property
    def num_cells(self) -> int:
        """How many were chosen among."""
        return len(self.evaluation.cell.cells) if isinstance(self.evaluation.cell, Nest) else 1

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``results`` in ``probe --json``."""
        return dict(self._result)

    @cached_property
    def _result(self) -> dict[str, Any]:
        return result_of(self.evaluation, str(self.run) if self.run else None, selection=self.selection)


@dataclass(frozen=True, eq=False)
class Swept:
    """A whole sweep.

    Attributes
    ----------
    cells : tuple of Judged
        In the order asked for, without those that were lost.
    nested : tuple of Judged
        The honest choice inside each probe × level; empty for one cell, and where it was not wanted.
    winner : Judged or None
        The honest choice over all of them, where there are several.
    lost : tuple of str
        What could not be done because its processes died, in words.
    """

    cells: tuple[Judged, ...]
    nested: tuple[Judged, ...] = ()
    winner: Judged | None = None
    lost: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[Judged, ...]:
        """What was chosen among several cells: the winner first, then each family of more than one."""
        winner = (self.winner,) if self.winner else ()
        return winner + tuple(one for one in self.nested if one.num_cells > 1)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``probe --json`` prints, without its schema."""
        return {
            "results": [one.to_dict() for one in self.cells],
            "nested": [one.to_dict() for one in self.nested],
            "winner": self.winner.to_dict() if self.winner else None,
            "lost": list(self.lost),
        }


class Source(Protocol_):
    """What a sweep needs of a cache."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Those that are evaluated, in order."""

    @property
    def manifest(self) -> Manifest:
        """What else is known of them."""

    @property
    def caches(self) -> tuple[Cache, ...]:
        """What it was made from."""

    @property
    def fingerprint(self) -> str:
        """Of the recipe, or of all recipes that were joined."""

    @property
    def root(self) -> Path:
        """The folder."""

    def only(self, keep: Callable[[Clip], bool]) -> Self:
        """The same with some of the clips."""

    def __iter__(self) -> Iterator[CachedClip]:
        """The clips as they are cached, in the order of `clips`."""

    def features(self, level: str) -> Features:
        """The level as a feature matrix, one row a clip."""

    def window_features(self, level: str) -> WindowFeatures:
        """The level as a feature matrix, one row a window."""


def sweep(
    cache: Source,
    cells: Sequence[Cell],
    protocol: Protocol,
    *,
    folds: AnyFolds | None = None,
    reference: Reference | None = None,
    out: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda total: nullcontext(lambda word: None),
) -> Swept:
    """Cross-validate every cell, and where there are several, choose among them on inner folds.

    Parameters
    ----------
    cache : Cache
    cells : sequence of Cell
    protocol : Protocol
    folds : Folds or ClipFolds, optional
        In place of ``protocol.folds``. Classes that only a test part has are taken as they are: its clips are errors.
    reference : Reference, optional
        What counts as right, where it is not the manifest's label; `cache` is then a :class:`vjepa_fer.evaluation.reference.LabelledCache`, made
        of clips that ``protocol.exclude`` has left already.
    out : Path or None
        Folder that gets one run folder a result, as soon as it is done. Results that are there already are not fitted again; one
        that another process finishes meanwhile is taken from it. What killed processes left half written is removed.
    jobs : int
        Processes; each gets its share of the cores.
    progress : callable
        See :data:`Progress`.

    Raises
    ------
    RunError
        A folder holds another run, or a damaged one; nothing has been fitted then, unless another process made it meanwhile.
    """
    if out is not None and out.is_dir():
        sweep_partial_folders(out)
    if reference is None:
        cache = leave_out(cache, protocol.exclude)
    files = Files(cache, protocol, folds, reference, out)
    nested = protocol.nested and len(cells) > 1
    groups: dict[tuple[str, bool, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.level, cell.windowed, cell.probe), []).append(cell)
    families = [
        _Family(files, tuple(group), Nest(cells=tuple(group), inner_folds=protocol.inner_folds) if nested else None)
        for group in groups.values()
    ]
    with progress(sum(family.num_tasks for family in families)) as advance:
        for rows in dict.fromkeys(family.rows for family in families):
            _run_level(files, [family for family in families if family.rows == rows], jobs, advance)
    selection: Selection = "grid" if len(cells) > 1 else "fixed"
    judged = {id(c): f.judged[n] for f in families for n, c in enumerate(f.cells) if n in f.judged}
    chosen = [family.nested for family in families if family.nested is not None]
    return Swept(
        cells=tuple(_labelled(judged[id(cell)], selection) for cell in cells if id(cell) in judged),
        nested=tuple(chosen),
        winner=_winner(files, chosen) if len(chosen) == len(families) > 1 else None,
        lost=tuple(line for family in families for line in family.lost),
    )


def read_tokens(source: Source, level: str, *, by_window: bool = False) -> Any:
    """A stream of the tokens of a source's clips, for probes that take tokens.

    Raises
    ------
    CacheError
        The level is not stored, or the source joins several streams of features.
    """
    if isinstance(source, Joined):
        raise CacheError("a probe that takes tokens reads one cache: leave --stream out, or choose another probe")
    return TokenStream(list(source), level, by_window=by_window)


def _labelled(judged: Judged, selection: Selection) -> Judged:
    return Judged(judged.evaluation, judged.run, judged.resumed, selection)


def _winner(files: Files, nested: Sequence[Judged]) -> Judged:
    evaluation = files.completed(pick_winner([one.evaluation for one in nested]))
    return Judged(evaluation, None, all(one.resumed for one in nested), "nested")


def _run_level(files: Files, families: Sequence[_Family], jobs: int, advance: Callable[[str], None]) -> None:
    """Do what is left to do on one level by clips or windows; it is read once, and only if something is left."""
    tasks = [(family, task) for family in families for task in family.tasks()]
    if not tasks:
        return
    level, windowed, streamed = families[0].rows
    if streamed:
        features: Features | Windowed = files.tokens(level, windowed)
    else:
        features = files.windows(level) if windowed else files.cache.features(level)
    check_features(features)
    splits = files.folds.rows(features) if files.given else check_splits(features, files.folds)
    targets = files.reference.targets if files.reference else None
    joined = files.cache if isinstance(files.cache, Joined) else None
    blocks = tuple(joined.blocks(level).values()) if joined and joined.fusion == "late" else ()
    study = Study(features, tuple(splits), files.folds, files.protocol, targets, blocks)
    with closing(run_tasks_on(study, [task for _, task in tasks], jobs=jobs)) as answers:  # at once, when stopped
        for number, answer in answers:
            family, task = tasks[number]
            family.take(task, answer, study)
            advance(family.cells[0].probe)


class Files:
    """What was asked, by content, and where its results are kept.

    Raises
    ------
    SplitError
        Folds that do not fit the clips, or that leak where this is not allowed.
    """

    def __init__(
        self, cache: Source, protocol: Protocol, folds: AnyFolds | None, reference: Reference | None, out: Path | None
    ) -> None:
        self.cache, self.protocol, self.out = cache, protocol, out
        self.given = folds is not None
        self.folds = folds or plan_folds(protocol.folds, cache.manifest, cache.clips, protocol.seed)
        columns = ([getattr(clip, name) for clip in cache.clips] for name in ("clip_id", "label", "subject"))
        self.source = {"fingerprint": cache.fingerprint, "clips": digest_of_clips(*columns)}
        if isinstance(cache, Joined):
            self.source |= {"streams": ", ".join(cache.streams), "fusion": cache.fusion}
        self.reference = reference
        if reference is not None:
            self.source["labels"] = reference.name
        self.damage = damage_of((clip.clip_id for clip in self._used()), cache.manifest.clips)
        self.absent = absent_from(cache.caches, exclude=protocol.exclude)
        if protocol.exclude:
            self.source["exclude"] = protocol.exclude
        kept = None if reference is None else dataclasses.replace(reference, kept=np.ones(len(cache.clips), bool))
        self.votes = VoteBook(cache.clips, kept or make_reference("intended", cache.clips))
        self.leaks = self._audit()
        self.groups = group_clips(cache.manifest, protocol.by)

    def completed(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation with what raters said of its clips, which files are damaged or absent, and across corpora the classes
        trained on."""
        beside = self.votes.beside(evaluation.predictions)
        if self.given:
            train = self.folds.rows(self._who())[0].train
            beside["trained_classes"] = sorted({self.cache.clips[row].label for row in train})
        return dataclasses.replace(evaluation, beside=beside, damage=self.damage, absent=self.absent)

    def _used(self) -> list[Clip]:
        """The clips that some fold trains on or tests."""
        used = {row for split in self.folds.rows(self._who()) for side in split for row in side.tolist()}
        return [clip for row, clip in enumerate(self.cache.clips) if row in used]

    def windows(self, level: str) -> Windowed:
        """The level a row a window, with labels and subjects a row a clip."""
        windows, who = self.cache.window_features(level), self._who()
        return Windowed(windows.X, who.y, who.subjects, who.clip_ids, windows.clip_index)

    def tokens(self, level: str, windowed: bool) -> Features | Windowed:
        """The level's tokens as a stream, with labels and subjects a row a clip."""
        stream, who = read_tokens(self.cache, level, by_window=windowed), self._who()
        if windowed:
            return Windowed(stream, who.y, who.subjects, who.clip_ids, stream.clip_index)
        return who._replace(X=stream)

    def _who(self) -> Features:
        """The clips without their features."""
        y, subjects, clip_ids = (
            np.array([getattr(clip, name) for clip in self.cache.clips]) for name in ("label", "subject", "clip_id")
        )
        return Features(np.empty((len(y), 0), np.float32), y, subjects, clip_ids)

    def _audit(self) -> tuple[str, ...]:
        """What training and test parts share, in words, before anything is fitted."""
        who = self._who()
        recordings = [clip.value("recording") for clip in self.cache.clips]
        contents = [cached.source_sha256 for cached in self.cache]
        shares = identities(who.clip_ids.tolist(), who.subjects.tolist(), recordings, contents)
        leaks = find_leaks(self.folds.rows(who), shares)
        if not self.protocol.allow_leak:
            refuse_leaks(self.folds.name, leaks)
        return tuple(map(str, leaks))

    def resume(self, plan: Plan) -> Judged | None:
        """The plan's result as it lies on disk, or None."""
        if self.out is None:
            return None
        folds = {"folds_name": self.folds.name, "folds_sha256": self.folds.sha256}
        settings = run_settings(plan, seed=self.protocol.seed, source=self.source, **folds)
        run = finished_run(self.out / run_name(plan), settings)
        if run is None:
            return None
        self._check_tested(run)
        evaluation = dataclasses.replace(
            self.completed(run.evaluation),
            groups=self.groups or run.evaluation.groups,
        )
        return Judged(evaluation, run.path, True, "nested" if evaluation.choices else "fixed")

    def _check_tested(self, run: Run) -> None:
        """Refuse a run that says it is of these clips and folds, and predicts others."""
        fold_of = {row: n for n, split in enumerate(self.folds.rows(self._who())) for row in split.test.tolist()}
        tested = [(self.cache.clips[row], fold_of[row]) for row in sorted(fold_of)]
        said = run.evaluation.predictions
        labels = np.array(said.classes)[said.truth].tolist()
        if [(clip.clip_id, clip.label, fold) for clip, fold in tested] != list(
            zip(said.clip_ids.tolist(), labels, said.fold.tolist(), strict=True)
        ):
            raise RunError(f"{run.path}: predicts other clips than its settings say; remove the folder and run again")

    def keep(self, evaluation: Evaluation) -> Judged:
        """Complete the evaluation and write its run folder; where another process was first with the same, take that one."""
        evaluation = self.completed(evaluation)
        selection: Selection = "nested" if evaluation.choices else "fixed"
        if self.out is None:
            return Judged(evaluation, None, selection=selection)
        folder = self.out / run_name(evaluation.cell)
        try:
            run = write_run(folder, evaluation, source=self.source, cache=str(self.cache.root))
        except RunExistsError:
            finished = self.resume(evaluation.cell)
            if finished is None:
                raise
            return finished
        return Judged(evaluation, run.path, selection=selection)


@dataclass(eq=False)
class _Family:
    """The cells of one probe on one level: they are fitted together, and the choice goes among them."""

    files: Files
    cells: tuple[Cell, ...]
    nest: Nest | None
    judged: dict[int, Judged] = field(default_factory=dict)
    nested: Judged | None = None
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        known = ((number, self.files.resume(cell)) for number, cell in enumerate(self.cells))
        self.judged = {number: judged for number, judged in known if judged}
        self.nested = self.files.resume(self.nest) if self.nest else None
        self.pending = [number for number in range(len(self.cells)) if number not in self.judged]
        self.answers: dict[Task, Answer] = {}
        self.num_tasks = len(list(self.tasks()))

    @property
    def level(self) -> str:
        return self.cells[0].level

    @property
    def rows(self) -> tuple[str, bool, bool]:
        """What a row of its features is: the level, whether of a window, and whether its tokens are read as they are needed."""
        return self.level, self.cells[0].windowed, PROBES[self.cells[0].probe].reads_tokens

    def tasks(self) -> Iterator[Task]:
        """What is left to fit: the pending cells on each training part, and every cell on its inner folds."""
        pending = tuple(self.cells[number] for number in self.pending)
        for outer in range(len(self.files.folds)):
            if pending:
                yield Task(pending, outer)
            if self.nest is not None and self.nested is None:
                yield Task(self.cells, outer, self.nest.inner_folds)

    def take(self, task: Task, answer: Answer | Lost, study: Study) -> None:
        """Put an answer aside; when the last one is there, judge and write."""
        if isinstance(answer, Lost):
            self.lost.append(f"{self.cells[0].probe} on {self.level}, fold {task.outer}: {answer}")
            return
        self.answers[task] = answer
        if len(self.answers) == self.num_tasks:
            self._judge(study)
            self.answers.clear()

    def _judge(self, study: Study) -> None:
        outer = [answer for task, answer in sorted(self.answers.items(), key=lambda item: item[0].outer)]
        fitted = [answer for answer in outer if answer.decided]
        for position, number in enumerate(self.pending):
            self.judged[number] = self.files.keep(self._evaluation(study, position, fitted))
        counted = [answer for answer in outer if answer.hits is not None]
        if self.nest is not None and counted:
            choices = [
                choose(self.nest, np.asarray(answer.hits), len(split.train))
                for answer, split in zip(counted, study.splits, strict=True)
            ]
            evaluations = {number: judged.evaluation for number, judged in self.judged.items()}
            self.nested = self.files.keep(nested_evaluation(self.nest, choices, evaluations))

    def _evaluation(self, study: Study, position: int, fitted: Sequence[Answer]) -> Evaluation:
        decided: list[Decided] = [answer.decided[position] for answer in fitted]
        return Evaluation(
            cell=self.cells[self.pending[position]],
            folds=study.folds,
            seed=study.protocol.seed,
            predictions=gather(study.features, study.splits, decided),
            seconds=sum(answer.seconds for answer in fitted) / len(self.pending),
            leaks=self.files.leaks,
            groups=self.files.groups,
        )
