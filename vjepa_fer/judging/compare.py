"""Predictions of several classifiers for the same clips go in; every difference, its interval and whether it is real come out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.folds import shortlist
from vjepa_fer.judging import metrics
from vjepa_fer.judging.compared import comparison_sheet
from vjepa_fer.judging.intervals import (
    CONFIDENCE,
    COVERS,
    Interval,
    confusion_by_subject,
    difference_intervals,
    jackknife,
)
from vjepa_fer.judging.predictions import SUBJECTS_UNKNOWN, Predictions
from vjepa_fer.judging.significance import holm, mcnemar_p, sign_flip_p, smallest_p
from vjepa_fer.judging.tied import ties_among
from vjepa_fer.manifest import respelled, shown

FIGURES = ("war", "uar")
LEVEL = 0.05
ROUNDING = 1e-12
"""Below this, what one class gave and another took cancels out: no share of a class is so small."""

QUESTION = (
    "would these fitted classifiers still differ on other subjects of this kind? Not: would they after training anew; "
    "that moves figures too (probe --repeats shows how far), and one chance of it may be called real here"
)
"""What p values and intervals answer."""


@dataclass(frozen=True)
class Difference:
    """One pair, one figure; fractions.

    Attributes
    ----------
    first, second : str
    figure : str
        ``war`` or ``uar``, of all clips together.
    value : float
        Second minus first.
    interval : Interval or None
        95 %, over subjects (:func:`vjepa_fer.judging.intervals.difference_intervals`); None where nothing tells it.
    p, p_holm : float
        Subject-level sign-flip permutation; adjusted for the number of pairs.
    p_mcnemar : float
        Exact, over clips as if they were independent: a second opinion that is too easily impressed.
    leaky : bool
        One of them was tested on what it knew from training.
    num_differing : int
        Subjects for whom one of the two is better.
    judgeable : bool
        Had all of these gone one way, the difference would be called real; or nobody differs.
    """

    first: str
    second: str
    figure: str
    value: float
    interval: Interval | None
    p: float
    p_holm: float
    p_mcnemar: float
    leaky: bool = False
    num_differing: int = 0
    judgeable: bool = True

    @property
    def real(self) -> bool | None:
        """Chance does as much in fewer than one of twenty worlds, counting every pair that was looked at; never where one leaks.

        None where so few subjects differ that they can tell neither.
        """
        if self.leaky or self.p_holm < LEVEL:
            return not self.leaky
        return False if self.judgeable else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; differences in percentage points."""
        interval = None if self.interval is None else [round(100 * end, 4) for end in self.interval]
        values = dataclasses.asdict(self) | {"value": round(100 * self.value, 4), "interval": interval}
        return values | {"real": self.real}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What was compared on what.

    Attributes
    ----------
    predictions : mapping of str to Predictions
        By name, all for the same clips in the same order.
    left_out : mapping of str to int
        Clips that each had alone or with some, where the common ones were asked for.
    differences : tuple of Difference
        Every pair, figure by figure.
    notes : tuple of str
        What a reader should know, such as that folds differ.
    """

    predictions: Mapping[str, Predictions]
    left_out: Mapping[str, int]
    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, in percent."""
        first = next(iter(self.predictions.values()))
        scores = {
            name: {f: metrics.SCORES[f](one.confusion) for f in FIGURES} for name, one in self.predictions.items()
        }
        return {
            "n_clips": len(first),
            "n_subjects": first.num_subjects,
            "question": QUESTION,
            "intervals": {"confidence": CONFIDENCE, "covers": COVERS},
            "runs": [
                {"name": name, "left_out": self.left_out[name], **{f: round(100 * float(v), 4) for f, v in one.items()}}
                for name, one in scores.items()
            ],
            "differences": [difference.to_dict() for difference in self.differences],
            "notes": list(self.notes),
        }

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a pair and figure: the columns of ``runs compare --format csv``.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        leaky = {name for one in self.differences if one.leaky for name in (one.first, one.second)}
        return comparison_sheet(self.to_dict(), leaky).to_frame()


def compare_predictions(
    predictions: Mapping[str, Predictions],
    *,
    intersect: bool = False,
    leaky: Collection[str] = (),
    reference: str | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare every pair, or all others with one reference, on identical clips.

    Parameters
    ----------
    predictions : mapping of str to Predictions
        At least two, by name; every clip with its subject.
    intersect : bool
        Keep the clips that all of them have; otherwise different clips are refused.
    leaky : collection of str
        Names of those that were tested on what they knew from training: no difference from them is real.
    reference : str, optional
        The one that all others are compared with, and minus which they are: so few pairs leave chance less room than all of them.
    seed : int
        Of the permutation's draws, where there are too many patterns to count.

    Raises
    ------
    RunError
        Fewer than two, different clips, different true labels or subjects for a clip, unknown subjects, or only one.
    """
    if len(predictions) < 2:
        raise RunError("a comparison needs at least two runs; runs given twice count once")
    common = _common_clips(predictions, intersect)
    classes = tuple(sorted({name for one in predictions.values() for name in one.classes}))
    aligned = {name: _aligned(one, common, classes) for name, one in predictions.items()}
    _check_same_truth(aligned)
    pairs = _pairs(aligned, reference)
    differences = [d for figure in FIGURES for d in _each_pair(aligned, pairs, figure, seed, leaky)]
    left_out = {name: len(one) - len(common) for name, one in predictions.items()}
    notes = (*_notes(aligned, len(pairs), differences), *_tied(predictions, common))
    return Comparison(aligned, left_out, tuple(differences), notes)


def _pairs(names: Collection[str], reference: str | None) -> list[tuple[str, str]]:
    if reference is None:
        return list(itertools.combinations(names, 2))
    return [(reference, name) for name in names if name != reference]


def _tied(predictions: Mapping[str, Predictions], common: np.ndarray) -> Iterator[str]:
    """A line on each whose decisions among equals count here."""
    for name, one in predictions.items():
        ties = ties_among(one.take(np.isin(one.clip_ids, common)))
        if ties:
            yield f"{name}: {ties}"


def _common_clips(predictions: Mapping[str, Predictions], intersect: bool) -> np.ndarray:
    """Ids of the clips to compare on, in the order of the first predictions."""
    ids = {name: set(one.clip_ids.tolist()) for name, one in predictions.items()}
    common = reduce(set.intersection, ids.values())
    extra = {name: clips - common for name, clips in ids.items() if clips - common}
    _refuse_other_spelling(extra)
    if not common:
        raise RunError(f"{' and '.join(ids)} have no clip in common; are they of one data set?")
    if extra and not intersect:
        counts = "; ".join(f"{name} has {len(clips)} others: {shortlist(clips, 3)}" for name, clips in extra.items())
        raise RunError(
            f"not the same clips: {len(common)} in common; {counts}. "
            "A fair comparison is paired; --intersect compares on the common ones"
        )
    first = next(iter(predictions.values())).clip_ids
    return first[np.isin(first, sorted(common))]


def _refuse_other_spelling(extra: Mapping[str, set[str]]) -> None:
    """Refuse clips of one that another has in another spelling: they would be left out, or not found."""
    for (one, here), (other, there) in itertools.combinations(extra.items(), 2):
        spelt = respelled(sorted(there), sorted(here))
        for theirs, ours in spelt.items():
            said, known = shown([theirs, ours])
            raise RunError(
                f"{len(spelt)} clips differ only in spelling, such as {known} in {one} and {said} in {other}; spell them alike, "
                "or --unify-names takes them for one name"
            )


def _aligned(one: Predictions, clip_ids: np.ndarray, classes: tuple[str, ...]) -> Predictions:
    """The predictions for these clips in this order, with these classes; probabilities are not needed any more."""
    row = {clip: number for number, clip in enumerate(one.clip_ids.tolist())}
    kept = one.take(np.array([row[clip] for clip in clip_ids.tolist()]))
    number = np.array([classes.index(name) for name in one.classes])
    truth, predicted = number[kept.truth], number[kept.predicted]
    return dataclasses.replace(kept, classes=classes, truth=truth, predicted=predicted, probabilities=None, equals=None)


def _check_same_truth(aligned: Mapping[str, Predictions]) -> None:
    (first_name, first), *others = aligned.items()
    nameless = first.clip_ids[first.subjects == ""]
    if len(nameless):
        raise RunError(
            f"{first_name}: {len(nameless)} clips have no subject: {shortlist(nameless.tolist())}; {_NEEDED}"
        )
    if first.num_subjects < 2:
        raise RunError(f"{first_name}: all clips have one subject; {_NEEDED}")
    for name, one in others:
        for what, here, there in (("true label", first.truth, one.truth), ("subject", first.subjects, one.subjects)):
            odd = first.clip_ids[here != there]
            if len(odd):
                raise RunError(
                    f"{first_name} and {name} give {len(odd)} clips another {what}: {shortlist(odd.tolist())}; "
                    "they were not asked the same question"
                )


_NEEDED = "chance is judged over subjects, so each clip needs one (column subject), and there must be at least two"


def _each_pair(
    aligned: Mapping[str, Predictions],
    pairs: Sequence[tuple[str, str]],
    figure: str,
    seed: int,
    leaky: Collection[str],
) -> list[Difference]:
    """Each pair's difference in one figure."""
    gains = [_by_subject(aligned[a], aligned[b], figure) for a, b in pairs]
    p_values = [sign_flip_p(gain, seed=seed) for gain in gains]
    values, intervals = _differences(aligned, pairs, figure)
    differences = []
    for number, ((a, b), p_holm) in enumerate(zip(pairs, holm(p_values), strict=True)):
        first, second = aligned[a], aligned[b]
        right, right_too = first.predicted == first.truth, second.predicted == second.truth
        num_differing = int(np.count_nonzero(gains[number]))
        differences.append(
            Difference(
                first=a,
                second=b,
                figure=figure,
                value=values[number],
                interval=intervals[number],
                p=p_values[number],
                p_holm=p_holm,
                p_mcnemar=mcnemar_p(int(np.sum(right & ~right_too)), int(np.sum(~right & right_too))),
                leaky=a in leaky or b in leaky,
                num_differing=num_differing,
                judgeable=num_differing == 0 or _best_p(p_values, number, num_differing) < LEVEL,
            )
        )
    return differences


def _differences(
    aligned: Mapping[str, Predictions], pairs: Sequence[tuple[str, str]], figure: str
) -> tuple[list[float], list[Interval | None]]:
    """Second minus first of each pair, and its interval."""
    by_subject = np.stack(
        [confusion_by_subject(one) for one in aligned.values()], axis=1
    )  # (num_subjects, num_runs, C, C)
    place = {name: number for number, name in enumerate(aligned)}
    first, second = (np.array([place[name] for name in names]) for names in zip(*pairs, strict=True))

    def figures(sums: np.ndarray) -> np.ndarray:
        scores = metrics.SCORES[figure](sums)
        return scores[..., second] - scores[..., first]

    found = jackknife(figures, by_subject)
    return found.values.tolist(), difference_intervals(found)


def _best_p(p_values: Sequence[float], number: int, num_differing: int) -> float:
    """What Holm's p would be for one of the pairs at least, if all subjects that differ had gone one way."""
    return holm([*p_values[:number], smallest_p(num_differing), *p_values[number + 1 :]])[number]


def is_judgeable(num_subjects: int, num_pairs: int) -> bool:
    """Whether a difference between two of some runs can be called real at all: a coin a subject gives p = 2/2ⁿ at best."""
    return num_pairs * smallest_p(num_subjects) < LEVEL


def fewest_subjects(num_pairs: int) -> int:
    """How many it takes for a difference to be called real, where all go one way."""
    return next(number for number in itertools.count(1) if is_judgeable(number, num_pairs))


def _by_subject(first: Predictions, second: Predictions, figure: str) -> np.ndarray:
    """What each subject adds to the difference of WAR or UAR, float64 (num_subjects,): both are sums over clips."""
    gain = (second.predicted == second.truth).astype(float) - (first.predicted == first.truth)
    if figure == "uar":
        size = np.bincount(first.truth, minlength=len(first.classes))
        gain = gain / size[first.truth]
    _, subject = np.unique(first.subjects, return_inverse=True)
    gains = np.bincount(subject, weights=gain)
    return np.where(np.abs(gains) < ROUNDING, 0, gains)


def _notes(aligned: Mapping[str, Predictions], num_pairs: int, differences: Sequence[Difference]) -> tuple[str, ...]:
    (first_name, first), *others = aligned.items()
    other_folds = (
        f"{first_name} and {name} were tested in different folds: part of a difference is what each was trained on"
        for name, one in others
        if not _same_partition(first.fold, one.fold)
    )
    few = any(one.real is None for one in differences)
    return (*(_too_few(num_pairs) * few), *_unknown_subjects(first), *other_folds)


def _too_few(num_pairs: int) -> tuple[str, ...]:
    pairs = "" if num_pairs == 1 else f" of {num_pairs} pairs"
    least = fewest_subjects(num_pairs)
    return (
        f"cannot be judged: so few subjects differ that even if all of them went one way, chance would be as likely as {LEVEL:.0%}; "
        f"{least} subjects that differ are enough for any{pairs or ' pair'}",
    )


def _unknown_subjects(predictions: Predictions) -> tuple[str, ...]:
    if predictions.subjects_known:
        return ()
    return (
        f"no subjects are known: {SUBJECTS_UNKNOWN}, so chance was judged over clips, which flatters every difference",
    )


def _same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Do two fold columns put the same clips together, whatever the folds are called?"""
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))
