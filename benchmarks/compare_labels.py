"""Which labels of an unchanged experiment are others than in an earlier version, one by one?

    python benchmarks/compare_labels.py CHECKOUT [ravdess action-units]

CHECKOUT is a folder with the earlier version (``git worktree add CHECKOUT TAG``). Both versions fit the same grid of logistic regressions in
the same five subject folds, each in a process of its own. Every difference is printed with its margin: by how much the label's probability
is above the other's, in the earlier version. Results go to ``compare_labels.json``.
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
from pathlib import Path
from typing import Any

import numpy as np
from bench_probes_action_units import read_action_units
from drawn import SHAPES, draw, splits

GRID = np.logspace(-5, 1, 12)

FIT = """
import sys, numpy as np
from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell
from vjepa_fer.folds import Split
given = np.load(sys.argv[1])
features = Features(given["X"], given["y"], given["subjects"], np.arange(len(given["y"])))
cells = [Cell(params={"C": C}) for C in given["grid"]]
shares = [np.zeros((len(cells), len(given["y"]), len(np.unique(given["y"]))))]
for fold in range(given["fold"].max() + 1):
    split = Split(np.flatnonzero(given["fold"] != fold), np.flatnonzero(given["fold"] == fold))
    for number, one in enumerate(fit_predict(features, split, cells, 0)):
        shares[0][number, split.test] = one.probabilities
np.save(sys.argv[2], shares[0])
"""


def fitted(checkout: Path, given: Path, folder: Path) -> np.ndarray:
    """Probabilities (num_C, num_clips, num_classes) that the version in a folder gives."""
    answer = folder / "answer.npy"
    known = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, "-c", FIT, str(given), str(answer)], check=True, env=known, cwd=folder)
    return np.load(answer)


def compare(name: str, before: Path) -> dict[str, Any]:
    X, y, subjects = read_action_units() if name == "action-units" else draw(SHAPES[name])
    fold = np.zeros(len(y), int)
    for number, split in enumerate(splits(subjects)):
        fold[split.test] = number
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        np.savez(folder / "given.npz", X=X, y=y, subjects=subjects, fold=fold, grid=GRID)
        here = Path(__file__).resolve().parents[1]
        old, new = (fitted(checkout, folder / "given.npz", folder) for checkout in (before, here))
    labels, found = (old.argmax(axis=2), new.argmax(axis=2)), []
    for number, clip in np.argwhere(labels[0] != labels[1]):
        was, now = (int(one[number, clip]) for one in labels)
        margin = float(old[number, clip, was] - old[number, clip, now])
        found.append({"clip": int(clip), "C": float(GRID[number]), "was": was, "is": now, "margin": margin})
    return {
        "labels": int(labels[0].size),
        "largest_difference_in_probability": float(np.abs(old - new).max()),
        "largest_margin": max((one["margin"] for one in found), default=0.0),
        "differences": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Labels of two versions, difference by difference.")
    parser.add_argument("checkout", type=Path, help="a folder with the earlier version")
    parser.add_argument("names", nargs="*", choices=[[], "ravdess", "action-units"], help="default: all")
    asked = parser.parse_args()
    results = {name: compare(name, asked.checkout.resolve()) for name in asked.names or ("ravdess", "action-units")}
    for name, result in results.items():
        print(f"{name}: {len(result['differences'])} of {result['labels']} labels differ")
        for one in result["differences"]:
            print(f"    {one}")
    Path(__file__).with_suffix(".json").write_text(json.dumps({"machine": machine(), **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
