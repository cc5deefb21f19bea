"""Extractions started in the same second on one cache, empty or half done: every clip once in the shards, decoded once, no claim left.

    python benchmarks/soak_stampede.py > benchmarks/soak_stampede.json
    python benchmarks/soak_stampede.py --folder /mnt/network-disk --processes 32 --rounds 5

Each round forks the processes, lets all go with one byte, and when all have ended counts rows of shards, clips that were decoded (by all of
them together), claims and partial files, and compares every row with an undisturbed run. Who looks first whether a clip is there and
then registers it does some clips many times in such a moment.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from soak_extract import write_video

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.claims import CLAIMS
from vjepa_fer.encoder import LoadedEncoder, load_encoder
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.extract import ExtractSettings, decoding, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.workers import num_cores

SETTINGS = ExtractSettings(shard_bytes=20_000, shard_seconds=0.3, workers=0, wait_seconds=600)
DIED = 1


def clips(folder: Path, count: int) -> Manifest:
    """The first so many of the drawn clips."""
    return Manifest(clips=tuple(Clip(f"c{n}", str(folder / f"v{n}.mp4"), "happy", f"s{n % 4}") for n in range(count)))


def extract(manifest: Manifest, cache: Path, encoder: LoadedEncoder, log: Path) -> int:
    """The job in this process, each decoded clip a line in `log`; the exit status that the command would give."""

    class Counted(DecodePool):  # type: ignore[type-arg]
        def __iter__(self) -> Iterator[Any]:
            for read in super().__iter__():
                with log.open("a") as file:
                    file.write(f"{read.clip.clip_id}\n")
                yield read

    decoding.DecodePool = Counted  # type: ignore[misc]
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean",)))
    try:
        done = extract_manifest(manifest, cache, encoder, recipe, settings=SETTINGS, progress=False)
    except VjepaFerError as error:
        sys.stderr.write(f"{error}\n")
        return DIED
    return 4 if done.failures or done.elsewhere else 0


def stampede(count: int, manifest: Manifest, cache: Path, encoder: LoadedEncoder, log: Path) -> tuple[list[int], float]:
    """So many processes at once: their exit statuses, and how long it took."""
    gate, opener = os.pipe()
    pids = []
    for _ in range(count):
        if pid := os.fork():
            pids.append(pid)
            continue
        status = DIED
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            os.read(gate, 1)
            status = extract(manifest, cache, encoder, log)
        finally:
            os._exit(status)
    time.sleep(0.2)
    started = time.perf_counter()
    os.write(opener, b"." * count)
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    os.close(opener)
    os.close(gate)
    return statuses, time.perf_counter() - started


def faults_of(manifest: Manifest, cache: Path, decoded: collections.Counter[str], truth: dict[str, bytes]) -> list[str]:
    """What is wrong after a round, in words."""
    opened = open_cache(cache)
    faults = [str(problem) for problem in verify_cache(cache).problems]
    stored = collections.Counter(clip_id for shard in opened.shards for clip_id, _ in shard.clip_runs)
    asked = [clip.clip_id for clip in manifest.clips]
    faults += [f"{name} {stored[name]} times in the shards" for name in asked if stored[name] != 1]
    faults += [f"{name} decoded {decoded[name]} times" for name in asked if decoded[name] != 1]
    faults += [f"{name} not asked for" for name in (stored.keys() | decoded.keys()) - set(asked)]
    faults += [
        f"{c.clip.clip_id} has other numbers" for c in opened if c.level("mean").tobytes() != truth[c.clip.clip_id]
    ]
    left = [*cache.rglob("*.partial"), *(cache / CLAIMS).iterdir()]
    return faults + [f"left over: {path.name}" for path in left]


def run_round(
    kind: str, count: int, manifest: Manifest, cache: Path, encoder: LoadedEncoder, truth: dict[str, bytes]
) -> dict[str, Any]:
    """A cache that is empty, or half done, and all at once on it."""
    log = cache.with_suffix(".log")
    log.touch()
    if kind == "half":
        in_child(lambda: extract(Manifest(clips=manifest.clips[::2]), cache, encoder, log))
    statuses, seconds = stampede(count, manifest, cache, encoder, log)
    decoded = collections.Counter(log.read_text().split())
    faults = faults_of(manifest, cache, decoded, truth)
    faults += [f"status {status} of process {n}" for n, status in enumerate(statuses) if status]
    row = {"kind": kind, "processes": count, "clips": len(manifest.clips), "decoded": decoded.total()}
    return {**row, "shards": len(open_cache(cache).shards), "seconds": round(seconds, 2), "faults": faults[:20]}


def in_child(work: Any) -> None:
    """Torch must not have begun threads in the process that forks."""
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    work()
    os._exit(0)


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--clips", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=1, help="of each kind")
    parser.add_argument("--kinds", default="empty,half")
    parser.add_argument("--folder", type=Path, help="where the caches are made, such as a network disk")
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder("tiny-v21", weights="random:1")
    rounds = []
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=options.folder) as where:
        folder = Path(scratch)
        for number in range(options.clips):
            write_video(folder / f"v{number}.mp4", 16 + number % 8)
        manifest = clips(folder, options.clips)
        in_child(lambda: extract(manifest, folder / "whole", encoder, folder / "log"))
        truth = {c.clip.clip_id: c.level("mean").tobytes() for c in open_cache(folder / "whole")}
        for number, kind in enumerate(options.kinds.split(",") * options.rounds):
            rounds.append(run_round(kind, options.processes, manifest, Path(where) / f"cache{number}", encoder, truth))
            sys.stderr.write(f"{rounds[-1]}\n")
    machine = {"cores": num_cores(), "system": platform.platform(), "load": os.getloadavg()[0]}
    about = {"machine": machine, "versions": library_versions("vjepa-fer", "numpy", "h5py", "torch", "av")}
    faults = sum(len(one["faults"]) for one in rounds)
    median = statistics.median(one["seconds"] for one in rounds)
    print(
        json.dumps(
            {
                **about,
                "disk": str(options.folder or "local"),
                "faults": faults,
                "median_seconds": median,
                "rounds": rounds,
            },
            indent=2,
        )
    )
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    np.seterr(all="raise")
    main()
