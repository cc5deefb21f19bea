"""Promises of vjepa_fer.judging.metrics: the field's figures, equal to scikit-learn's."""

import dataclasses
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from vjepa_fer.judging import Predictions, Score, calibration, metrics


def drawn(seed, num_classes=6, num_clips=200, hit=0.5):
    rng = np.random.default_rng(seed)
    truth = rng.integers(num_classes, size=num_clips)
    return truth, np.where(rng.random(num_clips) < hit, truth, rng.integers(num_classes, size=num_clips))


@pytest.mark.parametrize("seed", range(3))
def test_headline_figures_equal_scikit_learn(seed):
    truth, said = drawn(seed)
    confusion = metrics.confusion_matrix(truth, said, 6)
    np.testing.assert_array_equal(confusion, sk.confusion_matrix(truth, said))
    assert metrics.war(confusion) == pytest.approx(sk.accuracy_score(truth, said), abs=1e-12)
    assert metrics.uar(confusion) == pytest.approx(sk.balanced_accuracy_score(truth, said), abs=1e-12)
    assert metrics.macro_f1(confusion) == pytest.approx(sk.f1_score(truth, said, average="macro"), abs=1e-12)
    assert metrics.weighted_f1(confusion) == pytest.approx(sk.f1_score(truth, said, average="weighted"), abs=1e-12)
    expected = sk.precision_score(truth, said, average="macro", zero_division=0)
    assert metrics.macro_precision(confusion) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(metrics.recall(confusion), sk.recall_score(truth, said, average=None), atol=1e-12)
    np.testing.assert_allclose(metrics.precision(confusion), sk.precision_score(truth, said, average=None), atol=1e-12)


@given(hnp.arrays(np.int64, st.tuples(st.integers(2, 6)).map(lambda n: (n[0], n[0])), elements=st.integers(0, 9)))
def test_any_confusion_matrix_has_scikit_learns_figures(confusion):
    assume(confusion.sum())
    truth, said = (np.repeat(side, confusion.ravel()) for side in np.indices(confusion.shape).reshape(2, -1))
    expected = {
        "war": sk.accuracy_score(truth, said),
        "macro_f1": sk.f1_score(truth, said, average="macro", zero_division=0),
        "weighted_f1": sk.f1_score(truth, said, average="weighted", zero_division=0),
        "macro_precision": sk.precision_score(truth, said, average="macro", zero_division=0),
        "uar": sk.recall_score(truth, said, labels=np.unique(truth), average="macro"),
    }
    for name, value in expected.items():
        assert metrics.SCORES[name](confusion) == pytest.approx(value, abs=1e-12)


def test_a_class_without_clips_counts_neither_for_nor_against():
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1])
    confusion = metrics.confusion_matrix(truth, said, 4)
    with warnings.catch_warnings(action="ignore"):
        expected = sk.balanced_accuracy_score(truth, said)
    assert metrics.uar(confusion) == expected == 0.75
    assert metrics.macro_f1(confusion) == pytest.approx(sk.f1_score(truth, said, average="macro", zero_division=0))
    assert np.isnan(metrics.recall(confusion)).tolist() == [False, False, True, True]
    assert np.isnan(metrics.precision(confusion)).tolist() == [False, False, False, True]


def test_a_class_that_is_never_said_costs_recall_and_f1():
    confusion = np.array([[3, 0], [3, 0]])
    assert (metrics.war(confusion), metrics.uar(confusion)) == (0.5, 0.5)
    assert metrics.macro_f1(confusion) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", metrics.SCORES)
def test_a_stack_of_matrices_gives_each_its_own_figure(name):
    truth, said = drawn(0)
    group = np.arange(200) % 5
    stack = metrics.confusion_by_group(truth, said, group, 6)
    one_by_one = [
        metrics.SCORES[name](metrics.confusion_matrix(truth[group == g], said[group == g], 6)) for g in range(5)
    ]
    np.testing.assert_array_equal(metrics.SCORES[name](stack), one_by_one)
    np.testing.assert_array_equal(stack.sum(axis=0), metrics.confusion_matrix(truth, said, 6))


def test_war_is_recall_weighted_by_class_size_as_its_name_says():
    confusion = np.array([[9, 1], [1, 1]])
    assert metrics.war(confusion) == pytest.approx((0.9 * 10 + 0.5 * 2) / 12)


def test_log_loss_equals_scikit_learn_and_stays_finite_at_probability_zero():
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet(np.ones(4), 50), rng.integers(4, size=50)
    probabilities[0] = np.eye(4)[(truth[0] + 1) % 4]
    assert metrics.log_loss(truth, probabilities) == pytest.approx(sk.log_loss(truth, probabilities, labels=range(4)))


def test_calibration_error_of_a_sure_guesser_is_its_error_rate():
    truth, probabilities = np.array([0, 0, 0, 1]), np.tile([1.0, 0.0], (4, 1))
    assert metrics.expected_calibration_error(truth, np.zeros(4, int), probabilities) == 0.25


def test_calibration_error_weighs_each_bin_by_its_clips():
    truth, said = np.array([0, 0, 1, 0]), np.zeros(4, int)
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    # confidence 0.9, all right: gap 0.1; confidence 0.6, half right: gap 0.1
    assert metrics.expected_calibration_error(truth, said, probabilities, num_bins=10) == pytest.approx(0.1)


def test_spread_over_folds_divides_by_one_less_than_the_folds():
    assert Score((0.1, 0.2, 0.3), 0.2).sd == pytest.approx(0.1)
    assert Score((0.1,), 0.1).sd is None


def test_calibration_is_given_by_fold_and_pooled_and_not_without_probabilities():
    truth, sure = np.array([0, 1, 0, 1]), np.array([[0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.6, 0.4]])
    values = {"clip_ids": np.array(list("abcd")), "subjects": np.array(list("abcd")), "fold": np.array([0, 0, 1, 1])}
    predictions = Predictions(classes=("x", "y"), truth=truth, predicted=sure.argmax(1), probabilities=sure, **values)
    found = calibration(predictions)
    assert found["ece"].folds == pytest.approx((0.1, 0.1))
    assert found["ece"].pooled == pytest.approx(0.1)
    assert found["log_loss"].folds == pytest.approx((-np.log(0.9), -np.log(0.6) / 2 - np.log(0.4) / 2))
    assert calibration(dataclasses.replace(predictions, probabilities=None)) == {}
