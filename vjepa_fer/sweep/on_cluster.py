"""An experiment and an engine go in; the engine's workers do its fits together, and what one process would have found comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.engines import Desk, Needs, RayEngine, State
from vjepa_fer.experiment import Experiment
from vjepa_fer.sweep.running import Outcome, run_experiment
from vjepa_fer.sweep.sharing import Tell


@dataclass(frozen=True)
class SharedExperiment:
    """An experiment whose runs go into a folder, as work for any number of processes."""

    experiment: Experiment
    out: Path

    def __call__(self, desk: Desk) -> Outcome:
        """Do it in this process, with whoever else is at it."""
        return run_experiment(self.experiment, out=self.out, progress=_Counted(desk).part)


@dataclass
class _Counted:
    """Fits of all parts of an experiment, counted for a desk."""

    desk: Desk
    done: int = 0
    total: int = 0

    @contextmanager
    def part(self, total: int) -> Iterator[Callable[[str], None]]:
        """As :data:`~vjepa_fer.sweep.loop.Progress`: so many further fits."""
        self.total += total
        self.desk.reach(self.done, self.total)
        yield self._advance

    def _advance(self, _word: str) -> None:
        self.done += 1
        self.desk.reach(self.done, self.total)


def run_experiment_on_cluster(
    experiment: Experiment,
    engine: RayEngine,
    *,
    out: Path,
    reach: Callable[[int, int], None] = lambda done, total: None,
    tell: Tell = lambda line: None,
) -> Outcome:
    """Do an experiment with an engine's workers; the folder holds what one process would have put there.

    Parameters
    ----------
    experiment : Experiment
    engine : RayEngine
    out : Path
        As :func:`~vjepa_fer.sweep.run_experiment` takes it; every machine must see it.
    reach : callable
        Told how many of how many fits are done.
    tell : callable
        Gets lines for people.

    Raises
    ------
    EngineError
        See :meth:`~vjepa_fer.engines.RayEngine.run`; also what no worker could do, in the words of the error that it had.
    """

    def show(states: Mapping[int, State]) -> None:
        if states:
            furthest = max(states.values(), key=lambda state: state.done)  # each counts what the others did, too
            reach(furthest.done, furthest.total)

    asked = [experiment.cache, *experiment.streams.values(), experiment.test_on]
    needs = Needs.of([path for path in asked if path], [], out)
    ended = engine.run(SharedExperiment(experiment, out), needs, show=show, tell=tell)
    outcome: Outcome = min((one.value for one in ended), key=lambda one: len(one.swept.lost))
    return outcome
