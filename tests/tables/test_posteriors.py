"""Promises of ``evaluate`` for published posteriors of several folds and classifiers: told which column is which class, to the digit."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.linear_model import LogisticRegression

from tables import call
from test_cli_probe import call_json
from vjepa_fer.errors import RunError
from vjepa_fer.evaluation.stacking import FLOOR
from vjepa_fer.judging.class_order import numbered_columns
from vjepa_fer.tables import judge_table

CLASSES = ["Angry", "Calm", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"]
ORDER = ",".join(CLASSES)
NAMED = ("--column", "clip_id=name", "--column", "true_label=emotion", "--column", "subject=actor")
COLUMNS = {"clip_id": "name", "true_label": "emotion", "subject": "actor"}
RNG = np.random.default_rng(3)
ACTORS = np.repeat(np.arange(1, 11), 16)
TRUTH = np.tile(np.repeat(np.arange(8), 2), 10)
FOLD = (ACTORS - 1) // 2
LOGITS = {name: 2.5 * np.eye(8)[TRUTH] + RNG.normal(0, sd, (160, 8)) for name, sd in (("w2v", 1.3), ("aus", 1.7))}
FIRST = {"w2v": "03-01", "aus": "02-01"}


def write_folds(root, name, *, logits=None, first=None, train=False, columns=8):
    """The layout of MMEmotionRecognition: ``embs0;…;embs7;name;emotion;actor``, a file a fold, names by modality."""
    folder = root / name
    folder.mkdir(parents=True)
    logits, first = LOGITS[name] if logits is None else logits, first or FIRST[name]
    for kind, of in (("test", lambda f: f), ("train", lambda f: ~f)):
        for fold in range(5) if kind == "test" or train else ():
            with (folder / f"{kind}_fold{fold}.csv").open("w", newline="") as file:
                writer = csv.writer(file, delimiter=";")
                writer.writerow([*(f"embs{n}" for n in range(columns)), "name", "emotion", "actor"])
                for row in np.flatnonzero(of(fold == FOLD)):
                    clip = f"{first}-0{TRUTH[row] + 1}-01-0{row % 2 + 1}-01-{ACTORS[row]:02}"
                    writer.writerow([*logits[row, :columns], clip, CLASSES[TRUTH[row]], ACTORS[row]])
    return folder


def shares(logits):
    likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    return likely / likely.sum(axis=1, keepdims=True)


def war(values):
    return 100 * sk.accuracy_score(TRUTH, values.argmax(axis=1))


def test_five_tables_of_logits_are_the_folds_of_one_evaluation_to_the_digit(tmp_path):
    folder = write_folds(tmp_path, "w2v")
    (result,) = call_json("evaluate", folder, *NAMED, "--class-order", ORDER, "--logits")["results"]
    by_fold = [100 * np.mean(LOGITS["w2v"][f == FOLD].argmax(axis=1) == TRUTH[f == FOLD]) for f in range(5)]
    assert result["war"]["folds"] == pytest.approx(by_fold, abs=1e-4)
    assert result["war"]["pooled"] == pytest.approx(war(LOGITS["w2v"]), abs=1e-4)
    assert result["uar"]["pooled"] == pytest.approx(
        100 * sk.balanced_accuracy_score(TRUTH, LOGITS["w2v"].argmax(axis=1)), abs=1e-4
    )
    assert result["log_loss"]["pooled"] == pytest.approx(sk.log_loss(TRUTH, shares(LOGITS["w2v"])), abs=1e-5)
    assert (result["values"], result["n_subjects"]) == ("logits", 10)
    assert "fold_names" not in result  # test_fold0 is called 0


def test_the_mean_of_two_classifiers_is_that_of_their_softmax_matched_by_recording(tmp_path):
    folders = [write_folds(tmp_path, name) for name in LOGITS]
    (result,) = call_json("evaluate", *folders, *NAMED, "--class-order", ORDER, "--logits", "--fusion", "mean")[
        "results"
    ]
    mean = np.mean([shares(one) for one in LOGITS.values()], axis=0)
    assert result["war"]["pooled"] == pytest.approx(war(mean), abs=1e-4)
    assert result["log_loss"]["pooled"] == pytest.approx(sk.log_loss(TRUTH, mean), abs=1e-5)
    assert (result["matched_by"], len(result["fused"])) == ("recording", 2)
    agree = [one["agree"] for one in result["class_order"]["tables"]]
    assert agree == pytest.approx([war(one) for one in LOGITS.values()], abs=1e-4)


def test_a_stacker_learns_from_tables_of_training_clips_fold_by_fold(tmp_path):
    folders = [write_folds(tmp_path, name, train=True) for name in LOGITS]
    (result,) = judge_table(folders, columns=COLUMNS, class_order=CLASSES, logits=True, fusion="stacked")
    x = np.log(np.maximum(np.concatenate([shares(one) for one in LOGITS.values()], axis=1), FLOOR))
    said = np.empty((160, 8))
    for fold in range(5):
        theirs = LogisticRegression(tol=1e-9, max_iter=5000).fit(x[fold != FOLD], TRUTH[fold != FOLD])
        said[fold == FOLD] = theirs.predict_proba(x[fold == FOLD])
    assert result["war"]["pooled"] == pytest.approx(war(said), abs=1e-4)
    assert result["log_loss"]["pooled"] == pytest.approx(sk.log_loss(TRUTH, said), abs=2e-3)
    assert [sum(one["shares"]) for one in result["stackers"]] == pytest.approx([1] * 5)
    assert "surer" in result["caution"]


def test_people_are_told_how_tables_were_matched_and_weighed(tmp_path):
    folders = [write_folds(tmp_path, name, train=True) for name in LOGITS]
    shown = call("evaluate", *folders, *NAMED, "--class-order", ORDER, "--logits", "--fusion", "stacked")
    assert "stacker on the probabilities of 2 tables" in shown.stdout
    for words in (
        "matched as one RAVDESS recording",
        "of what moves the stacked decision",
        "softmax made",
        "no other order does better",
    ):
        assert words in shown.stderr


def test_a_wrong_order_is_doubted_and_the_right_one_named(tmp_path):
    folder, wrong = write_folds(tmp_path, "w2v"), ",".join([*CLASSES[1:], CLASSES[0]])
    said = call("evaluate", folder, *NAMED, "--class-order", wrong, "--logits").stderr
    assert f"in the order {ORDER} it would be in {war(LOGITS['w2v']):.2f} %: is --class-order right?" in said


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            {},
            r"test_fold0\.csv, row 1: embs0 to embs7 are numbered.*--class-order Angry,Calm.*the true label in [\d.]+ % of 32",
        ),
        ({"class_order": CLASSES[:5], "logits": True}, "--class-order names 5 classes; .*8 are there: embs0"),
        ({"class_order": [*CLASSES[:7], "Sad"], "logits": True}, "--class-order has 'Sad' twice"),
        ({"class_order": CLASSES}, r"row 2: a probability is negative.*if they are logits, --logits"),
        (
            {"class_order": [*CLASSES[:7], "Bored"], "logits": True},
            "true_label 'Surprise' is not one of the class columns",
        ),
    ],
)
def test_which_column_is_which_class_is_never_guessed(tmp_path, how, message):
    with pytest.raises(RunError, match=message):
        judge_table(write_folds(tmp_path, "w2v"), columns=COLUMNS, **how)


def test_a_stacker_without_training_tables_or_one_that_knows_its_test_clips_is_refused(tmp_path):
    how = {"columns": COLUMNS, "class_order": CLASSES, "logits": True, "fusion": "stacked"}
    bare = [write_folds(tmp_path, name) for name in LOGITS]
    with pytest.raises(RunError, match=r"w2v: a stacker is fitted on tables of training clips, and there are none"):
        judge_table(bare, **how)
    folders = [write_folds(tmp_path / "more", name, train=True) for name in LOGITS]
    for one in folders:
        (one / "train_fold0.csv").write_bytes((one / "test_fold0.csv").read_bytes())
    with pytest.raises(RunError, match=r"train_fold0\.csv: 32 clips are tested in .*test_fold0\.csv too"):
        judge_table(folders, **how)
    (folders[0] / "train_fold3.csv").unlink()
    with pytest.raises(RunError, match=r"w2v: 5 tables of test clips and 4 of training clips; .*train_fold3\.csv"):
        judge_table(folders, **how)


def test_a_folder_without_tables_is_no_classifier(tmp_path):
    with pytest.raises(RunError, match="a folder with neither a run nor a table"):
        judge_table(tmp_path)


def test_probabilities_among_logits_stay_as_they_are(tmp_path):
    folders = [write_folds(tmp_path, "w2v"), write_folds(tmp_path, "aus", logits=shares(LOGITS["aus"]))]
    (result,) = judge_table(folders, columns=COLUMNS, class_order=CLASSES, logits=True, fusion="mean")
    assert result["log_loss"]["pooled"] == pytest.approx(
        sk.log_loss(TRUTH, np.mean([shares(one) for one in LOGITS.values()], axis=0)), abs=1e-5
    )


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (["p1", "p2", "p3"], ["p1", "p2", "p3"]),
        (["embs10", *(f"embs{n}" for n in range(10))], [f"embs{n}" for n in range(11)]),
        (["embs0", "embs2"], []),
        (["take1", "a", "b"], []),
    ],
)
def test_numbered_columns_are_counted_without_a_gap(header, found):
    assert numbered_columns(header) == found


def test_a_folder_of_training_clips_alone_is_not_judged_as_if_they_were_tested(tmp_path):
    folder = write_folds(tmp_path, "w2v", train=True)
    for path in folder.glob("test_*.csv"):
        path.unlink()
    with pytest.raises(RunError, match=r"w2v: train_fold0.csv says by its name that it is of training clips"):
        judge_table(folder, columns=COLUMNS, class_order=CLASSES, logits=True)


@pytest.fixture(scope="module")
def published():
    """The folder ``data/posteriors`` of the repository MMEmotionRecognition (Luna-Jiménez et al. 2021, MIT), which is not carried here."""
    folder = os.environ.get("VJEPA_FER_POSTERIORS")
    if folder is None:
        pytest.skip("needs MMEmotionRecognition's data/posteriors: set VJEPA_FER_POSTERIORS to it")
    return Path(folder)


def test_the_published_wav2vec_comes_out_to_the_digit(published):
    tables = sorted(published.glob("wav2Vec/posteriors/*/fold*/posteriors_test.csv"))
    (result,) = call_json("evaluate", *tables, *NAMED, "--class-order", ORDER, "--logits")["results"]
    assert (result["n_clips"], f"{result['war']['mean']:.2f}") == (1440, "81.82")


def test_the_published_fusion_comes_out_to_the_digit(published, tmp_path):
    tables = sorted((published / "Fusion" / "posteriors").glob("test_fold*.csv"))
    clips = [line.split(";")[-1] for path in tables for line in path.read_text().splitlines()[1:]]
    labels = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
    rows = [f"{clip},{clip}.mp4,{labels[int(clip[6:8]) - 1]},{clip[-2:]}" for clip in clips]
    (tmp_path / "ravdess.csv").write_text("\n".join(["clip_id,path,label,subject", *rows]))
    words = (
        "--manifest",
        tmp_path / "ravdess.csv",
        "--column",
        "clip_id=video_name",
        "--class-order",
        ",".join(labels),
    )
    (result,) = call_json("evaluate", *tables, *words)["results"]
    assert (result["n_clips"], f"{result['war']['mean']:.2f}") == (1440, "86.70")
