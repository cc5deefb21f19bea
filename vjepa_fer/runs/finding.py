"""Folders go in; the runs among them come out, and by name those that cannot be read. No link is followed, no partial run taken."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vjepa_fer.disk import PARTIAL_SUFFIX
from vjepa_fer.doors import canonical_json
from vjepa_fer.errors import RunError, VjepaFerError
from vjepa_fer.experiment import PLAN_WORDS, Cell, Nest, Plan
from vjepa_fer.runs.description import FOLDS_JSON, PREDICTIONS_CSV, RUN_JSON, read_description
from vjepa_fer.runs.folder import Run, read_checked_predictions, read_plan, read_run
from vjepa_fer.runs.settings import PLUGINS

BEST = "best"
"""The folder, in that of an experiment's runs, of what was chosen among all cells."""


class Unread(NamedTuple):
    """A run folder that cannot be read, and why, in words that name it."""

    path: Path
    why: str


class Listed(NamedTuple):
    """The runs of a folder, by path, and those that cannot be read."""

    runs: list[Run]
    unread: list[Unread]


def list_runs(root: str | os.PathLike[str]) -> Listed:
    """The runs in a folder, itself included, at any depth; folders that are not runs are passed over.

    Raises
    ------
    RunError
        No such folder.
    """
    folder = Path(root)
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder")
    listed = Listed([], [])
    for path in sorted(_walk(folder, listed.unread)):
        try:
            listed.runs.append(read_run(path))
        except VjepaFerError as error:
            listed.unread.append(Unread(path, str(error)))
    return listed


def _walk(folder: Path, unread: list[Unread]) -> list[Path]:
    def closed(error: OSError) -> None:
        unread.append(Unread(Path(error.filename), f"{error.filename}: cannot be looked into ({error.strerror})"))

    found = []
    for parent, folders, files in os.walk(folder, onerror=closed):
        folders[:] = [name for name in folders if not name.endswith(PARTIAL_SUFFIX)]
        found += [Path(parent)] if _are_of_run(files) else []
    return found


def run_folders(folder: Path) -> list[Path]:
    """The run folders directly in a folder, by name, whole or not.

    Raises
    ------
    OSError
        It cannot be looked into.
    """
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    names = (e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.endswith(PARTIAL_SUFFIX))
    return [folder / name for name in names if _may_be_run(folder / name)]


def _may_be_run(folder: Path) -> bool:
    try:
        return _are_of_run(os.listdir(folder))
    except OSError:  # read_run says why
        return True


def _are_of_run(files: Collection[str]) -> bool:
    """Whether a folder with these files is a run, or one that has lost its description."""
    return RUN_JSON in files or {FOLDS_JSON, PREDICTIONS_CSV} <= set(files)


def runs_of(folder: Path) -> list[Path]:
    """The run folders of an experiment's folder: what was chosen among all cells, then the others, by name.

    Raises
    ------
    OSError
        It cannot be looked into.
    """
    best = folder / BEST
    chosen = run_folders(best) if best.is_dir() and not best.is_symlink() else []
    return [*chosen, *run_folders(folder)]


def chosen_of(paths: Sequence[Path]) -> list[Path]:
    """Of run folders, the choices among several cells; a folder that cannot be read is none of them."""
    return [path for path in paths if _is_choice(path)]


def _is_choice(path: Path) -> bool:
    try:
        plan = read_plan(path)[1]
    except VjepaFerError:
        return False
    return isinstance(plan, Nest) and len(plan.cells) > 1


def runs_that_stand_for(path: Path) -> list[Run]:
    """A run; or, of a folder that ``probe --out`` filled, the choices in it, that among all cells first, or else its cells.

    Raises
    ------
    RunError
        No run, or one that cannot be read.
    """
    inside = [] if os.path.lexists(path / RUN_JSON) else runs_of(path)
    runs = [read_run(one) for one in chosen_of(inside) or inside or [path]]
    return [run for run in runs if not run.repeats_a_cell] or runs


def to_report(runs: Sequence[Run]) -> list[bool]:
    """Of each run, whether its figure is one to report: nothing was picked by the very clips that it is about.

    A choice among all cells of its experiment is, and a cell that was tried alone; one of several cells is not, nor the choice among
    some of the cells that another run's choice goes over.
    """
    sweeps = [canonical_json({k: v for k, v in run.settings.items() if k not in PLAN_WORDS}) for run in runs]
    beside = [[other for other, name in zip(runs, sweeps, strict=True) if name == own] for own in sweeps]
    return [_is_to_report(run, others) for run, others in zip(runs, beside, strict=True)]


def _is_to_report(run: Run, beside: Sequence[Run]) -> bool:
    plan, others = run.evaluation.cell, [other for other in beside if other is not run]
    if isinstance(plan, Nest):
        return not any(_goes_over(other.evaluation.cell, plan) for other in others)
    plain = any(isinstance(other.evaluation.cell, Cell) for other in others)
    return run.evaluation.selection == "fixed" and not plain


def _goes_over(other: Plan, nest: Nest) -> bool:
    """Whether a choice is among these cells and more."""
    return (
        isinstance(other, Nest)
        and len(other.cells) > len(nest.cells)
        and all(cell in other.cells for cell in nest.cells)
    )


def finished_run(path: str | os.PathLike[str], settings: Mapping[str, Any]) -> Run | None:
    """The run at `path` if it is there and was made with exactly these settings; None if nothing is there.

    Raises
    ------
    RunError
        Another run is there; the settings that differ are named, both values each. Or a damaged one.
    """
    if not Path(path).exists():
        return None
    run = read_run(path)
    _refuse_other(path, run.settings, settings)
    return run


def _refuse_other(path: Path | str | os.PathLike[str], there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    names = [name for name in {**there, **asked} if there.get(name) != asked.get(name)]
    if names:
        lines = [f"  {name}: {there.get(name)!r} there, {asked.get(name)!r} asked for" for name in names]
        raise RunError(f"{path} holds another run:", *lines, "Choose another --out, or remove that folder.")


def refuse_other_experiments(folder: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder in which a run was made with other settings, its plan aside: more cells may join, other clips, folds or seeds not.

    Parameters
    ----------
    folder : Path
        An experiment's; one that is not there holds nothing.
    settings : mapping
        As of :func:`vjepa_fer.runs.run_settings`, of what all its runs have in common; ``inner_folds`` are compared with those of choices.

    Raises
    ------
    RunError
        The run is named, and the settings that differ, both values each. One that cannot be read is passed over.
    """
    of_a_plan = {*PLAN_WORDS, PLUGINS}
    common = {name: value for name, value in settings.items() if name not in of_a_plan}
    for path in runs_of(folder) if folder.is_dir() else []:
        try:
            said, plan = read_plan(path)
        except VjepaFerError:
            continue
        own = {"inner_folds": plan.inner_folds} if isinstance(plan, Nest) and "inner_folds" in settings else {}
        there = {name: value for name, value in said.items() if name not in of_a_plan} | own
        _refuse_other(path, there, {**common, **{name: settings[name] for name in own}})


class TableFacts(NamedTuple):
    """What a run says of the tables in its folder; all empty beside no run.

    Attributes
    ----------
    leaks : tuple of str
        What its training and test parts share.
    trained_classes : tuple of str
        Classes of the corpus that a run across corpora was trained on.
    """

    leaks: tuple[str, ...] = ()
    trained_classes: tuple[str, ...] = ()


def facts_of_table(path: str | os.PathLike[str]) -> TableFacts:
    """What is known of a table of predictions by the run beside it; the run's own table must be as it was written.

    Raises
    ------
    RunError
        The ``run.json`` beside it cannot be read, or the table was edited.
    """
    folder = Path(path).parent
    if not os.path.lexists(folder / RUN_JSON):
        return TableFacts()
    described = read_description(folder)
    if Path(path).name == PREDICTIONS_CSV or _is_same(Path(path), folder / PREDICTIONS_CSV):
        read_checked_predictions(described)
    result = described.said.object("result")
    return TableFacts(result.texts("leaks", optional=True), result.texts("trained_classes", optional=True))


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
