"""Features with their folds go in, and tasks; what was decided on each training part comes out, from one process or several."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.disk import scratch_folder, sweep_scratch
from vjepa_fer.evaluation.evaluate import Decided, Targets, fit_predict
from vjepa_fer.evaluation.nested import are_right, inner_splits
from vjepa_fer.evaluation.race import Race
from vjepa_fer.evaluation.stacking import stacked_decisions
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.features import TokenStream, Windowed, first_of_equals
from vjepa_fer.folds import AnyFolds, Split
from vjepa_fer.workers import Done, Wanted, run_tasks


@dataclass(frozen=True, eq=False)
class Task:
    """Cells of one probe to fit together on one training part.

    Attributes
    ----------
    cells : tuple of Cell
    outer : int
        The fold.
    inner_folds : int
        0: fit the training part, decide the test part. Otherwise: count, on that many inner folds of the training part,
        what each cell gets right; the test part is not touched. A cell that cannot come first any more leaves after a fold.
    every_fold : bool
        Whoever comes first is judged on every inner fold, so that its WAR can be held against another family's. Otherwise
        the inner folds end once one cell is left.
    """

    cells: tuple[Cell, ...]
    outer: int
    inner_folds: int = 0
    every_fold: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """A task's result: one decision a cell, or its inner hits, int64 (num_cells,), of a cell that left those so far; and how long it took.

    `num_judged` is how many clips whoever came first was judged on.
    """

    decided: list[Decided]
    hits: np.ndarray | None
    seconds: float
    num_judged: int = 0


@dataclass(frozen=True, eq=False)
class Study:
    """One level's features with the folds that judge every cell on them.

    Attributes
    ----------
    features, splits, folds, protocol, targets
    blocks : tuple of slice
        Columns of several streams of which each cell is fitted on each block alone, and what these say is made one, in inner
        folds too. Empty: one probe sees all columns.
    stacked : bool
        The blocks' probabilities are weighed by a stacker (:mod:`vjepa_fer.evaluation.stacking`); otherwise averaged.
    """

    features: Features | Windowed
    splits: tuple[Split, ...]
    folds: AnyFolds
    protocol: Protocol
    targets: Targets | None = None
    blocks: tuple[slice, ...] = ()
    stacked: bool = False

    def run(self, task: Task) -> Answer:
        """Do a task in this process."""
        started = time.perf_counter()
        if task.inner_folds:
            race = self._race(task)
            return Answer([], race.hits, time.perf_counter() - started, race.num_judged)
        decided = self._decide(self.splits[task.outer], task.cells, self._where(task))
        return Answer(decided, None, time.perf_counter() - started)

    def _race(self, task: Task) -> Race:
        train, seed, where = self.splits[task.outer].train, self.protocol.seed, self._where(task)
        race = Race(len(task.cells), len(train))
        for split in inner_splits(self.features, train, task.inner_folds, seed=seed, where=where):
            if race.is_over and not task.every_fold:
                break
            decided = self._decide(split, [task.cells[number] for number in race.running], where)
            race.judge(are_right(self.features, split, decided), self.features.subjects[split.test])
        return race

    def _where(self, task: Task) -> str:
        return f"fold {self.folds.fold_names[task.outer]} of {self.folds.name}"

    def _decide(self, split: Split, cells: Sequence[Cell], where: str) -> list[Decided]:
        x, protocol = self.features.X, self.protocol
        parts: list[Any] = [self.features._replace(X=x[:, block]) for block in self.blocks] or [self.features]
        if self.stacked:
            how: dict[str, Any] = {"seed": protocol.seed, "num_folds": protocol.inner_folds, "where": where}
            return stacked_decisions(parts, split, cells, **how)
        answers = [fit_predict(part, split, cells, self.protocol.seed, self.targets) for part in parts]
        return [_averaged(streams) for streams in zip(*answers, strict=True)]


def _averaged(streams: Sequence[Decided]) -> Decided:
    """The mean of the streams' probabilities; all have the same training clips, so the same classes, in the order of names."""
    if len(streams) == 1:
        return streams[0]
    classes, probabilities = streams[0].classes, np.mean([one.probabilities for one in streams], axis=0)
    return Decided(classes, probabilities, classes[first_of_equals(probabilities)], streams[0].settled)


def run_tasks_on(
    study: Study, tasks: Sequence[Task], *, jobs: int = 1, wanted: Wanted = lambda number: True
) -> Generator[Done, None, None]:
    """Yield each task's :class:`Answer`, or what :func:`vjepa_fer.workers.run_tasks` gives in its place, as it is done.

    With several processes the feature matrix goes through a temporary file that all of them map, so that it is in memory once; a
    stream of tokens is read by each of them.
    """
    streamed = isinstance(study.features.X, TokenStream)
    if jobs == 1 or len(tasks) < 2 or streamed:
        sweep_scratch()
        yield from run_tasks(study.run, tasks, jobs=jobs, wanted=wanted)
        return
    with scratch_folder() as folder:
        path = Path(folder) / "features.npy"
        np.save(path, study.features.X)
        bare = dataclasses.replace(study, features=study.features._replace(X=np.empty((0, 0), np.float32)))
        yield from run_tasks(_MappedStudy(path, bare).run, tasks, jobs=jobs, wanted=wanted)


@dataclass(frozen=True)
class _MappedStudy:
    """A study whose features are mapped from a file by whoever works on it."""

    path: Path
    bare: Study

    @cached_property
    def study(self) -> Study:
        x = np.load(self.path, mmap_mode="r")
        return dataclasses.replace(self.bare, features=self.bare.features._replace(X=x))

    def run(self, task: Task) -> Answer:
        """Do a task in the process that asks."""
        return self.study.run(task)
