"""How much memory do the commands take whose speed the other benchmarks measure, beside the bytes of the features?

Each command is a process of its own, as a user starts it, on drawn features; its largest resident size is less what the same command takes for
a handful of clips (interpreter and libraries). One fit at a time (`--jobs 1`): two need twice the room to work in. What grows with the number
of clips is in ``bench_scale.json``.

    python benchmarks/bench_memory.py > benchmarks/bench_memory.json
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import machine

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from drawn import Shape, draw

HANDFUL = 200
PEAK = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(status, used.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
"""
"""A small process, because what starts a process counts as its memory too, until it has more itself."""

OURS = [sys.executable, "-m", "vjepa_fer.cli"]
RAVDESS, CREMA_D, ACTION_UNITS = (2452, 1280, 24, 8), (7442, 1280, 91, 6), (1440, 35, 24, 8)
FIELD = ",".join(f"{C:.6g}" for C in np.logspace(-6, 5, 45))
TWELVE = ",".join(f"{C:.6g}" for C in np.logspace(-5, 1, 12))
MLPS = ["--param", "alpha=1e-5,1e-4,1e-3,1e-2,1e-1", "--param", "learning_rate_init=3e-4,1e-3,3e-3,1e-2"]
ROWS: dict[str, tuple[tuple[int, int, int, int], list[str]]] = {
    "logistic, 45 values of C": (RAVDESS, ["--param", f"C={FIELD}", "--no-nested"]),
    "logistic, 12 values of C": (RAVDESS, ["--param", f"C={TWELVE}", "--no-nested"]),
    "logistic, 12 values of C, CREMA-D's shape": (CREMA_D, ["--param", f"C={TWELVE}", "--no-nested"]),
    "logistic, nested choice of 12 values": (RAVDESS, ["--param", f"C={TWELVE}"]),
    "logistic, one value of C": (RAVDESS, []),
    "perceptrons, 20 configurations": (RAVDESS, ["--probe", "mlp", *MLPS, "--no-nested"]),
    "logistic, 12 values of C, 35 Action Units": (ACTION_UNITS, ["--param", f"C={TWELVE}", "--no-nested"]),
    "logistic, nested choice of 3 values, 35 Action Units": (ACTION_UNITS, ["--param", "C=0.1,1,10"]),
}
"""What is asked of `probe`, on features of which shape."""


def write(folder: Path, shape: Shape) -> None:
    """Drawn features as a cache."""
    X, y, subjects = draw(shape)
    ids = [f"clip{number}" for number in range(len(y))]
    np.savez(folder / "drawn.npz", X=X, clip_id=ids)
    rows = [f"{one},{one}.mp4,class{own},s{s}" for one, own, s in zip(ids, y, subjects, strict=True)]
    (folder / "manifest.csv").write_text("\n".join(["clip_id,path,label,subject", *rows]) + "\n")
    command = [*OURS, "cache", "import", "drawn.npz", "cache", "--manifest", "manifest.csv"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)


def peak(shape: Shape, words: list[str]) -> int:
    """Largest resident bytes of `probe` on features of a shape."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), shape)
        command = [*OURS, "probe", "cache", "--folds", "subject-kfold:5", "--jobs", "1", *words]
        started = [sys.executable, "-S", "-c", PEAK, *command]
        status, size = subprocess.run(started, cwd=name, check=True, capture_output=True, text=True).stdout.split()
        assert status == "0", command
        return int(size)


def figures(shape: Shape, words: list[str]) -> dict[str, Any]:
    """Of one row: megabytes of the process, of the same on a handful of clips, of the features, and the growth in sizes of these."""
    whole, start = peak(shape, words), peak(shape._replace(num_clips=HANDFUL, num_subjects=10), words)
    size = 4 * shape.num_clips * shape.dim
    megabytes = {name: round(value / 1e6, 1) for name, value in (("peak", whole), ("start", start), ("features", size))}
    return {"mb": megabytes, "peak_in_sizes_of_the_features": round((whole - start) / size, 2)}


def main() -> None:
    """Measure and print."""
    found = {}
    for name, (shape, words) in ROWS.items():
        found[name] = figures(Shape(*shape), words)
        print(f"{name}: {found[name]}", file=sys.stderr, flush=True)
    print(json.dumps({"machine": machine(), "probe": found}, indent=1))


if __name__ == "__main__":
    main()
