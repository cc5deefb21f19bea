"""A source of clips, a protocol and a folder go in: what was asked, by content; each result that is there already, or is kept, comes out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import Cache, Features
from vjepa_fer.errors import CacheError, RunError, RunExistsError
from vjepa_fer.evaluation import Evaluation, Reference, Study, VoteBook, check_splits, make_reference
from vjepa_fer.experiment import Cell, Experiment, Nest, Plan, Protocol, folder_name, plan_title
from vjepa_fer.features import STACKED, Joined, Row, TokenStream, Windowed
from vjepa_fer.folds import AnyFolds, plan_folds
from vjepa_fer.judging import group_clips
from vjepa_fer.manifest import Clip, absent_from, damage_of
from vjepa_fer.recipe import Recipe
from vjepa_fer.runs import (
    BEST,
    Run,
    digest_of_clips,
    encoder_facts,
    finished_run,
    fusion_facts,
    refuse_other_experiments,
    result_of,
    run_settings,
    write_run,
)
from vjepa_fer.sweep.audit import audit
from vjepa_fer.sweep.source import Source


def _control(caches: Sequence[Cache]) -> str | None:
    """Of which control the features are; None where an encoder, or another program, had a part in them."""
    controls = [cache.recipe.encoder.control if isinstance(cache.recipe, Recipe) else None for cache in caches]
    known = [control for control in controls if control]
    return "; ".join(dict.fromkeys(known)) if len(known) == len(controls) else None


def _fusion_settings(joined: Joined, protocol: Protocol) -> dict[str, str]:
    """What of the fusion decides the numbers."""
    said = {"streams": ", ".join(joined.streams), "fusion": joined.fusion}
    if joined.fusion == STACKED:  # a run of one cell has inner folds then as well
        said["stacked_on"] = f"{protocol.inner_folds} inner folds"
    if joined.aligned:
        near = "half a step" if joined.tolerance is None else f"{joined.tolerance:g}"
        said["aligned"] = f"frames, within {near}"
    return said


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
    """

    evaluation: Evaluation
    run: Path | None
    resumed: bool = False

    @property
    def num_cells(self) -> int:
        """How many were chosen among."""
        return len(self.evaluation.cell.cells) if isinstance(self.evaluation.cell, Nest) else 1

    @property
    def cell(self) -> Cell:
        """Of a result that is of one."""
        assert isinstance(self.evaluation.cell, Cell)
        return self.evaluation.cell

    @property
    def title(self) -> str:
        """What people call it: ``logreg C=10 · frames · standard``."""
        return plan_title(self.evaluation.cell)

    def to_dict(self) -> dict[str, Any]:
        """One entry of ``results`` in ``probe --json``."""
        return dict(self._result)

    @cached_property
    def _result(self) -> dict[str, Any]:
        return result_of(self.evaluation, str(self.run) if self.run else None)


def read_tokens(source: Source, level: str, row: Row) -> TokenStream:
    """A stream of the tokens of a source's clips, for probes that take tokens.

    Raises
    ------
    CacheError
        The level is not stored; or the source joins several streams that are not aligned, or are to be decided by windows or views.
    """
    if not isinstance(source, Joined):
        return TokenStream(list(source), level, row=row)
    if row != "clip":
        raise CacheError(f"{', '.join(source.streams)}: streams are joined clip by clip; decide by mean-feature")
    return TokenStream(source.cached_clips(level), level, row=row)


class Files:
    """What was asked, by content, and where its results are kept.

    Raises
    ------
    SplitError
        Folds that do not fit the clips, or that leak where this is not allowed.
    RunError
        The folder holds runs of other clips, folds or seeds.
    """

    def __init__(
        self, cache: Source, asked: Experiment, folds: AnyFolds | None, reference: Reference | None, out: Path | None
    ) -> None:
        self.cache, self.asked, self.out = cache, asked, out
        self.protocol = protocol = asked.protocol
        self.given = folds is not None
        self.folds = folds or plan_folds(protocol.folds, cache.manifest, cache.clips, protocol.seed)
        columns = ([getattr(clip, name) for clip in cache.clips] for name in ("clip_id", "label", "subject"))
        self.source = {"fingerprint": cache.fingerprint, "clips": digest_of_clips(*columns)}
        if isinstance(cache, Joined):
            self.source |= _fusion_settings(cache, protocol)
        self.reference = reference
        if reference is not None:
            self.source["labels"] = reference.name
        self.damage = damage_of((clip.clip_id for clip in self._used()), cache.manifest.clips)
        self.absent = absent_from(cache.caches, exclude=protocol.exclude)
        if protocol.exclude:
            self.source["exclude"] = protocol.exclude
        kept = None if reference is None else dataclasses.replace(reference, kept=np.ones(len(cache.clips), bool))
        self.votes = VoteBook(cache.clips, kept or make_reference("intended", cache.clips))
        self.leaks, self.unaudited = audit(cache, self._who(), self.folds, allow_leak=protocol.allow_leak)
        self.groups = group_clips(cache.manifest, protocol.by)
        if out is not None:
            nested = {"inner_folds": protocol.inner_folds} if protocol.nested and len(asked.cells) > 1 else {}
            refuse_other_experiments(out, {**self.settings_of(asked.cells[0]), **nested})

    def settings_of(self, plan: Plan) -> dict[str, Any]:
        """Everything that decides the numbers of a plan."""
        folds = {"folds_name": self.folds.name, "folds_sha256": self.folds.sha256}
        return run_settings(plan, seed=self.protocol.seed, source=self.source, **folds)

    def completed(self, evaluation: Evaluation) -> Evaluation:
        """The evaluation with what raters said of its clips, what no audit could see, which files are damaged or absent, and across corpora the classes
        trained on."""
        beside = self.votes.beside(evaluation.predictions) | {"unaudited": list(self.unaudited)}
        if self.given:
            train = self.folds.rows(self._who())[0].train
            beside["trained_classes"] = sorted({self.cache.clips[row].label for row in train})
        read = tuple(self.cache.read.values()) if isinstance(self.cache, Joined) else self.cache.caches
        if control := _control(read):
            beside["control"] = control
        if len(read) == 1 and (encoder := encoder_facts(read[0], self._levels(evaluation))):
            beside["encoder"] = encoder
        if isinstance(self.cache, Joined):
            beside["fusion"] = fusion_facts(self.cache)
        known = dataclasses.replace(evaluation, damage=self.damage, absent=self.absent)
        return dataclasses.replace(known, beside=beside, statistics=self.asked.statistics)

    def _levels(self, evaluation: Evaluation) -> set[str]:
        """What it reads: its cell's level, or those that a choice was made among."""
        cells = [evaluation.cell] if isinstance(evaluation.cell, Cell) else self.asked.cells
        return {cell.level for cell in cells}

    def _used(self) -> list[Clip]:
        """The clips that some fold trains on or tests."""
        used = np.zeros(len(self.cache.clips), bool)
        for split in self.folds.rows(self._who()):
            used[split.train] = used[split.test] = True
        return list(itertools.compress(self.cache.clips, used))

    @cached_property
    def bare_study(self) -> Study:
        """Clips and folds without features: enough to judge what was decided."""
        who = self._who()
        splits = self.folds.rows(who) if self.given else check_splits(who, self.folds)
        return Study(who, tuple(splits), self.folds, self.protocol)

    def windows(self, level: str) -> Windowed:
        """The level a row a window, with labels and subjects a row a clip."""
        windows, who = self.cache.window_features(level), self._who()
        return Windowed(windows.X, who.y, who.subjects, who.clip_ids, windows.clip_index)

    def tokens(self, level: str, row: Row) -> Features | Windowed:
        """The level's tokens as a stream, with labels and subjects a row a clip."""
        stream: Any = read_tokens(self.cache, level, row)
        who = self._who()
        if row == "clip":
            return who._replace(X=stream)
        return Windowed(stream, who.y, who.subjects, who.clip_ids, stream.clip_index)

    def _who(self) -> Features:
        """The clips without their features."""
        y, subjects, clip_ids = (
            np.array([getattr(clip, name) for clip in self.cache.clips]) for name in ("label", "subject", "clip_id")
        )
        return Features(np.empty((len(y), 0), np.float32), y, subjects, clip_ids)

    def resume(self, plan: Plan) -> Judged | None:
        """The plan's result as it lies on disk, or None."""
        folder = self._folder(plan)
        if folder is None:
            return None
        run = finished_run(folder, self.settings_of(plan))
        if run is None:
            return None
        self._check_tested(run)
        evaluation = self._compared(self.completed(run.evaluation))
        return Judged(dataclasses.replace(evaluation, groups=self.groups or evaluation.groups), run.path, True)

    def _folder(self, plan: Plan) -> Path | None:
        """Where a plan's run is kept: the choice among all cells lies in a folder of its own, found without knowing its name."""
        if self.out is None:
            return None
        chosen = isinstance(plan, Nest) and len(plan.cells) == len(self.asked.cells)
        return self.out / BEST / folder_name(plan) if chosen else self.out / folder_name(plan)

    def _compared(self, evaluation: Evaluation) -> Evaluation:
        """A cell remembers the largest experiment that it was one of: a figure that was picked from stays so."""
        if isinstance(evaluation.cell, Nest):
            return evaluation
        among = max(evaluation.among, len(self.asked.cells))
        return dataclasses.replace(evaluation, among=among, selection="grid" if among > 1 else "fixed")

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
        evaluation = self._compared(self.completed(evaluation))
        plan = evaluation.cell
        folder = self._folder(plan)
        if folder is None:
            return Judged(evaluation, None)
        cells = plan.cells if isinstance(plan, Nest) else (plan,)
        cells = tuple(self.asked.cells[self.asked.cells.index(cell)] for cell in cells)  # parameters in the order asked
        asked = dataclasses.replace(self.asked, cells=cells, refit=False)
        try:
            run = write_run(folder, evaluation, source=self.source, cache=str(self.cache.root), experiment=asked)
        except RunExistsError:
            finished = self.resume(plan)
            if finished is None:
                raise
            return finished
        return Judged(evaluation, run.path)
