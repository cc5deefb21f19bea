"""What does it cost to compare everything that is read with its checksums?

Beside reading as it is stands reading as it was: the same calls without a checksum, and one look for NaN and infinity when all is there.
Rounds alternate in one run, page cache warm; CPU time of all threads. Prints JSON.

    python benchmarks/bench_checks.py --folder /dev/shm > benchmarks/bench_checks.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from bench_cache import TOKENS, token_recipe, write_cache

from vjepa_fer.cache import Cache, open_cache, reading
from vjepa_fer.cache.sums import all_finite
from vjepa_fer.recipe import ImportedRecipe
from vjepa_fer.workers import num_cores

CHECKED = reading._are_sound


def unchecked(blocks: Any, dataset: Any, checksums: Any) -> bool:
    """In place of the check: the blocks are read and nothing is asked of them."""
    deque(blocks, maxlen=0)
    return True


def pooled(cache: Cache) -> list[np.ndarray]:
    """Features of CREMA-D's size."""
    return [cache.features().X]


def opened(folder: Path) -> list[np.ndarray]:
    """The same, opening included."""
    return [open_cache(folder).features().X]


def tokens(cache: Cache) -> list[np.ndarray]:
    """Token rows one clip after the other; each counts as read for the first time."""
    cache._checked.clear()
    return [clip.level("tokens", dtype="stored") for clip in cache]


def seconds(work: Callable[[], list[np.ndarray]], *, checked: bool) -> float:
    """CPU seconds of one call."""
    reading._are_sound = CHECKED if checked else unchecked
    started = time.process_time()
    for array in work():
        assert checked or all_finite(array)
    return time.process_time() - started


def compare(work: Callable[[], list[np.ndarray]], rounds: int) -> dict[str, Any]:
    """Seconds either way and their ratio, round by round."""
    pairs = [(seconds(work, checked=True), seconds(work, checked=False)) for _ in range(rounds + 1)][1:]
    ratios = sorted(a / b for a, b in pairs)
    middle = statistics.quantiles(ratios, n=4)
    return {
        "seconds_checked": round(statistics.median(a for a, _ in pairs), 5),
        "seconds_as_before": round(statistics.median(b for _, b in pairs), 5),
        "ratio": {"median": round(middle[1], 3), "quartiles": [round(middle[0], 3), round(middle[2], 3)]},
        "readings": rounds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        recipe = ImportedRecipe(source="bench", source_sha256="0" * 64, columns=tuple(f"f{n}" for n in range(1280)))
        write_cache(folder / "pooled", recipe, "mean", rng.standard_normal((7442, 1280), np.float32))
        rows = rng.standard_normal((24, *TOKENS), np.float32).astype(np.float16)
        write_cache(folder / "tokens", token_recipe(24, 1280, 16), "tokens", rows)
        small, large = open_cache(folder / "pooled"), open_cache(folder / "tokens")
        table = {
            "features, 7,442 x 1,280": compare(lambda: pooled(small), asked.rounds),
            "open and features": compare(lambda: opened(folder / "pooled"), asked.rounds),
            "tokens in order, 24 x 11.8 MB": compare(lambda: tokens(large), asked.rounds),
        }
    machine = {"cores": num_cores(), "load": round(os.getloadavg()[0], 1), "platform": platform.platform()}
    versions = {name: metadata.version(name) for name in ("vjepa-fer", "numpy", "h5py", "zlib-ng")}
    print(json.dumps({"benchmark": "bench_checks", **table, "machine": machine, "versions": versions}, indent=2))


if __name__ == "__main__":
    main()
