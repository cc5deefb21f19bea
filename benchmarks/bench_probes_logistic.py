"""How much faster is a grid of logistic regressions than scikit-learn's, at the same objective?

    python benchmarks/bench_probes_logistic.py [--small] [ravdess crema-d grid field others]

Both sides do the same work on the same data in the same process, one thread, CPU seconds, fold by fold in turns, so that other work
on the machine meets both; objective and accuracy stand beside the time. `field` is the grid that papers use, 45 values of C. `others`
are scikit-learn-intelex and cyanure, where they can be imported. Results go to ``bench_probes_logistic.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, in_turns, run_parts

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from drawn import SHAPES, SMALL, Fold, Shape, draw, folds, splits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell
from vjepa_fer.probes import fit_probes, make_probe
from vjepa_fer.probes.logistic.path import fit_logistic_path

GRID = np.logspace(-5, 1, 12)
FIELD = np.logspace(-6, 5, 45)
GOAL = 5e-6  # worst suboptimality over the grid, in units of the mean loss


def objectives(
    weights: Sequence[np.ndarray], intercepts: Sequence[np.ndarray], fold: Fold, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's objective over C·N for each C of the grid, and how far below it the minimum lies at most, in float64.

    The objective is strongly convex: its minimum is at most ``|gradient|² / (2 penalty)`` further down. Intercepts are free, and have
    no such bound; a reference has next to no slope along them.
    """
    X, rows, values, below = fold.train.astype(np.float64), np.arange(len(fold.y)), [], []
    for W, b, C in zip(weights, intercepts, grid, strict=True):
        logits = X @ W.T.astype(np.float64) + b
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        totals = shares.sum(axis=1)
        each = np.log(totals) + logits.max(axis=1) - logits[rows, fold.y]
        penalty = 1 / (C * len(X))
        values.append(each.mean() + penalty / 2 * np.square(W, dtype=np.float64).sum())
        residuals = shares / totals[:, None]
        residuals[rows, fold.y] -= 1
        gradient = residuals.T @ X / len(X) + penalty * W
        below.append(np.square(gradient).sum() / (2 * penalty))
    return np.array(values), np.array(below)


def exact_minima(fold: Fold, grid: np.ndarray) -> tuple[np.ndarray, float]:
    """A lower bound of each C's minimum, and how far the worst lies below what was reached in float64."""
    exact = fit_logistic_path(fold.train.astype(np.float64), fold.y, C=grid, tol=1e-11, max_iter=5000)
    values, below = objectives(exact.weights, exact.intercepts, fold, grid)
    return values - below, float(below.max())


def gaps(models: Sequence[Any], fold: Fold, grid: np.ndarray, least: np.ndarray) -> np.ndarray:
    """How far each C of the grid is from its minimum at most, in units of the mean loss."""
    reached = objectives([model.coef_ for model in models], [model.intercept_ for model in models], fold, grid)[0]
    return reached - least


def bench(name: str, grid: np.ndarray, small: bool) -> dict[str, Any]:
    """A grid of C in all five folds, from the features as they are to accuracies: scaling, fitting, predicting.

    scikit-learn runs at the loosest tolerance that meets the goal in the first fold; ours is compared with the minimum in every fold.
    """
    shape = (SMALL if small else SHAPES)[name]
    X, y, subjects = draw(shape)
    features, five = Features(X, y, subjects, np.arange(len(y))), splits(subjects)
    cells = [Cell(params={"C": C}) for C in grid]
    result, tol, worst = loosest(folds(shape, 1)[0], grid)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=tol, max_iter=5000))

    def ours(fold: int) -> list[float]:
        split = five[fold]
        return [float((one.labels == y[split.test]).mean()) for one in fit_predict(features, split, cells, 0)]

    def theirs(fold: int) -> list[float]:
        parameters = {"logisticregression__C": grid.tolist()}
        search = GridSearchCV(pipeline, parameters, refit=False, cv=[tuple(five[fold])])
        return search.fit(X, y).cv_results_["split0_test_score"].tolist()

    seconds, scores, ratio = in_turns([ours, theirs], range(5))
    own, slack = [], 0.0
    for fold in folds(shape, 5):
        least, below = exact_minima(fold, grid)
        probes = [make_probe("logreg", {"C": C}) for C in grid]
        fit_probes(probes, fold.train, fold.y)
        own.append(gaps(probes, fold, grid, least))
        slack = max(slack, below)
    result[f"GridSearchCV tol={tol:g}"] = _entry(seconds[1], worst, scores[1])
    result["ours"] = _entry(seconds[0], float(np.max(own)), scores[0]) | {
        "worst_suboptimality_by_c": np.max(own, axis=0).tolist(),
        "of_which_the_reference": slack,
    }
    return result | ratio | {"memory": measured_memory(shape)}


def loosest(fold: Fold, grid: np.ndarray) -> tuple[dict[str, Any], float, float]:
    """scikit-learn's fits alone by tolerance, down to the loosest that meets the goal; that tolerance and its worst gap."""
    result: dict[str, Any] = {}
    least, _ = exact_minima(fold, grid)
    for tol in (1e-4, 1e-6, 1e-7):
        models = [LogisticRegression(C=C, tol=tol, max_iter=5000) for C in grid]
        seconds, _ = cpu_seconds(lambda: [model.fit(fold.train, fold.y) for model in models])  # noqa: B023
        worst = float(gaps(models, fold, grid, least).max())
        what = f"scikit-learn tol={tol:g}, first fold, fitting alone"
        result[what] = {"seconds": seconds, "worst_suboptimality": worst}
        if worst <= GOAL:
            break
    return result, tol, worst


def _entry(seconds: Sequence[float], worst: float, scores: Any) -> dict[str, Any]:
    accuracy = float(np.mean(scores, axis=0).max())
    return {"seconds": float(sum(seconds)), "worst_suboptimality": worst, "best_accuracy": accuracy}


def bench_others(small: bool) -> dict[str, Any]:
    """scikit-learn-intelex and cyanure on the first fold, fitting alone, where they are installed, which no extra does."""
    grid = GRID[::4] if small else GRID
    (fold,) = folds((SMALL if small else SHAPES)["ravdess"], 1)
    least, _ = exact_minima(fold, grid)

    def ours(_: int) -> list[Any]:
        probes = [make_probe("logreg", {"C": C}) for C in grid]
        fit_probes(probes, fold.train, fold.y)
        return probes

    result: dict[str, Any] = {}
    for name, make in OTHERS.items():
        try:
            models = make(grid, len(fold.y))
        except ImportError as error:
            result[name] = f"not installed: {error}"
            continue

        def theirs(_: int, models: list[Any] = models) -> list[Any]:
            return [model.fit(fold.train, fold.y) for model in models]

        seconds, found, ratio = in_turns([ours, theirs], range(1 if small else 3))
        result[name] = ratio | {"seconds": float(np.median(seconds[1])), "ours": float(np.median(seconds[0]))}
        result[name]["worst_suboptimality"] = float(
            max(_gap(m, fold, grid, least, j) for j, m in enumerate(found[1][0]))
        )
    known = [one["ratio"] for one in result.values() if isinstance(one, dict)]
    return result | {"ratio": min(known, default=float("nan"))}


def _gap(model: Any, fold: Fold, grid: np.ndarray, least: np.ndarray, number: int) -> float:
    weights = np.asarray(model.coef_)
    weights = weights if weights.shape == (8, fold.train.shape[1]) else weights.T
    reached = objectives([weights], [np.ravel(model.intercept_)], fold, grid[number : number + 1])[0]
    return float(reached[0] - least[number])


def _intelex(grid: np.ndarray, num_clips: int) -> list[Any]:
    cls = importlib.import_module("sklearnex.linear_model").LogisticRegression
    return [cls(C=C, tol=1e-6, max_iter=5000) for C in grid]


def _cyanure(grid: np.ndarray, num_clips: int) -> list[Any]:
    cls = importlib.import_module("cyanure.estimators").Classifier
    same = {"loss": "multiclass-logistic", "penalty": "l2", "fit_intercept": True, "tol": 1e-6, "max_iter": 5000}
    return [cls(**same, lambda_1=1 / (C * num_clips), n_threads=1, verbose=False) for C in grid]


OTHERS = {"scikit-learn-intelex tol=1e-06": _intelex, "cyanure tol=1e-06": _cyanure}


def measured_memory(shape: Shape) -> dict[str, float]:
    """Peak resident memory of a process that has done the grid on five folds, over that of one that has read the features."""
    with tempfile.TemporaryDirectory() as folder:
        X, y, subjects = draw(shape)
        np.savez(Path(folder) / "drawn.npz", X=X, y=y, subjects=subjects)
        code = MEMORY_CODE.format(path=str(Path(folder) / "drawn.npz"))
        output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    before, peak = map(float, output.split())
    megabytes = X.nbytes / 2**20
    return {"features_mib": megabytes, "peak_times_features": (peak - before) / megabytes + 1}


MEMORY_CODE = """
import numpy as np
from vjepa_fer.cache import Features
from vjepa_fer.evaluation.evaluate import fit_predict
from vjepa_fer.experiment.protocol import Cell
from vjepa_fer.folds.splits import Split
def peak():  # of this program alone; what getrusage says begins with the process that started it
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
d = np.load({path!r})
y, subjects = d["y"], d["subjects"]
cells = [Cell(params={{"C": C}}) for C in np.logspace(-5, 1, 12)]
small = Features(np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32), y[:200], subjects[:200], y[:200])
fit_predict(small, Split(np.arange(150), np.arange(150, 200)), cells, 0)  # libraries and their buffers
X = d["X"]
before = peak()
for f in range(5):
    fit_predict(Features(X, y, subjects, y), Split(np.flatnonzero(subjects % 5 != f), np.flatnonzero(subjects % 5 == f)), cells, 0)
print(before, peak())
"""


PARTS: dict[str, Part] = {
    "ravdess": partial(bench, "ravdess", GRID),
    "crema-d": partial(bench, "crema-d", GRID),
    "grid": partial(bench, "grid", GRID),
    "field": partial(bench, "ravdess", FIELD),
    "others": bench_others,
}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
