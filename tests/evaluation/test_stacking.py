"""Promises of stacking: it sees neither the test part nor what a probe says of clips that it knows, and weighs streams by what they are worth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from vjepa_fer.cache import Features
from vjepa_fer.errors import SplitError
from vjepa_fer.evaluation import Study, Task, evaluate, fit_predict, fit_stacker, out_of_fold, stacking
from vjepa_fer.evaluation.stacking import FLOOR
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.folds import Split, make_folds

CELLS = [Cell(scale="standard"), Cell(params={"C": 0.01}, scale="standard")]
BLOCKS = (slice(0, 6), slice(6, 46))
"""A stream that tells the labels, and one of noise that is wide enough to be learnt by heart."""


def drawn(*, num_subjects=10, num_clips=9, labels="abc", seed=0):
    rng = np.random.default_rng(seed)
    names = np.array(list(labels))
    y = np.tile(names, num_subjects * num_clips // len(names))
    means = 1.2 * rng.standard_normal((len(names), 6))
    x = np.concatenate(
        [means[np.searchsorted(names, y)] + rng.standard_normal((len(y), 6)), rng.standard_normal((len(y), 40))], axis=1
    )
    subjects = np.repeat([f"s{n:02}" for n in range(num_subjects)], num_clips)
    return Features(x.astype(np.float32), y, subjects, np.array([f"c{n:03}" for n in range(len(y))]))


def study(features, **more):
    folds = make_folds("subject-kfold:5", drawn().subjects, drawn().y, 0)
    protocol = Protocol(inner_folds=4)
    return Study(features, tuple(folds.rows(features)), folds, protocol, None, BLOCKS, stacked=True, **more)


def streams(features):
    return [features._replace(X=features.X[:, block]) for block in BLOCKS]


def poisoned(features, split):
    """Other labels and wild features for the test part of a fold."""
    rng = np.random.default_rng(9)
    x, y = features.X.copy(), features.y.copy()
    x[split.test], y[split.test] = 1e4 * rng.standard_normal(x[split.test].shape), rng.permutation(y[split.test])
    return features._replace(X=x, y=y)


def same_but_for_the_test_part(make):
    """Whether what is fitted is the same, bit by bit, when the test part is poisoned."""
    plain = make(drawn())
    bad = make(poisoned(drawn(), study(drawn()).splits[1]))
    return plain == bad


def fitted_for_fold_1(features):
    decided = study(features).run(Task(tuple(CELLS), 1)).decided
    hits = study(features).run(Task(tuple(CELLS), 1, 3)).hits
    return [one.stacker for one in decided], hits.tolist()


def test_stacker_inner_folds_and_choice_are_the_same_whatever_the_test_fold_holds():
    assert same_but_for_the_test_part(fitted_for_fold_1)


def test_every_probe_and_scaling_is_the_same_bit_by_bit_whatever_the_test_fold_holds(monkeypatch):
    kept, fit = [], evaluate.fit_cells

    def keep(*given):
        scaler, probes = fit(*given)
        kept[-1] += [scaler.offset.tobytes(), scaler.factor.tobytes(), *(probe.coef_.tobytes() for probe in probes)]
        return scaler, probes

    monkeypatch.setattr(evaluate, "fit_cells", keep)
    for features in (drawn(), poisoned(drawn(), study(drawn()).splits[1])):
        kept.append([])
        study(features).run(Task(tuple(CELLS), 1))
    assert len(kept[0]) == 4 * 2 * (
        4 + 1
    )  # a scaling and two probes, on two streams, of four inner folds and the whole
    assert kept[0] == kept[1]


def test_that_test_fails_where_the_stacker_sees_the_test_fold(monkeypatch):
    def peeking(features, train, num_folds, *, seed, where):
        everyone = np.arange(len(features.y))
        return [Split(everyone, train)]

    monkeypatch.setattr(stacking, "inner_splits", peeking)
    assert not same_but_for_the_test_part(fitted_for_fold_1)


def test_what_is_said_of_test_clips_follows_their_features_and_no_label_of_theirs():
    features, split = drawn(), study(drawn()).splits[1]
    other = features._replace(y=poisoned(features, split).y)
    first, second = (study(one).run(Task(tuple(CELLS), 1)).decided for one in (features, other))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.probabilities, two.probabilities)


def relabelled(features, subject):
    """The subject's own labels in another order, so that inner folds stay what they are."""
    y, own = features.y.copy(), features.subjects == subject
    y[own] = np.roll(y[own], 1)
    return features._replace(y=y)


def changes_with_its_own_labels(features, subject="s04"):
    """Whether what is said of a training subject out of fold depends on that subject's labels."""
    train, own = np.arange(len(features.y)), features.subjects == subject
    how = {"seed": 0, "num_folds": 4, "where": "here"}
    before, after = (
        out_of_fold(streams(one), train, CELLS, **how) for one in (features, relabelled(features, subject))
    )
    return not np.array_equal(before[:, :, own], after[:, :, own])


def in_fold(features, train, num_folds, *, seed, where):
    """Inner folds whose probes know the clips that they are asked about."""
    return [Split(train, train)]


def test_no_probe_knows_the_clips_that_it_is_asked_about(monkeypatch):
    assert not changes_with_its_own_labels(drawn())
    monkeypatch.setattr(stacking, "inner_splits", in_fold)
    assert changes_with_its_own_labels(drawn())


def share_of_noise():
    return study(drawn()).run(Task((Cell(params={"C": 100.0}),), 0)).decided[0].stacker["shares"][1]


def test_a_stream_of_noise_counts_little_unless_its_probe_is_asked_about_what_it_has_learnt_by_heart(monkeypatch):
    honest = share_of_noise()
    monkeypatch.setattr(stacking, "inner_splits", in_fold)
    assert honest < 0.3 < 0.45 < share_of_noise()


def test_it_is_the_logistic_regression_of_scikit_learn_on_logarithms_that_are_out_of_fold():
    features = drawn()
    split = study(features).splits[0]
    (said, *_) = out_of_fold(streams(features), split.train, CELLS[:1], seed=0, num_folds=4, where="here")
    theirs = LogisticRegression(tol=1e-10, max_iter=5000)
    theirs.fit(np.log(np.maximum(np.concatenate(said, axis=1), FLOOR)), features.y[split.train])
    answers = [fit_predict(part, split, CELLS[:1], 0)[0].probabilities for part in streams(features)]
    expected = theirs.predict_proba(np.log(np.maximum(np.concatenate(answers, axis=1), FLOOR)))
    (decided,) = study(features).run(Task((CELLS[0],), 0)).decided
    np.testing.assert_allclose(decided.probabilities, expected, atol=2e-3)
    np.testing.assert_array_equal(decided.labels, theirs.classes_[expected.argmax(axis=1)])
    np.testing.assert_allclose(np.concatenate(decided.stacker["weights"], axis=1), theirs.coef_, atol=5e-2)


def test_a_class_that_an_inner_training_part_lacks_is_said_with_probability_0_and_learnt_all_the_same():
    features = drawn(num_subjects=4)
    rare = features._replace(y=np.where((features.y == "c") & (features.subjects != "s03"), "b", features.y))
    train = np.arange(len(rare.y))
    said = out_of_fold(streams(rare), train, CELLS[:1], seed=0, num_folds=4, where="here")
    own = rare.subjects == "s03"
    assert (said[:, :, own, 2] == 0).all()
    assert (said[:, :, ~own, 2] > 0).any()
    np.testing.assert_allclose(said.sum(axis=3), 1)
    assert fit_stacker(said[0], rare.y).probe.classes_.tolist() == ["a", "b", "c"]


def test_two_classes_have_one_score():
    said = np.random.default_rng(0).dirichlet([1, 1], size=(3, 40))
    one = fit_stacker(said, np.where(said[0, :, 0] > 0.5, "a", "b")).to_dict(2)
    assert np.shape(one["weights"]) == (3, 1, 2)
    assert np.shape(one["intercepts"]) == (1,)
    assert max(one["shares"]) == one["shares"][0]
    assert sum(one["shares"]) == pytest.approx(1)


def test_too_few_subjects_are_said_with_what_to_do():
    features = drawn(num_subjects=2)
    how = {"seed": 0, "num_folds": 4, "where": "fold 1 of loso"}
    with pytest.raises(SplitError, match=r"fold 1 of loso: its training part has one subject.*--fusion late"):
        out_of_fold(streams(features), np.flatnonzero(features.subjects == "s00"), CELLS, **how)
    apart = features._replace(y=np.where(features.subjects == "s00", "a", "b"))
    with pytest.raises(SplitError, match=r"fold 1 of loso: an inner fold.*leaves clips of '[ab]' alone"):
        out_of_fold(streams(apart), np.arange(len(apart.y)), CELLS, **how)


def test_it_is_the_same_every_time():
    first, again = (study(drawn()).run(Task(tuple(CELLS), 2)).decided for _ in range(2))
    assert [one.stacker for one in first] == [one.stacker for one in again]
    assert dataclasses.replace(study(drawn()), stacked=False).run(Task(tuple(CELLS), 2)).decided[0].stacker is None
