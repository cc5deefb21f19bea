"""Small features are worked on by one BLAS thread, large ones by as many as there are, and what was before is so afterwards."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vjepa_fer.probes import answer_probes, fit_probes, make_probe
from vjepa_fer.probes.logistic import linear
from vjepa_fer.probes.threads import FEW


def blas_threads():
    """The most of any BLAS here: OpenCV's own may have been built for one alone."""
    return max(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")


@pytest.mark.parametrize(("num_clips", "expected"), [(60, 1), (FEW // 20 + 1, 2)])
def test_products_have_threads_by_the_features_size(monkeypatch, num_clips, expected):
    seen = []

    def watched(*args, **kwargs):
        seen.append(blas_threads())
        return watched.original(*args, **kwargs)

    watched.original = linear.times_features
    monkeypatch.setattr(linear, "times_features", watched)
    fitted = make_probe("logreg").fit(np.random.default_rng(0).normal(size=(60, 20)), np.arange(60) % 3)
    X = np.zeros((num_clips, 20), np.float32)
    with threadpool_limits(2, user_api="blas"):
        answer_probes([fitted], X)
        assert blas_threads() == 2
    assert seen == [expected]


def test_a_small_fit_has_one_thread_and_gives_the_others_back_even_after_an_error(monkeypatch):
    seen = []

    def watched(*args, **kwargs):
        seen.append(blas_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(linear, "fit_logistic_path", watched)
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ZeroDivisionError):
            fit_probes([make_probe("logreg")], np.eye(6), np.arange(6) % 2)
        assert blas_threads() == 2
    assert seen == [1]


def test_a_library_that_comes_later_has_one_thread_as_well():
    """scikit-learn brings scipy's own BLAS, after numpy's was looked at."""
    program = """
import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits
from vjepa_fer.probes.threads import threads_for
with threads_for(np.eye(3)):
    pass
before = len(threadpool_info())
import scipy.linalg
assert len(threadpool_info()) > before, "no second BLAS: this test would prove nothing"
with threadpool_limits(2, user_api="blas"), threads_for(np.eye(3)):
    print({one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{1}"
