"""Boosted trees are deterministic and see principal directions of the training clips alone."""

from __future__ import annotations

import numpy as np
import pytest

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import make_probe
from vjepa_fer.probes.reduction import fit_reduction


def draw(num_clips, dim, seed=0):
    """Features whose classes lie along a direction that is spread over all columns."""
    rng = np.random.default_rng(seed)
    codes = np.arange(num_clips) % 3
    mixing = np.linalg.qr(np.random.default_rng(9).normal(size=(dim, dim)))[0]
    X = rng.normal(size=(num_clips, dim)) * np.arange(1, dim + 1) ** -0.7
    X[:, :3] += 1.5 * np.eye(3)[codes]
    return (X @ mixing).astype(np.float32), codes


@pytest.mark.parametrize("shape", [(300, 40), (900, 500), (60, 200)], ids=["few", "many", "more than clips"])
def test_directions_are_the_principal_ones(shape):
    X, _ = draw(*shape)
    reduced = fit_reduction(X, 8).apply(X)
    centred = (X - X.mean(axis=0)).astype(np.float64)
    kept = np.square(np.linalg.svd(centred, compute_uv=False)[:8]).sum()
    assert np.square(reduced, dtype=np.float64).sum() > 0.999 * kept
    np.testing.assert_allclose(reduced.mean(axis=0), 0, atol=1e-4)
    directions = fit_reduction(X, 8).directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(8), atol=1e-4)


@pytest.mark.parametrize("number", [None, 40, 100])
def test_no_more_directions_than_asked_for_leave_features_alone(number):
    assert fit_reduction(draw(50, 40)[0], number) is None


def test_the_number_of_threads_does_not_change_a_number():
    X, y = draw(200, 200)
    one, two = (make_probe("lightgbm", {"n_jobs": n, "n_estimators": 20}).fit(X, y).predict_proba(X) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_clips_without_weight_count_for_nothing():
    X, y = draw(200, 200)
    weights = np.where(np.arange(200) < 150, 2.0, 0.0)
    far = np.where(weights[:, None] > 0, X, X + 100)
    weighted = make_probe("lightgbm", {"n_estimators": 20}).fit(far, y, sample_weight=weights)
    alone = make_probe("lightgbm", {"n_estimators": 20}).fit(X[:150], y[:150], sample_weight=weights[:150])
    np.testing.assert_array_equal(weighted.predict_proba(X), alone.predict_proba(X))


@pytest.mark.parametrize(("name", "value"), [("n_estimators", 0), ("num_leaves", 1), ("n_components", -3)])
def test_a_parameter_out_of_range_is_named(name, value):
    with pytest.raises(ProbeError, match=f"{name} is {value}, but must be a whole number of at least"):
        make_probe("lightgbm", {name: value}).fit(*draw(60, 5))
