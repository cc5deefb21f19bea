"""Is any probe's default worse than its library's own, on tables of any size and kind?

    python benchmarks/bench_defaults.py [--small] [--minutes 10] [mlp lightgbm …]

Both sides on the same standardised clips, trained on three quarters of the subjects and tested on the rest, a draw of the data a
seed. Embeddings spread what they know over all columns, along a falling spectrum or an even one; tables of measures hold it in a
dozen columns beside noise. The gain is ours minus theirs in points over all seeds' test clips; its interval is ± two standard
errors, the larger of that by seed and that by the clips on which the two disagree. Of more than a hundred comparisons some come
out below by chance: such a cell is drawn once more with three times as many other seeds, and judged by these. The file says which
cells did not fit into the time.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measured import machine  # pins BLAS to one thread, so it comes before numpy

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.probes import make_probe

SEEDS = 5
PROBES = ("mlp", "lightgbm", "logreg", "svm", "centroid", "knn")
LARGEST = {"centroid": 4e6, "knn": 4e6, "logreg": 1.2e6, "svm": 1.2e6, "mlp": 1.2e6, "lightgbm": 3e5}
"""Clips times columns up to which a probe is tried: above, the library's own default alone takes minutes a fit here."""


class Table(NamedTuple):
    kind: str
    num_clips: int
    dim: int
    num_classes: int


class Fold(NamedTuple):
    train: NDArray
    y: NDArray
    test: NDArray
    y_test: NDArray


TABLES = (
    Table("measures", 36, 12, 3),
    Table("falling", 36, 768, 3),
    Table("measures", 90, 35, 6),
    Table("falling", 96, 256, 6),
    Table("even", 96, 256, 6),
    Table("measures", 200, 35, 6),
    Table("measures", 200, 412, 6),
    Table("falling", 200, 768, 6),
    Table("falling", 576, 256, 6),
    Table("even", 576, 200, 6),
    Table("measures", 576, 412, 6),
    Table("falling", 1500, 768, 6),
    Table("even", 1500, 768, 6),
    Table("measures", 2452, 35, 8),
    Table("measures", 2452, 412, 8),
    Table("falling", 96, 10240, 6),
    Table("falling", 2452, 1280, 8),
    Table("measures", 7442, 35, 6),
    Table("falling", 7442, 1280, 6),
    Table("falling", 2452, 10240, 8),
)


def draw(table: Table, seed: int) -> Fold:
    rng = np.random.default_rng([seed, table.num_clips, table.dim])
    num_subjects = max(4, min(24, table.num_clips // table.num_classes))
    numbers = np.arange(table.num_clips)
    subjects, y = numbers % num_subjects, numbers // num_subjects % table.num_classes
    X = _measures(table, subjects, y, rng) if table.kind == "measures" else _embedding(table, subjects, y, rng)
    test = subjects % 4 == 0
    centre, spread = X[~test].mean(axis=0), X[~test].std(axis=0)
    X = ((X - centre) / np.where(spread > 0, spread, 1)).astype(np.float32)
    return Fold(X[~test], y[~test], X[test], y[test])


def _measures(table: Table, subjects: NDArray, y: NDArray, rng: np.random.Generator) -> NDArray:
    means = 1.2 * rng.normal(size=(table.num_classes, 12))
    told = means[y] + rng.normal(size=(table.num_clips, 12)) + 0.3 * rng.normal(size=(subjects.max() + 1, 12))[subjects]
    return np.column_stack([told, rng.normal(size=(table.num_clips, table.dim - 12))])


def _embedding(table: Table, subjects: NDArray, y: NDArray, rng: np.random.Generator) -> NDArray:
    dim = table.dim
    spectrum = np.arange(1, dim + 1) ** (-0.55 if table.kind == "falling" else 0.0)
    told = (0.8 if table.num_clips < 100 else 0.4 if table.num_clips < 1000 else 0.2) * rng.normal(
        size=(table.num_classes, dim)
    )
    X = rng.normal(size=(table.num_clips, dim)) + rng.normal(size=(subjects.max() + 1, dim))[subjects] + told[y]
    X *= spectrum
    for first in range(0, dim, 1280):  # spread over the columns, strong and weak ones together
        columns = np.arange(first // 1280, dim, max(1, dim // 1280))[:1280]
        X[:, columns] = X[:, columns] @ np.linalg.qr(rng.normal(size=(len(columns), len(columns))))[0]
    return X


def theirs(name: str) -> Any:
    """The library's own estimator with its own defaults, but for threads, seeds and logs."""
    import lightgbm
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    makers: dict[str, Callable[[], Any]] = {
        "centroid": NearestCentroid,
        "knn": KNeighborsClassifier,
        "logreg": LogisticRegression,
        "svm": SVC,
        "mlp": lambda: MLPClassifier(random_state=0),
        "lightgbm": lambda: lightgbm.LGBMClassifier(random_state=0, n_jobs=1, verbosity=-1),
    }
    return makers[name]()


def compare(table: Table, name: str, seeds: range) -> dict[str, Any]:
    hits: list[NDArray] = []  # a seed: (2, clips), ours first
    seconds, settled = [0.0, 0.0], {}
    for seed in seeds:
        fold = draw(table, seed)
        probe, right = make_probe(name, {}, random_state=0), []
        for number, model in enumerate((probe, theirs(name))):
            started = time.process_time()
            right.append(model.fit(fold.train, fold.y).predict(fold.test) == fold.y_test)
            seconds[number] += time.process_time() - started
        hits.append(np.array(right, float))
        settled = dict(probe.settled)
    gains = np.array([100 * (one[0] - one[1]).mean() for one in hits])
    apart = sum(int((one[0] != one[1]).sum()) for one in hits)
    by_clip = 100 * np.sqrt(max(apart, 1)) / sum(one.shape[1] for one in hits)
    half = 2 * max(by_clip, gains.std(ddof=1) / np.sqrt(len(gains)))
    return {
        **table._asdict(),
        "probe": name,
        "seeds": [seeds.start, seeds.stop],
        "ours": round(100 * float(np.mean([one[0].mean() for one in hits])), 2),
        "theirs": round(100 * float(np.mean([one[1].mean() for one in hits])), 2),
        "gain": [round(float(gains.mean() + side * half), 2) for side in (-1, 0, 1)],
        "seconds": [round(s, 2) for s in seconds],
        **({"settled": settled} if settled else {}),
        "below": bool(gains.mean() + half < 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("probes", nargs="*", choices=[[], *PROBES], help="default: all; the others keep their cells")
    parser.add_argument("--small", action="store_true", help="see that it runs, and keep nothing")
    parser.add_argument("--minutes", type=float, default=10.0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    results, started = Path(__file__).with_suffix(".json"), time.monotonic()
    kept = json.loads(results.read_text()) if asked.probes and results.exists() else {"cells": [], "left_out": []}
    cells = [cell for cell in kept["cells"] if cell["probe"] not in asked.probes]
    left_out = [cell for cell in kept["left_out"] if cell.split()[0] not in asked.probes]
    tables = TABLES[:2] if asked.small else TABLES
    for name, table in ((name, table) for name in asked.probes or PROBES for table in tables):
        cell, size = f"{name} on {table.num_clips} × {table.dim} {table.kind}", table.num_clips * table.dim
        if size > LARGEST[name] or time.monotonic() - started > 60 * asked.minutes:
            left_out.append(cell)
            continue
        seeds = 2 if asked.small else SEEDS if size <= 150_000 else 3
        cells.append(compare(table, name, range(seeds)))
        if cells[-1]["below"]:
            cells[-1] = {**compare(table, name, range(100, 100 + 3 * seeds)), "first": cells[-1]["gain"]}
        print(cell, {k: v for k, v in cells[-1].items() if k not in Table._fields}, flush=True)
    result = {"machine": machine(), "below": [c for c in cells if c["below"]], "left_out": left_out, "cells": cells}
    if not asked.small:
        results.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
