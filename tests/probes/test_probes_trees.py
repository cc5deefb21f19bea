"""LightGBM's trees answer from our own arrays, number for number as it does; its text from a file is read as a stranger's."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import make_probe
from vjepa_fer.probes.boosting.text import MOST_LEAVES, read_trees
from vjepa_fer.probes.saving import save_probe

TINY = np.float32(1e-35)


def draw(rng, num_clips, dim, num_classes):
    """Features with ties, zeros, numbers beside zero and a column that says nothing; labels."""
    codes = np.arange(num_clips) % num_classes
    X = rng.normal(size=(num_clips, dim)) + rng.normal(size=(num_classes, dim))[codes]
    X[:, ::3] = np.round(X[:, ::3])
    X[rng.random(X.shape) < 0.1] = 0
    near = rng.random(X.shape) < 0.05
    X[near] = rng.choice([TINY, -TINY, TINY / 3, np.nextafter(TINY, 1), -np.nextafter(TINY, 1)], size=near.sum())
    X[:, -1] = 1
    return X, codes


def questions(X, trees):
    """Rows at every threshold, and a hair beside it."""
    inner = slice(0, trees.num_splits)
    rows = np.repeat(X[:1].astype(np.float64), 3 * trees.num_splits, axis=0)
    for number, (column, threshold) in enumerate(zip(trees.features[inner], trees.thresholds[inner], strict=True)):
        beside = np.nextafter(threshold, -np.inf), threshold, np.nextafter(threshold, np.inf)
        rows[3 * number : 3 * number + 3, column] = beside
    return rows


@pytest.mark.filterwarnings("ignore:no tree has split")
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    num_classes=st.integers(2, 5),
    dim=st.integers(1, 9),
    num_clips=st.integers(20, 150),
    dtype=st.sampled_from([np.float32, np.float64]),
    params=st.fixed_dictionaries(
        {
            "n_estimators": st.integers(1, 8),
            "num_leaves": st.integers(2, 40),
            "min_child_samples": st.integers(0, 40),
            "max_bin": st.sampled_from([2, 3, 16, 63, 255]),
            "learning_rate": st.sampled_from([0.01, 0.1, 1.0, 20.0]),
            "colsample_bytree": st.sampled_from([0.3, 1.0]),
            "n_components": st.sampled_from([None, 2]),
        }
    ),
)
def test_scores_are_lightgbms_to_the_last_bit(seed, num_classes, dim, num_clips, dtype, params):
    import lightgbm

    rng = np.random.default_rng(seed)
    X, y = draw(rng, num_clips, dim, num_classes)
    X = X.astype(dtype)
    probe = make_probe("lightgbm", params).fit(X, y, sample_weight=rng.choice([0.5, 1.0, 3.0], size=num_clips))
    seen = X if probe.reduction_ is None else probe.reduction_.apply(X)
    theirs = lightgbm.Booster(model_str=probe.model_text_)
    for rows in (seen, questions(seen, probe.trees_)):
        if len(rows):
            np.testing.assert_array_equal(probe.trees_.scores(rows), theirs.predict(rows, raw_score=True))
    np.testing.assert_allclose(probe.predict_proba(X), theirs.predict(seen), rtol=1e-14)


def test_more_rows_than_go_down_at_once_get_the_same_scores():
    X, y = draw(np.random.default_rng(0), 3000, 5, 4)
    trees = make_probe("lightgbm", {"n_estimators": 20}).fit(X, y).trees_
    np.testing.assert_array_equal(trees.scores(X)[:7], trees.scores(X[:7]))
    np.testing.assert_array_equal(trees.scores(X)[-7:], trees.scores(X[-7:]))


@pytest.fixture(scope="module")
def model():
    """A text of two rounds for three classes and four features, its trees, and clips."""
    X, y = draw(np.random.default_rng(1), 90, 4, 3)
    probe = make_probe("lightgbm", {"n_estimators": 2, "num_leaves": 5, "min_child_samples": 2}).fit(X, y)
    return probe.model_text_, probe.trees_, X


def read(text):
    return read_trees(text, num_classes=3, num_features=4)


def test_the_text_that_was_fitted_reads_as_its_trees(model):
    np.testing.assert_array_equal(read(model[0]).scores(model[2]), model[1].scores(model[2]))


@pytest.mark.parametrize(
    ("pattern", "instead", "message"),
    [
        (r"^tree$", "forest", r"line 1: 'forest' is nothing that a probe's trees have"),
        (r"version=v4", "version=v5", r"line 2: version is 'v5', expected 'v4'"),
        (r"num_class=3", "num_class=-3", r"line 3: num_class is '-3', expected '3'"),
        (r"max_feature_idx=3", "max_feature_idx=4", r"line 6: max_feature_idx is '4', expected '3'"),
        (r"objective=multiclass", "objective=regression", r"line 7: objective is 'regression num_class:3'"),
        (r"num_leaves=5", "num_leaves=999999999", r"line 13: num_leaves is '999999999', expected 1 whole number from 1 to 131072"),
        (r"num_leaves=5", "num_leaves=-5", r"num_leaves is '-5', expected 1 whole number from 1"),
        (r"num_leaves=5", "num_leaves=99999999999999999999", r"num_leaves is '9+', expected 1 whole number"),
        (r"num_leaves=5", f"num_leaves={MOST_LEAVES}", r"decision_type is .*, expected 131071 whole numbers"),
        (r"num_leaves=5", "num_leaves=٥", r"num_leaves is '٥'"),
        (r"num_cat=0", "num_cat=1", r"num_cat is '1', expected '0'"),
        (r"is_linear=0", "is_linear=1", r"is_linear is '1', expected '0'"),
        (r"is_linear=0", "is_linear=0\nleaf_const=1", r"line 28: 'leaf_const' is nothing that"),
        (r"Tree=1", "Tree=7", r"Tree is '7', expected '1'"),
        (r"decision_type=2", "decision_type=1", r"decision_type is '1 2 2 2', expected 0 or 2 alone: splits of numbers"),
        (r"decision_type=2", "decision_type=10", r"decision_type is '10 2 2 2'"),
        (r"split_feature=\d", "split_feature=4", r"split_feature is '4 .*', expected 4 whole numbers from 0 to 3"),
        (r"split_feature=\d", "split_feature=-1", r"split_feature is '-1 .*', expected 4 whole numbers from 0 to 3"),
        (r"threshold=\S+", "threshold=nan", r"line 17: threshold is 'nan .*', expected 4 finite numbers"),
        (r"threshold=\S+", "threshold=1e999", r"threshold is '1e999 .*', expected 4 finite numbers"),
        (r"threshold=\S+", "threshold=1_0", r"threshold is '1_0 .*', expected 4 finite numbers"),
        (r"threshold=\S+ ", "threshold=", r"threshold is .*, expected 4 finite numbers"),
        (r"leaf_value=\S+", "leaf_value=inf", r"leaf_value is 'inf .*', expected 5 finite numbers"),
        (r"leaf_value=", "leaf_value=0 ", r"leaf_value is '0 .*, expected 5 finite numbers"),
        (r"left_child=\S+", "left_child=0", r"model\.txt: Tree=0 is none: a leaf or split does not hang once"),
        (r"left_child=\S+", "left_child=3", r"model\.txt: Tree=0 is none: a leaf or split does not hang once"),
        (r"left_child=\S+", "left_child=9", r"left_child is '9 .*', expected 4 whole numbers from -5 to 3"),
        (r"right_child=\S+", "right_child=-6", r"right_child is '-6 .*', expected 4 whole numbers from -5 to 3"),
        (r"num_cat=0\n", "", r"line 12: 'num_cat' is missing; expected Tree, num_leaves"),
        (r"num_cat=0\n", "num_cat=0\nnum_cat=0\n", r"line 14: num_cat is '0', expected no second 'num_cat' as there is in line 15"),
        (r"num_cat=0\n", "num_cat=0\ntree_sizes=1\n", r"'tree_sizes' does not belong here"),
        (r"num_cat=0\n", "num_cat=0\n\n", r"line 12: 'num_cat' is missing|'split_feature' is missing"),
        (r"feature_infos=\S+", "feature_infos=none none", r"feature_infos is .*, expected something of each of 4 features"),
        (r"end of trees", "end of tree", r"'end of tree' is nothing"),
        (r"end of trees(.|\n)*", "", r"model\.txt: ends before 'end of trees'"),
        (r"Tree=5(.|\n)*end of trees", "end of trees", r"5 trees do not make rounds of 3, one a class"),
        (r"Tree=0(.|\n)*end of trees", "end of trees", r"0 trees do not make rounds of 3"),
        (r"(.|\n)*", "", r"model\.txt: 'tree' is missing"),
    ],
)  # fmt: skip
def test_a_line_that_lightgbm_would_not_write_is_refused_by_number(model, pattern, instead, message):
    changed = re.sub(pattern, instead, model[0], count=1, flags=re.MULTILINE)
    assert changed != model[0]
    with pytest.raises(ProbeError, match=message):
        read(changed)


def circle(text, rng):
    """A child that hangs from where it should not."""
    lines = text.split("\n")
    at = rng.choice([n for n, line in enumerate(lines) if re.match(r"(left|right)_child=.* ", line)])
    name, _, children = lines[at].partition("=")
    each = children.split(" ")
    each[rng.integers(len(each))] = str(rng.integers(-6, 5))
    lines[at] = f"{name}={' '.join(each)}"
    return "\n".join(lines)


def line_gone_or_twice(text, rng):
    lines = text.split("\n")
    at = rng.integers(lines.index("end of trees") + 1)
    lines[at : at + 1] = [lines[at]] * int(rng.choice([0, 2, 50]))
    return "\n".join(lines)


def other_number(text, rng):
    numbers = list(re.finditer(r"(?<=[= ])-?[0-9.]+(e-?\d+)?(?=[ \n])", text[: text.index("end of trees")]))
    match = numbers[rng.integers(len(numbers))]
    words = [
        "0",
        "-1",
        "2147483647",
        "-2147483648",
        "9" * 40,
        "1e308",
        "-1e308",
        "1e999",
        "nan",
        "-inf",
        "0x1p3",
        "٣",
        "",
        " ",
        "1 1",
    ]
    return text[: match.start()] + str(rng.choice(words)) + text[match.end() :]


def other_character(text, rng):
    at = rng.integers(text.rindex("is_linear"))
    return text[:at] + str(rng.choice(list("0123456789-+.e =\n\r\0é\u2028∞_x"))) + text[at + int(rng.integers(2)) :]


@pytest.mark.parametrize("alter", [circle, line_gone_or_twice, other_number, other_character])
def test_an_altered_text_is_refused_or_gives_finite_scores(model, alter):
    text, _, X = model
    rng, refused = np.random.default_rng(5), 0
    for _ in range(250):
        altered = text
        for _ in range(rng.integers(1, 4)):
            altered = alter(altered, rng)
        try:
            scores = read(altered).scores(X)
        except ProbeError:
            refused += 1
            continue
        assert scores.shape == (90, 3)
        assert np.isfinite(scores).all()
    assert refused > 50


def chain(num_leaves):
    """The deepest tree of so many leaves, as text: every split has a leaf on its left."""
    splits = num_leaves - 1
    left, right = [~n for n in range(splits)], [*range(1, splits), ~splits][:splits]
    fields = {
        "num_leaves": num_leaves, "num_cat": 0, "split_feature": " ".join(["0"] * splits), "split_gain": "",
        "threshold": " ".join(map(str, range(splits))), "decision_type": " ".join(["2"] * splits),
        "left_child": " ".join(map(str, left)), "right_child": " ".join(map(str, right)),
        "leaf_value": " ".join(map(str, range(num_leaves))), "leaf_weight": "", "leaf_count": "", "internal_value": "",
        "internal_weight": "", "internal_count": "", "is_linear": 0, "shrinkage": 1,
    }  # fmt: skip
    return "\n".join(f"{name}={value}" for name, value in fields.items())


def test_the_deepest_tree_there_may_be_is_gone_down_to_its_end(model):
    header = model[0][: model[0].index("Tree=0")]
    text = header + "\n\n".join(f"Tree={n}\n{chain(20_000 if n else 1)}" for n in range(3)) + "\n\nend of trees\n\n"
    scores = read(text).scores(np.array([[-1.0, 0, 0, 0], [700.5, 0, 0, 0], [1e9, 0, 0, 0]]))
    assert scores.tolist() == [[0, 0, 0], [0, 701, 701], [0, 19_999, 19_999]]


def test_a_number_of_leaves_that_are_not_there_takes_no_memory(model):
    text = (
        model[0]
        .replace("num_leaves=5", f"num_leaves={MOST_LEAVES}")
        .replace("leaf_weight=", "leaf_weight=" + "1 " * 10**6)
    )
    tracemalloc.start()
    with pytest.raises(ProbeError, match="expected 131071 whole numbers"):
        read(text)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_lightgbm_never_sees_a_text_from_a_file(tmp_path):
    X, y = draw(np.random.default_rng(2), 60, 4, 3)
    save_probe(make_probe("lightgbm", {"n_estimators": 2}).fit(X, y), tmp_path / "probe")
    code = (
        "import sys, numpy as np; from vjepa_fer.probes.saving import load_probe\n"
        "load_probe(sys.argv[1]).predict_proba(np.zeros((5, 4))); assert 'lightgbm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "probe"], check=True)
