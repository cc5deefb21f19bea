"""What does an honest choice among 12 values of C cost beside fitting them, and is it the choice that exact fits would make?

    python benchmarks/bench_nested.py [--small] [ravdess action-units]

Five outer folds by subject, five inner ones in each. One thread, CPU seconds, outer fold by outer fold in turns: fitting the grid on the
training part, and choosing on its inner folds. Exact inner fits are 500 times as near their optimum. Results go to ``bench_nested.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, in_turns, run_parts

from functools import partial
from typing import Any

import numpy as np
from bench_probes_action_units import read_action_units
from drawn import SHAPES, SMALL, draw

from vjepa_fer.cache import Features
from vjepa_fer.evaluation import Study, Task
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.folds import make_folds

GRID = np.logspace(-5, 1, 12)
INNER = 5


def bench(name: str, small: bool) -> dict[str, Any]:
    """Seconds of both sides, and in how many outer folds the choice is that of exact fits."""
    X, y, subjects = read_action_units() if name == "action-units" else draw((SMALL if small else SHAPES)[name])
    people = subjects.astype(str)
    features = Features(X, y, people, np.arange(len(y)))
    folds = make_folds("subject-kfold:5", people, y)
    study = Study(features, tuple(folds.rows(features)), folds, Protocol())
    cells, exact = ([Cell(params={"C": C, "tol": tol}) for C in GRID] for tol in (5e-6, 1e-8))

    def plain(outer: int) -> Any:
        return study.run(Task(tuple(cells), outer))

    def nested(outer: int) -> np.ndarray:
        return np.asarray(study.run(Task(tuple(cells), outer, INNER)).hits)

    seconds, found, ratio = in_turns([plain, nested], range(5))
    truth = [np.asarray(study.run(Task(tuple(exact), outer, INNER)).hits) for outer in range(5)]
    same = [int(own.argmax() == true.argmax()) for own, true in zip(found[1], truth, strict=True)]
    return {
        "plain grid": {"seconds": sum(seconds[0])},
        "choice": {
            "seconds": sum(seconds[1]),
            "chosen": [int(own.argmax()) for own in found[1]],
            "same_as_exact": np.mean(same),
            "largest_difference_in_hits": max(int(np.abs(o - t).max()) for o, t in zip(found[1], truth, strict=True)),
        },
    } | ratio


PARTS: dict[str, Part] = {name: partial(bench, name) for name in ("ravdess", "action-units")}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
