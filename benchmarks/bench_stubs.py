"""What does it cost to list clips that cannot be done: CPU seconds of `extract` on 5,000 Git LFS stubs, beside one of a single stub?

The second is what starting costs (torch above all); the difference is the listing. Runs take turns, each in a fresh cache; prints JSON.

    python benchmarks/bench_stubs.py > benchmarks/bench_stubs.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import vjepa_fer
from vjepa_fer.workers import num_cores

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0:064}\nsize 265922\n"


def write_stubs(root: Path, count: int) -> Path:
    """A manifest of `count` videos that were not fetched."""
    root.mkdir()
    rows = ["clip_id,path,label,subject"]
    for number in range(count):
        (root / f"{number:05}.mp4").write_text(POINTER.format(number))
        rows.append(f"c{number:05},{number:05}.mp4,{'ab'[number % 2]},s{number % 10}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n")
    return root / "clips.csv"


def measure(manifest: Path, cache: Path) -> dict[str, float]:
    """One extraction by the command line: CPU seconds of it and its workers, seconds by the clock, lines on stderr."""
    words = ["extract", str(manifest), str(cache), "--model", "tiny-v21", "--weights", "random:0", "--workers", "1"]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vjepa_fer.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 4, done.stderr
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = len(done.stderr.splitlines())
    return {"cpu_seconds": cpu, "seconds": time.perf_counter() - started, "lines_said": lines}


def spread(readings: list[float]) -> dict[str, Any]:
    """Median and extent of some readings."""
    return {
        "median": round(statistics.median(readings), 3),
        "least": round(min(readings), 3),
        "most": round(max(readings), 3),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stubs", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    readings: dict[int, list[dict[str, float]]] = {options.stubs: [], 1: []}
    with tempfile.TemporaryDirectory() as folder:
        manifests = {count: write_stubs(Path(folder, str(count)), count) for count in readings}
        measure(manifests[1], Path(folder, "warm"))
        for turn in range(options.repeats):
            for count, manifest in manifests.items():
                readings[count].append(measure(manifest, Path(folder, f"cache-{count}-{turn}")))
    many, one = ([reading["cpu_seconds"] for reading in readings[count]] for count in readings)
    result = {
        "machine": {"system": platform.platform(), "cores": num_cores(), "python": platform.python_version()},
        "vjepa_fer": vjepa_fer.__version__,
        "stubs": options.stubs,
        "repeats": options.repeats,
        "cpu_seconds": {"all": spread(many), "of_one_stub": spread(one)},
        "cpu_seconds_of_listing": spread([a - b for a, b in zip(many, one, strict=True)]),
        "seconds": spread([reading["seconds"] for reading in readings[options.stubs]]),
        "lines_said": readings[options.stubs][0]["lines_said"],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
