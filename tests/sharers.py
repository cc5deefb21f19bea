"""One process of several that fill a folder of runs together: each fit takes a while, and is a line in its log."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

from vjepa_fer.claims import taking
from vjepa_fer.evaluation import Study
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.sweep import run_experiment, sharing

CELLS = (*(Cell(probe="knn", params={"k": k}) for k in (1, 3)), Cell(probe="centroid"))
FOLDS = Protocol(folds="subject-kfold:4")
NUM_FITS = 16
"""Four folds of two probes, outer and inner."""

SERVER = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
SERVER.set_forkserver_preload(["sharers", "caches", "typer.testing", "vjepa_fer.cli.probe"])


class Sharer:
    """A process that does the experiment, and what it says."""

    def __init__(self, cache: Path, out: Path, log: Path, gate, seconds: float) -> None:
        self.log = log
        self.gate = gate  # or it would be gone before they come to it
        log.touch()
        self.process = SERVER.Process(target=_work, args=(str(cache), str(out), str(log), gate, seconds))
        self.process.start()

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def fits(self) -> list[str]:
        return [line for line in self.lines if line.startswith(("knn", "centroid"))]

    def wait_for(self, num_fits: int) -> None:
        """Until it has begun so many."""
        end = time.monotonic() + 30
        while len(self.fits) < num_fits:
            assert time.monotonic() < end, self.lines
            time.sleep(0.005)

    def ended(self) -> int | None:
        """The exit status, once there is one."""
        self.process.join(60)
        return self.process.exitcode


def start(cache: Path, out: Path, count: int = 1, seconds: float = 0.05) -> list[Sharer]:
    """Processes on one folder, all let go at the same moment."""
    logs, gate = out.parent / f"{out.name}-logs", SERVER.Barrier(count)
    logs.mkdir(exist_ok=True)
    number = len(list(logs.iterdir()))
    return [Sharer(cache, out, logs / str(number + n), gate, seconds) for n in range(count)]


def _work(cache: str, out: str, log: str, gate, seconds: float) -> None:
    taking.HEARTBEAT_SECONDS, taking.DEAD_AFTER_SECONDS, sharing.POLL_SECONDS = 0.1, 1.0, 0.05
    real = Study.run

    def say(*words: object) -> None:
        with open(log, "a", encoding="utf-8") as file:
            print(*words, file=file)

    def slow(self, task):
        say(task.cells[0].probe, task.outer, task.inner_folds)
        time.sleep(seconds)
        return real(self, task)

    Study.run = slow
    asked = Experiment(cache=cache, cells=CELLS, protocol=FOLDS, refit=True)
    gate.wait(60)
    outcome = run_experiment(asked, out=Path(out))
    say("end", outcome.best.evaluation.scores["war"].pooled, outcome.fitted[1])
