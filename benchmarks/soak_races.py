"""Several extractions started at the same moment on one cache: every clip and every failure exactly once, no cache unreadable.

    python benchmarks/soak_races.py --rounds 200 > benchmarks/soak_races.json
    python benchmarks/soak_races.py --rounds 40 --folder /mnt/network-disk

Each round forks 2, 4 or 8 processes, lets them go at once, and looks at the cache when all have ended: what was asked for, what is
in the shards, row for row as in an undisturbed run, what is listed as failed, what is left over, and the exit statuses. The kinds:

    same        one manifest, one recipe
    manifests   a manifest each, which overlap
    recipes     two recipes on a new folder: one wins, the others are refused by field
    broken      no clip can be decoded
    mixed       a manifest each, half of the clips broken
    containers  each is process 1 of a process table of its own, under one host name (root only)
    killed      one is killed at a random moment; the others do its clips
    stopped     one is stopped for longer than the others wait for a silent heart, and goes on
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import dataclasses
import json
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from soak_extract import write_video

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.cache.failures import failure_pieces, read_failure_piece
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.claims import taking as claims
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import RecipeMismatchError, VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.extract.lanes import Lanes
from vjepa_fer.extract.sharing import Patience
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.workers import num_cores

NUM_CLIPS = 24
SETTINGS = ExtractSettings(shard_bytes=20_000, shard_seconds=0.3, workers=0, wait_seconds=60)
SOME_FAILED, REFUSED = 4, 7
CLONE_NEWPID = 0x20000000


@dataclasses.dataclass(frozen=True)
class Task:
    """What one process of a round does."""

    manifest: Manifest
    precision: str = "float32"


def clips(folder: Path, numbers: Sequence[int], *, broken: Callable[[int], bool] = lambda n: False) -> Manifest:
    """Clips by number; a broken one's file is a text."""
    made = []
    for number in numbers:
        path = folder / (f"b{number}.mp4" if broken(number) else f"v{number}.mp4")
        made.append(Clip(f"c{number}", str(path), "happy", f"s{number % 4}"))
    return Manifest(clips=tuple(made))


def extract(task: Task, cache: Path) -> int:
    """The job in this process; the exit status that the command would give (7 for another recipe)."""
    encoder = load_encoder("tiny-v21", weights="random:1", precision=task.precision)
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean",)))
    try:
        done = extract_manifest(task.manifest, cache, encoder, recipe, settings=SETTINGS, progress=False)
    except RecipeMismatchError:
        return REFUSED
    except VjepaFerError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return SOME_FAILED if done.failures or done.elsewhere else 0


def start(task: Task, cache: Path, gate: int, *, container: bool) -> int:
    """A process that begins when the gate opens; its number as we see it."""
    if container and ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWPID):
        raise OSError(ctypes.get_errno(), "no process table of its own: this needs root")
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.read(gate, 1)
        status = extract(task, cache)
    finally:
        os._exit(status)


def start_in_container(task: Task, cache: Path, gate: int) -> int:
    """A process whose only child is process 1 of a table of its own, and ends as it does."""
    if pid := os.fork():
        return pid
    inner = start(task, cache, gate, container=True)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) % 256)


def run_round(kind: str, tasks: Sequence[Task], cache: Path, rng: random.Random) -> list[int]:
    """All exit statuses; negative for a signal."""
    gate, opener = os.pipe()
    launch = start_in_container if kind == "containers" else lambda *a: start(*a, container=False)
    pids = [launch(task, cache, gate) for task in tasks]
    time.sleep(0.1)
    os.write(opener, b"." * len(tasks))
    os.close(opener)
    os.close(gate)
    if kind == "killed":
        time.sleep(rng.uniform(0.05, 0.8))
        os.kill(pids[0], signal.SIGKILL)
    if kind == "stopped":
        time.sleep(rng.uniform(0.1, 0.5))
        os.kill(pids[0], signal.SIGSTOP)
        time.sleep(2.5 * claims.DEAD_AFTER_SECONDS)
        os.kill(pids[0], signal.SIGCONT)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def faults_of(
    kind: str, tasks: Sequence[Task], cache: Path, codes: Sequence[int], truth: dict[str, bytes]
) -> list[str]:
    """What is wrong after a round, in words."""
    if kind == "recipes":
        winners = {task.precision for task, code in zip(tasks, codes, strict=True) if code == 0}
        if len(winners) != 1 or set(codes) - {0, REFUSED}:
            return [f"winners {sorted(winners)}, statuses {list(codes)}"]
        tasks = [task for task in tasks if task.precision in winners]
    try:
        opened = open_cache(cache)
        faults = [str(problem) for problem in verify_cache(cache).problems]
    except VjepaFerError as error:
        return [f"unreadable: {error}"]
    asked = {clip.clip_id: clip for task in tasks for clip in task.manifest.clips}
    bad = {clip_id for clip_id, clip in asked.items() if Path(clip.path).name.startswith("b")}
    stored = collections.Counter(clip_id for shard in opened.shards for clip_id, _ in shard.clip_runs)
    listed = collections.Counter(row.clip_id for path in failure_pieces(cache) for _, row in read_failure_piece(path))
    faults += [
        f"{name} not asked for in the list" for name in asked.keys() - {c.clip_id for c in opened.manifest.clips}
    ]
    faults += [f"{name} {stored[name]} times in the shards" for name in asked.keys() - bad if stored[name] != 1]
    faults += [f"{name} {listed[name]} times in the lists of failures" for name in bad if listed[name] != 1]
    faults += [f"{name} listed as failed and done" for name in listed.keys() & stored.keys()]
    if kind != "recipes":
        faults += [
            f"{c.clip.clip_id} has other numbers" for c in opened if c.level("mean").tobytes() != truth[c.clip.clip_id]
        ]
    faults += [f"left over: {path.name}" for path in cache.rglob("*.partial") if kind != "killed"]
    faults += [f"left over: {path.name}" for path in (cache / claims.CLAIMS).iterdir() if kind != "killed"]
    return faults + _wrong_statuses(kind, tasks, codes, bad)


def _wrong_statuses(kind: str, tasks: Sequence[Task], codes: Sequence[int], bad: set[str]) -> list[str]:
    faults = []
    for number, (task, code) in enumerate(zip(tasks, codes, strict=False)):
        right = {SOME_FAILED if bad & {clip.clip_id for clip in task.manifest.clips} else 0}
        if kind == "killed" and number == 0:
            right |= {-signal.SIGKILL}
        if kind != "recipes" and code not in right:
            faults.append(f"status {code} of process {number}, expected {sorted(right)}")
    return faults


def tasks_of(kind: str, count: int, folder: Path, rng: random.Random) -> list[Task]:
    """What the processes of a round do."""
    everything = range(NUM_CLIPS)
    if kind == "recipes":
        return [Task(clips(folder, everything[:6]), ("float32", "bfloat16")[n % 2]) for n in range(count)]
    if kind == "broken":
        return [Task(clips(folder, everything, broken=lambda n: True))] * count
    if kind in ("manifests", "mixed"):
        broken = (lambda n: n % 2 == 1) if kind == "mixed" else lambda n: False
        return [Task(clips(folder, rng.sample(everything, NUM_CLIPS // 2), broken=broken)) for _ in range(count)]
    return [Task(clips(folder, everything))] * count


def slow_down(seconds: float) -> None:
    """Every window takes a moment, so that processes meet."""
    real = Lanes.run

    def run(self: Lanes, rows: Any) -> None:
        time.sleep(seconds)
        real(self, rows)

    Lanes.run = run  # type: ignore[method-assign]


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where the caches are made, such as a network disk")
    parser.add_argument("--kinds", default="same,manifests,recipes,broken,mixed,containers,killed,stopped")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    claims.HEARTBEAT_SECONDS, claims.DEAD_AFTER_SECONDS, Patience.POLL_SECONDS = 0.1, 1.0, 0.2
    slow_down(0.01)
    rng = random.Random(options.seed)
    kinds = options.kinds.split(",")
    rounds: collections.Counter[str] = collections.Counter()
    processes: collections.Counter[str] = collections.Counter()
    faults: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=options.folder) as where:
        folder = Path(scratch)
        for number in range(NUM_CLIPS):
            write_video(folder / f"v{number}.mp4", 16 + number % 8)
            (folder / f"b{number}.mp4").write_text("no video")
        if pid := os.fork():  # in a child: torch must not have begun threads in the process that forks
            os.waitpid(pid, 0)
        else:
            extract(Task(clips(folder, range(NUM_CLIPS))), Path(scratch) / "whole")
            os._exit(0)
        truth = {c.clip.clip_id: c.level("mean").tobytes() for c in open_cache(Path(scratch) / "whole")}
        for number in range(options.rounds):
            kind = kinds[number % len(kinds)]
            tasks = tasks_of(kind, rng.choice((2, 4, 8)), folder, rng)
            cache = Path(where) / f"cache{number}"
            codes = run_round(kind, tasks, cache, rng)
            found = faults_of(kind, tasks, cache, codes, truth)
            rounds[kind] += 1
            processes[kind] += len(tasks)
            if found:
                faults.append({"round": number, "kind": kind, "processes": len(tasks), "faults": found[:8]})
            said = f": {'; '.join(found[:3])}" if found else ""
            sys.stderr.write(f"{number + 1}/{options.rounds} {kind} × {len(tasks)}: {len(found)} faults{said}\n")
    machine = {"cores": num_cores(), "system": platform.platform()}
    about = {"machine": machine, "versions": library_versions("vjepa-fer", "numpy", "h5py", "torch", "av")}
    result = {"rounds": dict(rounds), "processes": dict(processes), "rounds_with_faults": len(faults), "faults": faults}
    print(json.dumps({**about, "disk": str(options.folder or "local"), **result}, indent=2))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
