"""The cells of one probe on one level go in; what is left to fit comes out as tasks, and once these are answered, each cell judged."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from vjepa_fer.claims import MOST_DEATHS
from vjepa_fer.doors import canonical_json
from vjepa_fer.evaluation import (
    Answer,
    Decided,
    Evaluation,
    Study,
    Task,
    choose,
    gather,
    nested_evaluation,
    settled_in,
    stackers_in,
)
from vjepa_fer.experiment import Cell, Nest
from vjepa_fer.features import Row
from vjepa_fer.probes import probe_entry
from vjepa_fer.sweep.answers import answer_bytes, read_answer
from vjepa_fer.sweep.asked import Files, Judged
from vjepa_fer.sweep.sharing import Shared, libraries
from vjepa_fer.workers import Lost


@dataclass(eq=False)
class Family:
    """The cells of one probe on one level: they are fitted together, and the choice goes among them.

    Its tasks may be answered here or by other processes that fill the same folder; whoever claims the last step judges.
    """

    files: Files
    cells: tuple[Cell, ...]
    nest: Nest | None
    shared: Shared
    judged: dict[int, Judged] = field(default_factory=dict)
    nested: Judged | None = None
    lost: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.look()
        self.pending = [number for number in range(len(self.cells)) if number not in self.judged]
        self.answers: dict[Task, Answer] = {}
        self.tasks = tuple(self._make_tasks())
        self._key = self._digest()

    @property
    def level(self) -> str:
        return self.cells[0].level

    @property
    def rows(self) -> tuple[str, Row, bool]:
        """What its features are: the level, what a row is, and whether its tokens are read as they are needed."""
        return self.level, self.cells[0].row, probe_entry(self.cells[0].probe).reads_tokens

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done, here or elsewhere."""
        done = len(self.judged) == len(self.cells) and (self.nest is None or self.nested is not None)
        return not (done or self.lost)

    @property
    def compared(self) -> bool:
        """Whether its choice stands beside those of other families."""
        return len(self.cells) < len(self.files.asked.cells)

    @property
    def left(self) -> list[Task]:
        """The tasks that nobody is known to have answered."""
        return [task for task in self.tasks if task not in self.answers] if self.is_open else []

    def key(self, task: Task) -> str:
        """What a task is called among processes: by all that decides its answer."""
        which = f"{self._key} {task.outer} {task.inner_folds} {task.every_fold}"
        return hashlib.sha256(which.encode()).hexdigest()

    def look(self) -> None:
        """Take what lies on the disk as runs by now."""
        for number, cell in enumerate(self.cells):
            if number not in self.judged and (known := self.files.resume(cell)):
                self.judged[number] = known
        if self.nest is not None and self.nested is None:
            self.nested = self.files.resume(self.nest)

    def catch_up(self, answered: Collection[str]) -> int:
        """Take what others have done by now, `answered` being the keys of all answers; how many tasks are left less for it."""
        before = len(self.left)
        self.look()
        for task in self.left if answered else ():
            key, numbers = self.key(task), [] if task.inner_folds else self.pending
            if key in answered:
                count = len(task.cells) if task.inner_folds else len(self.files.bare_study.splits[task.outer].test)
                answer = read_answer(self.shared.path(key), numbers, num_rows=count)
                if answer is None:
                    self.shared.forget(key)
                else:
                    self.answers[task] = answer
        taken = before - len(self.left)
        self.judge()
        return taken

    def take(self, task: Task, answer: Answer | Lost) -> None:
        """Put an answer of this process aside, for others too; when the last one is there, judge and write."""
        if isinstance(answer, Lost):
            self.lost.append(f"{self.cells[0].probe} on {self.level}, fold {task.outer}: {answer}")
            return
        self.answers[task] = answer
        self.shared.keep(self.key(task), answer_bytes(answer, () if task.inner_folds else self.pending))
        self.judge()

    def mourn(self, deadly: Collection[str]) -> None:
        """Give up what is left if some of it was the death of several processes, by its keys."""
        for task in self.left if deadly else ():
            if self.key(task) in deadly:
                said = f"{MOST_DEATHS} processes died of it; too little memory? The same command tries it again"
                self.lost.append(f"{self.cells[0].probe} on {self.level}, fold {task.outer}: {said}")

    def judge(self) -> None:
        """Judge and write if all is answered, unless another process is at that."""
        if self.is_open and not self.left and (self.files.out is None or self.shared.ours(self._key)):
            self._judge(self.files.bare_study)
            self.answers.clear()

    def _make_tasks(self) -> Iterator[Task]:
        """What is left to fit: the pending cells on each training part, and every cell on its inner folds."""
        pending = tuple(self.cells[number] for number in self.pending)
        for outer in range(len(self.files.folds)):
            if pending:
                yield Task(pending, outer)
            if self.nest is not None and self.nested is None:
                yield Task(self.cells, outer, self.nest.inner_folds, every_fold=self.compared)

    def _digest(self) -> str:
        common = self.files.settings_of(self.nest or self.cells[0])
        facts = {**common, "cells": [cell.to_dict() for cell in self.cells], **libraries()}
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def _judge(self, study: Study) -> None:
        outer = [answer for task, answer in sorted(self.answers.items(), key=lambda item: item[0].outer)]
        fitted = [answer for answer in outer if answer.decided]
        for position, number in enumerate(self.pending):
            if number not in self.judged:
                self.judged[number] = self.files.keep(self._evaluation(study, position, fitted))
        counted = [answer for answer in outer if answer.hits is not None]
        if self.nest is not None and self.nested is None:
            choices = [choose(self.nest, np.asarray(answer.hits), answer.num_judged) for answer in counted]
            evaluations = {number: judged.evaluation for number, judged in self.judged.items()}
            self.nested = self.files.keep(nested_evaluation(self.nest, choices, evaluations))

    def _evaluation(self, study: Study, position: int, fitted: Sequence[Answer]) -> Evaluation:
        decided: list[Decided] = [answer.decided[position] for answer in fitted]
        return Evaluation(
            cell=self.cells[self.pending[position]],
            folds=study.folds,
            seed=study.protocol.seed,
            predictions=gather(study.features, study.splits, decided, study.folds.names),
            seconds=sum(answer.seconds for answer in fitted) / len(self.pending),
            leaks=self.files.leaks,
            groups=self.files.groups,
            settled=settled_in(decided),
            stackers=stackers_in(decided),
        )
