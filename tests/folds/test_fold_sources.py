"""Promises of vjepa_fer.folds.sources and clip_folds: folds come from presets, manifest columns and files, and go back."""

import json

import numpy as np
import pytest

from vjepa_fer.cache import Features
from vjepa_fer.errors import SplitError
from vjepa_fer.folds import ClipFolds, folds_from_json, folds_to_json, plan_folds
from vjepa_fer.folds.splits import Folds
from vjepa_fer.manifest import Clip, Manifest, crema_d_official


def manifest(column, values):
    clips = (Clip(f"c{n}", "", "ab"[n % 2], f"s{n}", {column: value}) for n, value in enumerate(values))
    return Manifest(clips=tuple(clips))


def plan(spec, study, finished=None):
    return plan_folds(spec, study, study.clips if finished is None else finished)


@pytest.mark.parametrize("name", ["crema-d-5fold", "crema-d-eing"])
def test_crema_d_presets_have_the_published_test_sizes(name):
    sizes = {"crema-d-5fold": [1463, 1470, 1476, 1476, 1557], "crema-d-eing": [1551, 1470, 1476, 1469, 1476]}
    official = crema_d_official()
    splits = plan(name, official).split(np.array([clip.subject for clip in official]))
    assert [len(split.test) for split in splits] == sizes[name]


def test_without_its_damaged_clips_crema_d_has_hicmaes_sizes():
    whole = [clip for clip in crema_d_official() if not clip.extra["damaged"]]
    subjects = np.array([clip.subject for clip in whole])
    splits = plan_folds("crema-d-5fold", crema_d_official(), tuple(whole)).split(subjects)
    assert [len(split.test) for split in splits] == [1463, 1470, 1475, 1474, 1555]


def test_an_official_split_trains_on_its_training_part_and_leaves_validation_out():
    folds = plan("column:split", manifest("split", ["train", "Test", "val", "train"]))
    assert (folds.train_clips, folds.test_clips) == ((("c0", "c3"),), (("c1",),))
    assert folds.note.startswith("the validation part (1 clips) is neither trained on nor tested")


def test_where_test_labels_are_secret_the_validation_part_is_tested():
    folds = plan("column:split", manifest("split", ["train", "val", "train"]))
    assert folds.test_clips == (("c1",),)
    assert folds.note == "no clip is marked test, so the validation part is tested"


def test_a_column_of_fold_names_tests_each_in_the_order_of_numbers():
    folds = plan("column:fold", manifest("fold", ["10", "2", "10", "", "1"]))
    assert folds.test_clips == (("c4",), ("c1",), ("c0", "c2"))
    assert folds.train_clips[0] == ("c0", "c1", "c2")
    assert folds.note == "1 clips are in no fold and are left out"


def test_rows_are_numbers_among_the_features_clips():
    features = Features(
        np.zeros((3, 1), np.float32), np.array(list("aba")), np.array(list("xyz")), np.array(["c2", "c0", "c1"])
    )
    (split,) = ClipFolds("x", (("c0", "c1"),), (("c2",),)).rows(features)
    assert (split.train.tolist(), split.test.tolist()) == ([1, 2], [0])


def test_clips_without_features_are_left_out_and_counted():
    study = manifest("split", ["train", "test", "train", "test"])
    folds = plan("column:split", study, study.clips[:3])
    assert folds.test_clips == (("c1",),)
    assert folds.note == "1 of 4 clips have no features or were excluded: c3"
    with pytest.raises(SplitError, match="fold 0 tests no clip"):
        plan("column:split", study, (study.clips[0], study.clips[2]))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("column:spilt", "no such column; its columns are .* did you mean 'split'"),
        ("column:label", "'column:label': 2 different"),
        ("column:subject", "4 different values"),
        ("file:absent.json", "'file:absent.json': cannot be read"),
    ],
)
def test_a_source_that_holds_no_folds_is_refused(spec, message, monkeypatch):
    monkeypatch.setattr("vjepa_fer.folds.columns.MAX_FOLDS", 1)
    with pytest.raises(SplitError, match=message):
        plan(spec, manifest("split", ["train", "test", "train", "test"]))


def test_a_column_with_one_side_only_is_refused():
    with pytest.raises(SplitError, match="fold 0 tests no clip"):
        plan("column:split", manifest("split", ["train", "train"]))


@pytest.mark.parametrize(
    "folds", [Folds("x", (("a",), ("b",)), "note"), ClipFolds("y", (("c0",), ("c1",)), (("c1",), ("c0",)), "note")]
)
def test_folds_read_back_equal_with_their_hash(folds):
    assert folds_from_json(folds_to_json(folds), "folds.json") == folds


def test_a_file_without_a_hash_may_be_written_by_hand(tmp_path):
    data = {"format": "vjepa-fer/folds/1", "name": "mine", "train_clips": [["c0", "c2"]], "test_clips": [["c1"]]}
    (tmp_path / "f.json").write_text(json.dumps(data))
    folds = plan(f"file:{tmp_path / 'f.json'}", manifest("split", ["", "", ""]))
    assert folds == ClipFolds("mine", (("c0", "c2"),), (("c1",),))


def test_a_file_for_another_manifest_is_refused(tmp_path):
    folds = ClipFolds("mine", (("c0",),), (("c1", "z9"),))
    (tmp_path / "f.json").write_text(folds_to_json(folds))
    with pytest.raises(SplitError, match="'mine': 1 clips are not in the manifest: z9"):
        plan(f"file:{tmp_path / 'f.json'}", manifest("split", ["", ""]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "folds.json: not a folds file"),
        (lambda text: text.replace('"a"', '"z"'), "folds.json: the folds do not have the sha256"),
        (lambda text: text.replace("folds/1", "folds/9"), "format 'vjepa-fer/folds/9' is not"),
        (lambda text: '{"format": "vjepa-fer/folds/1", "name": "x", "test_subjects": ["ab"]}', "list of lists"),
        (
            lambda text: '{"format": "vjepa-fer/folds/1", "name": "x", "test_clips": [[1]], "train_clips": [["a"]]}',
            "names",
        ),
        (lambda text: "[]", "not a folds file"),
        (lambda text: "[" * 100000, "not a folds file"),
    ],
)
def test_a_folds_file_that_was_damaged_is_refused_by_name(change, message):
    text = folds_to_json(Folds("x", (("a",), ("b",))))
    with pytest.raises(SplitError, match=message):
        folds_from_json(change(text), "folds.json")


def test_a_file_of_folds_is_bounded_and_of_plain_values(tmp_path, monkeypatch):
    folds = Folds("x", (("a",), ("b",)))
    for key, value, message in (("name", 3, "'name' is 3, expected a text"), ("note", [], "expected a text")):
        text = json.dumps({**json.loads(folds_to_json(folds)), key: value})
        with pytest.raises(SplitError, match=rf"folds\.json: not a folds file as vjepa-fer writes it: .*{message}"):
            folds_from_json(text, "folds.json")
    with pytest.raises(SplitError, match="byte 0 is not UTF-8"):
        folds_from_json(b"\xff", "folds.json")
    (tmp_path / "f.json").write_text(folds_to_json(folds))
    monkeypatch.setattr("vjepa_fer.folds.sources.MAX_FOLDS_BYTES", 20)
    with pytest.raises(SplitError, match=r"f\.json: over 20 bytes, too big for folds; is it the right file\?"):
        plan(f"file:{tmp_path / 'f.json'}", manifest("split", ["", ""]))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ((), (), "0 training lists and 0 test lists"),
        ((("a",),), (("b",), ("a",)), "1 training lists and 2 test lists"),
        (((),), (("b",),), "fold 0 trains on no clip"),
        ((("a",), ("a",)), (("b",), ("b",)), "1 clips are tested in more than one fold: b"),
    ],
)
def test_lists_that_are_no_folds_are_refused(train, test, message):
    with pytest.raises(SplitError, match=message):
        ClipFolds("x", train, test)
