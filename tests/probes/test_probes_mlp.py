"""Networks trained side by side end where they end alone; early stopping holds out whole subjects of the training clips."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import fit_probes, make_probe
from vjepa_fer.probes import perceptron as networks


def draw(num_clips=240, dim=20, seed=0):
    rng = np.random.default_rng(seed)
    codes, subjects = np.arange(num_clips) % 4, np.arange(num_clips) // 4 % 12
    means = np.random.default_rng(7).normal(size=(4, dim))
    X = (
        rng.normal(size=(num_clips, dim))
        + 0.5 * means[codes]
        + np.random.default_rng(8).normal(size=(12, dim))[subjects]
    )
    return X.astype(np.float32), codes, subjects


def test_configurations_and_seeds_together_end_where_they_end_alone():
    X, y, _ = draw()
    settings = [{"alpha": a, "learning_rate_init": r} for a in (1e-4, 1.0) for r in (1e-3, 3e-2)]
    together = [
        make_probe("mlp", {"max_iter": 60, "tol": 1e-2, **s}, random_state=seed) for seed in (0, 1) for s in settings
    ]
    fit_probes(together, X, y)
    for probe in together:
        alone = make_probe("mlp", probe.get_params()).fit(X, y)
        assert alone.n_iter_ == probe.n_iter_
        np.testing.assert_allclose(probe.predict_proba(X), alone.predict_proba(X), atol=2e-3)
    assert len({probe.n_iter_ for probe in together}) > 1  # some left the stack before others


@pytest.mark.parametrize("early", [True, False])
def test_how_many_are_stacked_changes_nothing(monkeypatch, early):
    X, y, _ = draw()
    rates = (1e-3, 3e-3, 1e-2, 3e-2, 1e-3)
    several = [
        [
            make_probe("mlp", {"learning_rate_init": r, "max_iter": 30, "early_stopping": early, "tol": 1e-2})
            for r in rates
        ]
        for _ in "abc"
    ]
    for probes, most in zip(several, (1, 8_000, 10**9), strict=True):  # one, two or three, all five
        monkeypatch.setattr(networks, "MOST_STACKED", most)
        fit_probes(probes, X, y)
    for one, *others in zip(*several, strict=True):
        for other in others:
            assert one.n_iter_ == other.n_iter_
            np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), atol=2e-3)


def test_from_equal_weights_and_batches_it_ends_where_scikit_learns_does(monkeypatch):
    X, y, _ = draw(120)
    X = X.astype(np.float64)
    theirs = MLPClassifier(16, alpha=0.1, batch_size=120, max_iter=25, tol=0, random_state=3)
    first = MLPClassifier(16, alpha=0.1, batch_size=120, max_iter=1, learning_rate_init=1e-300, random_state=3)
    with pytest.warns(Warning, match="Maximum iterations"):
        theirs.fit(X, y)
    with pytest.warns(Warning, match="Maximum iterations"):
        first.fit(X, y)
    start = [part for pair in zip(first.coefs_, first.intercepts_, strict=True) for part in pair]
    start = [part if part.ndim == 2 else part[None] for part in start]
    monkeypatch.setattr(networks, "_initial_layers", lambda sizes, seed, dtype: [part.copy() for part in start])
    ours = make_probe("mlp", {"hidden_layer_sizes": 16, "alpha": 0.1, "batch_size": 120, "max_iter": 25, "tol": 0})
    np.testing.assert_allclose(ours.fit(X, y).predict_proba(X), theirs.predict_proba(X), atol=1e-8)


def test_several_hidden_layers_learn():
    X, y, _ = draw()
    assert make_probe("mlp", {"hidden_layer_sizes": (32, 16)}).fit(X, y).score(*draw(seed=1)[:2]) > 0.7


def test_early_stopping_trains_on_no_clip_of_a_held_out_subject(monkeypatch):
    X, y, subjects = draw()
    seen = {}
    real = networks.train_networks

    def record(features, codes, num_classes, several, training):
        seen["train"], seen["held out"] = training.train, training.held_out
        return real(features, codes, num_classes, several, training)

    monkeypatch.setattr("vjepa_fer.probes.mlp.train_networks", record)
    make_probe("mlp", {"early_stopping": True, "validation_fraction": 0.25}).fit(X, y, groups=subjects)
    assert len(set(subjects[seen["held out"]])) == 3
    assert not set(subjects[seen["held out"]]) & set(subjects[seen["train"]])
    assert len(seen["train"]) + len(seen["held out"]) == len(X)


def test_early_stopping_goes_back_to_its_best_epoch():
    X, y, subjects = draw()
    settings = {"early_stopping": True, "n_iter_no_change": 15, "learning_rate_init": 0.02}
    patient = make_probe("mlp", settings).fit(X, y, groups=subjects)
    assert patient.n_iter_ > 16
    best = make_probe("mlp", {**settings, "max_iter": patient.n_iter_ - 16}).fit(X, y, groups=subjects)
    np.testing.assert_array_equal(patient.predict_proba(X), best.predict_proba(X))


def test_the_reduction_sees_training_clips_only_and_none_held_out():
    X, y, subjects = draw(dim=60)
    settings = {"early_stopping": True, "n_components": 10, "max_iter": 5, "validation_fraction": 0.25}
    plain = make_probe("mlp", settings).fit(X, y, groups=subjects)
    held = np.isin(subjects, np.random.default_rng(0).permutation(12)[:3])
    moved = np.where(held[:, None], X + 50, X).astype(np.float32)
    again = make_probe("mlp", settings).fit(moved, y, groups=subjects)
    np.testing.assert_array_equal(plain.reduction_.directions, again.reduction_.directions)


def test_too_few_subjects_to_hold_one_out_are_refused():
    X, y, _ = draw()
    with pytest.raises(ProbeError, match="holds out 1 of 1 subjects, which leaves some class without"):
        make_probe("mlp", {"early_stopping": True}).fit(X, y, groups=np.zeros(len(y)))
    with pytest.raises(ProbeError, match="groups has 10 entries, but X has 240 rows"):
        make_probe("mlp", {"early_stopping": True}).fit(X, y, groups=np.zeros(10))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": -1}, "alpha is -1, but must be a number of at least 0"),
        ({"hidden_layer_sizes": (8, 0)}, "hidden_layer_sizes is 0, but must be a whole number of at least 1"),
        ({"batch_size": "large"}, "batch_size is 'large'"),
        ({"validation_fraction": 1.5}, "validation_fraction is 1.5, but must be below 1"),
    ],
)
def test_a_parameter_out_of_range_is_named(params, message):
    with pytest.raises(ProbeError, match=message):
        make_probe("mlp", params).fit(*draw()[:2])


def test_clips_cannot_be_weighed():
    with pytest.raises(ProbeError, match="MLPProbe cannot weigh clips"):
        fit_probes([make_probe("mlp")], *draw()[:2], sample_weight=np.ones(240))
