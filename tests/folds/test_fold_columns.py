"""Promises about columns of folds: words for parts make a split, unknown ones are refused, and folds keep their names everywhere."""

import csv
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from typer.testing import CliRunner

from test_cli_probe import call, call_json
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.cli.main import app
from vjepa_fer.errors import SplitError
from vjepa_fer.folds import folds_from_json, folds_to_json, plan_folds
from vjepa_fer.folds.columns import EITHER, TEST, TRAIN, VALIDATION
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.report import gather_numbers, render_page


def manifest(values, column="part"):
    clips = (Clip(f"c{n}", "", "ab"[n % 2], f"s{n}", {column: value}) for n, value in enumerate(values))
    return Manifest(clips=tuple(clips))


def plan(values, column="part"):
    study = manifest(values, column)
    return plan_folds(f"column:{column}", study, study.clips)


@pytest.mark.parametrize(
    ("words", "tested", "note"),
    [
        (["train", "devel", "test"], "c2", "the validation part (1 clips) is neither trained on nor tested"),
        (["Training", "PublicTest", "PrivateTest"], "c2", "the validation part"),
        (["TRAIN", "Private Test", "public_test"], "c1", "the validation part"),
        (["train", "eval", "eval"], "c1 c2", "no clip is marked test, so the part kept for evaluation is tested"),
        (["train", "hold-out", "held_out"], "c1 c2", "no clip is marked test"),
        (["train", "dev", "eval"], "c2", "the validation part"),
        (["train", "eval", "test"], "c2", "the part kept for evaluation (1 clips) is neither"),
        (["learn", "valid", "tst"], "c2", "the validation part"),
        (["trn", "nan", "tst"], "c2", "1 clips are in no fold"),
        (["tr", "va", "te"], "c2", "the validation part"),
        (["Training set", "dev-set", "test_set"], "c2", "the validation part"),
    ],
)
def test_words_for_parts_make_one_fold(words, tested, note):
    folds = plan(words)
    assert folds.train_clips == (("c0",),)
    assert folds.test_clips == (tuple(tested.split()),)
    assert note in folds.note


@pytest.mark.parametrize(
    "words",
    [
        ("Entraînement", "validation", "essai"),
        ("Trainingsdaten", "Validierung", "Testdaten"),
        ("entrenamiento", "validación", "prueba"),
        ("treino", "validac\u0327a\u0303o", "teste"),
        ("训练集", "验证集", "测试集"),
        ("学習", "検証", "テスト"),
    ],
)
def test_words_of_other_languages_are_parts_too(words):
    folds = plan(words)
    assert (folds.train_clips, folds.test_clips) == ((("c0",),), (("c2",),))


@pytest.mark.parametrize(
    ("column", "words"),
    [("partition", "012"), ("split", "123"), ("Set", "12"), ("phase", ["fit", "predict"]), ("subset", ["in", "out"])],
)
def test_a_column_called_a_split_says_which_part_is_trained_on(column, words):
    with pytest.raises(SplitError, match=r"do not say which clips are trained on.* call the column fold"):
        plan([*words], column)
    assert plan([*words], "fold").names == tuple(sorted(words))


@pytest.mark.parametrize(("column", "words"), [("set", ["fold 1", "fold 2"]), ("split", "12345"), ("Set", "AB")])
def test_a_column_called_a_split_may_hold_folds(column, words):
    assert plan([*words], column).names == tuple(words)


@pytest.mark.parametrize("words", [("fold 1", "fold_1", "fold 2"), ("Fold1", "fold-1"), ("far east", "far_east")])
def test_fold_names_that_are_parted_otherwise_are_one(words):
    with pytest.raises(SplitError, match=r"fold names .* \(1 clips\) and .* differ only in what stands between"):
        plan(words)


@settings(max_examples=60, deadline=None)
@given(
    train=st.sampled_from(TRAIN),
    other=st.sampled_from((*VALIDATION, *TEST, *EITHER)),
    change=st.sampled_from([str.upper, str.title, lambda word: f" {word} ", lambda word: f"{word}\u200b"]),
)
def test_a_column_with_a_word_for_training_never_trains_on_another_part(train, other, change):
    folds = plan([change(train), other, change(other), train])
    assert (folds.train_clips, folds.test_clips) == ((("c0", "c3"),), (("c1", "c2"),))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["Train", "Test1", "Test2"],
            "'Test1' .* call that one test which is to be tested, and leave the others empty",
        ),
        (["train", "tets", "train"], r"'tets' \(1 clips, such as c1\) is none that is known; did you mean 'test'"),
        (["train", "test", "other"], "'other' .* none that is known"),
        (["train1", "train2", "test"], "'train1' .* none that is known; did you mean 'train'"),
        (["rest", "test", "rest"], "'rest' .* none that is known"),
        (["test_a", "test_b", "a"], "'test_a' .* none that is known"),
        (["True", "False", "True"], "do not say which clips are trained on"),
        (["yes", "no", "no"], "do not say which clips are trained on"),
        (["dev", "test", "test"], "fold 0 trains on no clip"),
        (["1", "1.0", "2"], "fold names '1' and '1.0' differ only in spelling"),
        (["fold a", "Fold  A", "b"], "differ only in spelling"),
        (["1", "1", "1"], "1 different values"),
        (["-1", "-1", "-1"], "1 different values"),
    ],
)
def test_a_column_that_says_no_folds_is_refused(words, message):
    with pytest.raises(SplitError, match=message):
        plan(words)


@pytest.mark.parametrize("column", ["is_train", "test", "split"])
def test_a_zero_or_one_under_the_name_of_a_part_is_no_fold(column):
    with pytest.raises(SplitError, match="'0' and '1' do not say which clips are trained on"):
        plan(["0", "1", "0"], column)
    assert plan(["0", "1", "0"], "fold").names == ("0", "1")


def test_languages_are_folds():
    assert plan(["tr", "de", "te"]).names == ("de", "te", "tr")


def test_folds_of_a_file_in_another_spelling_are_refused_by_both(tmp_path):
    (tmp_path / "f.json").write_text(
        folds_to_json(plan(["1", "2", "2"])).replace('"c2"', '"C02"').replace('"sha256"', '"was"')
    )
    study = manifest(["1", "2", "2"])
    with pytest.raises(
        SplitError, match="the clip 'C02' in the folds and 'c2' in the manifest differ only in spelling"
    ):
        plan_folds(f"file:{tmp_path / 'f.json'}", study, study.clips)


@settings(max_examples=40, deadline=None)
@given(
    tested=st.lists(st.integers(-1, 12), min_size=3, max_size=20).filter(lambda t: len({*t} - {-1}) > 1 or {*t} > {-1})
)
def test_numbers_are_scikit_learns_predefined_split(tested):
    folds = plan(list(map(str, tested)), "fold")
    expected = PredefinedSplit(tested)
    assert folds.fold_names == tuple(map(str, sorted({*tested} - {-1})))
    for train, test, (train_rows, test_rows) in zip(folds.train_clips, folds.test_clips, expected.split(), strict=True):
        assert set(train) == {f"c{row}" for row in train_rows}
        assert set(test) == {f"c{row}" for row in test_rows}


def test_folds_with_names_read_back_equal_from_a_file():
    folds = plan(["10", "fold 9", "5", "1", "10"])
    assert folds.names == ("1", "5", "10", "fold 9")
    assert folds_from_json(folds_to_json(folds), "f.json") == folds


FOLDS = list(itertools.islice(itertools.cycle(["5", "10", "1"]), 36))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on folds 1, 5 and 10 with its folder, features and labels."""
    folder, random = tmp_path_factory.mktemp("folds"), np.random.default_rng(0)
    labels = np.array(["sad", "happy", "angry"])[np.arange(36) // 3 % 3]
    x = (random.normal(size=(36, 4)) + (labels == "sad")[:, None]).astype(np.float32)
    clips = [
        Clip(f"c{n:02d}", "", y, f"s{n % 12}", {"part": f}) for n, (y, f) in enumerate(zip(labels, FOLDS, strict=True))
    ]
    table = FeatureTable(tuple(c.clip_id for c in clips), ("a", "b", "c", "d"), x, "f.csv", "0" * 64)
    import_features(table, folder / "cache", Manifest(tuple(clips)))
    (result,) = call_json("probe", folder / "cache", "--folds", "column:part", "--out", folder / "runs")["results"]
    return folder / "runs" / "logreg-mean-standard", result, x, labels


def test_figures_of_named_folds_are_scikit_learns_in_natural_order(run):
    _, result, x, labels = run
    folds, expected = np.array(FOLDS), []
    for name in ("1", "5", "10"):
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=10_000, tol=1e-8))
        expected.append(
            100 * model.fit(x[folds != name], labels[folds != name]).score(x[folds == name], labels[folds == name])
        )
    assert result["fold_names"] == ["1", "5", "10"]
    assert result["war"]["folds"] == pytest.approx(expected, abs=1e-3)


def test_folds_keep_their_names_in_every_table_and_file(run):
    folder, *_ = run
    head = call("runs", "show", folder)
    assert all(f"fold {name} " in head for name in (1, 5, 10))
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["clip_id"]: row["fold"] for row in rows} == {f"c{n:02d}": f for n, f in enumerate(FOLDS)}
    assert json.loads((folder / "folds.json").read_text())["fold_names"] == ["1", "5", "10"]
    (again,) = call_json("evaluate", folder / "predictions.csv")["results"]
    assert again["fold_names"] == ["1", "5", "10"]
    page = render_page(gather_numbers([folder]))
    assert "tested in fold 10" in page
    assert "fold 10&#10;WAR" in page


def imported(*words):
    outcome = CliRunner().invoke(app, ["cache", "import", *map(str, words)])
    assert outcome.exit_code == 0, outcome.output


def test_what_the_refusal_of_fold_names_advises_helps(tmp_path):
    """A cache takes the manifest once more: its columns are brought up to date, and nothing is computed again."""
    rows = [f"c{n},,{'ab'[n % 2]},s{n},{('fold a', 'Fold  A', 'b')[n % 3]}" for n in range(12)]
    (tmp_path / "m.csv").write_text("\n".join(["clip_id,path,label,subject,part", *rows]) + "\n")
    (tmp_path / "x.csv").write_text("\n".join(["clip_id,f", *(f"c{n},{n * n % 7}.5" for n in range(12))]) + "\n")
    words = (tmp_path / "x.csv", tmp_path / "cache", "--manifest", tmp_path / "m.csv")
    imported(*words)
    probing = ("probe", tmp_path / "cache", "--folds", "column:part")
    with pytest.raises(
        SplitError, match=r"--unify-names \(of extract or cache import once more, .*takes them for one name"
    ):
        call(*probing)
    imported(*words, "--unify-names")
    assert call_json(*probing)["results"][0]["fold_names"] == ["b", "fold a"]
