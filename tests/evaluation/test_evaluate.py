"""Promises of vjepa_fer.evaluation.evaluate: the test part reaches predict alone, and real features give the published table."""

import csv
from pathlib import Path

import numpy as np
import pytest

import vjepa_fer.probes
from vjepa_fer.cache import Features
from vjepa_fer.errors import ProbeError, SplitError
from vjepa_fer.evaluation import cross_validate
from vjepa_fer.experiment import Cell
from vjepa_fer.features import fit_scaler
from vjepa_fer.folds import make_folds
from vjepa_fer.probes import Probe

ACTION_UNITS = Path(__file__).resolve().parents[3] / "shared/data/ravdess/openface_au_mean.csv"


def faces(num_subjects=6, per_subject=8, dim=5, seed=0):
    """Separable features of three classes, with NaN-free noise."""
    rng = np.random.default_rng(seed)
    y = np.tile(["angry", "happy", "sad", "sad"], num_subjects * per_subject // 4)
    centre = {label: rng.normal(size=dim) * 3 for label in ("angry", "happy", "sad")}
    x = np.stack([centre[label] for label in y]) + rng.normal(size=(len(y), dim))
    subjects = np.repeat([f"s{n}" for n in range(num_subjects)], per_subject)
    return Features(x.astype(np.float32), y, subjects, np.array([f"c{n}" for n in range(len(y))]))


def judge(features, spec="subject-kfold:3", **cell):
    return cross_validate(features, make_folds(spec, features.subjects, features.y), Cell(**cell))


class Recorder(Probe):
    """A probe that remembers which rows it was shown where; rows carry their number in the first column."""

    seen: list

    def __init__(self):
        pass

    def _learn(self, training):
        self.seen.append(("fit", set(training.X[:, 0].astype(int).tolist())))

    def predict(self, x):
        self.seen.append(("predict", set(x[:, 0].astype(int).tolist())))
        return np.full(len(x), self.classes_[0])

    def predict_proba(self, x):
        return np.full((len(x), len(self.classes_)), 1 / len(self.classes_))


def test_the_test_part_is_seen_by_predict_only(monkeypatch):
    features = faces()
    features.X[:, 0] = np.arange(len(features.y))
    Recorder.seen = []
    monkeypatch.setattr(vjepa_fer.probes, "make_probe", lambda *args, **kwargs: Recorder())
    evaluation = judge(features, scale="none")
    for number, (_, test) in enumerate(evaluation.folds.split(features.subjects)):
        assert Recorder.seen[2 * number] == ("fit", set(range(len(features.y))) - set(test.tolist()))
        assert Recorder.seen[2 * number + 1] == ("predict", set(test.tolist()))


def test_every_clip_is_predicted_once_in_manifest_order():
    features = faces()
    predictions = judge(features, probe="knn", params={"k": 3}).predictions
    assert predictions.clip_ids.tolist() == features.clip_ids.tolist()
    assert predictions.classes == ("angry", "happy", "sad")
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1)
    assert np.array(predictions.classes)[predictions.truth].tolist() == features.y.tolist()
    assert predictions.confusion.sum() == predictions.confusion_by_fold.sum() == len(features.y)


def test_separable_features_are_told_apart_and_noise_is_not():
    features = faces()
    assert judge(features).scores["war"].mean > 0.9
    noise = features._replace(X=np.random.default_rng(1).normal(size=features.X.shape).astype(np.float32))
    assert judge(noise).scores["uar"].mean < 0.6


@pytest.mark.parametrize(("scale", "centre", "spread"), [("standard", np.mean, np.std), ("minmax", np.min, np.ptp)])
def test_scaling_learns_from_the_training_part_only(monkeypatch, scale, centre, spread):
    shown = []
    monkeypatch.setattr(Recorder, "seen", [])
    monkeypatch.setattr(Recorder, "fit", lambda self, x, y: shown.append(x) or setattr(self, "classes_", np.unique(y)))
    monkeypatch.setattr(vjepa_fer.probes, "make_probe", lambda *args, **kwargs: Recorder())
    features = faces()
    features.X[:8] += 1000  # one subject is far away: whoever learns from it too centres the others elsewhere
    judge(features, "loso", scale=scale)
    for x in shown:
        np.testing.assert_allclose(centre(x, axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(spread(x, axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("standard", [[-1.0, 0.0], [1.0, 0.0]]), ("minmax", [[0.0, 0.0], [1.0, 0.0]])],
)
def test_scaling_leaves_a_constant_column_at_zero(scale, expected):
    x = np.array([[1, 0.1], [3, 0.1]], np.float32)
    np.testing.assert_array_equal(fit_scaler(scale, x).apply(x), expected)


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ProbeError, match="scale 'robust' is not one of none, standard, minmax"):
        judge(faces(), scale="robust")


def test_features_that_are_not_finite_are_refused_by_clip():
    features = faces()
    features.X[3, 1] = np.nan
    with pytest.raises(ProbeError, match="1 clips have NaN or infinite features: c3"):
        judge(features)


def test_a_single_label_is_refused():
    features = faces()
    with pytest.raises(ProbeError, match="all 48 clips have the label 'sad'"):
        judge(features._replace(y=np.full(48, "sad")))


def test_a_class_that_only_the_test_part_has_is_refused():
    features = faces()
    y = np.array(["fearful"] * 8 + features.y[8:].tolist())
    with pytest.raises(SplitError, match="class fearful is tested but has no clip in the training part"):
        judge(features._replace(y=y), "loso")


def test_the_same_seed_gives_the_same_numbers():
    first, again = (judge(faces(), probe="mlp", params={"hidden": (4,)}).predictions for _ in range(2))
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


@pytest.fixture(scope="module")
def action_units():
    """The 1,440 RAVDESS speech clips with OpenFace Action Units, in file order."""
    if not ACTION_UNITS.exists():
        pytest.skip("the RAVDESS Action Units are not beside this checkout")
    with ACTION_UNITS.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    x = np.array([[float(v) for k, v in row.items() if k.startswith("AU")] for row in rows], np.float32)
    parts = [row["name"].split("-") for row in rows]
    return Features(
        x, np.array([p[2] for p in parts]), np.array([p[6] for p in parts]), np.array([r["name"] for r in rows])
    )


@pytest.mark.parametrize(
    ("probe", "params", "war"),
    [("knn", {"k": 10}, 46.80), ("knn", {"k": 20}, 49.07), ("knn", {"k": 40}, 50.20), ("svm", {"C": 1.0}, 54.88)],
)
def test_action_units_give_the_published_table_to_the_last_digit(action_units, probe, params, war):
    evaluation = judge(action_units, "ravdess-5fold", probe=probe, params=params, scale="none")
    assert f"{100 * evaluation.scores['war'].mean:.2f}" == f"{war:.2f}"


def test_action_units_with_an_mlp_land_where_it_was_published(action_units):
    evaluation = judge(action_units, "ravdess-5fold", probe="mlp", params={"hidden": (80,)}, scale="none")
    assert 57 < 100 * evaluation.scores["war"].mean < 60
