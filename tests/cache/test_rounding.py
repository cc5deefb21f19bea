"""What float32 would make one of many values is refused by its column; everything else comes in to the digit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tables import draw, write_features
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.rounding import to_float32
from vjepa_fer.errors import CacheError

FACES = draw(separation=1.2)
NUM = len(FACES.ids)


def save(tmp_path, kind, x):
    if kind == "csv":
        return write_features(tmp_path / "x.csv", FACES.ids, {f"f{n}": column for n, column in enumerate(x.T)})
    np.savez(
        tmp_path / "x.npz", clip_id=np.array(FACES.ids), X=x, columns=np.array([f"f{n}" for n in range(x.shape[1])])
    )
    return tmp_path / "x.npz"


def accuracy(x):
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return cross_val_score(model, x, FACES.y, groups=FACES.subjects, cv=LeaveOneGroupOut()).mean()


@pytest.mark.parametrize("kind", ["csv", "npz"])
@pytest.mark.parametrize("far", [1e8, -3e9, 1e12])
def test_columns_far_from_zero_are_refused_where_float32_would_lose_what_they_say(tmp_path, kind, far):
    x = FACES.x + far * np.array([0, 1, 0, 1, 0, 0])
    assert accuracy(FACES.x + far) - accuracy((FACES.x + far).astype(np.float32)) > 0.15
    with pytest.raises(CacheError, match=r"different values of f1, f3 become the same.*Subtract each column's mean"):
        read_feature_table(save(tmp_path, kind, x))


@pytest.mark.parametrize(
    "column",
    [
        2**53 + np.arange(NUM),
        np.linspace(1, 2, NUM) * 1e-60,
        np.where(np.arange(NUM) == 3, 0.0, 1e9 + np.linspace(0, 1, NUM)),
    ],
    ids=["whole numbers", "nearly nothing", "one row far off"],
)
def test_the_kind_of_number_does_not_matter(column):
    with pytest.raises(CacheError, match="different values of a become the same"):
        to_float32(column[:, None], ["a"], FACES.ids, "x.npz")


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000), st.floats(-2, 3), st.sampled_from(["normal", "zeros", "whole", "far outlier", "constant"])
)
def test_ordinary_numbers_come_in_as_numpy_rounds_them(seed, size, kind):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, 3)) * 10**size
    if kind == "zeros":
        x[rng.random(x.shape) < 0.9] = 0
    if kind == "whole":
        x = np.rint(x)
    if kind == "far outlier":
        x[7] = 1e12
    if kind == "constant":
        x[:, 1] = 1e9 + 0.3
    names = ["a", "b", "c"]
    np.testing.assert_array_equal(to_float32(x, names, ["c"] * 400, "x.csv"), x.astype(np.float32))
    np.testing.assert_array_equal(to_float32(list(x), names, ["c"] * 400, "x.csv"), x.astype(np.float32))
