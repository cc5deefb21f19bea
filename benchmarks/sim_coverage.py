"""Do intervals hold the truth as often as they promise, with few subjects, unequal clips a subject and accuracies up to 97 %?

    python benchmarks/sim_coverage.py [--small]

A study draws subjects, each with an ability of its own (a beta distribution whose intraclass correlation is that of the paper's logs:
0.045 on CREMA-D, 0.051 on RAVDESS) and with 20 to 140 clips of six classes, one of which is half as frequent; what is wrong goes to any
other class. The truth is the figure of endlessly many subjects. Shipped intervals come from the shipped functions; the bootstraps they
were chosen over are at the end of this file, on the same studies, for accuracy. Coverage and its standard error are in percent of the
studies for which there is an interval (``given``), widths are medians in points. ``few clips`` has 3 to 12 clips a subject: where hardly
an error is seen, intervals are wider than they need be, as exact ones for shares are.
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from measured import machine  # pins BLAS to one thread, so it comes before numpy

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from vjepa_fer.judging import metrics
from vjepa_fer.judging.intervals import (
    Interval,
    difference_intervals,
    intervals_of_counts,
    jackknife,
    mean_intervals,
)

SUBJECTS = (2, 3, 5, 10, 24, 91)
ACCURACIES = (0.3, 0.5, 0.7, 0.9, 0.97)
ALIKE = 0.05
CLASS_SHARES = np.array([1, 2, 2, 2, 2, 2]) / 11
LOSS_RIGHT, LOSS_WRONG = 0.3, 2.0
WORSE = 0.95
"""The second classifier of a pair is right so often where the first is."""

TAIL, NUM_DRAWS = 0.025, 999
Ends = tuple[NDArray, NDArray]


class Study(NamedTuple):
    """Two classifiers on the same clips; counts (num_subjects, C, C), and each subject's sum of losses of the first."""

    first: NDArray
    second: NDArray
    loss: NDArray


def expected(accuracy: float) -> NDArray:
    """The confusion matrix of endlessly many subjects, as shares."""
    num = len(CLASS_SHARES)
    wrong = np.full((num, num), (1 - accuracy) / (num - 1))
    np.fill_diagonal(wrong, accuracy)
    return CLASS_SHARES[:, None] * wrong


def draw(num_subjects: int, accuracy: float, clips: tuple[int, int], rng: np.random.Generator) -> Study:
    a, b = (share * (1 - ALIKE) / ALIKE for share in (accuracy, 1 - accuracy))
    ability, other = rng.beta(a, b, (2, num_subjects))
    other = WORSE * np.where(rng.random(num_subjects) < 0.5, ability, other)
    sizes = rng.multinomial(rng.integers(clips[0], clips[1] + 1, num_subjects), CLASS_SHARES)
    first, second = (_answers(sizes, able, rng) for able in (ability, other))
    right = np.trace(first, axis1=1, axis2=2)
    wrong = sizes.sum(axis=1) - right
    loss = LOSS_RIGHT * rng.gamma(right + 1e-9) + LOSS_WRONG / 2 * (wrong + rng.gamma(wrong + 1e-9))
    return Study(first, second, loss)


def _answers(sizes: NDArray, ability: NDArray, rng: np.random.Generator) -> NDArray:
    num = len(CLASS_SHARES)
    shares = np.repeat(((1 - ability) / (num - 1))[:, None, None], num, 1).repeat(num, 2)
    shares[:, range(num), range(num)] = ability[:, None]
    return rng.multinomial(sizes, shares)


def shipped(study: Study) -> dict[str, Interval | None]:
    """What the library says of a study."""
    found = intervals_of_counts(study.first)
    own: dict[str, Interval | None] = {name: found.figures.get(name) for name in metrics.SCORES}
    own |= {f"{name}, a frequent class": one[1] for name, one in found.by_class.items()}
    own["recall, the rare class"] = found.by_class["recall"][0]
    sums = np.column_stack([study.loss, study.first.sum(axis=(1, 2))])
    (own["log_loss"],) = mean_intervals(jackknife(lambda s: s[..., :1] / s[..., 1:], sums))
    pair = np.stack([study.first, study.second], axis=1)
    for name in ("war", "uar"):
        score = metrics.SCORES[name]
        found_too = jackknife(lambda s, score=score: score(s[..., 1:, :, :]) - score(s[..., :1, :, :]), pair)
        (own[f"difference in {name}"],) = difference_intervals(found_too)
    return own


def truths(accuracy: float) -> dict[str, float]:
    matrix = expected(accuracy)
    own = {name: float(score(matrix)) for name, score in metrics.SCORES.items()}
    own |= {f"{name}, a frequent class": float(figure(matrix)[1]) for name, figure in metrics.BY_CLASS.items()}
    own["recall, the rare class"] = float(metrics.recall(matrix)[0])
    own["log_loss"] = accuracy * LOSS_RIGHT + (1 - accuracy) * LOSS_WRONG
    return own | dict.fromkeys(("difference in war", "difference in uar"), (WORSE - 1) * accuracy)


def judged(given: list[Interval | None], truth: float) -> dict[str, float]:
    known = np.array([one for one in given if one is not None]).reshape(-1, 2)
    hit = (known[:, 0] <= truth + 1e-12) & (truth <= known[:, 1] + 1e-12)
    if not len(known):
        return {"given": 0.0}
    share = float(hit.mean())
    return {
        "coverage": 100 * share,
        "se": 100 * float(np.sqrt(share * (1 - share) / len(hit))),
        "width": 100 * float(np.median(known[:, 1] - known[:, 0])),
        "given": 100 * len(known) / len(given),
    }


def others(studies: list[Study]) -> dict[str, Ends]:
    """The bootstraps that were compared, for accuracy; `hits` and `clips` are (num_studies, num_subjects)."""
    hits = np.array([np.trace(one.first, axis1=1, axis2=2) for one in studies], float)
    clips = np.array([one.first.sum(axis=(1, 2)) for one in studies], float)
    num = hits.shape[1]
    times = np.random.default_rng(0).multinomial(num, np.full(num, 1 / num), NUM_DRAWS).T.astype(float)
    value = (hits.sum(axis=1) / clips.sum(axis=1))[:, None]
    drawn = (hits @ times) / (clips @ times)
    wide = ndtr(-np.sqrt(num / (num - 1)) * stdtrit(num - 1, 1 - TAIL))  # Hesterberg 2015
    inner = np.maximum(
        (hits**2) @ times - 2 * drawn * ((hits * clips) @ times) + drawn**2 * ((clips**2) @ times), 0
    ) ** 0.5 / (clips @ times)
    outer = (((hits - value * clips) ** 2).sum(axis=1) ** 0.5 / clips.sum(axis=1))[:, None]
    still = inner < 1e-9
    step = np.where(still, 1e6 * np.sign(np.round(drawn - value, 12)), (drawn - value) / np.where(still, 1, inner))
    low, high = np.quantile(step, (TAIL, 1 - TAIL), axis=1)
    reach = stdtrit(num - 1, 1 - TAIL) * outer[:, 0] * np.sqrt(num / (num - 1))
    return {
        "percentile": tuple(np.quantile(drawn, (TAIL, 1 - TAIL), axis=1)),  # type: ignore[dict-item]
        "expanded percentile": tuple(np.quantile(drawn, (wide, 1 - wide), axis=1)),  # type: ignore[dict-item]
        "BCa": _bca(drawn, value, hits, clips, TAIL),
        "BCa, expanded": _bca(drawn, value, hits, clips, wide),
        "studentised": (
            np.clip(value - high[:, None] * outer, 0, 1)[:, 0],
            np.clip(value - low[:, None] * outer, 0, 1)[:, 0],
        ),
        "t of the ratio": (value[:, 0] - reach, value[:, 0] + reach),
    }


def _bca(drawn: NDArray, value: NDArray, hits: NDArray, clips: NDArray, tail: float) -> Ends:
    below = (drawn < value - 1e-12).mean(axis=1) + (np.abs(drawn - value) <= 1e-12).mean(axis=1) / 2
    shift = ndtri(np.clip(below, 1e-3, 1 - 1e-3))
    without = (hits.sum(axis=1, keepdims=True) - hits) / (clips.sum(axis=1, keepdims=True) - clips)
    apart = without.mean(axis=1, keepdims=True) - without
    bent = (apart**3).sum(axis=1) / np.maximum(6 * ((apart**2).sum(axis=1) ** 1.5), 1e-12)
    ends = []
    for z in (ndtri(tail), -ndtri(tail)):
        place = ndtr(shift + (shift + z) / (1 - bent * (shift + z)))
        ends.append(np.array([np.quantile(row, p) for row, p in zip(drawn, place, strict=True)]))
    return ends[0], ends[1]


def simulate(clips: tuple[int, int], num_studies: int, say: Callable[[str], None]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for num_subjects in SUBJECTS:
        for accuracy in ACCURACIES:
            rng = np.random.default_rng([num_subjects, round(100 * accuracy), *clips])
            studies = [draw(num_subjects, accuracy, clips, rng) for _ in range(num_studies)]
            said, true = [shipped(one) for one in studies], truths(accuracy)
            cell = {name: judged([one[name] for one in said], true[name]) for name in true}
            some = studies[: num_studies // 2]
            pairs = {name: [Interval(*ends) for ends in zip(*both, strict=True)] for name, both in others(some).items()}
            answer[f"{num_subjects} subjects, {100 * accuracy:g} %"] = {
                "shipped": cell,
                "war by other ways": {name: judged(list(ends), accuracy) for name, ends in pairs.items()},
            }
            told = (f"{name} {one.get('coverage', np.nan):.1f}" for name, one in cell.items())
            say(f"{num_subjects} subjects, accuracy {accuracy}: {', '.join(told)}")
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="see that it runs, and keep nothing")
    small = parser.parse_args().small
    say = lambda line: print(line, flush=True)  # noqa: E731
    result = {
        "20 to 140 clips a subject": simulate((20, 140), 40 if small else 1000, say),
        "few clips": simulate((3, 12), 40 if small else 1000, say),
    }
    if not small:
        text = json.dumps({"machine": machine(), **_rounded(result)}, indent=1)
        Path(__file__).with_suffix(".json").write_text(text + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return round(value, 2)


if __name__ == "__main__":
    main()
