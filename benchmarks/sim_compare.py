"""How often does `runs compare` call a difference real that is none?

    python benchmarks/sim_compare.py [--small]

Two (or four) classifiers are equally good on endlessly many subjects; a study draws subjects with abilities and numbers of clips as in
``sim_coverage.py``, of which half are equally able for both. ``fixed``: each classifier is what it is; this is the question that the
command answers. ``trained anew``: each study also draws a training, which moves every subject of a classifier by the same few points
(standard deviation below): the recipes are equal, these two classifiers are not, and the more subjects there are the surer that is seen.
Rates are in percent of the studies in which some pair is called real, beside their standard error; ``unjudged`` are pairs that say
"cannot be judged".
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from measured import machine  # pins BLAS to one thread, so it comes before numpy

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.judging import Predictions, compare_predictions

SUBJECTS = (5, 8, 10, 24, 91)
ALIKE, ACCURACY, TRAINING = 0.05, 0.75, 0.015
CLIPS = (20, 140)
NUM_CLASSES = 4


def draw(num_subjects: int, num_runs: int, training: float, rng: np.random.Generator) -> dict[str, Predictions]:
    sizes = rng.integers(CLIPS[0], CLIPS[1] + 1, num_subjects)
    subject = np.repeat(np.arange(num_subjects), sizes)
    truth = rng.integers(NUM_CLASSES, size=len(subject))
    a, b = (share * (1 - ALIKE) / ALIKE for share in (ACCURACY, 1 - ACCURACY))
    common, own = rng.beta(a, b, num_subjects), rng.beta(a, b, (num_runs, num_subjects))
    ability = np.where(rng.random((num_runs, num_subjects)) < 0.5, common, own)
    ability = np.clip(ability + training * rng.normal(size=(num_runs, 1)), 0, 1)
    return {f"run {n}": _predictions(subject, truth, ability[n], rng) for n in range(num_runs)}


def _predictions(subject: NDArray, truth: NDArray, ability: NDArray, rng: np.random.Generator) -> Predictions:
    wrong = (truth + rng.integers(1, NUM_CLASSES, len(truth))) % NUM_CLASSES
    return Predictions(
        classes=tuple("abcd"),
        clip_ids=np.char.mod("c%05d", np.arange(len(truth))),
        subjects=np.char.mod("s%02d", subject),
        fold=np.zeros(len(truth), np.int64),
        truth=truth,
        predicted=np.where(rng.random(len(truth)) < ability[subject], truth, wrong),
        probabilities=None,
    )


def rate(hits: list[bool]) -> dict[str, float]:
    share = float(np.mean(hits))
    return {"percent": round(100 * share, 2), "se": round(100 * (share * (1 - share) / len(hits)) ** 0.5, 2)}


def simulate(num_subjects: int, num_runs: int, training: float, num_studies: int) -> dict[str, Any]:
    rng = np.random.default_rng([num_subjects, num_runs, round(1e4 * training)])
    real: dict[str, list[bool]] = {"war": [], "uar": []}
    unjudged: list[bool] = []
    for _ in range(num_studies):
        found = compare_predictions(draw(num_subjects, num_runs, training, rng)).differences
        unjudged += [one.real is None for one in found]
        for figure, hits in real.items():
            hits.append(any(one.real for one in found if one.figure == figure))
    return {**{name: rate(hits) for name, hits in real.items()}, "unjudged": rate(unjudged)["percent"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="see that it runs, and keep nothing")
    small = parser.parse_args().small
    result: dict[str, Any] = {"machine": machine(), "trained anew, points": 100 * TRAINING}
    for num_runs in (2, 4):
        for words, training in (("fixed", 0.0), ("trained anew", TRAINING)):
            if num_runs == 4 and training:
                continue
            for num_subjects in SUBJECTS if num_runs == 2 else SUBJECTS[:-1]:
                name = f"{num_runs} runs, {words}, {num_subjects} subjects"
                num_studies = 10 if small else 1000 if num_runs == 2 else 400
                result[name] = simulate(num_subjects, num_runs, training, num_studies)
                print(name, result[name], flush=True)
    if not small:
        Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
