"""Promises of vjepa_fer.judging.compare: paired on identical clips, judged over subjects, everything else refused or counted."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from vjepa_fer.errors import RunError
from vjepa_fer.judging import Predictions, compare_predictions
from vjepa_fer.judging.compare import _by_subject


def made(accuracy, *, num_subjects=12, per_subject=20, seed=0, **changes):
    """Predictions of three classes that are right with `accuracy`."""
    rng = np.random.default_rng(seed)
    n = num_subjects * per_subject
    truth = np.arange(n) % 3
    predicted = np.where(rng.random(n) < accuracy, truth, (truth + 1) % 3)
    subjects = np.repeat([f"s{k:02d}" for k in range(num_subjects)], per_subject)
    values = {
        "classes": ("a", "b", "c"),
        "clip_ids": np.array([f"c{k:03d}" for k in range(n)]),
        "subjects": subjects,
        "fold": np.repeat(np.arange(num_subjects) % 3, per_subject),
        "truth": truth,
        "predicted": predicted,
        "probabilities": None,
    }
    return Predictions(**values | changes)


def only(comparison, figure="war"):
    (found,) = (d for d in comparison.differences if d.figure == figure)
    return found


def test_a_large_difference_is_real_and_none_is_not():
    good, bad = made(0.9, seed=1), made(0.5, seed=2)
    better = only(compare_predictions({"bad": bad, "good": good}))
    assert (better.first, better.second, better.real) == ("bad", "good", True)
    assert 0 < better.interval.low < better.value < better.interval.high
    same = only(compare_predictions({"x": good, "y": made(0.9, seed=3)}))
    assert not same.real
    assert same.interval.low < 0 < same.interval.high


def test_a_run_against_itself_differs_by_nothing():
    one = only(compare_predictions({"x": made(0.7), "y": made(0.7)}))
    assert (one.value, one.interval, one.p, one.p_holm, one.p_mcnemar) == (0, (0, 0), 1, 1, 1)


def test_a_difference_in_one_person_is_not_real_however_many_clips_it_has():
    base = made(0.7)
    predicted = np.where(base.subjects == "s00", base.truth, base.predicted)
    worse = np.where(base.subjects == "s00", (base.truth + 1) % 3, base.predicted)
    one = only(
        compare_predictions(
            {"x": dataclasses.replace(base, predicted=worse), "y": dataclasses.replace(base, predicted=predicted)}
        )
    )
    assert one.p_mcnemar < 1e-5
    assert one.p == 1


@pytest.mark.parametrize("figure", ["war", "uar"])
def test_the_subjects_parts_add_up_to_the_difference(figure):
    truth = np.r_[np.zeros(150, int), np.ones(60, int), np.full(30, 2)]
    x, y = (made(0.5, seed=s, truth=truth, predicted=np.random.default_rng(s).integers(0, 3, 240)) for s in (1, 2))
    scale = 240 if figure == "war" else 3
    assert _by_subject(x, y, figure).sum() / scale == pytest.approx(
        only(compare_predictions({"x": x, "y": y}), figure).value
    )


def test_several_runs_give_every_pair_adjusted_together():
    runs = {name: made(accuracy, seed=k) for k, (name, accuracy) in enumerate({"a": 0.5, "b": 0.6, "c": 0.8}.items())}
    pairs = [d for d in compare_predictions(runs).differences if d.figure == "war"]
    assert [(d.first, d.second) for d in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert all(d.p <= d.p_holm <= 3 * d.p for d in pairs)


def test_rows_and_classes_in_another_order_are_matched_by_name():
    one = made(0.7)
    shuffled = made(0.7).take(np.random.default_rng(0).permutation(len(one)))
    renamed = dataclasses.replace(
        shuffled, classes=("c", "a", "b"), truth=(shuffled.truth + 1) % 3, predicted=(shuffled.predicted + 1) % 3
    )
    assert only(compare_predictions({"x": one, "y": renamed})).p_mcnemar == 1


def test_different_clips_are_refused_and_intersected_on_request_with_counts():
    whole = made(0.7)
    part = whole.take(np.arange(220))
    with pytest.raises(
        RunError, match=r"220 in common; whole has 20 others: c220, c221, c222 and 17 more.*--intersect"
    ):
        compare_predictions({"whole": whole, "part": part})
    comparison = compare_predictions({"whole": whole, "part": part}, intersect=True)
    assert comparison.left_out == {"whole": 20, "part": 0}
    assert len(comparison.predictions["whole"]) == 220


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_ids": np.array([f"z{k}" for k in range(240)])}, "no clip in common"),
        ({"truth": (np.arange(240) + 1) % 3}, "x and y give 240 clips another true label"),
        ({"subjects": np.repeat([f"t{k}" for k in range(12)], 20)}, "another subject: c000"),
    ],
)
def test_answers_to_another_question_are_refused(changes, message):
    with pytest.raises(RunError, match=message):
        compare_predictions({"x": made(0.7), "y": made(0.7, **changes)})


@pytest.mark.parametrize("subjects", ["", "anna"])
def test_chance_cannot_be_judged_without_subjects(subjects):
    with pytest.raises(RunError, match="judged over subjects"):
        compare_predictions(
            {"x": made(0.7, subjects=np.full(240, subjects)), "y": made(0.6, subjects=np.full(240, subjects))}
        )


def test_one_run_alone_is_refused():
    with pytest.raises(RunError, match="at least two"):
        compare_predictions({"x": made(0.7)})


def test_other_folds_are_noted_and_other_names_for_the_same_folds_are_not():
    one = made(0.7)
    assert compare_predictions({"x": one, "y": dataclasses.replace(one, fold=(one.fold + 1) % 3)}).notes == ()
    (note,) = compare_predictions({"x": one, "y": dataclasses.replace(one, fold=np.arange(240) % 3)}).notes
    assert note.startswith("x and y were tested in different folds")


def test_a_row_says_how_few_subjects_differ_where_that_is_too_few():
    base = made(0.7)
    worse = np.where(base.subjects < "s03", (base.truth + 1) % 3, base.predicted)
    one = only(compare_predictions({"x": dataclasses.replace(base, predicted=worse), "y": base}))
    assert (one.num_differing, one.real, one.judgeable) == (3, None, False)


@pytest.mark.parametrize(("num_subjects", "judged"), [(5, False), (7, False), (8, True)])
def test_holm_over_six_pairs_takes_eight_subjects_that_all_differ(num_subjects, judged):
    """2/2⁸ times six pairs is 0.047; a pair that nobody differs in needs no judge."""
    found = compare_predictions(all_right_and_half_right(num_subjects, num_runs=4))
    differ = [d for d in found.differences if d.value]
    assert {d.real for d in differ} == {True if judged else None}
    assert {d.real for d in found.differences if not d.value} == {False}


def test_what_is_told_is_of_plain_types_with_more_subjects_than_can_be_counted_out():
    x, y = made(0.7, num_subjects=24, seed=1), made(0.7, num_subjects=24, seed=2)
    told = compare_predictions({"x": x, "y": y}).to_dict()
    for one in told["differences"]:
        kinds = {name: type(one[name]) for name in ("value", "p", "p_holm", "p_mcnemar", "real", "leaky", "judgeable")}
        assert kinds == {
            **dict.fromkeys(("value", "p", "p_holm", "p_mcnemar"), float),
            **dict.fromkeys(("real", "leaky", "judgeable"), bool),
        }
        assert one["real"] is False
        assert type(one["num_differing"]) is int
    assert json.loads(json.dumps(told)) == told
    assert "after training anew" in told["question"]


@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_no_order_of_rows_or_classes_changes_a_difference(seed):
    rng = np.random.default_rng(seed)
    x, y = made(0.7, seed=seed % 1000), made(0.75, seed=seed % 1000 + 1)
    rows, classes = rng.permutation(len(y)), rng.permutation(3)
    place = np.argsort(classes)
    other = y.take(rows)
    other = dataclasses.replace(
        other, classes=tuple(np.array(y.classes)[classes]), truth=place[other.truth], predicted=place[other.predicted]
    )
    assert compare_predictions({"x": x, "y": other}).differences == compare_predictions({"x": x, "y": y}).differences


def all_right_and_half_right(num_subjects, num_runs=2):
    """Each subject's four clips: the first run gets all right, every other one half."""
    subjects = np.repeat([f"s{n}" for n in range(num_subjects)], 4)
    truth = np.tile([0, 1], 2 * num_subjects)
    half = np.where(np.arange(len(truth)) % 4 < 2, truth, 1 - truth)
    said = [truth, *[half] * (num_runs - 1)]
    return {
        f"run{n}": Predictions(
            classes=("x", "y"),
            clip_ids=np.array([f"c{k}" for k in range(len(truth))]),
            subjects=subjects,
            fold=np.zeros(len(truth), int),
            truth=truth,
            predicted=predicted,
            probabilities=None,
        )
        for n, predicted in enumerate(said)
    }


@pytest.mark.parametrize("num_runs", [2, 3])
@pytest.mark.parametrize("num_subjects", range(2, 12))
def test_with_too_few_subjects_it_is_said_that_nothing_can_be_judged(num_subjects, num_runs):
    found = compare_predictions(all_right_and_half_right(num_subjects, num_runs))
    first = found.differences[0]
    gain = np.full(num_subjects, 2.0)
    exact = permutation_test(
        (gain,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    ).pvalue
    pairs = num_runs * (num_runs - 1) // 2
    assert first.p == pytest.approx(exact)
    assert first.real is (True if pairs * exact < 0.05 else None)
    assert any("cannot be judged" in note for note in found.notes) == (first.real is None)
    assert json.loads(json.dumps(found.to_dict()))["differences"][0]["real"] == first.real
