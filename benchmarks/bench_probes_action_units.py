"""How much faster is a grid of logistic regressions than scikit-learn's on real features, 35 Action Units of 1,440 RAVDESS clips?

    python benchmarks/bench_probes_action_units.py [--small]

The table of Action Units is not part of this project, and is looked for beside the checkout. Same process, one thread, CPU seconds.
Results go to ``bench_probes_action_units.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, in_turns, run_parts

import csv
from pathlib import Path
from typing import Any

import numpy as np
from drawn import splits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell
from vjepa_fer.folds import Split

ACTION_UNITS = Path(__file__).resolve().parents[2] / "shared/data/ravdess/openface_au_mean.csv"
GRID = np.logspace(-5, 1, 12)


def read_action_units() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (1440, 35) float32, emotions and actors."""
    if not ACTION_UNITS.exists():
        raise SystemExit(f"{ACTION_UNITS} is not there")
    with ACTION_UNITS.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    X = np.array([[float(v) for k, v in row.items() if k.startswith("AU")] for row in rows], np.float32)
    names = [row["name"].split("-") for row in rows]
    y, subjects = (np.array([int(name[place]) for name in names]) for place in (2, 6))
    return X, y, subjects


def differences(features: Features, split: Split, grid: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """Labels (num_C, num_rows) that an exact solve gives otherwise, one by one, with the margin between its two first probabilities."""
    exact = fit_predict(features, split, [Cell(params={"C": C, "tol": 1e-12}) for C in grid], 0)
    found = []
    for C, own, true in zip(grid, labels, exact, strict=True):
        for row in np.flatnonzero(own != true.labels):
            last, first = np.sort(true.probabilities[row])[-2:]
            clip, labels_of_it = int(split.test[row]), {"exact": int(true.labels[row]), "ours": int(own[row])}
            found.append({"clip": clip, "C": C, **labels_of_it, "margin": first - last})
    return found


def bench(small: bool) -> dict[str, Any]:
    """Real features: 1,440 RAVDESS clips by 35 OpenFace Action Units, twelve C in five subject folds."""
    X, y, subjects = read_action_units()
    grid = GRID[::6] if small else GRID
    features, cells = Features(X, y, subjects, np.arange(len(y))), [Cell(params={"C": C}) for C in grid]
    five = splits(subjects)

    def answers(cells: list[Cell]) -> list[np.ndarray]:
        return [np.array([one.labels for one in fit_predict(features, split, cells, 0)]) for split in five]

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=5000))
    search = GridSearchCV(pipeline, {"logisticregression__C": grid.tolist()}, refit=False, cv=[tuple(s) for s in five])
    sides = [lambda _: answers(cells), lambda _: search.fit(X, y)]
    seconds, found, ratio = in_turns(sides, range(1 if small else 7))
    hits = [(own == y[split.test]).mean(axis=1) for own, split in zip(found[0][0], five, strict=True)]
    other = [
        one for split, own in zip(five, found[0][0], strict=True) for one in differences(features, split, grid, own)
    ]
    return {
        "ours": {
            "seconds": float(np.median(seconds[0])),
            "accuracy_by_c": np.mean(hits, axis=0).round(4).tolist(),
            "predictions": sum(one.size for one in found[0][0]),
            "predictions_other_than_exact": len(other),
            "differences": other,
        },
        "GridSearchCV tol=1e-06": {
            "seconds": float(np.median(seconds[1])),
            "accuracy_by_c": search.cv_results_["mean_test_score"].round(4).tolist(),
        },
    } | ratio


PARTS: dict[str, Part] = {"action-units": bench}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
