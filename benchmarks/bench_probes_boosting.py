"""How much faster are trees on principal directions than LightGBM on the features as they are, and are they as good?

    python benchmarks/bench_probes_boosting.py [--small] [ravdess grid]

Same data, same process, one thread, CPU seconds; the defaults of the probe come from here. Results go to ``bench_probes_boosting.json``.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import Part, cpu_seconds, run_parts

from typing import Any

from drawn import SHAPES, SMALL, folds

from vjepa_fer.probes import make_probe


def bench(name: str, naive_rounds: int, small: bool) -> dict[str, Any]:
    """A hundred rounds against LightGBM on the features as they are; its rounds beyond `naive_rounds` are extrapolated."""
    import lightgbm

    (fold,) = folds((SMALL if small else SHAPES)[name], 1)
    result: dict[str, Any] = {}
    for side, params in {
        "ours": {},
        "64 directions": {"n_components": 64},
        "256 directions": {"n_components": 256},
        "31 leaves, all columns": {"num_leaves": 31, "colsample_bytree": 1.0},
    }.items():
        seconds, probe = cpu_seconds(lambda: make_probe("lightgbm", params).fit(fold.train, fold.y))  # noqa: B023
        result[side] = {"seconds": seconds, "accuracy": probe.score(fold.test, fold.y_test)}
    settings = {"objective": "multiclass", "num_class": 8, "num_threads": 1, "verbosity": -1, "seed": 0}
    binned = lightgbm.Dataset(fold.train, fold.y)
    binning, _ = cpu_seconds(binned.construct)
    rounds, booster = cpu_seconds(lambda: lightgbm.train(settings, binned, num_boost_round=naive_rounds))
    naive = {"seconds": binning + rounds * 100 / naive_rounds, "rounds_run": naive_rounds}
    if naive_rounds == 100:
        naive["accuracy"] = float((booster.predict(fold.test).argmax(axis=1) == fold.y_test).mean())
    return result | {"LightGBM as it comes": naive, "ratio": naive["seconds"] / result["ours"]["seconds"]}


PARTS: dict[str, Part] = {
    "ravdess": lambda small: bench("ravdess", 100, small),
    "grid": lambda small: bench("grid", 2, small),
}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
