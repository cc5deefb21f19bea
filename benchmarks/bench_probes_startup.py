"""How long does a whole `probe` take beside a script with scikit-learn, start-up included?

    python benchmarks/bench_probes_startup.py [--small]

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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from drawn import SHAPES, SMALL, draw, splits

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell


def bench(small: bool) -> dict[str, Any]:
    """Processes from start to end: read features of RAVDESS' shape, judge one C in five folds, print the table; medians of five.

    Wall seconds are what a user waits; processor seconds say more on a machine that does other work.
    """
    with tempfile.TemporaryDirectory() as folder:
        X, y, subjects = draw((SMALL if small else SHAPES)["ravdess"])
        clip_ids = np.array([f"clip{number}" for number in range(len(y))])
        np.savez(Path(folder) / "drawn.npz", X=X, y=y, subjects=subjects, clip_id=clip_ids)
        rows = [f"{clip},{clip}.mp4,class{own},{s}" for clip, own, s in zip(clip_ids, y, subjects, strict=True)]
        (Path(folder) / "manifest.csv").write_text("\n".join(["clip_id,path,label,subject", *rows]))
        command = [sys.executable, "-m", "vjepa_fer.cli"]
        make = [*command, "cache", "import", "drawn.npz", "cache", "--manifest", "manifest.csv"]
        subprocess.run(make, check=True, cwd=folder, capture_output=True)
        sides = {
            "ours": [*command, "probe", "cache", "--folds", "subject-kfold:5"],
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


def _process_seconds(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    compiled = {
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(Path(folder, "compiled")),
    }  # as an installed package is
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, capture_output=True, env=os.environ | compiled)
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


PARTS: dict[str, Part] = {"startup": bench}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
