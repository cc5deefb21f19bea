"""How much faster are perceptrons trained side by side than scikit-learn's one by one, and are they as good?

    python benchmarks/bench_probes_mlp.py [--small]

Same data, same process, one thread, CPU seconds, fold by fold in turns. Results go to ``bench_probes_mlp.json``.

Where the time goes: both sides spend most of theirs in the two large products of a step, at the rate of the processor. Ours have 256
directions where theirs have 1,280 columns, so that five times is what products alone would give; the rest is Adam, rectifiers and losses.
Eight times would take fewer directions, which is another probe, or fewer epochs, which is another rule.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, run_parts

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from drawn import SHAPES, SMALL, Fold, draw, folds
from sklearn.neural_network import MLPClassifier

from vjepa_fer.probes import fit_probes, make_probe


def bench(small: bool, rounds: int = 1) -> dict[str, Any]:
    """Twenty configurations in five folds with five seeds, early stopping on both sides, seed by seed on the same clips.

    Each round is a Latin square: every configuration meets every fold, and every seed four configurations of a fold; five
    rounds are all there is. The interval is of the mean difference in accuracy, Student's t over the subjects.
    """
    grid = [
        {"alpha": alpha, "learning_rate_init": rate, "early_stopping": True}
        for alpha in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
        for rate in (3e-4, 1e-3, 3e-3, 1e-2)
    ]
    shape = (SMALL if small else SHAPES)["ravdess"]
    _, _, subjects = draw(shape)
    makers: dict[str, Callable[[dict[str, Any], int], Any]] = {
        "ours": lambda config, seed: make_probe("mlp", config, random_state=seed),
        "scikit-learn": lambda config, seed: MLPClassifier(128, random_state=seed, **config),
    }
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    hits = {name: np.zeros(len(subjects)) for name in makers}
    for number, fold in enumerate(folds(shape, 5)):
        for shift in range(rounds):
            for name, make in makers.items():
                models = [make(config, (at + number + shift) % 5) for at, config in enumerate(grid)]
                work = _fit_together if name == "ours" else _fit_each
                seconds[name].append(cpu_seconds(lambda: work(models, fold))[0])  # noqa: B023
                right = [model.predict(fold.test) == fold.y_test for model in models]
                hits[name][subjects % 5 == number] += np.mean(right, axis=0) / rounds
    gain = np.array([(hits["ours"] - hits["scikit-learn"])[subjects == one].mean() for one in np.unique(subjects)])
    half = 2.069 * gain.std(ddof=1) / np.sqrt(len(gain))  # Student's t, 23 degrees of freedom
    result: dict[str, Any] = {n: {"seconds": sum(seconds[n]), "mean_accuracy": hits[n].mean()} for n in makers}
    result["ours"]["accuracy_gain_95_over_subjects"] = [gain.mean() - half, gain.mean() + half]
    result["fits"] = rounds * len(grid) * 5
    readings = [theirs / ours for ours, theirs in zip(seconds["ours"], seconds["scikit-learn"], strict=True)]
    spread = {"readings": readings, "least": min(readings), "most": max(readings)}
    return result | {"ratio": statistics.median(readings), **spread}


def _fit_together(models: Sequence[Any], fold: Fold) -> None:
    fit_probes(models, fold.train, fold.y)


def _fit_each(models: Sequence[Any], fold: Fold) -> None:
    for model in models:
        model.fit(fold.train, fold.y)


PARTS: dict[str, Part] = {"mlp": bench}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
