"""An experiment goes in; what came of it comes out: every cell's run, the choice among them, and the probe for new videos.

The command line, files and Python all end here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.cache import Cache, open_cache
from vjepa_fer.doors import card
from vjepa_fer.errors import ExperimentError, VjepaFerError
from vjepa_fer.evaluation import LabelledCache, Reference, human_ceiling, make_reference, manifest_roles
from vjepa_fer.experiment import Experiment
from vjepa_fer.features import Joined, join
from vjepa_fer.manifest import abridged, leave_out
from vjepa_fer.recipe import ImportedRecipe, SoundRecipe
from vjepa_fer.runs import PARTS, results_sheet
from vjepa_fer.sweep.asked import Judged
from vjepa_fer.sweep.loop import Progress, Swept, sweep
from vjepa_fer.sweep.refit import refit_best
from vjepa_fer.sweep.repeats import Repeated, repeat
from vjepa_fer.sweep.sharing import Shared, Tell, facts_of
from vjepa_fer.sweep.transfer import Transfer, run_transfer

MOST_NAMED = 12
"""Columns of features that are listed."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of an experiment.

    Attributes
    ----------
    experiment : Experiment
        With every parameter written out.
    swept : Swept
    roles : tuple of str
        Lines: what was taken as features, and what each column of the manifest was taken as.
    transfer : Transfer or None
        With ``experiment.test_on``, the same under each policy.
    joined : Joined or None
        With ``experiment.streams``, what was joined, and what dropped out.
    reference : Reference or None
        What counted as right; None across corpora.
    human : dict or None
        How well raters do; see :func:`vjepa_fer.evaluation.human_ceiling`.
    fitted : tuple of Judged and Path, or None
        With ``experiment.refit``, the cell that was fitted on all clips, and the folder of its probe.
    repeated : tuple of Repeated
        With ``experiment.protocol.repeats``, the figures of every row under each seed.
    """

    experiment: Experiment
    swept: Swept
    roles: tuple[str, ...] = ()
    transfer: Transfer | None = None
    joined: Joined | None = None
    reference: Reference | None = None
    human: dict[str, Any] | None = None
    fitted: tuple[Judged, Path] | None = None
    repeated: tuple[Repeated, ...] = ()

    @property
    def best(self) -> Judged | None:
        """The figure to report: the honest choice, or the only cell there is; None where cells stand beside each other unchosen."""
        only = self.swept.cells[0] if len(self.experiment.cells) == len(self.swept.cells) == 1 else None
        return self.swept.winner or only

    @property
    def results(self) -> list[dict[str, Any]]:
        """What came of it in the words of ``probe --json``: what was chosen, :attr:`best` first, then the cells by WAR; `to_report` is true of `best`."""
        ranked = sorted(self.swept.cells, key=lambda one: -one.to_dict()["war"]["mean"])
        told = self.transfer.results if self.transfer else lambda one: [one.to_dict()]
        everything = [*self.swept.chosen, *ranked]
        return [{**result, "to_report": one is self.best} for one in everything for result in told(one)]

    def __repr__(self) -> str:
        best = f", best {self.best.title}" if self.best else ""
        return f"Outcome({len(self.swept.cells)} cells{best})"

    def _repr_html_(self) -> str:
        best = f"to report: {self.best.title}" if self.best else "cells beside each other, none chosen"
        return card(
            "Outcome",
            best,
            warnings=self.swept.lost,
            sheet=results_sheet(self.results).only("name", "policy", "war", "uar", "note"),
        )

    def to_frame(self, part: str = "figures") -> Any:
        """A pandas DataFrame of :attr:`results`: the columns of ``probe --format csv``.

        Parameters
        ----------
        part : {"figures", "folds", "classes", "confusion", "groups"}
            A row a result; or of each result a row a fold, a class, a true class, or a group.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return PARTS[part](self.results).to_frame()

    def to_dict(self) -> dict[str, Any]:
        """The object that ``probe --json`` prints, without its schema."""
        told = self.transfer.to_dict() if self.transfer else self.swept.to_dict()
        if self.reference is not None:
            told |= {"labels": self.reference.name, "human": self.human}
        if self.fitted is not None:
            told["fitted"] = str(self.fitted[1])
        if self.repeated:
            told["repeats"] = [one.to_dict() for one in self.repeated]
        return {**told, "experiment": {**self.experiment.to_dict(), "fingerprint": self.experiment.fingerprint}}


def run_experiment(
    experiment: Experiment,
    *,
    out: Path | None = None,
    jobs: int = 1,
    progress: Progress = lambda total: nullcontext(lambda word: None),
    tell: Tell = lambda line: None,
) -> Outcome:
    """Cross-validate what an experiment asks for, or train on one corpus and test on another.

    Several processes, on one machine or many, that are given the same experiment and the same `out` divide its fits among them; each
    returns the whole outcome, as one process alone would.

    Parameters
    ----------
    experiment : Experiment
    out : Path or None
        Folder that gets one run folder a result, as soon as it is done. Results that are there already are not fitted again.
    jobs : int
        Processes; each gets its share of the cores.
    progress : callable
        See :data:`vjepa_fer.sweep.loop.Progress`.
    tell : callable
        Gets a line for people where this process waits for others.

    Raises
    ------
    VjepaFerError
        A cache that is not there or of another version, a cell that its cache cannot give, folds that do not fit or leak, a folder that
        holds another run, or in which a process is at another experiment: nothing has been written then.
    """
    asked = experiment.resolved
    if asked.refit and out is None:
        raise ExperimentError("refit = True keeps the fitted probe in its run folder: say where with out (--out)")
    opened = _open(asked)
    _check_levels(opened, asked)
    test = _open_test(asked)
    facts = facts_of(opened, asked) | {"test_on": test.fingerprint if test else ""}
    with Shared(out, facts, tell=tell) as shared:
        work: dict[str, Any] = {"jobs": jobs, "progress": progress, "shared": shared}
        return _run_transfer(asked, opened, test, out, work) if test else _run_folds(asked, opened, out, work)


def _run_transfer(asked: Experiment, opened: Any, test: Cache, out: Path | None, work: dict[str, Any]) -> Outcome:
    """From one corpus to another."""
    names = asked.label_names or None
    done = run_transfer(
        opened, test, asked.cells, asked.protocol, policies=asked.policies, names=names, asked=asked, out=out, **work
    )
    return Outcome(asked, done.swept, _roles([*opened.caches, test], asked), transfer=done)


def _run_folds(asked: Experiment, opened: Any, out: Path | None, work: dict[str, Any]) -> Outcome:
    """One corpus, in folds."""
    clips = opened.clips
    reference = make_reference(asked.labels, clips, ties=asked.ties)
    as_they_are = asked.labels == "intended"
    source = opened if as_they_are else LabelledCache(opened, reference)
    other = None if as_they_are else reference
    swept = sweep(source, asked.cells, asked.protocol, reference=other, asked=asked, out=out, **work)
    repeated = repeat(source, swept, asked, other, **work)
    fitted = None
    if asked.refit:
        seed, targets = asked.protocol.seed, reference.targets
        fitted = refit_best(source, swept, recipe=opened.recipe, seed=seed, targets=targets, shared=work["shared"])
    joined = opened if isinstance(opened, Joined) else None
    human = human_ceiling(clips, reference)
    roles = _roles(opened.caches, asked)
    told: dict[str, Any] = {"joined": joined, "reference": reference, "human": human}
    return Outcome(asked, swept, roles, fitted=fitted, repeated=repeated, **told)


def _roles(caches: Sequence[Cache], asked: Experiment) -> tuple[str, ...]:
    """What was taken as features, cache by cache, and as what the columns of the first manifest were."""
    levels = ", ".join(dict.fromkeys(cell.level for cell in asked.cells))
    lines = []
    for cache in caches:
        recipe = cache.recipe
        if isinstance(recipe, ImportedRecipe):
            names = f"{len(recipe.columns):,} columns of {recipe.source}: {abridged(recipe.columns, MOST_NAMED)}"
            names += f" ({levels})" if recipe.is_over_time else ""
        elif isinstance(recipe, SoundRecipe):
            names = f"{levels} of the sound, {recipe.title}"
        else:
            names = f"{levels} of {recipe.encoder.name}"
            names += f" (a control: {recipe.encoder.control})" if recipe.encoder.control else ""
            names += f", computed by {recipe.encoder.library.title}" if recipe.encoder.library else ""
        lines.append(f"features: {names}")
    return (*lines, *manifest_roles(caches[0].manifest, folds=asked.protocol.folds, by=asked.protocol.by))


def _open(asked: Experiment) -> Any:
    """The cache or the joined streams, without the clips that are left out."""
    if not asked.cache and not asked.streams:
        raise ExperimentError("cache is empty: say which cache is meant, such as cache = 'cache/ravdess'")
    with _asked_as("streams" if asked.streams else "cache", asked.cache or dict(asked.streams)):
        opened: Cache | Joined
        if asked.streams:
            how: dict[str, Any] = {"fusion": asked.fusion, "aligned": bool(asked.align), "tolerance": asked.tolerance}
            opened = join({name: open_cache(path) for name, path in asked.streams.items()}, **how)
        else:
            opened = open_cache(asked.cache)
    return leave_out(opened, asked.protocol.exclude)


def _open_test(asked: Experiment) -> Cache | None:
    if not asked.test_on:
        return None
    with _asked_as("test_on", asked.test_on):
        return open_cache(asked.test_on)


def _check_levels(opened: Any, asked: Experiment) -> None:
    """Refuse a cell that its cache cannot give, before anything is fitted or written."""
    for number, cell in enumerate(asked.cells):
        with _asked_as(f"cells[{number}].features", cell.level):
            if isinstance(opened, Joined):
                opened.check_level(cell.level)
            else:
                opened.read_as(cell.level)


@contextmanager
def _asked_as(key: str, value: Any) -> Iterator[None]:
    """An error says which value of the experiment it is about."""
    try:
        yield
    except VjepaFerError as error:
        error.add_note(f"The experiment says {key} = {value!r}.")
        raise
