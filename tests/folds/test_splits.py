"""Promises of vjepa_fer.folds.splits: folds are data, and no subject is ever on both sides."""

import numpy as np
import pytest

from vjepa_fer.errors import SplitError
from vjepa_fer.folds import make_folds
from vjepa_fer.folds.splits import Folds
from vjepa_fer.manifest import PRESETS, subject_number

RAVDESS = np.repeat([f"{actor:02d}" for actor in range(1, 25)], 60)
EMOTIONS = np.tile(np.repeat(["neutral", *"abcdefg"], [4] + [8] * 7), 24)
CREMA_D = np.array([str(actor) for actor in range(1001, 1092)])


def clips(subjects, per_subject=4):
    """Clips of `subjects` with two classes each."""
    return np.repeat(subjects, per_subject), np.tile(["a", "b"], len(subjects) * per_subject // 2)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_tests_every_subject_of_its_corpus_exactly_once(name):
    tested = sorted(number for fold in PRESETS[name].test_subjects for number in fold)
    assert tested == (list(range(1, 25)) if name.startswith("ravdess") else list(range(1001, 1092)))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("ravdess-5fold", [300, 300, 300, 300, 240]), ("ravdess-6fold", [240] * 6)],
)
def test_ravdess_presets_have_the_published_test_sizes(name, sizes):
    splits = make_folds(name, RAVDESS, EMOTIONS).split(RAVDESS)
    assert [len(split.test) for split in splits] == sizes


@pytest.mark.parametrize(
    ("name", "sizes"), [("crema-d-5fold", [18, 18, 18, 18, 19]), ("crema-d-eing", [19, 18, 18, 18, 18])]
)
def test_crema_d_presets_have_the_published_number_of_actors(name, sizes):
    folds = make_folds(name, CREMA_D, np.full(len(CREMA_D), "a"))
    assert [len(fold) for fold in folds.test_subjects] == sizes


@pytest.mark.parametrize("spelling", ["{}", "{:02d}", "Actor_{:02d}", "ravdess-{:03d}"])
def test_a_preset_knows_a_subject_however_its_number_is_spelled(spelling):
    subjects = np.array([spelling.format(n) for n in range(1, 25)])
    folds = make_folds("ravdess-5fold", subjects, np.full(24, "a"))
    assert [sorted(map(subject_number, fold)) for fold in folds.test_subjects] == [
        sorted(fold) for fold in PRESETS["ravdess-5fold"].test_subjects
    ]
    assert folds.note == ""


def test_a_preset_on_part_of_its_subjects_says_who_is_missing():
    here = RAVDESS[RAVDESS != "18"]
    assert make_folds("ravdess-5fold", here, EMOTIONS[: len(here)]).note == "1 of 24 subjects are missing: 18"


@pytest.mark.parametrize(
    ("subjects", "message"),
    [
        (["01", "25"], "'ravdess-5fold': subject 25 not among the 24"),
        (["01", "anna"], "'anna' does not end in a number"),
        (["01", "02", "03", "10"], "fold 3 tests subjects 8, 17, 21, 23, 24, and none of them is here"),
    ],
)
def test_a_preset_refuses_subjects_it_does_not_fit(subjects, message):
    with pytest.raises(SplitError, match=message):
        make_folds("ravdess-5fold", np.array(subjects), np.full(len(subjects), "a"))


@pytest.mark.parametrize("spec", ["subject-kfold:5", "subject-kfold:24", "loso", "ravdess-5fold"])
def test_no_subject_is_on_both_sides_and_every_clip_is_tested_once(spec):
    splits = make_folds(spec, RAVDESS, EMOTIONS, 3).split(RAVDESS)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(len(RAVDESS)))
    for train, test in splits:
        assert not set(RAVDESS[train]) & set(RAVDESS[test])
        assert len(train) + len(test) == len(RAVDESS)


def test_drawn_folds_depend_on_the_seed_and_not_on_the_order_of_rows():
    subjects, y = clips([f"s{n}" for n in range(12)])
    shuffled = np.random.default_rng(0).permutation(len(y))
    first = make_folds("subject-kfold:4", subjects, y, 7)
    assert make_folds("subject-kfold:4", subjects[shuffled], y[shuffled], 7) == first
    assert make_folds("subject-kfold:4", subjects, y, 8) != first


def test_drawn_folds_spread_every_class_as_evenly_as_subjects_allow():
    subjects = np.repeat([f"s{n:02d}" for n in range(12)], 10)
    y = np.where(np.repeat(np.arange(12), 10) % 3 == 0, "rare", "frequent")  # four subjects are all rare
    for seed in range(5):
        for _, test in make_folds("subject-kfold:4", subjects, y, seed).split(subjects):
            assert (np.sum(y[test] == "rare"), len(test)) == (10, 30)


def test_as_many_folds_as_subjects_leaves_no_fold_empty_however_uneven_they_are():
    subjects = np.repeat(["big", "x", "y"], [100, 1, 1])
    folds = make_folds("subject-kfold:3", subjects, np.array(["a", "b"] * 51))
    assert sorted(folds.test_subjects) == [("big",), ("x",), ("y",)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ravdess", "is not one of ravdess-5fold, .*, subject-kfold:N, loso"),
        ("subject-kfold", "say how many"),
        ("subject-kfold:1", "at least 2"),
        ("subject-kfold:five", "at least 2"),
        ("subject-kfold:5", "only 3 subjects .* use subject-kfold:3 or loso"),
        ("loso:3", "loso takes no number"),
    ],
)
def test_a_specification_that_cannot_be_is_refused_with_the_remedy(spec, message):
    with pytest.raises(SplitError, match=message):
        make_folds(spec, *clips(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("subjects", "message"), [(["a", "a"], "only 1 subject"), (["a", ""], "1 clips have no subject")]
)
def test_clips_without_two_named_subjects_are_refused(subjects, message):
    with pytest.raises(SplitError, match=message):
        make_folds("loso", np.array(subjects), np.array(["x", "y"]))


def test_equal_folds_have_equal_hashes_whatever_they_are_called():
    folds = make_folds("ravdess-5fold", RAVDESS, EMOTIONS)
    assert folds.sha256 == Folds("another name", folds.test_subjects).sha256


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ((), "there is no fold"),
        ((("a",), ()), "fold 1 tests no subject"),
        ((("a", "b"), ("b",)), "subject b tested more than once"),
    ],
)
def test_folds_that_are_no_partition_are_refused(folds, message):
    with pytest.raises(SplitError, match=message):
        Folds("x", folds)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ((("a",), ("b",)), "subject c in no fold"),
        ((("a",), ("b",), ("c",), ("d",)), "subject d in the folds but without a clip"),
        ((("a", "b", "c"),), "tests every subject"),
    ],
)
def test_folds_that_do_not_fit_the_clips_are_refused(folds, message):
    with pytest.raises(SplitError, match=message):
        Folds("x", folds).split(np.array(["a", "b", "c"]))
