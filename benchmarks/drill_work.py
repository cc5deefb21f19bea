"""What each process of `drill.py` does: a command's work, slowed down so that it can be disturbed in its midst, and every step in a log."""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.claims import taking
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.manifest import read_manifest

SILENT_SECONDS = 2.0
SOME_FAILED = 4


def work_of(kind: str, folder: Path, target: Path) -> Any:
    """The work of a command, as an engine's workers get it."""
    if kind == "extract":
        from vjepa_fer.extract import ExtractSettings, Order
        from vjepa_fer.recipe import Sampling, Storage

        return Order(
            manifest=read_manifest(folder / "clips.csv"),
            cache=target,
            model="tiny-v21",
            weights="random:1",
            sampling=Sampling(frame_step=1),
            storage=Storage(levels=("mean",)),
            settings=ExtractSettings(shard_bytes=20_000, shard_seconds=0.3, workers=0, wait_seconds=120),
        )
    from vjepa_fer.experiment import Cell, Experiment, Protocol
    from vjepa_fer.sweep.on_cluster import SharedExperiment

    cells = (*(Cell(probe="knn", params={"k": k}) for k in (1, 3)), Cell(probe="centroid"))
    return SharedExperiment(
        Experiment(cache=str(folder / "features"), cells=cells, protocol=Protocol(folds="subject-kfold:4")), target
    )


@dataclass(frozen=True)
class Slowed:
    """A work whose every step takes a moment and is a line in a log, so that it can be disturbed in its midst."""

    work: Any
    kind: str
    log: Path
    seconds: float
    is_quick_to_doubt: bool

    def __call__(self, desk: Any) -> Any:
        if self.is_quick_to_doubt:
            taking.HEARTBEAT_SECONDS, taking.DEAD_AFTER_SECONDS = 0.1, SILENT_SECONDS
        self.note("pid", os.getpid())
        slow = self.slow_clips if self.kind == "extract" else self.slow_fits
        slow()
        return self.work(desk)

    def note(self, *words: object) -> None:
        with self.log.open("a", encoding="utf-8") as file:
            print(*words, file=file)

    def slow_clips(self) -> None:
        import torch

        from vjepa_fer.extract import job
        from vjepa_fer.extract.sharing import Patience

        torch.set_num_threads(1)
        real, Patience.POLL_SECONDS = job.encode_together, 0.2

        def encode(reads: Any, *others: Any) -> None:
            def slow() -> Iterator[Any]:
                for read, routes in reads:
                    self.note("step", read.clip.clip_id)
                    time.sleep(self.seconds)
                    yield read, routes

            real(slow(), *others)

        job.encode_together = encode

    def slow_fits(self) -> None:
        from vjepa_fer.evaluation import Study as Fits
        from vjepa_fer.sweep import sharing

        real, sharing.POLL_SECONDS = Fits.run, 0.1

        def run(fits: Any, task: Any) -> Any:
            self.note("step", task.cells[0].probe, task.outer, task.inner_folds)
            time.sleep(self.seconds)
            return real(fits, task)

        Fits.run = run  # type: ignore[method-assign]


def do(options: argparse.Namespace) -> int:
    """This process's part; the exit status that the command would give."""
    from vjepa_fer.engines import Desk, Needs, RayEngine

    if options.limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.limit, options.limit))
    set_clock(options.clock)
    is_alone = options.address is None
    work = work_of(options.work, options.folder, options.target)
    slowed = Slowed(work, options.work, options.journal, options.seconds, is_quick_to_doubt=is_alone)
    try:
        if is_alone:
            value = slowed(Desk())
        else:
            engine = RayEngine(options.address, workers=2, cpus_per_worker=1)
            tell = lambda line: print(line, file=sys.stderr)  # noqa: E731
            value = engine.run(slowed, Needs.of([], [], options.target), tell=tell)[0].value
    except VjepaFerError as error:
        print(error, file=sys.stderr)
        return 1
    return SOME_FAILED if getattr(value, "failures", ()) or getattr(value, "elsewhere", ()) else 0


def set_clock(ahead: float) -> None:
    """Have the clock of this process be so many seconds ahead, also where it stamps a file."""
    real, stamp = time.time, os.utime
    time.time = lambda: real() + ahead

    def utime(path: Any, times: Any = None, **others: Any) -> None:
        stamp(path, times or (real() + ahead, real() + ahead), **others)

    if ahead:
        os.utime = utime  # type: ignore[assignment]


def load() -> None:
    """What a work imports, before processes are forked; torch begins no threads by it."""
    import sklearn.neighbors
    import torch

    import vjepa_fer.extract
    import vjepa_fer.sweep.on_cluster
    import vjepa_fer.video.decoding

    torch.set_num_threads(1)
    _ = (sklearn.neighbors, vjepa_fer)


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Which part of which work, in which folders, and how it is disturbed from within."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=("extract", "probe"), required=True)
    for name in ("--folder", "--target", "--journal"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--address")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--clock", type=float, default=0)
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(do(parsed()))
