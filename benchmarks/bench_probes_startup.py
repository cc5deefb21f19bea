"""How long does a whole `probe` take beside a script with scikit-learn, start-up included, and beside a busy process?

    python benchmarks/bench_probes_startup.py [startup] [busy] [--small]

Results go to ``bench_probes_startup.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, run_parts

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from drawn import SHAPES, SMALL, Shape, draw, splits

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell
from vjepa_fer.workers import num_cores


def bench(small: bool) -> dict[str, Any]:
    """Processes from start to end: read features of RAVDESS' shape, judge one C in five folds, print the table; medians of five.

    Wall seconds are what a user waits; processor seconds say more on a machine that does other work.
    """
    with tempfile.TemporaryDirectory() as folder:
        X, y, subjects = draw((SMALL if small else SHAPES)["ravdess"])
        clip_ids = _import(folder, X, y, subjects)
        sides = {
            "ours": [*COMMAND, "probe", "cache", "--folds", "subject-kfold:5"],
            "scikit-learn": [sys.executable, "-c", STARTUP_CODE],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(6):
            for name, side in sides.items():
                runs[name].append(_process_seconds(side, folder))
    features = Features(X, y, subjects, clip_ids)
    solve = [
        cpu_seconds(lambda: [fit_predict(features, s, [Cell()], 0) for s in splits(subjects)])[0] for _ in range(5)
    ]
    result: dict[str, Any] = {}
    for name, measured in runs.items():
        wall, processor = np.median(measured[1:], axis=0)  # the first reads libraries from the disk
        result[name] = {"wall_seconds": wall, "cpu_seconds": processor}
    result["ours"]["cpu_seconds_of_solving"] = np.median(solve)
    return result | {"ratio": result["scikit-learn"]["cpu_seconds"] / result["ours"]["cpu_seconds"]}


def busy(small: bool) -> dict[str, Any]:
    """A nested choice of C on 1,440 × 35 as a user starts it, on two cores of which another process has one: wall seconds in turns.

    `times_one_thread` says how much longer it takes with the threads that it has by itself than with one; the goal is 1.2.
    """
    shape = SMALL["ravdess"] if small else Shape(1440, 35, 24, 8)
    own = {"ours": dict.fromkeys(THREADS), "one thread": dict.fromkeys(THREADS, "1")}
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in own}
    with tempfile.TemporaryDirectory() as folder:
        _import(folder, *draw(shape))
        other = subprocess.Popen([*TWO_CORES, sys.executable, "-c", "while True: pass"])
        try:
            for _ in range(3 if small else 8):
                for name, threads in own.items():
                    runs[name].append(
                        _process_seconds([*TWO_CORES, *COMMAND, "probe", "cache", *NESTED], folder, threads)
                    )
        finally:
            other.kill()
            other.wait()
    medians = {name: np.median(measured[1:], axis=0) for name, measured in runs.items()}
    result: dict[str, Any] = {n: {"wall_seconds": wall, "cpu_seconds": cpu} for n, (wall, cpu) in medians.items()}
    times = [ours[0] / one[0] for ours, one in zip(runs["ours"][1:], runs["one thread"][1:], strict=True)]
    result["times_one_thread"] = {
        "median": np.median(times),
        "readings": times,
        "cores": num_cores(),
        "load": os.getloadavg(),
    }
    return result | {"ratio": 1 / np.median(times)}


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TWO_CORES = ["taskset", "-c", "0,1"]
COMMAND = [sys.executable, "-m", "vjepa_fer.cli"]
NESTED = ["--folds", "subject-kfold:5", "--param", "C=0.1,1,10"]


def _import(folder: str, X: np.ndarray, y: np.ndarray, subjects: np.ndarray) -> np.ndarray:
    """Make a cache of drawn features in the folder; its clips' ids."""
    clip_ids = np.array([f"clip{number}" for number in range(len(y))])
    np.savez(Path(folder) / "drawn.npz", X=X, y=y, subjects=subjects, clip_id=clip_ids)
    rows = [f"{clip},{clip}.mp4,class{own},{s}" for clip, own, s in zip(clip_ids, y, subjects, strict=True)]
    (Path(folder) / "manifest.csv").write_text("\n".join(["clip_id,path,label,subject", *rows]))
    make = [*COMMAND, "cache", "import", "drawn.npz", "cache", "--manifest", "manifest.csv"]
    subprocess.run(make, check=True, cwd=folder, capture_output=True)
    return clip_ids


def _process_seconds(
    command: Sequence[str], folder: str, threads: Mapping[str, str | None] = MappingProxyType({})
) -> tuple[float, float]:
    """Wall and processor seconds of a process; `threads` are variables that it has, or has not if they are None."""
    compiled = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled")),
    }  # as an installed package is
    environment = {n: v for n, v in (os.environ | compiled | dict(threads)).items() if v is not None}
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, capture_output=True, env=environment)
    wall, after = time.perf_counter() - started, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


STARTUP_CODE = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
d = np.load("drawn.npz")
model = make_pipeline(StandardScaler(), LogisticRegression(C=1, tol=1e-6, max_iter=5000))
scoring = ["accuracy", "balanced_accuracy", "f1_macro"]
found = cross_validate(model, d["X"], d["y"], groups=d["subjects"], cv=GroupKFold(5), scoring=scoring)
for name in scoring:
    print(name, 100 * found["test_" + name].mean(), 100 * found["test_" + name].std(ddof=1))
"""


PARTS: dict[str, Part] = {"startup": bench, "busy": busy}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
