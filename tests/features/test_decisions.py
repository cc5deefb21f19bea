"""Promises of vjepa_fer.features.windows: windows become one decision a clip, and ties are decided as written."""

import numpy as np
import pytest

from vjepa_fer.features import RULES, join_windows

CLIP = np.array([0, 0, 0, 1])
SAID = np.array([[0.6, 0.4, 0.0], [0.6, 0.4, 0.0], [0.0, 0.9, 0.1], [0.2, 0.2, 0.6]])


def joined(rule, said=SAID, clip=CLIP):
    return join_windows(rule, said, said.argmax(axis=1), clip)


@pytest.mark.parametrize(
    ("rule", "decided"), [("mean-probability", [1, 2]), ("sum", [1, 2]), ("vote", [0, 2]), ("mean-logit", [1, 2])]
)
def test_each_rule_decides_by_its_definition(rule, decided):
    assert joined(rule).predicted.tolist() == decided


def test_probabilities_are_what_the_rule_makes_of_them():
    np.testing.assert_allclose(joined("mean-probability").probabilities[0], [0.4, 1.7 / 3, 0.1 / 3])
    np.testing.assert_allclose(joined("sum").probabilities, joined("mean-probability").probabilities)
    np.testing.assert_allclose(joined("vote").probabilities, [[2 / 3, 1 / 3, 0], [0, 0, 1]])
    said = np.array([[0.9, 0.1], [0.4, 0.6]])
    geometric = np.sqrt(said[0] * said[1])
    np.testing.assert_allclose(
        joined("mean-logit", said, np.array([0, 0])).probabilities[0], geometric / geometric.sum()
    )


@pytest.mark.parametrize("rule", RULES)
def test_probabilities_sum_to_one_and_one_window_decides_alone(rule):
    one = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    answer = joined(rule, one, np.arange(20))
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1)
    assert answer.predicted.tolist() == one.argmax(axis=1).tolist()


@pytest.mark.parametrize("rule", ["mean-probability", "sum", "mean-logit"])
def test_equal_classes_are_decided_for_the_first_whatever_the_order_of_windows(rule):
    said = np.array([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.2, 0.1, 0.7], [0.7, 0.1, 0.2]])
    for order in ([0, 1, 2, 3, 4], [3, 1, 4, 0, 2], [2, 0, 4, 3, 1]):
        assert joined(rule, said[order], np.zeros(5, int)).predicted.tolist() == [0]


def test_equal_votes_are_decided_by_summed_probability_and_then_for_the_first():
    said = np.array([[0.5, 0.1, 0.4], [0.1, 0.8, 0.1]])
    assert joined("vote", said, np.zeros(2, int)).predicted.tolist() == [1]
    even = np.array([[0.4, 0.6, 0.0], [0.6, 0.4, 0.0]])
    assert joined("vote", even, np.zeros(2, int)).predicted.tolist() == [0]
    third = np.array(
        [[0.40, 0.19, 0.41], [0.19, 0.41, 0.40], [0.41, 0.2, 0.39]]
    )  # one vote each; class 2 has most mass
    assert joined("vote", third, np.zeros(3, int)).predicted.tolist() == [2]


def test_a_vote_is_the_probes_own_decision_not_its_largest_probability():
    said = np.array([[0.6, 0.4]])
    assert join_windows("vote", said, np.array([1]), np.array([0])).predicted.tolist() == [1]


def test_a_certain_window_does_not_veto_the_others():
    said = np.array([[0.0, 1.0], [0.99, 0.01], [0.99, 0.01]])
    assert np.isfinite(joined("mean-logit", said, np.zeros(3, int)).probabilities).all()
