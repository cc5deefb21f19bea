"""What does an honest choice among 12 values of C cost beside fitting them, and is it the choice that exact fits would make?

    python benchmarks/bench_nested.py [--small] [ravdess crema-d action-units]

Five outer folds by subject, five inner ones in each. One thread, CPU seconds, outer fold by outer fold in turns: fitting the grid on the
training part, and choosing on its inner folds, which end once one cell is left. The exact choice is that of all cells on all inner folds, each
fit 500 times as near its optimum. Results go to ``bench_nested.json``.

What is left is fits of cells that may still come first, each as exact as a plain one. Looser inner fits are not done, and would help: of Action
Units, with a tolerance a thousand times as wide and the part of the gain (``OF_GAIN``) widened with it, steps fall from 108 to 65 an outer fold
and hits move by up to 4, with the same choice in three of three folds; with ``OF_GAIN`` as it is a wider tolerance changes next to nothing. Of
1,280 features (one outer fold) ten times saves a fifth and moves hits by up to 7. What is near would have to be fitted again, and so would
whoever is chosen, whose figure is reported. No fold's weights are a start for another's: they have seen the clips on which it is judged.

How far behind is far enough (``CERTAIN``) was looked at on Action Units: 24 outer training parts, six values from 2.5 to 6, all of which chose as all
folds do in 24 of 24, so that they do not tell these values apart; and on drawn cells, 150 draws each of six kinds, where three standard deviations do
so in 98 % of the worst kind (equal cells, subjects that differ) and two and a half in 93 %. The five folds here are no evidence for 95 %.
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
from vjepa_fer.evaluation import Answer, Study, Task, fit_predict
from vjepa_fer.evaluation.nested import are_right, inner_splits
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

    def nested(outer: int) -> Answer:
        return study.run(Task(tuple(cells), outer, INNER))

    def exactly(outer: int) -> tuple[np.ndarray, np.ndarray]:
        """Clips and hits of all cells, whoever is behind, after each inner fold."""
        inner = inner_splits(features, study.splits[outer].train, INNER, seed=study.protocol.seed, where="")
        right = [are_right(features, one, fit_predict(features, one, exact, 0)).sum(axis=1) for one in inner]
        return np.cumsum([len(one.test) for one in inner]), np.cumsum(right, axis=0)

    def off(own: Answer, clips: np.ndarray, hits: np.ndarray) -> int:
        """How far the chosen cell's hits are from exact ones, on the clips that it was judged on."""
        assert own.hits is not None
        best = int(own.hits.argmax())
        return abs(int(own.hits[best] - hits[list(clips).index(own.num_judged), best]))

    rounds = list(range(5)) * (1 if small else 2)
    seconds, found, ratio = in_turns([plain, nested], rounds)
    answers, truth = found[1][:5], [exactly(outer) for outer in range(5)]
    chosen = [int(own.hits.argmax()) for own in answers]
    return {
        "plain grid": {"seconds": sum(seconds[0][:5])},
        "choice": {
            "seconds": sum(seconds[1][:5]),
            "chosen": chosen,
            "same_as_exact": float(
                np.mean([own == hits[-1].argmax() for own, (_, hits) in zip(chosen, truth, strict=True)])
            ),
            "judged_of_clips": [
                own.num_judged / int(clips[-1]) for own, (clips, _) in zip(answers, truth, strict=True)
            ],
            "largest_difference_in_its_hits": max(off(own, *true) for own, true in zip(answers, truth, strict=True)),
        },
    } | ratio


PARTS: dict[str, Part] = {name: partial(bench, name) for name in ("ravdess", "crema-d", "action-units")}


if __name__ == "__main__":
    run_parts(__file__, PARTS)
