"""Promises of vjepa_fer.judging.quantiles: scipy's values, without its import."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaincinv, ndtri, stdtrit

from vjepa_fer.judging.quantiles import beta_quantile, normal_quantile, t_reach

SIZES = st.floats(-1.5, 5).map(lambda power: 10**power)
SHARES = st.floats(0.0005, 0.9995)


@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=8), SHARES)
def test_beta_quantiles_are_scipys(sizes, share):
    a, b = np.array(sizes).T
    assert beta_quantile(share, a, b) == pytest.approx(betaincinv(a, b, share), abs=1e-10)


@given(st.floats(-4, 5), st.floats(-4, 5), st.sampled_from([0.025, 0.975]))
def test_hardly_a_hit_or_a_miss_is_as_exact(few, others, share):
    """As intervals of shares ask: one of the two is above 1."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        few, others = np.array([10**few]), 1 + np.array([10**others])
        low, high = beta_quantile(share, few, others), beta_quantile(share, others, few)
    assert low == pytest.approx(betaincinv(few, others, share), abs=1e-9)
    assert high == pytest.approx(betaincinv(others, few, share), abs=1e-9)


@given(st.lists(st.floats(0, 5).map(lambda power: 10**power), min_size=1, max_size=8), st.floats(0.1, 0.999))
def test_students_quantiles_are_scipys(df, confidence):
    expected = stdtrit(df, (1 + confidence) / 2)
    assert t_reach(confidence, np.array(df)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.975, 0.9995])
def test_a_normal_quantile_is_scipys(share):
    assert normal_quantile(share) == pytest.approx(ndtri(share), abs=1e-12)


def test_what_is_unknown_stays_unknown_and_keeps_nothing_from_the_others():
    one, other = t_reach(0.95, np.array([np.nan, 3]))
    assert np.isnan(one)
    assert other == pytest.approx(stdtrit(3, 0.975))
    assert np.isnan(beta_quantile(0.025, np.array([np.nan]), np.ones(1)))


def test_intervals_do_not_wait_for_scipy():
    code = (
        "import sys, numpy as np; from vjepa_fer.judging.intervals import intervals_of_counts as of;"
        "assert of(np.full((5, 3, 3), 2)).figures and of(np.arange(45).reshape(5, 3, 3)).figures; print('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
