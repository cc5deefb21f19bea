"""A cache and the cells of a sweep go in; each cell's evaluation and the honest choice among them come out.

What is on disk already is read, not fitted again. The unit of work is one training part: all cells of a probe that still need
it are fitted together, in this process, in one of several that it has, or in another that fills the same folder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.cache import Features
from vjepa_fer.disk import refuse_link, sweep_partial_folders
from vjepa_fer.doors import printable
from vjepa_fer.evaluation import Reference, Study, check_features, check_splits, pick_winner, run_tasks_on
from vjepa_fer.experiment import Cell, Experiment, Nest, Protocol
from vjepa_fer.features import STACKED, Joined, Windowed
from vjepa_fer.folds import AnyFolds
from vjepa_fer.manifest import leave_out
from vjepa_fer.runs import BEST
from vjepa_fer.sweep.asked import Files, Judged
from vjepa_fer.sweep.family import Family
from vjepa_fer.sweep.sharing import Shared, facts_of
from vjepa_fer.sweep.source import Source
from vjepa_fer.workers import Passed

Progress = Callable[[int], AbstractContextManager[Callable[[str], None]]]
"""Told how many fits there are; gives a function to call with a word after each."""


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
        The honest choice over all cells, where there are several: the figure to report.
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
        return winner + tuple(one for one in self.nested if one.num_cells > 1 and one is not self.winner)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``probe --json`` prints, without its schema."""
        return {
            "results": [one.to_dict() for one in self.cells],
            "nested": [one.to_dict() for one in self.nested],
            "winner": self.winner.to_dict() if self.winner else None,
            "lost": list(self.lost),
        }


def sweep(
    cache: Source,
    cells: Sequence[Cell],
    protocol: Protocol,
    *,
    asked: Experiment | None = None,
    folds: AnyFolds | None = None,
    reference: Reference | None = None,
    out: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda total: nullcontext(lambda word: None),
    shared: Shared | None = None,
) -> Swept:
    """Cross-validate every cell, and where there are several, choose among them on inner folds.

    Several processes that are given the same `out` divide the fits among them and have the same results.

    Parameters
    ----------
    cache : Cache
    cells : sequence of Cell
    protocol : Protocol
    asked : Experiment, optional
        What `cells` and `protocol` are of, to be kept with each run.
    folds : Folds or ClipFolds, optional
        In place of ``protocol.folds``. Classes that only a test part has are taken as they are: its clips are errors.
    reference : Reference, optional
        What counts as right, where it is not the manifest's label; `cache` is then a :class:`vjepa_fer.evaluation.reference.LabelledCache`, made
        of clips that ``protocol.exclude`` has left already.
    out : Path or None
        Folder that gets one run folder a result, as soon as it is done. Results that are there already are not fitted again, nor is
        what another process does meanwhile. What killed processes left half written is removed.
    jobs : int
        Processes; each gets its share of the cores.
    progress : callable
        See :data:`Progress`.
    shared : Shared, optional
        The work of the whole experiment that this is a part of; by default it is all that is done in `out`.

    Raises
    ------
    RunError
        A folder holds another run or experiment, or a damaged run; nothing has been fitted then, unless another process made it meanwhile.
    """
    if out is not None:
        refuse_link(out / BEST)
        for folder in (folder for folder in (out, out / BEST) if folder.is_dir()):
            sweep_partial_folders(folder)
    if reference is None:
        cache = leave_out(cache, protocol.exclude)
    asked = asked or Experiment(cache=printable(str(cache.root)))
    asked = dataclasses.replace(asked, cells=tuple(cells), protocol=protocol).resolved
    cells = asked.cells
    files = Files(cache, asked, folds, reference, out)
    if shared is not None:
        return _sweep(files, shared, jobs, progress)
    with Shared(out, facts_of(cache, asked)) as own:
        return _sweep(files, own, jobs, progress)


def _sweep(files: Files, shared: Shared, jobs: int, progress: Progress) -> Swept:
    cells, protocol = files.asked.cells, files.protocol
    nested = protocol.nested and len(cells) > 1
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.level, cell.row, cell.probe), []).append(cell)
    nests = [
        Nest(cells=tuple(group), inner_folds=protocol.inner_folds) if nested else None for group in groups.values()
    ]
    families = [Family(files, tuple(group), nest, shared) for group, nest in zip(groups.values(), nests, strict=True)]
    with progress(sum(len(family.tasks) for family in families)) as advance:
        _work(files, families, shared, jobs, advance)
    judged = {id(c): f.judged[n] for f in families for n, c in enumerate(f.cells) if n in f.judged}
    chosen = [family.nested for family in families if family.nested is not None]
    return Swept(
        cells=tuple(judged[id(cell)] for cell in cells if id(cell) in judged),
        nested=tuple(chosen),
        winner=_winner(files, chosen) if len(chosen) == len(families) > 0 else None,
        lost=tuple(line for family in families for line in family.lost),
    )


def _work(files: Files, families: Sequence[Family], shared: Shared, jobs: int, advance: Callable[[str], None]) -> None:
    """Do what no other process is at, and take what others did, over and over until nothing is left."""
    while any(family.is_open for family in families):
        shared.begin()  # before the look at what is there: whoever goes last would leave nothing of it
        answered = shared.answered()
        for family in families:
            for _ in range(family.catch_up(answered)):
                advance(family.cells[0].probe)
            family.mourn(shared.deadly)
        left = [family for family in families if family.is_open]
        rows = dict.fromkeys(family.rows for family in left)
        parts = [_run_level(files, [one for one in left if one.rows == row], shared, jobs, advance) for row in rows]
        if left and not any(parts):
            shared.wait(sum(len(family.left) for family in left))


def _winner(files: Files, nested: Sequence[Judged]) -> Judged:
    """The choice among all cells; one family's choice is that already."""
    if len(nested) == 1:
        return nested[0]
    evaluation = pick_winner([one.evaluation for one in nested])
    return files.resume(evaluation.cell) or files.keep(evaluation)


def _run_level(
    files: Files, families: Sequence[Family], shared: Shared, jobs: int, advance: Callable[[str], None]
) -> int:
    """Do what is free on one level, a row a clip, window or view, which is read once, and only for that; the number of tasks done."""
    tasks = [(family, task) for family in families for task in family.left]
    if not any(shared.ours(family.key(task)) for family, task in tasks):
        return 0
    study, done = _study(files, families[0]), 0
    take = (
        shared.begins if jobs == 1 or len(tasks) == 1 else shared.ours
    )  # by this process itself, or by one that it has
    options: dict[str, Any] = {} if shared.is_alone else {"wanted": lambda n: take(tasks[n][0].key(tasks[n][1]))}
    with closing(
        run_tasks_on(study, [task for _, task in tasks], jobs=jobs, **options)
    ) as answers:  # at once, when stopped
        for number, answer in answers:
            if isinstance(answer, Passed):
                continue
            family, task = tasks[number]
            family.take(task, answer)
            advance(family.cells[0].probe)
            done += 1
    return done


def _study(files: Files, family: Family) -> Study:
    """The features of a family with the folds that judge it."""
    level, row, streamed = family.rows
    if streamed:
        features: Features | Windowed = files.tokens(level, row)
    else:
        features = files.cache.features(level) if row == "clip" else files.windows(level)
    check_features(features)
    splits = files.folds.rows(features) if files.given else check_splits(features, files.folds)
    targets = files.reference.targets if files.reference else None
    joined = files.cache if isinstance(files.cache, Joined) else None
    blocks = tuple(joined.blocks(level).values()) if joined and joined.fits_each else ()
    stacked = joined is not None and joined.fusion == STACKED
    return Study(features, tuple(splits), files.folds, files.protocol, targets, blocks, stacked)
