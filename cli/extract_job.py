"""Caches to fill and the clips for them come in; what it would take is shown, or it is done, and a summary a cache goes out."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from .extract_words import Outlook, about_decoding, plan_lines, show_plans
from .extract_work import Encoders, Trial, Work, fill, require_room, which_of
from .terminal import say

if TYPE_CHECKING:
    from vjepa_fer.engines import RayEngine
    from vjepa_fer.extract import ExtractSettings, ExtractSummary, Plan, Stage


class Reckoning(NamedTuple):
    """What ``--dry-run`` reckons with, as typed."""

    is_asked: bool
    machines: int | None
    rate: float | None
    price: float | None

    def check(self, cluster: RayEngine | None) -> None:
        """Wrong usage where nothing is reckoned with it; a cluster's machines are its workers."""
        machines = self.machines if cluster is None else None
        if not self.is_asked and any(value is not None for value in (machines, self.rate, self.price)):
            raise typer.BadParameter(
                "--machines, --rate and --price say what --dry-run reckons with: add it, or leave them out"
            )


class Job(NamedTuple):
    """The caches of one pass.

    Attributes
    ----------
    works : sequence of Work
        One a cache.
    stage : Stage
        The clips, and where the cache is, if it is one.
    settings : ExtractSettings
        How all are filled.
    is_one : bool
        No ``--into``: the cache is not named before each line, and no list in JSON.
    """

    works: Sequence[Work]
    stage: Stage
    settings: ExtractSettings
    is_one: bool

    @property
    def caches(self) -> list[Path]:
        """As asked for."""
        return [work.asked.cache for work in self.works]

    def show_plans(self, reckoning: Reckoning, *, as_json: bool) -> None:
        """What each cache would take; nothing is written."""
        from vjepa_fer.extract import Fleet
        from vjepa_fer.video.pool_settings import default_workers

        workers = default_workers() if self.settings.workers is None else self.settings.workers
        fleet = Fleet(machines=reckoning.machines or 1, devices=len(self.works[0].places), price=reckoning.price)
        which = which_of(self.settings)
        trial = Trial(
            self.stage.manifest,
            which,
            fleet,
            workers=workers,
            rate=reckoning.rate,
            settings=self.settings,
            encoders=Encoders(),
        )
        show_plans([trial.of(work) for work in self.works], as_json=as_json, is_one=self.is_one)

    def done(self, cluster: RayEngine | None, *, force: bool) -> tuple[ExtractSummary, ...]:
        """Fill the caches; `force`: although a disk looks too small.

        Raises
        ------
        CacheError
            A disk looks too small.
        """
        loaded = self._loaded(here=cluster is None)
        plans = [work.plan(self.stage.manifest, which_of(self.settings))[0] for work in loaded]
        self._say_plans(plans)
        if not force:
            require_room([(plan, work.folder) for plan, work in zip(plans, loaded, strict=True)])
        works = [work.expecting(plan) for work, plan in zip(loaded, plans, strict=True)]
        outlook = Outlook(sum(plan.clips for plan in plans), shows_bar=sys.stderr.isatty())
        return self._here(works, outlook) if cluster is None else self._on(cluster, works[0], outlook)

    def _loaded(self, *, here: bool) -> list[Work]:
        encoders, num_clips = Encoders(), len(self.stage.manifest)
        return [work.loaded(encoders, num_clips) if here else work.as_others_load_it() for work in self.works]

    def _say_plans(self, plans: Sequence[Plan]) -> None:
        for cache, plan in zip(self.caches, plans, strict=True):
            for line in [*([] if self.is_one else [f"{cache}:"]), *plan_lines(plan)]:
                say(line)

    def _here(self, works: Sequence[Work], outlook: Outlook) -> tuple[ExtractSummary, ...]:
        from vjepa_fer.video.pool_settings import default_memory, default_workers

        say(about_decoding(self.settings, default_workers(), default_memory()))
        gc.freeze()  # torch's objects outlive the job: collecting need not look through them for every few clips
        return fill(works, self.stage, settings=self.settings, outlook=outlook)

    def _on(self, cluster: RayEngine, work: Work, outlook: Outlook) -> tuple[ExtractSummary, ...]:
        from vjepa_fer.extract import extract_on_cluster

        order = work.order(self.stage.manifest, self.settings)
        return (extract_on_cluster(order, cluster, outlook=outlook),)
