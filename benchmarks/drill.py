"""What a cluster does to a long job, one thing at a time: after each, the rows and runs of an undisturbed process, each once.

    python benchmarks/drill.py > benchmarks/drill.json                 # as root, with bindfs of Debian and the extra [ray]
    python benchmarks/drill.py --only slept,clocks --kinds probe

For ``extract`` and for ``probe``, each on a folder that several processes fill together:

    killed        one of three is killed by SIGKILL; the others do what it had
    slept         one of three is stopped for longer than the others wait for a silent heart, and goes on
    clocks        three whose clocks differ by an hour, both ways, and by which their hearts are stamped: a hook in time.time and os.utime, for
                  libfaketime makes Python's own sleep fail or hang
    clocks-killed the same, and the one that is ahead is killed
    quota         one of three can write no file above a few hundred bytes (RLIMIT_FSIZE), as on a node whose quota is used up
    full          the disk is full for all of them (a small tmpfs); room is made, and the same command goes on
    stalled       the folder answers nobody for ten seconds (a FUSE file system whose process is stopped), longer than a heart may be silent
    ray-worker    one of two actors is killed by SIGKILL
    ray-driver    the driver is killed by SIGKILL: its actors must go, and the same command goes on
    ray-raylet    the raylet of one of two nodes is killed by SIGKILL
    slurm         an array of four under a real Slurm (`benchmarks/slurm_one_node.sh`), one task killed by SIGKILL and requeued
    torchrun      two processes of torchrun, one killed by SIGKILL: torchrun ends the other and starts both anew

Hearts beat ten times a second and are dead after two, so that a drill takes seconds; under Ray they are as everywhere. What a scenario
needs and does not find is said in its row, which then has no verdict.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.cache.imports import import_features, read_feature_csv
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.claims import taking
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.manifest import Clip, Manifest, read_manifest, write_manifest
from vjepa_fer.workers import num_cores

NUM_CLIPS = 24
SILENT_SECONDS = 2.0
STALL_SECONDS = 10.0
SOME_FAILED = 4


@dataclass(frozen=True)
class Study:
    """What is to be done, and what an undisturbed process made of it."""

    folder: Path

    def target(self, kind: str, name: str) -> Path:
        return self.folder / f"{kind}-{name}"

    def whole(self, kind: str) -> Path:
        return self.target(kind, "undisturbed")


# what a process does


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


# the processes, as those who disturb them see them


class Forked:
    """A child of this process, with the methods of :class:`subprocess.Popen` that are used here."""

    def __init__(self, work: Callable[[], int], said: int) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                os.dup2(said, 1)
                os.dup2(said, 2)
                status = work()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        if self._status is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self._status = os.waitstatus_to_exitcode(ended[1])
        return self._status

    def wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.pid} does not end")
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Processes:
    """Processes that do one work together, and the log of what they did."""

    def __init__(self, kind: str, study: Study, target: Path, *, seconds: float = 0.15) -> None:
        self.kind, self.study, self.target, self.seconds = kind, study, target, seconds
        self.log = study.folder / f"{target.name}.log"
        self.log.touch()
        self.said = study.folder / f"{target.name}.said"
        self.all: list[subprocess.Popen[bytes] | Forked] = []

    def command(self, *more: str) -> list[str]:
        words = ["--work", self.kind, "--folder", self.study.folder, "--target", self.target, "--journal", self.log]
        return [*map(str, words), "--seconds", str(self.seconds), *more]

    def start(self, *more: str, by: Sequence[str] = ()) -> None:
        """A process of its own, forked, since all that it imports is here already; or by another program."""
        with self.said.open("ab") as said:
            if by:
                line = [*by, __file__, *self.command(*more)]
                self.all.append(subprocess.Popen(line, stdout=said, stderr=said))
            else:
                self.all.append(Forked(lambda: do(parsed(self.command(*more))), said.fileno()))

    def lines(self, word: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.log.read_text().splitlines() if line.startswith(f"{word} ")]

    def wait_for(self, steps: int, workers: int = 1, *, others: bool = False) -> None:
        """Until so many steps have been begun, by so many processes; by `others`, which are not ours, too."""
        end = time.monotonic() + 400
        while len(self.lines("step")) < steps or len(set(self.lines("pid"))) < workers:
            if time.monotonic() > end or (not others and all(one.poll() is not None for one in self.all)):
                raise RuntimeError(f"they do not get on: {self.said.read_text()[-2000:]}")
            time.sleep(0.02)

    def statuses(self) -> list[int]:
        return [one.wait(300) for one in self.all]

    def three(self) -> None:
        for _ in range(3):
            self.start()
        self.wait_for(8, 3)


# what is done to them


def killed(crew: Processes) -> None:
    crew.three()
    crew.all[0].kill()


def slept(crew: Processes) -> None:
    crew.three()
    crew.all[0].send_signal(signal.SIGSTOP)
    time.sleep(3 * SILENT_SECONDS)
    crew.all[0].send_signal(signal.SIGCONT)


def clocks(crew: Processes) -> None:
    for shift in ("3600", "-3600", "0"):
        crew.start("--clock", shift)
    crew.wait_for(8, 3)


def clocks_killed(crew: Processes) -> None:
    clocks(crew)
    crew.all[0].kill()


def quota(crew: Processes) -> None:
    crew.start("--limit", "700")
    crew.start()
    crew.start()


def full(crew: Processes) -> None:
    with mounted(crew.target, "-t", "tmpfs", "-o", "size=80k,mode=755", "tmpfs"):
        crew.three()
        crew.statuses()
        run("mount", "-o", "remount,size=64m", str(crew.target))
        crew.start()
        crew.statuses()
        keep(crew.target)


def stalled(crew: Processes) -> None:
    need(shutil.which("bindfs") is not None, "bindfs of Debian")
    behind = crew.target.with_name(f"{crew.target.name}-behind")
    behind.mkdir()
    crew.target.mkdir()
    server = subprocess.Popen(["bindfs", "-f", str(behind), str(crew.target)])
    try:
        while not os.path.ismount(crew.target):
            time.sleep(0.05)
        crew.three()
        server.send_signal(signal.SIGSTOP)
        time.sleep(STALL_SECONDS)
        server.send_signal(signal.SIGCONT)
        crew.statuses()
        keep(crew.target)
    finally:
        server.send_signal(signal.SIGCONT)
        run("umount", "-l", str(crew.target))
        server.wait(30)
        keep(crew.target, back=True)


def ray_worker(crew: Processes) -> None:
    with nodes(1) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)
        crew.statuses()


def ray_driver(crew: Processes) -> None:
    with nodes(1) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        crew.all[0].kill()
        end = time.monotonic() + 120
        while any(Path(f"/proc/{pid}").exists() for pid in crew.lines("pid")):
            need(time.monotonic() < end, "actors that go with their driver")
            time.sleep(0.1)
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.statuses()


def ray_raylet(crew: Processes) -> None:
    with nodes(2) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        cluster.other.kill_raylet()
        crew.statuses()


ARRAY = """#!/bin/bash
#SBATCH --array=0-3
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={said}
#SBATCH --chdir={folder}
{line}
status=$?
echo "task $SLURM_ARRAY_TASK_ID: status $status"
if [ $status -gt 128 ]; then
    echo "task $SLURM_ARRAY_TASK_ID goes back into the queue"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    sleep 60
fi
"""


def slurm(crew: Processes) -> None:
    need(shutil.which("sbatch") is not None and is_quiet("sinfo"), "a Slurm that runs: benchmarks/slurm_one_node.sh")
    script, line = (
        crew.study.folder / f"{crew.target.name}.sbatch",
        shlex.join([sys.executable, __file__, *crew.command()]),
    )
    script.write_text(ARRAY.format(said=crew.said, folder=crew.study.folder, line=line))
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=True)
    job = done.stdout.strip()
    crew.wait_for(8, 4, others=True)
    os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)
    end = time.monotonic() + 400
    while subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False).stdout.strip():
        need(time.monotonic() < end, f"that job {job} ends: {crew.said.read_text()[-500:]}")
        time.sleep(1)
    need("goes back into the queue" in crew.said.read_text(), "that the killed task is requeued")


def torchrun(crew: Processes) -> None:
    by = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    crew.start(by=by)
    crew.wait_for(6, 2)
    os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)


def is_quiet(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0


SCENARIOS: dict[str, Callable[[Processes], None]] = {
    "killed": killed,
    "slept": slept,
    "clocks": clocks,
    "clocks-killed": clocks_killed,
    "quota": quota,
    "full": full,
    "stalled": stalled,
    "ray-worker": ray_worker,
    "ray-driver": ray_driver,
    "ray-raylet": ray_raylet,
    "slurm": slurm,
    "torchrun": torchrun,
}
RIGHT: dict[str, list[set[int]]] = {
    "killed": [{-signal.SIGKILL}, {0}, {0}],
    "clocks-killed": [{-signal.SIGKILL}, {0}, {0}],
    "quota": [{1}, {0}, {0}],
    "full": [{1}, {1}, {1}, {0}],
    "ray-worker": [{0}],
    "ray-driver": [{-signal.SIGKILL}, {0}],
    "ray-raylet": [{0}],
}
"""Exit statuses that are right; elsewhere all are 0."""


class MissingError(Exception):
    """This machine has not what a scenario needs."""


def need(is_there: bool, what: str) -> None:
    if not is_there:
        raise MissingError(what)


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    need(done.returncode == 0, f"{words[0]}: {done.stderr.strip()}")


@contextmanager
def mounted(point: Path, *words: str) -> Iterator[None]:
    point.mkdir()
    run("mount", *words, str(point))
    try:
        yield
    finally:
        run("umount", "-l", str(point))
        keep(point, back=True)


def keep(target: Path, *, back: bool = False) -> None:
    """What lies on a disk that goes is looked at afterwards."""
    kept = target.with_name(f"{target.name}-kept")
    if not back:
        shutil.copytree(target, kept, copy_function=shutil.copy2)
    elif kept.exists():
        target.rmdir()
        kept.rename(target)


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A Ray cluster on this machine; its last node is `other`."""
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        raise MissingError("the extra [ray]") from None
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray makes its workers nicer than everything else on the machine
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3 - count, "include_dashboard": False})
    try:
        if count > 1:
            cluster.other = cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


# what came of it


def faults_of(kind: str, target: Path, whole: Path) -> list[str]:
    """What is otherwise than in an undisturbed run, in words."""
    try:
        return clip_faults(target, whole) if kind == "extract" else run_faults(target, whole)
    except VjepaFerError as error:
        return [f"unreadable: {error}"]


def clip_faults(target: Path, whole: Path) -> list[str]:
    cache, right = open_cache(target), open_cache(whole)
    stored = collections.Counter(clip_id for shard in cache.shards for clip_id, _ in shard.clip_runs)
    faults = [str(problem) for problem in verify_cache(target).problems]
    faults += [f"{one.clip.clip_id} {stored[one.clip.clip_id]} times" for one in right if stored[one.clip.clip_id] != 1]
    truth = {one.clip.clip_id: one.level("mean").tobytes() for one in right}
    faults += [
        f"{c.clip.clip_id} has other numbers" for c in cache if c.level("mean").tobytes() != truth[c.clip.clip_id]
    ]
    return faults + [f"{clip_id} is listed as failed" for clip_id in cache.failures]


def run_faults(target: Path, whole: Path) -> list[str]:
    found, right = contents(target), contents(whole)
    return [
        f"{name}: {'other than it is' if name in found else 'not there'}"
        for name in right.keys() | found.keys()
        if found.get(name) != right.get(name)
    ]


def contents(folder: Path) -> dict[str, str]:
    """Of each file of the runs its text, of ``run.json`` the figures; what is not for readers (partial files, who was at what) aside."""
    told = {}
    for path in sorted(folder.rglob("*.*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith("unfinished") and path.suffix in (".csv", ".json", ".toml"):
            told[name] = path.read_text()
            if path.name == "run.json":
                values = json.loads(told[name])
                told[name] = json.dumps([values["result"]["confusion"], values["result"]["war"]])
    return told


def row_of(name: str, kind: str, study: Study) -> dict[str, Any]:
    """One scenario for one command."""
    crew = Processes(kind, study, study.target(kind, name))
    row: dict[str, Any] = {"scenario": name, "kind": kind}
    started = time.perf_counter()
    try:
        SCENARIOS[name](crew)
        statuses = crew.statuses()
    except MissingError as error:
        return {**row, "could_not_be_done": str(error)}
    except (RuntimeError, OSError) as error:
        return {**row, "faults": [str(error)]}
    finally:
        for one in crew.all:
            one.kill()
    steps = collections.Counter(crew.lines("step"))
    right = RIGHT.get(name, [{0}] * len(statuses))
    faults = [f"status {code}, not {sorted(ok)}" for code, ok in zip(statuses, right, strict=True) if code not in ok]
    faults += faults_of(kind, crew.target, study.whole(kind))
    said = list(dict.fromkeys(crew.said.read_text(errors="replace").splitlines()))
    row |= {"statuses": statuses, "seconds": round(time.perf_counter() - started, 1)}
    row |= {"steps": len(steps), "begun_again": sum(steps.values()) - len(steps)}
    return {**row, "said": [line.replace(str(study.folder), "…")[:300] for line in said[-4:]], "faults": faults[:10]}


def prepare(study: Study) -> None:
    """Clips, features, and what an undisturbed process makes of both."""
    from soak_extract import write_video

    made = []
    for number in range(NUM_CLIPS):
        write_video(study.folder / f"v{number}.mp4", 16 + number % 8)
        made.append(Clip(f"c{number}", f"v{number}.mp4", "happy" if number // 4 % 2 else "sad", f"s{number % 4}"))
    write_manifest(Manifest(clips=tuple(made)), study.folder / "clips.csv")
    write_features(study.folder / "features", Manifest(clips=tuple(made)))
    for kind in ("extract", "probe"):
        crew = Processes(kind, study, study.whole(kind), seconds=0)
        crew.start()
        if crew.statuses() != [0]:
            raise RuntimeError(crew.said.read_text())


def write_features(root: Path, manifest: Manifest) -> None:
    """A cache of imported features for the probes: three small whole numbers a clip."""
    table = root.with_name("features.csv")
    values = [[n // 4 % 2 * 3 + n * n % 7, n % 3 * 3 - n % 5, n // 6 + n % 2] for n in range(NUM_CLIPS)]
    lines = [f"c{n},{a},{b},{c}" for n, (a, b, c) in enumerate(values)]
    table.write_text("\n".join(["clip_id,f0,f1,f2", *lines]))
    import_features(read_feature_csv(table, id_column="clip_id", columns=["f*"]), root, manifest)


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is asked; words that are not shown are for the processes that are started here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--kinds", default="extract,probe")
    parser.add_argument("--scratch", type=Path, help="where the folders are made")
    for name in ("--folder", "--target", "--journal"):
        parser.add_argument(name, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--clock", type=float, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def load() -> None:
    """What a work imports, before processes are forked; torch begins no threads by it."""
    import sklearn.neighbors
    import torch

    import vjepa_fer.extract
    import vjepa_fer.sweep.on_cluster
    import vjepa_fer.video.decoding

    torch.set_num_threads(1)
    _ = (sklearn.neighbors, vjepa_fer)


def main() -> None:
    """Run and print JSON."""
    options = parsed()
    if options.work:
        sys.exit(do(options))
    load()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        study = Study(Path(scratch))
        prepare(study)
        for name in options.only.split(","):
            for kind in options.kinds.split(","):
                rows.append(row_of(name, kind, study))
                sys.stderr.write(f"{rows[-1]}\n")
    machine = {"cores": num_cores(), "system": platform.platform()}
    about = {"machine": machine, "versions": library_versions("vjepa-fer", "numpy", "h5py", "torch", "ray")}
    faults = sum(len(row.get("faults", ())) for row in rows)
    undone = [f"{row['scenario']} {row['kind']}" for row in rows if "could_not_be_done" in row]
    print(json.dumps({**about, "faults": faults, "could_not_be_done": undone, "rows": rows}, indent=2))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
