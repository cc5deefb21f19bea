"""Logistic regression reaches scikit-learn's optimum for every C of a grid, in either space, and learns from nothing else."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import answer_probes, fit_probes, make_probe
from vjepa_fer.probes.logistic import bases, newton
from vjepa_fer.probes.logistic import path as path_module
from vjepa_fer.probes.logistic.curve import FEWEST, GAP, MOST, STEP, heads, plan, stations
from vjepa_fer.probes.logistic.descent import Problem
from vjepa_fer.probes.logistic.path import fit_logistic_path

GRID = np.logspace(-5, 1, 12)
GOAL = 5e-6  # of the mean loss, for the worst C


def draw(num_clips, dim, num_classes=5, seed=0):
    """Standardised features with subject offsets and a falling spectrum, hard enough that classes overlap."""
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, dim + 1) ** -0.55
    subjects, codes = np.arange(num_clips) % 12, np.arange(num_clips) // 12 % num_classes
    X = rng.normal(size=(num_clips, dim)) + rng.normal(size=(12, dim))[subjects]
    X += (
        0.7 * rng.normal(size=(12, num_classes, dim))[subjects, codes]
        + 0.2 * rng.normal(size=(num_classes, dim))[codes]
    )
    X = (X * spectrum) @ np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32), codes


def objective(weights, intercepts, X, codes, C, sample_weight=None):
    """scikit-learn's objective per unit of weight, in float64."""
    s = np.ones(len(X)) if sample_weight is None else sample_weight
    logits = X.astype(np.float64) @ weights.astype(np.float64).T + intercepts
    largest = logits.max(axis=1)
    each = np.log(np.exp(logits - largest[:, None]).sum(axis=1)) + largest - logits[np.arange(len(X)), codes]
    return (s @ each + np.square(weights, dtype=np.float64).sum() / (2 * C)) / s.sum()


def reference(X, codes, C, sample_weight=None):
    """Optimal objective by scikit-learn in float64, an independent solver."""
    model = LogisticRegression(C=C, tol=1e-8, max_iter=20000).fit(X.astype(np.float64), codes, sample_weight)
    return objective(model.coef_, model.intercept_, X, codes, C, sample_weight)


@pytest.mark.parametrize("shape", [(500, 60), (700, 540), (200, 540)], ids=["few", "many", "more than clips"])
def test_every_c_of_a_grid_is_within_the_goal_of_the_optimum(shape):
    X, codes = draw(*shape)
    path = fit_logistic_path(X, codes, C=GRID)
    for number, C in list(enumerate(GRID))[3::4]:
        reached = objective(path.weights[number], path.intercepts[number], X, codes, C)
        assert -1e-8 < reached - reference(X, codes, C) < GOAL, f"C={C:g}"
    assert path.converged.all()


@pytest.mark.parametrize("shape", [(400, 30), (90, 200)], ids=["by feature", "by clip"])
def test_weights_of_clips_reach_the_weighted_optimum(shape):
    X, codes = draw(*shape)
    weights = np.random.default_rng(1).integers(0, 4, len(X)) * 0.5
    path = fit_logistic_path(X, codes, C=[0.01, 1], sample_weight=weights)
    for number, C in enumerate([0.01, 1]):
        reached = objective(path.weights[number], path.intercepts[number], X, codes, C, weights)
        assert -1e-8 < reached - reference(X, codes, C, weights) < GOAL


def test_features_far_from_zero_are_no_harder():
    X, codes = draw(300, 40)
    near = fit_logistic_path(X, codes, C=[1.0])
    far = fit_logistic_path(X + np.float32(50), codes, C=[1.0])
    np.testing.assert_allclose(far.weights, near.weights, atol=2e-3)


def test_unscaled_features_converge():
    X, codes = draw(300, 40)
    X = X * np.logspace(-1, 1, 40).astype(np.float32)
    path = fit_logistic_path(X, codes, C=GRID)
    worst = max(
        objective(path.weights[j], path.intercepts[j], X, codes, C) - reference(X, codes, C)
        for j, C in list(enumerate(GRID))[3::4]
    )
    assert worst < GOAL


def test_a_grid_and_single_fits_agree():
    X, codes = draw(400, 50)
    probes = [make_probe("logreg", {"C": C}) for C in GRID]
    fit_probes(probes, X, codes)
    for probe, C in zip(probes, GRID, strict=True):
        alone = make_probe("logreg", {"C": C}).fit(X, codes)
        assert (probe.predict(X) == alone.predict(X)).mean() > 0.99
        together, apart = (objective(p.coef_, p.intercept_, X, codes, C) for p in (probe, alone))
        assert abs(together - apart) < GOAL


@pytest.mark.parametrize("num_classes", [2, 5])
def test_probes_answer_together_as_they_do_alone(num_classes):
    X, codes = draw(200, 20, num_classes=num_classes)
    names = np.array(list("edcba"))[codes]
    probes = [make_probe("logreg", {"C": 0.1}), make_probe("centroid"), make_probe("logreg", {"C": 10})]
    fit_probes(probes, X, names)
    for probe, (probabilities, labels) in zip(probes, answer_probes(probes, X), strict=True):
        np.testing.assert_allclose(probabilities, probe.predict_proba(X), atol=1e-6)
        np.testing.assert_array_equal(labels, probe.predict(X))


def test_two_classes_have_scikit_learns_one_row():
    X, codes = draw(300, 20, num_classes=2)
    ours = make_probe("logreg", {"C": 0.1, "tol": 1e-9}).fit(X.astype(np.float64), codes)
    theirs = LogisticRegression(C=0.1, tol=1e-9).fit(X.astype(np.float64), codes)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}])
def test_class_weights_mean_what_scikit_learns_mean(class_weight):
    X, codes = draw(200, 20)
    X, codes = X[codes * 30 < np.arange(200)], codes[codes * 30 < np.arange(200)]  # classes of different sizes
    ours = make_probe("logreg", {"class_weight": class_weight, "tol": 1e-9}).fit(X.astype(np.float64), codes)
    theirs = LogisticRegression(class_weight=class_weight, tol=1e-9, max_iter=1000).fit(X.astype(np.float64), codes)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=2e-4)


def hard_cases():
    """Features on which a descent that trusts its preconditioner stops too early, and with fewer clips than features too."""
    rng = np.random.default_rng(3)
    X, codes = draw(240, 24, num_classes=4)
    yield "sizes from 1e-3 to 1e3", X * np.logspace(-3, 3, 24), codes
    yield "far from zero", X + 1e4, codes
    yield "a feature 1e4 times as large", np.column_stack([X, 1e4 * rng.normal(size=240)]), codes
    yield "constant and double features", np.column_stack([X, X, np.ones(240)]), codes
    yield "two clips far from all others", np.vstack([X, 300 * X[:2]]), np.r_[codes, codes[:2]]
    yield "separable", X + 4 * rng.normal(size=(4, 24))[codes], codes
    rare = (codes > 0) | (np.arange(240) < 12)
    yield "a rare class", X[rare], codes[rare]
    yield "a handful of clips", X[:12], codes[np.arange(12) * 12]
    yield "zeros and ones", X > 0.8, codes
    X, codes = draw(80, 200, num_classes=4)
    yield "by clip, heavy tails", X * rng.standard_t(2.5, size=(80, 1)), codes
    yield "by clip, a feature 1e3 times as large", np.column_stack([X, 1e3 * rng.normal(size=80)]), codes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", list(hard_cases()), ids=lambda case: case[0])
def test_no_features_are_too_hard_to_keep_the_goal(case, dtype):
    _, X, codes = case
    X = X.astype(dtype)
    grid = [1e-6, 1e-3, 0.1, 1, 30]
    path = fit_logistic_path(X, codes, C=grid, max_iter=5000)
    assert path.converged.all()
    U, sizes, _ = np.linalg.svd(X - X.mean(axis=0, dtype=np.float64), full_matrices=False)
    seen = (U * sizes)[:, sizes > 1e-13 * sizes[0]]  # for the reference: the same optimum in fewer, straighter features
    for number, C in enumerate(grid):
        reached = objective(path.weights[number], path.intercepts[number], X, codes, C)
        exact = LogisticRegression(C=C, tol=1e-10, max_iter=300, solver="newton-cholesky").fit(seen, codes)
        assert reached - objective(exact.coef_, exact.intercept_, seen, codes, C) < GOAL, f"C={C:g}"


FIELD = np.logspace(-6, 5, 45)
"""The grid that papers use."""


def least(X, codes, C):
    """The minimum of scikit-learn's objective, at least: Newton's method in float64, and what strong convexity leaves below it."""
    clips = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    left, sizes, _ = np.linalg.svd(clips, full_matrices=False)
    keep = sizes > 1e-13 * sizes[0]
    seen = (left * sizes)[:, keep]
    model = LogisticRegression(C=C, tol=1e-9, max_iter=200, solver="newton-cholesky").fit(seen, codes)
    shares = model.predict_proba(seen) - np.eye(codes.max() + 1)[codes]
    gradient = shares.T @ seen / len(X) + model.coef_ / (C * len(X))
    slack = np.square(gradient).sum() * C * len(X) / 2
    assert slack < GOAL / 50, "the reference is not exact"
    return objective(model.coef_, model.intercept_, seen, codes, C) - slack


def estimated_cases():
    """Easy ones, and such as bend the preconditioner."""
    rng = np.random.default_rng(5)
    X, codes = draw(240, 40, num_classes=4)
    yield "easy", X, codes
    yield "separable", X + 4 * rng.normal(size=(4, 40))[codes], codes
    yield "a handful of large features", X * np.where(np.arange(40) < 5, 100, 1), codes
    yield "heavy tails", X * rng.standard_t(2.5, size=(240, 1)), codes
    yield "copies with other labels", np.vstack([X[:120], X[:120]]), np.r_[codes[:120], rng.permutation(codes[:120])]
    yield "by clip", *draw(60, 90, num_classes=3)


@pytest.mark.parametrize("case", list(estimated_cases()), ids=lambda case: case[0])
def test_every_certificate_of_the_fields_grid_holds(monkeypatch, case):
    """By the way of large problems, whose error is estimated and not proven: an exact reference of those would take minutes."""
    monkeypatch.setattr(path_module, "_is_small", lambda X, num_classes: False)
    monkeypatch.setattr(bases, "LEADING", 12)
    monkeypatch.setattr(newton, "DENSE", 0)
    _, X, codes = case
    X = X.astype(np.float32)
    path = fit_logistic_path(X, codes, C=FIELD)
    for number, C in enumerate(FIELD):
        reached = objective(path.weights[number], path.intercepts[number], X, codes, C)
        assert reached - least(X, codes, C) < GOAL, f"C={C:g}"
    assert path.converged.all()


def test_a_grid_may_have_gaps_copies_and_any_order():
    X, codes = draw(700, 450)
    grid = [10, 1e-4, 0.3, 1e-4, 0.2, 3, 0.25]
    path = fit_logistic_path(X, codes, C=grid)
    np.testing.assert_array_equal(path.C, grid)
    np.testing.assert_array_equal(path.weights[1], path.weights[3])
    for number, C in enumerate(grid):
        reached = objective(path.weights[number], path.intercepts[number], X, codes, C)
        alone = fit_logistic_path(X, codes, C=[C], tol=1e-7)
        assert abs(reached - objective(alone.weights[0], alone.intercepts[0], X, codes, C)) < GOAL


@pytest.mark.parametrize(
    "logs", [[0.0], [0, 5], np.arange(0, 11.1, 0.25), np.arange(0, 6, 0.545), [0, 0.1, 3, 3.1, 3.2, 9]]
)
def test_stations_are_apart_and_leave_nothing_out(logs):
    runs = stations(np.asarray(logs, float))
    assert runs[0][0] == 0
    assert runs[-1][-1] == len(logs) - 1
    for run, following in zip(runs, [*runs[1:], [len(logs)]], strict=True):
        assert following[0] == run[-1] + 1, "a run ends where the next one begins"
        for low, high in pairwise(run):
            assert high == low + 1 or logs[high] - logs[low] <= STEP
        assert (np.diff(np.asarray(logs, float)[run[0] : run[-1] + 1]) <= GAP).all()


@pytest.mark.parametrize(
    ("grid", "begun"), [(FIELD, MOST), (np.logspace(1, 5, 9), FEWEST), ([1.0], 1), ([1e-4, 10], 2)]
)
def test_easy_values_of_c_are_begun_anew_together_and_few_others(grid, begun):
    """Where the penalty is large beside what clips say; and of a run never more than has room, nor more than there are."""
    codes = np.arange(500) % 5
    problem = Problem(codes, np.full(500, 1 / 500), 1 / (np.asarray(grid) * 500))
    runs = plan(problem, 1.0, 5)
    anew = heads(runs)
    assert len(anew) == begun
    for run in runs:
        assert run.stations[: run.begun] == [number for number in anew if number in run.stations]
    assert [run.stations for run in runs] == stations(np.log10(grid))


def test_features_are_not_touched():
    X, codes = draw(300, 40)
    X.setflags(write=False)
    make_probe("logreg").fit(X, codes).predict(X)


def test_a_fit_needs_at_most_three_times_its_features():
    X, codes = draw(2000, 1000, num_classes=8)
    tracemalloc.start()
    fit_logistic_path(X, codes, C=GRID)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (peak + X.nbytes) / X.nbytes < 3


def test_too_few_steps_are_a_warning_that_says_what_to_do():
    X, codes = draw(300, 40)
    with pytest.warns(
        UserWarning, match="C=10 has not converged after .* steps: scale the features, or raise max_iter"
    ):
        make_probe("logreg", {"C": 10, "max_iter": 2}).fit(X, codes)


@pytest.mark.parametrize(("name", "value"), [("C", 0), ("C", "high"), ("tol", -1), ("max_iter", 0), ("C", np.inf)])
def test_a_parameter_out_of_range_is_named(name, value):
    X, codes = draw(60, 5)
    with pytest.raises(ProbeError, match=rf"{name} is .*, but must be a number above 0"):
        make_probe("logreg", {name: value}).fit(X, codes)


def test_fitting_and_predicting_import_no_learning_library():
    code = (
        "import sys, numpy as np; from vjepa_fer.probes import make_probe; r = np.random.default_rng(0);"
        "X, y = r.normal(size=(40, 3)), np.arange(40) % 4; make_probe('logreg').fit(X, y).predict_proba(X);"
        "assert not {'sklearn', 'scipy', 'lightgbm', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("shape", [(4, 8), (40, 3)])
def test_features_that_are_all_constant_leave_the_classes_shares(shape):
    y = np.resize(["a", "a", "a", "b"], shape[0])
    probe = make_probe("logreg").fit(np.full(shape, 3.0), y)
    np.testing.assert_allclose(probe.predict_proba(np.full((1, shape[1]), 3.0)), [[0.75, 0.25]], atol=1e-6)
    assert not probe.coef_.any()
