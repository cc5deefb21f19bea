"""What a column of a feature table is taken as is looked up in the manifest, and said: no probe reads the answer from its features."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score

from tables import call, draw, write_features
from vjepa_fer.cache.column_roles import telling_columns
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import import_features, without_telling_columns
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import write_manifest

NOISE = draw(separation=0.0)
FEATURES = {f"f{n}": column for n, column in enumerate(NOISE.x.T)}
NUM = len(NOISE.ids)
ORDER = np.random.default_rng(1).permutation(NUM)
TELLING = {
    "index": (np.arange(NUM), "counts the rows"),
    "Unnamed: 0": (np.arange(NUM) + 7, "counts the rows"),
    "Unnamed: 0.1": (np.r_[np.arange(40), np.arange(NUM - 40)], "counts the rows"),
    "take": (ORDER, "counts the rows"),
    "code": (NOISE.codes("y") * 2 + 3, "equals the label"),
    "smooth": (NOISE.codes("y") / 7, "equals the label"),
    "who": (NOISE.codes("subjects") + 101, "equals the subject"),
    "scene": (NOISE.codes("y") * 10 + np.arange(NUM) % 4, "determines the label"),
    "session": (NOISE.codes("subjects") * 2 + np.arange(NUM) % 2, "determines the subject"),
    "is_sad": ((NOISE.y == "sad").astype(float), "follows from the label"),
    "Emotion": (ORDER % 5, "has the name of a label"),
    "img_no": (np.arange(NUM) * 3 + ORDER % 3, "goes one way from row to row"),
    "seconds": (NUM - np.arange(NUM) * 0.37, "goes one way from row to row"),
    "second_rater": (
        np.r_[(NOISE.codes("y")[:2] + 1) % len(set(NOISE.y)), NOISE.codes("y")[2:]],
        "nearly equals the label",
    ),
    "is_train": (ORDER % 2, "has the name of a label"),
    "sentence": (NOISE.x[:, 0], "is a column of the manifest"),
}


def table_with(tmp_path, name, column, columns=("*",)):
    path = write_features(tmp_path / "f.csv", NOISE.ids, {**FEATURES, name: column})
    return read_feature_table(path, columns=columns)


@pytest.mark.parametrize("name", TELLING)
def test_a_column_that_tells_the_answer_is_no_feature(tmp_path, name):
    column, why = TELLING[name]
    table, named = without_telling_columns(table_with(tmp_path, name, column), NOISE.manifest(sentence=[0] * NUM))
    assert (table.columns, named) == (tuple(FEATURES), ())
    role = next(role for role in table.roles if role.name == name)
    assert role.taken_as == "left out"
    assert role.why.startswith(why)
    np.testing.assert_array_equal(table.values, NOISE.x.astype(np.float32))


def test_a_column_that_was_asked_for_letter_by_letter_stays_and_is_told(tmp_path):
    asked = ("f*", "code")
    table, named = without_telling_columns(table_with(tmp_path, "code", TELLING["code"][0], asked), NOISE.manifest())
    assert table.columns == (*FEATURES, "code")
    assert [str(role) for role in named] == ["code (equals the label)"]


def test_a_column_without_a_name_that_counts_nothing_is_refused(tmp_path):
    table = table_with(tmp_path, "", NOISE.x[:, 0] * 2)
    with pytest.raises(CacheError, match=r"'Unnamed: 7' is a column without a name.*--columns"):
        import_features(table, tmp_path / "cache", NOISE.manifest())


def test_a_table_of_nothing_but_answers_is_refused(tmp_path):
    path = write_features(tmp_path / "f.csv", NOISE.ids, {"emotion": NOISE.codes("y")})
    with pytest.raises(CacheError, match=r"no feature column is left: emotion \(equals the label\)"):
        import_features(read_feature_table(path), tmp_path / "cache", NOISE.manifest())


def test_arrays_are_looked_at_as_tables_are(tmp_path):
    x = np.column_stack([NOISE.x, NOISE.codes("y")])
    np.savez(tmp_path / "x.npz", clip_id=np.array(NOISE.ids), X=x)
    table, _ = without_telling_columns(read_feature_table(tmp_path / "x.npz"), NOISE.manifest())
    assert table.columns == tuple(f"X_{n}" for n in range(6))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["normal", "counts", "mostly zero", "rounded", "binary"]))
def test_features_of_every_kind_stay(seed, kind):
    rng = np.random.default_rng(seed)
    x = {
        "normal": lambda: rng.normal(size=(NUM, 8)),
        "counts": lambda: rng.poisson(8, size=(NUM, 8)),
        "mostly zero": lambda: rng.normal(size=(NUM, 8)).clip(1) - 1,
        "rounded": lambda: rng.normal(size=(NUM, 8)).round(1),
        "binary": lambda: rng.integers(0, 2, (NUM, 8)),
    }[kind]()
    assert telling_columns([f"f{n}" for n in range(8)], x.astype(np.float32), NOISE.ids, NOISE.manifest()) == {}


@pytest.mark.parametrize("name", ["", "emotion", "actor"])
def test_on_noise_the_commands_give_the_accuracy_of_noise_and_name_every_column(tmp_path, name):
    column = {"": np.arange(NUM), "emotion": NOISE.codes("y"), "actor": NOISE.codes("subjects")}[name]
    write_features(tmp_path / "f.csv", NOISE.ids, {name: column, **FEATURES})
    write_manifest(NOISE.manifest(), tmp_path / "m.csv")
    said = call("cache", "import", tmp_path / "f.csv", tmp_path / "cache", "-m", tmp_path / "m.csv").stderr
    for words in (
        "features (6): f0, f1",
        "clip ids (1): clip_id",
        "left out (1): ",
        "label is the label",
        "subject is the person",
    ):
        assert words in said
    done = call("probe", tmp_path / "cache", "--folds", "loso", "--scale", "none", "--json")
    truth = cross_val_score(
        LogisticRegression(C=1.0, max_iter=5000, tol=1e-8),
        NOISE.x,
        NOISE.y,
        groups=NOISE.subjects,
        cv=LeaveOneGroupOut(),
    )
    assert json.loads(done.stdout)["results"][0]["war"]["mean"] == pytest.approx(100 * truth.mean(), abs=0.01)
    assert "features: 6 columns of f.csv" in done.stderr


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ("mfcc_sma[1]", ["mfcc_sma[1]"]),
        ("F0*max", ["F0*max"]),
        ("mfcc_sma[*]", ["mfcc_sma[1]", "mfcc_sma[2]"]),
        ("mfcc*", ["mfcc_sma[1]", "mfcc_sma[2]", "mfcc_sma1"]),
        ("a?", ["a?"]),
    ],
)
def test_the_name_of_a_column_is_that_column_and_no_pattern(tmp_path, asked, taken):
    names = ["mfcc_sma[1]", "mfcc_sma[2]", "mfcc_sma1", "F0*max", "F0xmax", "a?", "ab"]
    path = write_features(tmp_path / "f.csv", NOISE.ids, dict.fromkeys(names, NOISE.x[:, 0]))
    assert list(read_feature_table(path, columns=[asked]).columns) == taken


def test_a_number_that_may_stand_for_missing_data_is_told(tmp_path):
    coded = NOISE.x[:, 0].copy()
    coded[[1, 5]] = -999
    write_features(
        tmp_path / "f.csv", NOISE.ids, {**FEATURES, "gaze": coded, "pitch_hz": np.abs(NOISE.x[:, 1]) * 200 + 999}
    )
    write_manifest(NOISE.manifest(), tmp_path / "m.csv")
    said = call("cache", "import", tmp_path / "f.csv", tmp_path / "cache", "-m", tmp_path / "m.csv").stderr
    assert f"gaze holds -999 in 2 of {NUM} rows, and nothing near it elsewhere: is it a word for missing data?" in said
    assert "pitch_hz holds" not in said
