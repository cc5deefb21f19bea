"""The trivial probe: what any other must beat, blind to features, and the same for a clip in any company."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import make_probe

LABELS = np.array(["sad"] * 5 + ["happy"] * 9 + ["angry"] * 2)


def features(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


@pytest.mark.parametrize("strategy", ["most_frequent", "prior"])
@pytest.mark.parametrize("weights", [None, np.linspace(3, 0.1, 16)])
def test_it_is_scikit_learns(strategy, weights):
    X = features(16)
    ours = make_probe("trivial", {"strategy": strategy}).fit(X, LABELS, sample_weight=weights)
    theirs = DummyClassifier(strategy=strategy).fit(X, LABELS, sample_weight=weights)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X))
    assert ours.predict(X).tolist() == theirs.predict(X).tolist()


def test_a_stratified_guess_keeps_the_classes_shares():
    probe = make_probe("trivial", {"strategy": "stratified"}).fit(features(16), LABELS)
    shares = probe.predict_proba(features(20_000, seed=1)).mean(axis=0)
    np.testing.assert_allclose(shares, [2 / 16, 9 / 16, 5 / 16], atol=4 * np.sqrt(0.25 / 20_000))


def test_another_seed_guesses_otherwise_and_the_same_seed_the_same():
    X = features(200, seed=2)
    guesses = [
        make_probe("trivial", {"strategy": "stratified"}, random_state=seed).fit(features(16), LABELS).predict(X)
        for seed in (0, 0, 1)
    ]
    assert (guesses[0] == guesses[1]).all()
    assert 0.2 < (guesses[0] == guesses[2]).mean() < 0.8


@given(st.permutations(range(12)))
def test_a_clips_guess_does_not_depend_on_the_others(order):
    X = features(12, seed=3)
    probe = make_probe("trivial", {"strategy": "stratified"}).fit(features(16), LABELS)
    assert (probe.predict(X[order]) == probe.predict(X)[order]).all()
    assert (probe.predict(X[:5].astype(np.float64)) == probe.predict(X)[:5]).all()


def test_another_strategy_is_refused_with_those_there_are():
    with pytest.raises(ProbeError, match=r"strategy.*most_frequent"):
        make_probe("trivial", {"strategy": "median"}).fit(features(16), LABELS)
