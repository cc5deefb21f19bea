"""How do time and memory grow with the number of clips: import, manifest, `cache info`, features, one logistic fit, `report`?

Each step is a process of its own on drawn features of 1,280 numbers, at three sizes; a step that is linear has the exponent 1 (the slope
of the logarithm of its CPU seconds over that of the clips, less what it takes for a handful of clips). Memory is the largest resident
size of the process, beside the bytes of the features and less what the same step takes for a handful. `report` makes its page of the
run that `probe` left.

    python benchmarks/bench_scale.py > benchmarks/bench_scale.json
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import machine

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

DIM, HANDFUL = 1280, 200

FIT = """
import sys
from vjepa_fer.cache import open_cache
from vjepa_fer.probes import make_probe
features = open_cache(sys.argv[1]).features("mean")
fitted = make_probe("logreg", {"C": 0.01}).fit(features.X, features.y)
print(fitted.score(features.X[:2000], features.y[:2000]))
"""


def draw(folder: Path, num_clips: int) -> None:
    """Features of eight classes that overlap, 50 clips a person, as an NPZ file and a manifest."""
    rng = np.random.default_rng(num_clips)
    classes = rng.integers(0, 8, num_clips)
    X = rng.standard_normal((num_clips, DIM), np.float32)
    X += 0.15 * rng.standard_normal((8, DIM), np.float32)[classes]
    ids = np.array([f"clip{number:06d}" for number in range(num_clips)])
    np.savez(folder / "drawn.npz", X=X, clip_id=ids)
    rows = [f"{one},{one}.mp4,class{c},s{n // 50}" for n, (one, c) in enumerate(zip(ids, classes, strict=True))]
    (folder / "manifest.csv").write_text("\n".join(["clip_id,path,label,subject", *rows]) + "\n")


def steps(with_report: bool) -> dict[str, list[str]]:
    """What is measured, in this order, in the folder of the drawn files."""
    ours = [sys.executable, "-m", "vjepa_fer.cli"]
    probe = ["probe", "cache", "--param", "C=0.01", "--folds", "subject-kfold:2", "--out", "runs", "--jobs", "1"]
    asked = {
        "manifest": [*ours, "manifest", "csv", "manifest.csv", "-o", "read.csv"],
        "cache import": [*ours, "cache", "import", "drawn.npz", "cache", "--manifest", "manifest.csv"],
        "cache info": [*ours, "cache", "info", "cache"],
        "one logistic fit": [sys.executable, "-c", FIT, "cache"],
        "probe, two folds": [*ours, *probe],
    }
    return asked | ({"report": [*ours, "report", "runs", "-o", "report.html"]} if with_report else {})


def measure(command: list[str], folder: Path) -> dict[str, float]:
    """One process: CPU seconds with its children's, seconds by the clock, and its largest resident size."""
    started = time.perf_counter()
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (command, (folder / "said.txt").read_text()[-2000:])
    seconds, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    return {
        "cpu_seconds": cpu,
        "seconds": seconds,
        "peak_bytes": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def figures(measured: dict[int, dict[str, float]]) -> dict[str, Any]:
    """Of one step: CPU seconds and memory by size, the exponent of growth, memory in shares of the features' bytes."""
    base = measured[HANDFUL]
    sizes = [size for size in measured if size != HANDFUL]
    cpu = [max(measured[size]["cpu_seconds"] - base["cpu_seconds"], 1e-3) for size in sizes]
    slope = float(np.polyfit(np.log(sizes), np.log(cpu), 1)[0])
    last = float(np.log(cpu[-1] / cpu[-2]) / np.log(sizes[-1] / sizes[-2]))
    return {
        "start": {"cpu_seconds": round(base["cpu_seconds"], 2), "peak_mb": round(base["peak_bytes"] / 1e6)},
        "cpu_seconds": {size: round(measured[size]["cpu_seconds"], 2) for size in sizes},
        "peak_mb": {size: round(measured[size]["peak_bytes"] / 1e6) for size in sizes},
        "exponent": round(slope, 2),
        "exponent_between_the_largest_two": round(last, 2),
        "peak_in_sizes_of_the_features": {
            size: round((measured[size]["peak_bytes"] - base["peak_bytes"]) / (4 * DIM * size), 2) for size in sizes
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[20_000, 60_000, 200_000])
    parser.add_argument("--no-report", action="store_true", help="leave the page out")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    parser.add_argument("--draw", type=int, help="only write this many clips to --folder")
    asked = parser.parse_args()
    if asked.draw:
        draw(asked.folder, asked.draw)
        return
    measured: dict[str, dict[int, dict[str, float]]] = {}
    for size in [HANDFUL, *asked.clips]:
        with tempfile.TemporaryDirectory(dir=asked.folder) as name:
            folder = Path(name)
            # In a process of its own: what starts a process counts as its memory too, until it has more itself.
            subprocess.run([sys.executable, __file__, "--draw", str(size), "--folder", name], check=True)
            for step, command in steps(not asked.no_report).items():
                measured.setdefault(step, {})[size] = measure(command, folder)
                print(f"{size:>9,} {step}: {measured[step][size]}", file=sys.stderr, flush=True)
    found = {step: figures(sizes) for step, sizes in measured.items()}
    about = {"features_mb": {size: round(4 * DIM * size / 1e6) for size in asked.clips}, "numbers_a_clip": DIM}
    load = {"load": round(os.getloadavg()[0], 1)}
    print(json.dumps({"machine": {**machine(), **load}, **about, "steps": found}, indent=1))


if __name__ == "__main__":
    main()
