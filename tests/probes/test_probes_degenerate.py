"""Small and odd problems end finite, within the tolerance that is promised or with a warning; defaults suit them, and say how."""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import answer_probes, fit_probes, make_probe
from vjepa_fer.probes.suited import network_reduction, smallest_leaf, tree_reduction
from vjepa_fer.runs import settled_words

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GRID = (1e-3, 1.0, 100.0)


@pytest.fixture(scope="module")
def soak():
    """The benchmark that does the same 3,456 + 810 times."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("soak_fits")
    finally:
        sys.path.remove(str(BENCHMARKS))


KINDS = (
    "rows of zeros",
    "all zeros",
    "copies with other labels",
    "zeros and copies",
    "constant columns",
    "one clip a class",
    "sizes from 1e-3 to 1e3",
    "outliers",
    "separable",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(6, 3), (12, 40), (40, 35)])
def test_every_logistic_objective_is_within_its_tolerance(soak, kind, shape):
    from degenerate import draw

    problems = [draw(kind, *shape, num_classes, seed) for num_classes, seed in ((2, 0), (6, 1))]
    found = soak.soak_logistic(problems, GRID)
    assert (found["broken"], found["missed in silence"], found["warned"]) == (0, 0, 0), found["failures"]
    assert found["objectives"] == len(problems) * len(GRID)


@pytest.mark.parametrize("name", ["centroid", "knn", "svm", "mlp", "lightgbm"])
@pytest.mark.filterwarnings("ignore:no tree has split", "ignore:X does not")
def test_every_other_probe_has_probabilities(soak, name):
    from degenerate import draw

    found = soak.soak_other(name, [draw(kind, 12, 40, 3, 1) for kind in KINDS])
    assert found["broken"] == 0, found["failures"]


@pytest.mark.parametrize("X", [np.zeros((600, 700), np.float32), np.full((600, 700), 7.0)], ids=["zeros", "constants"])
def test_features_that_say_nothing_give_the_prior(X):
    codes = np.arange(600) % 4
    codes[:150] = 0
    probe = make_probe("logreg").fit(X, codes)
    np.testing.assert_allclose(probe.predict_proba(X[:1])[0], np.bincount(codes) / 600, atol=1e-3)


def test_probabilities_out_of_bounds_are_refused_before_they_make_a_run():
    X = np.random.default_rng(0).normal(size=(30, 3)) * 1e200
    with np.errstate(all="ignore"):
        probe = make_probe("centroid").fit(X, np.arange(30) % 3)
        with pytest.raises(ProbeError, match=r"CentroidProbe\(\) has no probabilities for 30 of 30 clips"):
            answer_probes([probe], X)


def measures(num_clips, dim, seed=0):
    """A dozen columns that tell six classes apart, beside noise."""
    rng = np.random.default_rng(seed)
    codes = np.arange(num_clips) % 6
    told = 1.5 * rng.normal(size=(6, 12))[codes] + rng.normal(size=(num_clips, 12))
    return np.column_stack([told, rng.normal(size=(num_clips, dim - 12))]).astype(np.float32), codes


def embedding(num_clips, dim, seed=0):
    """The same spread over all columns, along a falling spectrum."""
    rng = np.random.default_rng(seed)
    codes = np.arange(num_clips) % 6
    X = (rng.normal(size=(num_clips, dim)) + 0.6 * rng.normal(size=(6, dim))[codes]) * np.arange(1, dim + 1) ** -0.55
    return (X @ np.linalg.qr(rng.normal(size=(dim, dim)))[0]).astype(np.float32), codes


@pytest.mark.parametrize("seed", range(3))
def test_trees_see_measures_as_they_are_and_embeddings_along_directions(seed):
    assert tree_reduction(*measures(300, 300, seed)) is None
    assert tree_reduction(*embedding(600, 300, seed)).num_directions == 128
    assert tree_reduction(*measures(300, 100, seed)) is None


def test_trees_on_measures_beside_noise_are_as_good_as_lightgbms_own():
    import lightgbm

    X, codes = measures(480, 200)
    ours = make_probe("lightgbm", {"n_estimators": 20}).fit(X[:300], codes[:300])
    theirs = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=15, n_jobs=1, verbosity=-1).fit(X[:300], codes[:300])
    with warnings.catch_warnings(action="ignore"):
        assert ours.score(X[300:], codes[300:]) > theirs.score(X[300:], codes[300:]) - 0.05
    assert ours.settled == {"n_components": None, "min_child_samples": 20}


@pytest.mark.parametrize(("num_clips", "leaf"), [(4, 1), (27, 2), (199, 19), (5000, 20)])
def test_a_leaf_may_hold_a_tenth_of_few_clips(num_clips, leaf):
    assert smallest_leaf(num_clips) == leaf


def test_trees_split_on_27_clips_or_say_that_they_did_not():
    X, codes = measures(27, 12)
    assert make_probe("lightgbm").fit(X, codes).trees_.num_splits > 0
    with pytest.warns(UserWarning, match=r"no tree has split 27 training clips.*min_child_samples=20 is too many"):
        make_probe("lightgbm", {"min_child_samples": 20}).fit(X, codes)


def test_a_perceptron_learns_on_directions_that_hold_what_there_is():
    X, _ = embedding(1100, 400)
    assert network_reduction(X).num_directions == 256
    assert network_reduction(X[:1000]) is None  # too few clips to know them by
    assert network_reduction(np.random.default_rng(0).normal(size=(1100, 700))) is None  # they would leave out too much


def test_a_perceptron_on_few_clips_sees_the_features_as_they_are():
    X, codes = embedding(120, 300)
    probe = make_probe("mlp", {"max_iter": 5}).fit(X, codes)
    assert probe.layers_[0].shape[0] == 300
    assert probe.settled == {"n_components": None}


def test_what_is_not_auto_is_not_settled():
    X, codes = embedding(60, 30)
    assert make_probe("mlp", {"max_iter": 2, "n_components": 10}).fit(X, codes).settled == {}
    assert make_probe("logreg").fit(X, codes).settled == {}


def test_what_became_of_auto_is_said_in_words():
    folds = [{"n_components": 128, "min_child_samples": 20}] * 4 + [{"n_components": None, "min_child_samples": 20}]
    assert settled_words(folds) == "n_components 128 in 4, none in 1 folds; min_child_samples 20"
    assert settled_words(()) == ""


class Table:
    """What a probe looks at of a data frame."""

    def __init__(self, X, columns):
        self.X, self.columns = X, columns

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.X, dtype)


@pytest.mark.parametrize("name", ["logreg", "knn", "svm", "centroid", "lightgbm"])
def test_columns_in_another_order_are_refused(name):
    X, codes = measures(60, 12)
    names = [f"AU{number:02}" for number in range(12)]
    probe = make_probe(name).fit(Table(X, names), codes)
    assert list(probe.feature_names_in_) == names
    probe.predict(Table(X, names))
    with pytest.raises(ProbeError, match="must be in the same order as they were in fit"):
        probe.predict(Table(X, names[::-1]))
    with pytest.raises(
        ProbeError, match=r"unseen at fit time:\n- other\nFeature names seen at fit time, yet now missing:\n- AU11"
    ):
        probe.predict_proba(Table(X, [*names[:-1], "other"]))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        probe.predict(X)


@pytest.mark.parametrize("name", ["logreg", "svm"])
def test_a_weight_for_a_class_that_is_not_there_is_refused(name):
    X, codes = measures(60, 12)
    with pytest.raises(
        ProbeError, match=r"class_weight names 'hapy', which no training clip is; the classes are 'c0', 'c1'"
    ):
        make_probe(name, {"class_weight": {"hapy": 2.0}}).fit(X, np.char.add("c", codes.astype(str)))


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan])
@pytest.mark.parametrize("kind", [list, lambda y: np.array(y, object)], ids=["list", "array"])
def test_a_missing_label_is_said_by_row(missing, kind):
    X, _ = measures(60, 12)
    y = ["sad", "happy"] * 30
    y[7] = y[9] = missing
    with pytest.raises(ProbeError, match=r"y holds no label in 2 of 60 rows, the first (None|nan) in row 7"):
        make_probe("centroid").fit(X, kind(y))


def test_a_budget_used_up_is_scikit_learns_warning():
    X, codes = measures(60, 12)
    for name, params in (("logreg", {"max_iter": 1, "C": 100, "tol": 1e-12}), ("mlp", {"max_iter": 2})):
        with pytest.warns(ConvergenceWarning, match="max_iter"):
            assert make_probe(name, params).fit(X, codes).n_iter_ >= 1
    with pytest.warns(ConvergenceWarning, match="2 of 2 perceptrons have used up max_iter=2 epochs"):
        fit_probes([make_probe("mlp", {"max_iter": 2}, random_state=seed) for seed in (0, 1)], X, codes)


def test_the_whole_soak_was_run_and_found_nothing():
    result = json.loads((BENCHMARKS / "soak_fits.json").read_text())
    assert (result["single"]["fits"], result["grid"]["fits"]) == (3456, 810)
    for part in ("single", "grid"):
        assert (result[part]["broken"], result[part]["missed in silence"]) == (0, 0)
        assert result[part]["largest excess"] <= result["tolerance"]
    assert all(result[name]["broken"] == 0 for name in ("mlp", "lightgbm", "svm", "knn", "centroid"))


def test_no_default_was_worse_than_its_librarys_own():
    result = json.loads((BENCHMARKS / "bench_defaults.json").read_text())
    assert result["below"] == []
    assert {cell["probe"] for cell in result["cells"]} == {"mlp", "lightgbm", "logreg", "svm", "centroid", "knn"}
