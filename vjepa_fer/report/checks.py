"""A run's numbers go in; what a careful colleague would say about them comes out, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vjepa_fer.evaluation import human_words
from vjepa_fer.folds import recording_of, shortlist
from vjepa_fer.report.numbers import RunNumbers

Verdict = Literal["good", "look", "bad"]
FEW_SUBJECTS = 10
FAR_POINTS, FAR_SDS = 5.0, 3.0
ILL_CALIBRATED = 10.0


@dataclass(frozen=True)
class Check:
    """A sentence, and whether it reassures, asks for a look, or warns."""

    verdict: Verdict
    text: str


def run_checks(numbers: RunNumbers) -> tuple[Check, ...]:
    """Every check that applies, the warnings first."""
    return sort_checks(check for look in CHECKS for check in look(numbers))


def sort_checks(found: Iterable[Check]) -> tuple[Check, ...]:
    """The warnings first, what reassures last."""
    return tuple(sorted(found, key=lambda check: ("bad", "look", "good").index(check.verdict)))


def _leaks(n: RunNumbers) -> Iterator[Check]:
    if n.result["leaks"]:
        yield Check("bad", f"LEAKY: training and test parts share something. {n.result['leaks'][0]}.")
    elif n.result.get("unaudited"):
        yield Check("good", "The leak audit found nothing on both sides of a fold, as far as it could look.")
    else:
        yield Check("good", "The leak audit found no clip, recording, file or subject on both sides of a fold.")


def _baseline(n: RunNumbers) -> Iterator[Check]:
    label, share = n.majority
    war, majority = n.result["war"]["pooled"], 100 * share
    always = f"always saying “{label}” ({majority:.1f} %)"
    interval = n.result["war"]["interval"]
    if war <= majority:
        yield Check("bad", f"WAR {war:.1f} % is no better than {always}.")
    elif interval and interval[0] <= majority:
        yield Check(
            "look",
            f"WAR {war:.1f} % is above {always}, but its interval [{interval[0]:.1f}, {interval[1]:.1f}] is not.",
        )
    else:
        yield Check("good", f"WAR {war:.1f} % is above {always}.")


def _edge(n: RunNumbers) -> Iterator[Check]:
    if n.grid is None:
        return
    for position, axis in enumerate(n.grid.axes):
        if not axis.ordered or len(axis.values) < 3:
            continue
        ends = {0: axis.values[0], len(axis.values) - 1: axis.values[-1]}
        for end, value in ends.items():
            at_end = [point for point in n.grid.chosen if point.at[position] == end]
            if at_end:
                folds = sum(len(point.chosen_in) for point in at_end)
                where = f" in {folds} of {len(n.result['war']['folds'])} folds" if n.grid.nested else ""
                yield Check(
                    "look", f"{axis.name} = {value} is the edge of the grid and was chosen{where}: widen the grid."
                )


def _selection(n: RunNumbers) -> Iterator[Check]:
    if not n.to_report or n.run.evaluation.selection == "grid":
        among = "families of cells" if n.result["selection"] == "nested" else f"{max(n.result['among'], 2)} cells"
        yield Check(
            "look",
            f"One of {among}: picked by its figure, it would be chosen on the test parts. Not the figure to report: "
            "that is the choice among all cells.",
        )
    if n.result["selection"] == "nested":
        yield Check("good", f"Chosen among {n.result['among']} cells on inner folds, which the test parts never saw.")


def _far_fold(n: RunNumbers) -> Iterator[Check]:
    folds = np.array(n.result["war"]["folds"])
    if len(folds) < 4:
        return
    far, names = [], n.predictions.names_of_folds
    for number, value in enumerate(folds):
        others = np.delete(folds, number)
        if abs(value - others.mean()) > max(FAR_POINTS, FAR_SDS * others.std(ddof=1)):
            far.append(f"fold {names[number]} ({value:.1f} %, the others {others.mean():.1f})")
    if far:
        yield Check("look", f"Far from the other folds: {', '.join(far[:3])}. Look at who was tested in it.")
    else:
        yield Check("good", f"No fold is far from the others ({folds.min():.1f} to {folds.max():.1f} %).")


def _classes(n: RunNumbers) -> Iterator[Check]:
    confusion = np.array(n.result["confusion"])
    never = [
        c
        for c, said, true in zip(n.result["classes"], confusion.sum(0), confusion.sum(1), strict=True)
        if true and not said
    ]
    if never:
        yield Check("bad", f"Never predicted: {', '.join(never)}.")
    chance = 100 / len(n.result["classes"])
    poor = [
        f"{label} ({one['recall']:.0f} %)"
        for label, one in n.result["by_class"].items()
        if label not in never and one["recall"] is not None and one["recall"] < chance
    ]
    if poor:
        yield Check("look", f"Recall below chance ({chance:.0f} %): {', '.join(poor)}.")


def _few_subjects(n: RunNumbers) -> Iterator[Check]:
    num = n.result["n_subjects"]
    unknown = int((n.predictions.subjects == "").sum())
    if unknown:
        yield Check(
            "look",
            f"{unknown:,} clips have no subject: folds cannot be called subject-independent, and there are no intervals.",
        )
    elif not n.predictions.subjects_known:
        yield Check(
            "look",
            "No subjects are known: every clip is a subject of its own. A person may be on both sides of a fold, and the intervals "
            "are too narrow.",
        )
    elif num < FEW_SUBJECTS:
        yield Check(
            "look", f"Only {num} subjects: intervals over so few are rough and wide, and below three there are none."
        )


def _unaudited(n: RunNumbers) -> Iterator[Check]:
    for line in n.result.get("unaudited", ()):
        yield Check("look", f"The search for leaks did not see {line}.")


def _calibration(n: RunNumbers) -> Iterator[Check]:
    if n.result["ece"] is None or n.result["ece"]["pooled"] <= ILL_CALIBRATED:
        return
    total = sum(one.num_clips for one in n.bins)
    surplus = sum(one.num_clips * (one.confidence - one.accuracy) for one in n.bins) / total
    way = "surer than it is right" if surplus > 0 else "less sure than it could be"
    yield Check("look", f"Its probabilities are off by {n.result['ece']['pooled']:.0f} points on average: it is {way}.")


def _damaged(n: RunNumbers) -> Iterator[Check]:
    judged, left_out = (n.result["damaged"][side] for side in ("judged", "left_out"))
    if judged:
        names = shortlist(judged, 3)
        yield Check(
            "look",
            f"{len(judged)} files known to be damaged are included: {names}. `--exclude damaged` leaves them out.",
        )
    if left_out:
        yield Check("good", f"{len(left_out)} files known to be damaged were left out: {shortlist(left_out, 5)}.")


def _absent(n: RunNumbers) -> Iterator[Check]:
    absent = n.run.evaluation.absent
    if absent:
        yield Check("look", f"{absent}: they are not judged here.")
    elif n.source is not None and n.source.num_failed:  # a run of before it counted them
        yield Check(
            "look",
            f"{n.source.num_failed:,} of {n.source.num_asked:,} clips could not be extracted and are not judged here.",
        )


def _people(n: RunNumbers) -> Iterator[Check]:
    human = n.result.get("human")
    if human:
        own = n.result.get(
            "agreement", n.result["war"]["pooled"]
        )  # asked as raters are, where a clip has shares of labels
        words = "; ".join(f"{words} {value:.1f} %" for words, value in human_words(human))
        yield Check(
            "good" if human["rater"] is not None and own > human["rater"] else "look",
            f"People, on {human['clips']:,} of its clips: {words}; the probe {own:.1f} %.",
        )


def _twins(n: RunNumbers) -> Iterator[Check]:
    recordings = [recording_of(clip) for clip in n.predictions.clip_ids.tolist()]
    known = [name for name in recordings if name]
    if len(set(known)) < len(known):
        yield Check(
            "look",
            f"{len(known):,} clips show {len(set(known)):,} performances: twins agree, so they count for less than they seem.",
        )


CHECKS: tuple[Callable[[RunNumbers], Iterator[Check]], ...] = (
    _leaks,
    _baseline,
    _edge,
    _selection,
    _far_fold,
    _classes,
    _few_subjects,
    _unaudited,
    _calibration,
    _damaged,
    _absent,
    _people,
    _twins,
)
"""In the order in which equally grave ones are said."""
