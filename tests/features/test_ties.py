"""Promises of vjepa_fer.features.ties: of equal values the first by name counts, whichever column it stands in, and its equals are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vjepa_fer.evaluation.fusion import average_probabilities
from vjepa_fer.features import decide, equals_in, first_of_equals, shares_of_equals
from vjepa_fer.judging import Predictions, ties_among

NAMES = ("sad", "angry", "happy")


def test_the_first_by_name_wins_and_not_the_first_by_column():
    decision = decide(np.array([[1.0, 1, 0], [2, 0, 2], [0, 0, 5]]), NAMES)
    assert [NAMES[n] for n in decision.predicted] == ["angry", "happy", "happy"]
    assert decision.equals.sum(axis=1).tolist() == [2, 2, 1]


@settings(deadline=None)
@given(hnp.arrays(np.float64, (4, 3), elements=st.integers(-2, 2).map(float)), st.permutations(range(3)))
def test_columns_in_another_order_decide_alike(values, order):
    named = np.array(NAMES)
    moved = decide(values[:, order], named[order].tolist())
    assert named[order][moved.predicted].tolist() == named[decide(values, NAMES).predicted].tolist()
    np.testing.assert_array_equal(moved.equals, equals_in(values)[:, order])


def test_the_order_of_summing_breaks_no_tie_and_small_values_are_told_apart():
    tiny = np.array([[0.1 + 0.2, 0.3, 0.0], [1e-20, 3e-20, 0]])
    assert equals_in(tiny).tolist() == [[True, True, False], [False, True, False]]
    assert first_of_equals(tiny).tolist() == [0, 1]


def test_only_the_classes_that_are_allowed_are_decided_for():
    values = np.array([[0.1, 0.1, 0.8]])
    decision = decide(values, NAMES, among=np.array([True, True, False]))
    assert (NAMES[decision.predicted[0]], decision.equals.tolist()) == ("angry", [[True, True, False]])


def test_equals_share_in_equal_parts():
    np.testing.assert_allclose(shares_of_equals(np.array([[3, 3, 1], [0, 2, 0]])), [[0.5, 0.5, 0], [0, 1, 0]])


def predictions(probabilities, **given):
    n = len(probabilities)
    names = np.array([f"c{i}" for i in range(n)])
    told = {"predicted": np.zeros(n, int), "truth": np.zeros(n, int), "fold": np.zeros(n, int)} | given
    return Predictions(classes=NAMES, clip_ids=names, subjects=names, probabilities=np.array(probabilities), **told)


def test_streams_that_are_averaged_into_a_tie_say_so():
    streams = [predictions([[0.75, 0.25, 0]]), predictions([[0.25, 0.75, 0]])]
    for order in (streams, streams[::-1]):
        fused = average_probabilities(order)
        assert NAMES[fused.predicted[0]] == "angry"
        ties = ties_among(fused)
        assert (ties.num_tied, ties.rule, ties.war_shared, ties.war_range) == (1, "name", 0.5, (0, 1))


@pytest.mark.parametrize(("said", "tied"), [(0, 1), (1, 1), (2, None)])
def test_a_label_that_was_said_is_a_tie_only_among_its_equals(said, tied):
    ties = ties_among(predictions([[0.5, 0.5, 0]], predicted=np.array([said])))
    assert (ties and ties.num_tied) == tied
    assert ties is None or ties.rule == "said"
