"""Small logistic regressions are proven: steps may be rough, in single precision, from an older second derivative; ends may not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.probes.logistic import dense
from vjepa_fer.probes.logistic.dense import prove, solve_small
from vjepa_fer.probes.logistic.descent import Problem
from vjepa_fer.probes.logistic.path import fit_logistic_path
from vjepa_fer.probes.logistic.search import Search, _inverse_of_lower


def draw(num_clips=150, dim=12, num_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(num_clips) % num_classes)
    X = rng.normal(size=(num_clips, dim)) + rng.normal(size=(num_classes, dim))[codes]
    return X - X.mean(axis=0), codes


def place_of(X, codes, seed=0):
    """Probabilities and the gradient of the loss at some place, without penalty."""
    rng = np.random.default_rng(seed)
    num_classes = codes.max() + 1
    logits = rng.normal(size=(num_classes, X.shape[1])) @ X.T * 0.3
    shares = np.exp(logits) / np.exp(logits).sum(axis=0)
    wide = np.column_stack([X, np.ones(len(X))])
    return shares, (shares - np.eye(num_classes)[codes].T) @ wide / len(X)


def second_derivative(X, shares, penalty):
    """Written out, without any thought of speed."""
    wide = np.column_stack([X, np.ones(len(X))])
    by_logits = np.einsum("kn,kl->nkl", shares, np.eye(len(shares))) - np.einsum("kn,ln->nkl", shares, shares)
    whole = np.einsum("nkl,ni,nj->kilj", by_logits, wide, wide) / len(X)
    size = whole.shape[0] * whole.shape[1]
    slopes = np.tile(np.r_[np.full(X.shape[1], penalty), 0], len(shares))
    return whole.reshape(size, size) + np.diag(slopes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_classes", [2, 5])
def test_a_step_is_newtons(dtype, num_classes):
    X, codes = draw(num_classes=num_classes)
    shares, gradient = place_of(X, codes)
    search = Search(X, Problem(codes, np.full(len(X), 1 / len(X)), np.array([1e-3])), num_classes, dtype)
    step = search.step(shares, 1e-3, gradient)
    exact = -np.linalg.lstsq(second_derivative(X, shares, 1e-3), gradient.ravel(), rcond=1e-12)[0].reshape(step.shape)
    np.testing.assert_allclose(step, exact, atol=1e-2 * np.abs(exact).max())


def test_a_second_derivative_serves_until_steps_from_it_are_many():
    X, codes = draw()
    search = Search(X, Problem(codes, np.full(len(X), 1 / len(X)), np.array([1e-3])), 4)
    shares, gradient = place_of(X, codes)
    search.step(shares, 1e-3, gradient)
    assert search.fresh
    search.step(*place_of(X, codes, seed=1)[:1], 1e-3, gradient)
    assert not search.fresh
    search.forget()
    search.step(shares, 1e-3, gradient)
    assert search.fresh


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 130), seed=st.integers(0, 9))
def test_a_triangular_matrix_is_inverted_by_halves(size, seed):
    rng = np.random.default_rng(seed)
    lower = np.tril(rng.normal(size=(size, size))) / size + np.diag(rng.uniform(1, 2, size))
    np.testing.assert_allclose(_inverse_of_lower(lower) @ lower, np.eye(size), atol=1e-9)


def test_single_precision_is_given_up_where_it_does_not_do(monkeypatch):
    """Columns that are nearly the same: what tells them apart is lost in single precision."""
    given_up = []
    whole = Search.as_double
    monkeypatch.setattr(Search, "as_double", lambda self: given_up.append(self) or whole(self))
    X, codes = draw()
    path = fit_logistic_path(X * np.logspace(0, 6, X.shape[1]), codes, C=[1e-3, 1, 1e6], tol=1e-9)
    assert path.converged.all()
    hard = len(given_up)
    fit_logistic_path(X, codes, C=[1e-3, 1, 10])
    assert hard > 0
    assert len(given_up) == hard, "of easy features it was not"


@pytest.mark.parametrize("seed", range(4))
def test_small_values_of_c_have_the_labels_of_an_exact_fit(seed):
    """Where C is small, logits are nearly equal, and an error that the mean loss does not feel would change labels."""
    X, codes = draw(400, 20, seed=seed)
    grid = np.logspace(-6, 0, 7)
    ours, exact = (fit_logistic_path(X[:300], codes[:300], C=grid, tol=tol) for tol in (5e-6, 1e-12))
    logits = [np.einsum("jkd,nd->jnk", one.weights, X) + one.intercepts[:, None] for one in (ours, exact)]
    labels = [one.argmax(axis=2) for one in logits]
    sorted_ = np.sort(logits[1], axis=2)
    sizes = np.abs(logits[1] - logits[1].mean(axis=2, keepdims=True)).max(axis=(1, 2))[:, None]
    other = labels[0] != labels[1]
    assert ((sorted_[..., -1] - sorted_[..., -2])[other] < 1e-3 * np.broadcast_to(sizes, other.shape)[other]).all()
    assert other.mean() < 1e-3


def test_what_all_classes_have_in_common_is_taken_off():
    X, codes = draw()
    problem = Problem(codes, np.full(len(X), 1 / len(X)), np.array([1e-2]))
    solved, intercepts, *_ = solve_small(X, problem, 4, tol=1e-9, max_iter=100)
    ended, level, _, certain = prove(X, problem, solved + 5.0, intercepts + 3.0, tol=1e-9, max_iter=100)
    assert certain.all()
    np.testing.assert_allclose(ended, solved, atol=1e-3)
    np.testing.assert_allclose(level - level.mean(), intercepts - intercepts.mean(), atol=1e-3)


def test_intercepts_that_are_off_do_not_cost_a_step_of_the_weights():
    X, codes = draw()
    problem = Problem(codes, np.full(len(X), 1 / len(X)), np.array([1e-2]))
    solved, intercepts, *_ = solve_small(X, problem, 4, tol=1e-9, max_iter=100)
    off = intercepts + 1e-5 * np.array([1, -1, 0, 0])
    _, _, steps, certain = prove(X, problem, solved, off, tol=5e-6, max_iter=100)
    assert certain.all()
    assert steps[0] == 0
    assert dense.LEVEL * 5e-6 < 1e-5 / 8, "they were off by more than is let pass"
