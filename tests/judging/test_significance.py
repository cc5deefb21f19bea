"""Promises of vjepa_fer.judging.significance: the p values are scipy's, or what counting every case gives."""

import itertools

import numpy as np
import pytest
from scipy import stats

from vjepa_fer.judging.significance import holm, mcnemar_p, sign_flip_p


def counted(differences):
    """Every sign pattern, one by one."""
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=len(differences))]
    return np.mean([s >= abs(np.sum(differences)) - 1e-12 for s in sums])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_subjects", [1, 2, 7, 10])
def test_few_subjects_are_counted_exactly(num_subjects, seed):
    differences = np.random.default_rng(seed).integers(-3, 5, num_subjects) / 7
    assert sign_flip_p(differences) == pytest.approx(counted(differences), abs=1e-12)


def test_fourteen_subjects_agree_with_scipys_exact_permutation_test():
    differences = np.random.default_rng(3).normal(0.4, 1, 14)
    scipys = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(scipys.pvalue, abs=1e-12)


def test_many_subjects_are_drawn_with_a_seed_near_the_exact_p():
    differences = np.random.default_rng(1).normal(0.35, 1, 16)
    p = sign_flip_p(differences, seed=5)
    assert p == sign_flip_p(differences, seed=5)
    assert p == pytest.approx(counted(differences), abs=0.01)


def test_a_drawn_p_is_never_zero_and_no_difference_is_no_evidence():
    assert sign_flip_p(np.ones(40), num_draws=99) == 1 / 100
    assert sign_flip_p(np.zeros(40)) == 1


@pytest.mark.parametrize(("b", "c"), [(0, 0), (0, 5), (5, 0), (3, 3), (4, 9), (180, 240), (3000, 3100)])
def test_mcnemar_is_the_exact_binomial_test(b, c):
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1
    assert mcnemar_p(b, c) == pytest.approx(expected, rel=1e-9)


def test_holm_gives_the_textbook_values_in_the_order_given():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
