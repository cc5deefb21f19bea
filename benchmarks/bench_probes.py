"""How much faster are the probes than the libraries a user would take, at the same objective or accuracy?

    python benchmarks/bench_probes.py [logistic-ravdess logistic-crema-d logistic-grid mlp boosting action-units startup …]

Each comparison runs both sides on the same data in the same process, one thread, CPU seconds, and prints objective or
accuracy beside the time. Results go to ``bench_probes.json`` with the machine; parts that were not run keep their entry.

Features are drawn: class means, subject offsets, subject × class interaction, a falling spectrum, the shapes of RAVDESS and
CREMA-D, eight or six classes. They are no embeddings: ratios of time carry over, accuracies do not.
"""

# ruff: noqa: E402  (threads must be pinned before numpy loads its BLAS)

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import csv
import json
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import fit_predict
from vjepa_fer.experiment import Cell
from vjepa_fer.folds import Split
from vjepa_fer.probes import fit_probes, make_probe
from vjepa_fer.probes.logistic.path import LogisticPath, fit_logistic_path

RESULTS = Path(__file__).with_suffix(".json")
ACTION_UNITS = Path(__file__).resolve().parents[2] / "shared/data/ravdess/openface_au_mean.csv"
GRID = np.logspace(-5, 1, 12)
GOAL = 5e-6  # worst suboptimality over the grid, in units of the mean loss
SHAPES = {"ravdess": (2452, 1280, 24, 8), "crema-d": (7442, 1280, 91, 6), "grid": (2452, 10240, 24, 8)}


class Fold(NamedTuple):
    """Standardised features of a fold's training and test clips, their classes, and the training subjects."""

    train: np.ndarray
    y: np.ndarray
    test: np.ndarray
    y_test: np.ndarray
    subjects: np.ndarray


def draw(shape: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (N, D) float32, classes and subjects (N,)."""
    num_clips, dim, num_subjects, num_classes = SHAPES[shape]
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1, dtype=np.float32) ** -0.55

    def normal(*size: int) -> np.ndarray:
        return rng.standard_normal((*size, dim), dtype=np.float32) * spectrum

    subjects, y = np.arange(num_clips) % num_subjects, np.arange(num_clips) // num_subjects % num_classes
    X = normal(num_clips) + normal(num_subjects)[subjects]
    X += 0.7 * normal(num_subjects, num_classes)[subjects, y] + 0.2 * normal(num_classes)[y]
    for _ in range(1 if dim == 1280 else 2):  # spread what there is over all columns
        X = X[:, rng.permutation(dim)]
        for start in range(0, dim, 1280):
            turn = np.linalg.qr(rng.standard_normal((1280, 1280)))[0].astype(np.float32)
            X[:, start : start + 1280] = X[:, start : start + 1280] @ turn
    return np.ascontiguousarray(X), y, subjects


def folds(shape: str, count: int) -> list[Fold]:
    X, y, subjects = draw(shape)
    made = []
    for number in range(count):
        test = subjects % 5 == number
        scaler = StandardScaler().fit(X[~test])
        made.append(Fold(scaler.transform(X[~test]), y[~test], scaler.transform(X[test]), y[test], subjects[~test]))
    return made


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def objectives(weights: Sequence[np.ndarray], intercepts: Sequence[np.ndarray], fold: Fold) -> np.ndarray:
    """scikit-learn's objective over C·N for each C of the grid, in float64."""
    X, rows, values = fold.train.astype(np.float64), np.arange(len(fold.y)), []
    for W, b, C in zip(weights, intercepts, GRID, strict=True):
        logits = X @ W.T.astype(np.float64) + b
        largest = logits.max(axis=1)
        each = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest - logits[rows, fold.y]
        values.append(each.mean() + np.square(W, dtype=np.float64).sum() / (2 * C * len(X)))
    return np.array(values)


def worst_gap(models: Sequence[Any], fold: Fold, exact: LogisticPath) -> float:
    """How far the worst C of the grid is from the optimum, in units of the mean loss."""
    reached = objectives([model.coef_ for model in models], [model.intercept_ for model in models], fold)
    return float((reached - objectives(exact.weights, exact.intercepts, fold)).max())


def bench_logistic(shape: str) -> dict[str, Any]:
    """Twelve values of C in all five folds, from the features as they are to accuracies: scaling, fitting, predicting.

    scikit-learn runs at the loosest tolerance that meets the goal in the first fold; both sides' worst gaps are measured against
    a float64 solution at a tolerance of 1e-11, ours in every fold, scikit-learn's in the first.
    """
    X, y, subjects = draw(shape)
    features = Features(X, y, subjects, np.arange(len(y)))
    splits = [Split(np.flatnonzero(subjects % 5 != f), np.flatnonzero(subjects % 5 == f)) for f in range(5)]
    cells = [Cell(params={"C": C}) for C in GRID]

    def ours() -> Any:
        return [
            [float((one.labels == y[split.test]).mean()) for one in fit_predict(features, split, cells, 0)]
            for split in splits
        ]

    runs = [cpu_seconds(ours) for _ in range(2)]  # and two more after the other side, as other work comes and goes
    gaps, exact = [], []
    for fold in folds(shape, 5):
        exact.append(fit_logistic_path(fold.train.astype(np.float64), fold.y, C=GRID, tol=1e-11, max_iter=5000))
        probes = [make_probe("logreg", {"C": C}) for C in GRID]
        fit_probes(probes, fold.train, fold.y)
        gaps.append(worst_gap(probes, fold, exact[-1]))
    result: dict[str, Any] = {}
    (fold,) = folds(shape, 1)
    for tol in (1e-4, 1e-6, 1e-7) if shape == "ravdess" else (1e-6, 1e-7):
        models = [LogisticRegression(C=C, tol=tol, max_iter=5000) for C in GRID]
        seconds, _ = cpu_seconds(lambda: [model.fit(fold.train, fold.y) for model in models])  # noqa: B023
        worst = worst_gap(models, fold, exact[0])
        result[f"scikit-learn tol={tol:g}, first fold, fitting alone"] = {
            "seconds": seconds,
            "worst_suboptimality": worst,
        }
        if worst <= GOAL:
            break
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=tol, max_iter=5000))
    search = GridSearchCV(
        pipeline, {"logisticregression__C": GRID.tolist()}, refit=False, cv=[tuple(s) for s in splits]
    )
    seconds, _ = cpu_seconds(lambda: search.fit(X, y))
    theirs = [search.cv_results_[f"split{f}_test_score"] for f in range(5)]
    result[f"GridSearchCV tol={tol:g}"] = _logistic_entry(seconds, worst, theirs)
    runs += [cpu_seconds(ours) for _ in range(2)]
    result["ours"] = _logistic_entry(float(np.median([run[0] for run in runs])), max(gaps), runs[0][1])
    return result | {"ratio": seconds / result["ours"]["seconds"], "memory": measured_memory(shape)}


def _logistic_entry(seconds: float, worst: float, scores: Any) -> dict[str, Any]:
    return {"seconds": seconds, "worst_suboptimality": worst, "best_accuracy": float(np.mean(scores, axis=0).max())}


def measured_memory(shape: str) -> dict[str, float]:
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


def bench_mlp(rounds: int = 1) -> dict[str, Any]:
    """Twenty configurations in five folds with five seeds, early stopping on both sides, seed by seed on the same clips.

    Each round is a Latin square: every configuration meets every fold, and every seed four configurations of a fold; five
    rounds are all there is. The interval is of the mean difference in accuracy, Student's t over the subjects.
    """
    grid = [
        {"alpha": alpha, "learning_rate_init": rate, "early_stopping": True}
        for alpha in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
        for rate in (3e-4, 1e-3, 3e-3, 1e-2)
    ]
    _, _, subjects = draw("ravdess")
    makers: dict[str, Callable[[dict[str, Any], int], Any]] = {
        "ours": lambda config, seed: make_probe("mlp", config, random_state=seed),
        "scikit-learn": lambda config, seed: MLPClassifier(128, random_state=seed, **config),
    }
    seconds, hits = dict.fromkeys(makers, 0.0), {name: np.zeros(len(subjects)) for name in makers}
    for number, fold in enumerate(folds("ravdess", 5)):
        for shift in range(rounds):
            for name, make in makers.items():
                models = [make(config, (at + number + shift) % 5) for at, config in enumerate(grid)]
                work = _fit_together if name == "ours" else _fit_each
                seconds[name] += cpu_seconds(lambda: work(models, fold))[0]  # noqa: B023
                right = [model.predict(fold.test) == fold.y_test for model in models]
                hits[name][subjects % 5 == number] += np.mean(right, axis=0) / rounds
    gain = np.array([(hits["ours"] - hits["scikit-learn"])[subjects == one].mean() for one in np.unique(subjects)])
    half = 2.069 * gain.std(ddof=1) / np.sqrt(len(gain))  # Student's t, 23 degrees of freedom
    result: dict[str, Any] = {n: {"seconds": seconds[n], "mean_accuracy": hits[n].mean()} for n in makers}
    result["ours"]["accuracy_gain_95_over_subjects"] = [gain.mean() - half, gain.mean() + half]
    result["fits"] = rounds * len(grid) * 5
    return result | {"ratio": seconds["scikit-learn"] / seconds["ours"]}


def _fit_together(models: Sequence[Any], fold: Fold) -> None:
    fit_probes(models, fold.train, fold.y)


def _fit_each(models: Sequence[Any], fold: Fold) -> None:
    for model in models:
        model.fit(fold.train, fold.y)


def bench_boosting(shape: str, naive_rounds: int) -> dict[str, Any]:
    """A hundred rounds against LightGBM on the features as they are; its rounds beyond `naive_rounds` are extrapolated."""
    import lightgbm

    (fold,) = folds(shape, 1)
    result: dict[str, Any] = {}
    for name, params in {
        "ours": {},
        "64 directions": {"n_components": 64},
        "256 directions": {"n_components": 256},
        "31 leaves, all columns": {"num_leaves": 31, "colsample_bytree": 1.0},
    }.items():
        seconds, probe = cpu_seconds(lambda: make_probe("lightgbm", params).fit(fold.train, fold.y))  # noqa: B023
        result[name] = {"seconds": seconds, "accuracy": probe.score(fold.test, fold.y_test)}
    settings = {"objective": "multiclass", "num_class": 8, "num_threads": 1, "verbosity": -1, "seed": 0}
    binned = lightgbm.Dataset(fold.train, fold.y)
    binning, _ = cpu_seconds(binned.construct)
    rounds, booster = cpu_seconds(lambda: lightgbm.train(settings, binned, num_boost_round=naive_rounds))
    naive = {"seconds": binning + rounds * 100 / naive_rounds, "rounds_run": naive_rounds}
    if naive_rounds == 100:
        naive["accuracy"] = float((booster.predict(fold.test).argmax(axis=1) == fold.y_test).mean())
    return result | {"LightGBM as it comes": naive, "ratio": naive["seconds"] / result["ours"]["seconds"]}


def bench_attentive(num_tokens: int, batch: int) -> dict[str, Any]:
    """One training step, forward, backward and AdamW, against the plain order of work; width 1280, 16 heads, float32."""
    import torch

    from vjepa_fer.probes.attentive.model import (
        attentive_logits,
        initial_parameters,
        parameter_shapes,
        token_statistics,
    )

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from test_probes_attentive import plain_logits

    torch.set_num_threads(1)
    tokens, labels = torch.randn(batch, num_tokens, 1280), torch.arange(batch) % 8
    statistics = token_statistics(tokens)
    shapes = parameter_shapes(dim=1280, num_classes=8, depth=1, proj=True)
    result: dict[str, Any] = {}
    for name, steps in (("plain", 3), ("folded", 10)):
        p = {n: v.requires_grad_() for n, v in initial_parameters(shapes, 0).items()}
        adamw = torch.optim.AdamW(list(p.values()), fused=True)

        def step() -> None:
            adamw.zero_grad()  # noqa: B023
            if name == "plain":  # noqa: B023
                logits = plain_logits(p, tokens, 16, True)  # noqa: B023
            else:
                stacked = {n: v[None] for n, v in p.items()}  # noqa: B023
                logits = attentive_logits(stacked, tokens, statistics, num_heads=16, proj=True)[0]
            torch.nn.functional.cross_entropy(logits, labels).backward()
            adamw.step()  # noqa: B023

        step()
        result[name] = {"seconds": float(np.median([cpu_seconds(step)[0] for _ in range(steps)]))}
    return result | {"ratio": result["plain"]["seconds"] / result["folded"]["seconds"]}


def bench_startup() -> dict[str, Any]:
    """Processes from start to end: read features of RAVDESS' shape, judge one C in five folds, print the table; medians of five.

    Wall seconds are what a user waits; processor seconds say more on a machine that does other work.
    """
    with tempfile.TemporaryDirectory() as folder:
        X, y, subjects = draw("ravdess")
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
    splits = [Split(np.flatnonzero(subjects % 5 != f), np.flatnonzero(subjects % 5 == f)) for f in range(5)]
    solve = [cpu_seconds(lambda: [fit_predict(features, s, [Cell()], 0) for s in splits])[0] for _ in range(5)]
    result: dict[str, Any] = {}
    for name, measured in runs.items():
        wall, processor = np.median(measured[1:], axis=0)  # the first reads libraries from the disk
        result[name] = {"wall_seconds": wall, "cpu_seconds": processor}
    result["ours"]["cpu_seconds_of_solving"] = np.median(solve)
    return result | {"ratio": result["scikit-learn"]["cpu_seconds"] / result["ours"]["cpu_seconds"]}


def _process_seconds(command: Sequence[str], folder: str) -> tuple[float, float]:
    """Wall and processor seconds of a process."""
    before, started = os.times(), time.perf_counter()
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
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


def bench_action_units() -> dict[str, Any]:
    """Real features: 1,440 RAVDESS clips by 35 OpenFace Action Units, twelve C in five subject folds."""
    if not ACTION_UNITS.exists():
        raise SystemExit(f"{ACTION_UNITS} is not there: leave action-units out")
    with ACTION_UNITS.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    X = np.array([[float(v) for k, v in row.items() if k.startswith("AU")] for row in rows], np.float32)
    names = [row["name"].split("-") for row in rows]
    y, subjects = (np.array([int(name[place]) for name in names]) for place in (2, 6))
    features, cells = Features(X, y, subjects, np.arange(len(y))), [Cell(params={"C": C}) for C in GRID]
    splits = [Split(np.flatnonzero(subjects % 5 != f), np.flatnonzero(subjects % 5 == f)) for f in range(5)]

    def ours() -> Any:
        answers = [fit_predict(features, split, cells, 0) for split in splits]
        return [[(one.labels == y[s.test]).mean() for one in own] for s, own in zip(splits, answers, strict=True)]

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=5000))
    cv, grid = [tuple(s) for s in splits], {"logisticregression__C": GRID.tolist()}
    search = GridSearchCV(pipeline, grid, refit=False, cv=cv)
    runs = [(cpu_seconds(ours), cpu_seconds(lambda: search.fit(X, y))[0]) for _ in range(3)]
    own, theirs = (float(np.median(times)) for times in ([run[0][0] for run in runs], [run[1] for run in runs]))
    accuracy = np.mean(runs[0][0][1], axis=0)
    return {
        "ours": {"seconds": own, "accuracy_by_c": accuracy.round(4).tolist()},
        "GridSearchCV tol=1e-06": {
            "seconds": theirs,
            "accuracy_by_c": search.cv_results_["mean_test_score"].round(4).tolist(),
        },
        "ratio": theirs / own,
    }


BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "logistic-ravdess": lambda: bench_logistic("ravdess"),
    "logistic-crema-d": lambda: bench_logistic("crema-d"),
    "logistic-grid": lambda: bench_logistic("grid"),
    "mlp": bench_mlp,
    "boosting": lambda: bench_boosting("ravdess", 100),
    "boosting-grid": lambda: bench_boosting("grid", 2),
    "attentive-128": lambda: bench_attentive(128, 64),
    "attentive-1568": lambda: bench_attentive(1568, 8),
    "action-units": bench_action_units,
    "startup": bench_startup,
}


def machine() -> dict[str, Any]:
    packages = ("numpy", "scikit-learn", "lightgbm", "torch")
    versions = {name: metadata.version(name) for name in packages}
    return {"system": platform.platform(), "processor": _processor(), "python": platform.python_version(), **versions}


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    warnings.simplefilter("ignore")
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in sys.argv[1:] or [name for name in BENCHMARKS if name != "action-units" or ACTION_UNITS.exists()]:
        result = BENCHMARKS[name]()
        kept[name] = json.loads(json.dumps(result, default=float), parse_float=lambda text: float(f"{float(text):.4g}"))
        print(f"{name}: {result['ratio']:.1f} times as fast")
        for side, figures in kept[name].items():
            print(f"    {side}: {figures}", flush=True)
        RESULTS.write_text(
            json.dumps({"machine": machine(), **{k: kept[k] for k in BENCHMARKS if k in kept}}, indent=1)
        )


if __name__ == "__main__":
    main()
