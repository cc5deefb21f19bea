"""The cells of one probe on one level go in; what is left to fit comes out as tasks, and once these are answered, each cell judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

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
)
from vjepa_fer.experiment import Cell, Nest
from vjepa_fer.features import Row
from vjepa_fer.probes import PROBES
from vjepa_fer.sweep.asked import Files, Judged
from vjepa_fer.workers import Lost


@dataclass(eq=False)
class Family:
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
    def rows(self) -> tuple[str, Row, bool]:
        """What its features are: the level, what a row is, and whether its tokens are read as they are needed."""
        return self.level, self.cells[0].row, PROBES[self.cells[0].probe].reads_tokens

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
            predictions=gather(study.features, study.splits, decided, study.folds.names),
            seconds=sum(answer.seconds for answer in fitted) / len(self.pending),
            leaks=self.files.leaks,
            groups=self.files.groups,
            settled=settled_in(decided),
        )
