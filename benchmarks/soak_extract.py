"""Kills and power cuts while clips are extracted: nothing reported done may ever be lost.

    python benchmarks/soak_extract.py --kills 120 --cuts 12 > benchmarks/soak_extract.json

Each kill: a job on tiny videos is ended by SIGKILL at a random moment, mostly after it has reported something; then every
shard must be readable and hold every clip that was reported done. When a cache is full, its rows must equal those of an
undisturbed run, none doubled; then a new cache begins. Each cut: the job writes to an ext4 file system in a file; it is frozen,
the file is copied as it is (what the system still holds in memory is lost), the copy is mounted, and the same must hold. The
cuts need root and loop devices.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.workers import num_cores

NUM_CLIPS = 200
AFTER_FIRST_REPORT = (
    0.7  # share of kills; the others may come while the job still starts, for seconds on a busy machine
)
SETTINGS = ExtractSettings(shard_bytes=60_000, shard_seconds=0.2, workers=1)


def write_video(path: Path, num_frames: int) -> None:
    """A drawn clip of 64 × 48 pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 30)
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 16 + 4 * number, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_study(folder: Path) -> Manifest:
    """Clips of different lengths."""
    paths = [folder / f"v{i}.mp4" for i in range(NUM_CLIPS)]
    for number, path in enumerate(paths):
        write_video(path, 16 + number % 40)
    return Manifest(clips=tuple(Clip(p.stem, str(p), "happy", f"s{i % 4}") for i, p in enumerate(paths)))


def extract(manifest: Manifest, cache: Path, report: Callable[[tuple[str, ...]], None] | None = None) -> None:
    """The job, from scratch in this process."""
    encoder = load_encoder("tiny-v21", weights="random:1")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean", "tokens")))
    extract_manifest(manifest, cache, encoder, recipe, settings=SETTINGS, progress=False, report=report)


class Job:
    """The extraction in a forked process that tells over a pipe which clips are done."""

    def __init__(self, manifest: Manifest, cache: Path) -> None:
        self._read, write = os.pipe()
        self._told = b""
        os.set_blocking(self._read, False)
        self.pid = os.fork()
        if self.pid == 0:
            extract(manifest, cache, lambda ids: os.write(write, ("".join(f"{i}\n" for i in ids)).encode()))
            os._exit(0)
        os.close(write)

    def reported(self) -> set[str]:
        """Ids that were reported done until now."""
        try:
            while part := os.read(self._read, 1 << 16):
                self._told += part
        except BlockingIOError:
            pass
        return set(self._told.decode().split("\n")[:-1])

    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")")[-1].split()[0] != "Z"

    def kill(self) -> set[str]:
        """SIGKILL; what it had reported by then."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        reported = self.reported()
        os.close(self._read)
        return reported


def lost_clips(cache: Path, reported: set[str]) -> set[str]:
    """Which reported clips the cache lacks; opening it reads the index of every shard."""
    if not (cache / layout.MANIFEST_CSV).exists():
        return reported
    return reported - open_cache(cache).done


def differences(cache: Path, whole: Path) -> int:
    """Clips whose rows differ from the undisturbed run's, doubled rows, and clips that are missing."""
    ours, theirs = open_cache(cache), open_cache(whole)
    doubled = sum(map(len, ours.shards)) - sum(map(len, theirs.shards))
    pairs = zip(ours, theirs, strict=True)
    unlike = sum(any((a.level(k) != b.level(k)).any() for k in ("mean", "tokens")) for a, b in pairs)
    return abs(doubled) + unlike


def soak_kills(folder: Path, manifest: Manifest, rounds: int, seed: int) -> dict[str, Any]:
    """SIGKILL at random moments."""
    moments, whole, cache = random.Random(seed), folder / "whole", folder / "cache"
    extract_in_child(manifest, whole)
    reported: set[str] = set()
    told = caches = lost = unequal = running = ended = 0
    while running < rounds:
        job = Job(manifest, cache)
        if moments.random() < AFTER_FIRST_REPORT:
            while job.is_running() and not job.reported():
                time.sleep(0.01)
        time.sleep(moments.uniform(0.02, 1.0))
        was_running = job.is_running()
        running, ended = running + was_running, ended + (not was_running)
        before = len(reported)
        reported |= job.kill()
        told += len(reported) - before
        lost += len(lost_clips(cache, reported))
        if (cache / layout.MANIFEST_CSV).exists() and len(open_cache(cache).done) == NUM_CLIPS:
            extract_in_child(manifest, cache)
            unequal += differences(cache, whole)
            caches += 1
            shutil.rmtree(cache)
            reported = set()
    return {
        "kills": running,
        "jobs_that_ended_before_their_kill": ended,
        "clips_reported_done": told,
        "clips_lost": lost,
        "caches_completed": caches,
        "differences_from_undisturbed_run": unequal,
    }


def extract_in_child(manifest: Manifest, cache: Path) -> None:
    """An undisturbed run; in a child, so that this process has no threads when it forks."""
    pid = os.fork()
    if pid == 0:
        extract(manifest, cache)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def run(*command: str | Path) -> None:
    """A system command that must succeed."""
    subprocess.run([str(c) for c in command], check=True, capture_output=True)


def soak_cuts(folder: Path, manifest: Manifest, rounds: int, seed: int) -> dict[str, Any]:
    """Power cuts at random moments."""
    moments = random.Random(seed)
    image, cut, disk, after = folder / "disk.img", folder / "cut.img", folder / "disk", folder / "after"
    disk.mkdir()
    after.mkdir()
    told = lost = 0
    for _ in range(rounds):
        run("truncate", "-s", "64M", image)
        run("mkfs.ext4", "-q", "-F", image)
        run("mount", "-o", "loop", image, disk)
        try:
            job = Job(manifest, disk / "cache")
            while not job.reported():
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 0.8))
            os.kill(job.pid, signal.SIGSTOP)
            reported = job.reported()
            shutil.copyfile(image, cut)
            job.kill()
        finally:
            time.sleep(0.3)  # its decode worker ends when the pipe does
            run("umount", disk)
        run("mount", "-o", "loop", cut, after)
        try:
            told += len(reported)
            lost += len(lost_clips(after / "cache", reported))
        finally:
            run("umount", after)
        image.unlink()
    return {"cuts": rounds, "clips_reported_done": told, "clips_lost": lost}


def main() -> None:
    """Both soaks; JSON to stdout, status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=120)
    parser.add_argument("--cuts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_study(folder)
        result: dict[str, Any] = {"schema": "vjepa-fer/soak-extract/1", "clips": NUM_CLIPS, "seed": asked.seed}
        result["machine"] = {"system": platform.platform(), "cpus": num_cores()}
        result["versions"] = library_versions("vjepa-fer", "torch", "av", "h5py", "numpy")
        result["sigkill"] = soak_kills(folder, manifest, asked.kills, asked.seed) if asked.kills else None
        result["power_cut"] = soak_cuts(folder, manifest, asked.cuts, asked.seed) if asked.cuts else None
    print(json.dumps(result, indent=2))
    soaks = [s for s in (result["sigkill"], result["power_cut"]) if s]
    if any(s["clips_lost"] or s.get("differences_from_undisturbed_run") for s in soaks):
        sys.exit("something that was reported done was lost")
    if any(not s["clips_reported_done"] or not s.get("caches_completed", 1) for s in soaks):
        sys.exit("nothing was ever done: the machine is too slow for this soak, or extraction is broken")


if __name__ == "__main__":
    main()
