"""How far do manifest, claims and index carry? CPU seconds, memory and bytes by the number of clips, how they grow, and what 10 million would take.

    python benchmarks/sim_ten_million.py > benchmarks/sim_ten_million.json
    python benchmarks/sim_ten_million.py --clips 1000000 10000000 --steps index      (about 16 GB of memory)

No video is decoded: clips are rows of a table, shards are indices without files. Each step is a process of its own, so that its largest
resident size is its own. `extrapolated` goes on
to 10 million with the exponent of the two largest sizes (memory: with their difference a clip): a reckoning, not a reading.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import machine

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import index, layout
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.claims import Claims
from vjepa_fer.doors import TABLE
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import EncoderSpec, Preprocessing, Recipe, Sampling, Storage

TARGET = 10_000_000
LARGE: dict[str, Any] = {
    "family": "v21",
    "img_size": 384,
    "num_frames": 64,
    "patch_size": 16,
    "tubelet_size": 2,
    "layer_norm_eps": 1e-06,
    "embed_dim": 1024,
    "depth": 24,
    "num_heads": 16,
    "mlp_ratio": 4.0,
    "uniform_power": False,
}
"""Numbers of vjepa2.1-large-384."""

MOST_CLAIMS = 100_000
"""Files that are really made: a claim takes a block of the disk."""


def manifest(folder: Path, clips: int) -> dict[str, float]:
    """A table of clips is read and checked."""
    path = folder / "clips.csv"
    with path.open("w") as file:
        file.write("clip_id,path,label,subject\n")
        file.writelines(
            f"clip{n:08d},part{n // 1000:05d}/clip{n:08d}.mp4,class{n % 8},s{n // 50}\n" for n in range(clips)
        )
    started = time.process_time()
    read = read_manifest(path)
    assert len(read.clips) == clips
    return {"cpu_seconds": time.process_time() - started, "bytes": path.stat().st_size}


def claims(folder: Path, clips: int) -> dict[str, float]:
    """A clip is claimed where so many claims lie already; bytes are those of their blocks."""
    clips = min(clips, MOST_CLAIMS)
    with Claims(folder) as mine:
        for number in range(clips):
            mine.take(f"clip{number}")
        started = time.process_time()
        for number in range(clips, clips + 1000):
            mine.take(f"clip{number}")
        each = (time.process_time() - started) / 1000
        used = sum(entry.stat().st_blocks * 512 for entry in os.scandir(folder / "claims"))
    return {"cpu_seconds": each * clips, "bytes": used * clips / (clips + 1000), "milliseconds_a_claim": 1000 * each}


def shards_of(folder: Path, recipe: Recipe, clips: int, shard_clips: int = 10_000) -> list[ShardIndex]:
    """Indices of shards that are not there, a window a clip."""
    found = []
    for first in range(0, clips, shard_clips):
        count = min(shard_clips, clips - first)
        columns = {
            d.path: np.ones((count, *d.row_shape), d.dtype)
            for d in layout.index_datasets(recipe)
            if d.path != layout.CLIP_ID
        }
        columns[layout.SOURCE_SHA256] = np.full(count, b"0" * 64, columns[layout.SOURCE_SHA256].dtype)
        stored = layout.stored_datasets(recipe)
        places = {d.path: np.zeros(count, "<i8") for d in stored}
        sums = {d.path: np.zeros(count, "<u4") for d in stored}
        ids = tuple(f"clip{n:08d}" for n in range(first, first + count))
        path = folder / f"shard{first:08d}.h5"
        found.append(ShardIndex(path, recipe, ids, columns, places, sums, 1 << 40, 0))
    return found


def index_file(folder: Path, clips: int) -> dict[str, float]:
    """The index of all shards is written, and read as `open_cache` does."""
    recipe = Recipe(
        encoder=EncoderSpec(name="large", weights="random:0", state_key="random", **LARGE),
        sampling=Sampling(),
        preprocessing=Preprocessing(),
        storage=Storage(levels=("mean", "frames", "grid:4")),
        precision="float32",
    )
    index._remember(folder, recipe, shards_of(folder, recipe, clips))
    started = time.process_time()
    read = index.remembered_shards(folder, recipe)
    assert sum(map(len, read)) == clips
    return {"cpu_seconds": time.process_time() - started, "bytes": (folder / layout.INDEX_NPZ).stat().st_size}


STEPS: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "manifest": manifest,
    "claims": claims,
    "index": index_file,
}


def one(step: str, clips: int) -> dict[str, float]:
    """A step at one size, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        found = STEPS[step](Path(folder), clips)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {**found, "peak_bytes": peak}


def growth(sizes: list[int], values: list[float]) -> float:
    """The exponent between the two largest sizes."""
    return math.log(max(values[-1], 1e-9) / max(values[-2], 1e-9)) / math.log(sizes[-1] / sizes[-2])


def reckoned(sizes: list[int], found: dict[int, dict[str, float]]) -> dict[str, Any]:
    """What was measured, how it grows, and what the target would take."""
    told: dict[str, Any] = {"measured": {size: {k: round(v, 4) for k, v in found[size].items()} for size in sizes}}
    if len(sizes) > 1 and sizes[-1] < TARGET:
        for name in ("cpu_seconds", "bytes"):
            values = [found[size][name] for size in sizes]
            exponent = growth(sizes, values)
            told.setdefault("exponent", {})[name] = round(exponent, 2)
            target = values[-1] * (TARGET / sizes[-1]) ** max(exponent, 1)
            told.setdefault("extrapolated", {})[name] = float(f"{target:.3g}")
        first, last = (found[size]["peak_bytes"] for size in sizes[-2:])
        each = (last - first) / (sizes[-1] - sizes[-2])  # a process has much before its first clip
        told["extrapolated"]["peak_bytes"] = float(f"{last + each * (TARGET - sizes[-1]):.3g}")
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--steps", nargs="+", default=list(STEPS))
    parser.add_argument("--one", nargs=2, metavar=("STEP", "CLIPS"), help="only this, in this process")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(one(asked.one[0], int(asked.one[1]))))
        return
    told = {}
    for step in asked.steps:
        sizes = [size for size in asked.clips if step != "claims" or size <= MOST_CLAIMS] or [MOST_CLAIMS]
        found = {}
        for size in sizes:
            done = subprocess.run(
                [sys.executable, __file__, "--one", step, str(size)], check=True, capture_output=True, text=True
            )
            found[size] = json.loads(done.stdout)
            print(f"{size:>11,} {step}: {found[size]}", file=sys.stderr, flush=True)
        told[step] = reckoned(sizes, found)
    limits = {"table_bytes": TABLE.size, "table_rows": TABLE.rows}
    print(json.dumps({"machine": machine(), "target": TARGET, "limits": limits, "steps": told}, indent=1))


if __name__ == "__main__":
    main()
