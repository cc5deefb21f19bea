"""How ``probe`` has an experiment done: here or by the workers of a cluster, with a bar, and what is kept in which folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from .engine import EngineAsked, engine_of
from .progress import fit_bar, progress_bar, say_beside_bar

if TYPE_CHECKING:
    from vjepa_fer.engines import RayEngine
    from vjepa_fer.experiment import Experiment
    from vjepa_fer.sweep import Fused, Outcome


class Way(NamedTuple):
    """Who does the work, and where what it comes to is kept.

    Attributes
    ----------
    out : Path or None
        The folder of run folders; with a cluster there is one.
    jobs : int or None
        Processes that work at once.
    cluster : RayEngine or None
        None for this machine.
    """

    out: Path | None
    jobs: int | None
    cluster: RayEngine | None

    def run(self, experiment: Experiment) -> Outcome:
        """The experiment done."""
        return self._in(experiment, self.out)

    def run_fusions(self, experiment: Experiment, reference: str) -> Fused:
        """The experiment done with each stream alone and with every fusion."""
        from vjepa_fer.sweep import run_fusions

        return run_fusions(experiment, self._in, reference=reference, out=self.out)

    def _in(self, experiment: Experiment, folder: Path | None) -> Outcome:
        from vjepa_fer.sweep import run_experiment, run_experiment_on_cluster

        if self.cluster is None or folder is None:
            bar = partial(progress_bar, what="probe")
            return run_experiment(experiment, out=folder, jobs=self.jobs or 1, progress=bar, tell=say_beside_bar)
        with fit_bar() as reach:
            return run_experiment_on_cluster(experiment, self.cluster, out=folder, reach=reach, tell=say_beside_bar)


def way_of(out: Path | None, jobs: int | None, engine: EngineAsked, *, refits: bool) -> Way:
    """The way that the options ask for; with a cluster, each worker has one core if nothing else is said.

    Raises
    ------
    typer.BadParameter
        Something is to be kept, or shared with a cluster, and there is no folder for it; an option of a cluster without one.
    """
    if refits and out is None:
        raise typer.BadParameter("--refit needs --out: the fitted probe is kept in its run folder")
    cpus = engine.cpus or (1 if engine.engine == "ray" else None)
    cluster = engine_of(engine._replace(cpus=cpus), jobs)
    if cluster is not None and out is None:
        raise typer.BadParameter("--engine ray needs --out: workers share their work in a folder that all see")
    return Way(out, jobs, cluster)
