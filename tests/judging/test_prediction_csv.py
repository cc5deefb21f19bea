"""Promises of vjepa_fer.judging.prediction_csv: anyone's table of predictions, or a message with file and row."""

import gzip

import numpy as np
import pytest

from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.judging import read_prediction_table, read_predictions

TABLE = "clip_id,true_label,fold,subject,sad,happy\nc1,sad,0,s1,0.75,0.25\nc2,happy,1,s2,0.5,0.5\n"


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "p.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_the_class_with_the_largest_probability_is_the_decision_and_the_first_of_equals_by_name(tmp_path):
    predictions = read_predictions(table(tmp_path, TABLE))
    assert predictions.classes == ("sad", "happy")
    assert predictions.predicted.tolist() == [0, 1]
    assert predictions.truth.tolist() == [0, 1]
    assert predictions.fold.tolist() == [0, 1]
    assert predictions.subjects.tolist() == ["s1", "s2"]


def test_a_decision_that_is_written_down_counts_before_the_probabilities(tmp_path):
    text = "clip_id,true_label,predicted_label,a,b\nc1,a,b,0.9,0.1\n"
    assert read_predictions(table(tmp_path, text)).predicted.tolist() == [1]


def test_decisions_alone_are_scored_without_what_needs_probabilities(tmp_path):
    text = "clip_id,true_label,predicted_label\nc1,sad,happy\nc2,sad,sad\nc3,calm,sad\n"
    read = read_prediction_table(table(tmp_path, text))
    assert (read.kind, read.predictions.classes) == ("decisions", ("calm", "happy", "sad"))
    assert (read.predictions.predicted.tolist(), read.predictions.probabilities) == ([1, 2, 2], None)
    with pytest.raises(RunError, match="across corpora a column a class is needed"):
        read_prediction_table(tmp_path / "p.csv", foreign=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ";").replace("0.", "0,"),
        lambda text: text.replace("\n", "\r\n"),
    ],
)
def test_what_spreadsheets_make_of_a_table_is_accepted(tmp_path, change):
    np.testing.assert_array_equal(
        read_predictions(table(tmp_path, change(TABLE))).probabilities, [[0.75, 0.25], [0.5, 0.5]]
    )


def test_a_packed_table_is_unpacked(tmp_path):
    path = tmp_path / "p.csv.gz"
    path.write_bytes(gzip.compress(TABLE.encode()))
    assert len(read_predictions(path)) == 2


def test_fold_and_subject_may_be_absent(tmp_path):
    predictions = read_predictions(table(tmp_path, "clip_id,true_label,a,b\nc1,a,1,0\nc2,b,1,0\n"))
    assert (predictions.fold.tolist(), predictions.num_subjects) == ([0, 0], 0)


def test_a_fold_may_have_any_number(tmp_path):
    numbers = ["9" * 900, "1" + "0" * 900, "007", "7", "x"]
    text = "clip_id,true_label,fold,a,b\n" + "".join(f"c{n},a,{fold},1,0\n" for n, fold in enumerate(numbers))
    assert read_predictions(table(tmp_path, text), spelling="kept").fold.tolist() == [2, 3, 0, 1, 4]


@pytest.mark.parametrize("name", ["", "fold", "fold_"])
def test_folds_with_numbers_in_their_names_are_ordered_by_size(tmp_path, name):
    text = "clip_id,true_label,fold,a,b\n" + "".join(f"c{f},a,{name}{f},1,0\n" for f in (10, 9, 2))
    assert read_predictions(table(tmp_path, text)).fold.tolist() == [2, 1, 0]


def test_sums_of_confidences_are_read_as_scores_when_that_is_said(tmp_path):
    predictions = read_predictions(table(tmp_path, TABLE.replace("0.75", "46.5")), scores=True)
    assert predictions.predicted.tolist() == [0, 1]
    assert predictions.probabilities is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            TABLE.replace("0.75,0.25", "1.25,-0.25"),
            r"p.csv, row 2: a probability is negative \(1.25, -0.25\); .*--scores",
        ),
        (TABLE.replace("0.5,0.5", "0.5,0.4"), "row 3: the probabilities do not sum to one"),
        (TABLE.replace("0.75", "much"), "row 2: 'much' in class column 'sad' is not a finite number"),
        (TABLE.replace("0.75", "nan"), "row 2: 'nan' in class column 'sad' is not a finite number"),
        (TABLE.replace("c2", "c1"), "1 clips have more than one row: c1 .*take each clip's mean"),
        (TABLE.replace("c2,happy", "c2,hapy"), "row 3: true_label 'hapy' is not one of .*did you mean 'happy'"),
        (TABLE.replace("true_label", "truth"), "no column 'true_label'"),
        (TABLE.replace("c1", ""), "row 2: clip_id is empty"),
        (TABLE.replace(",0,s1", ",,s1"), "row 2: fold is empty"),
        (
            TABLE.replace("subject", "path").replace("s2", "2"),
            "row 2: 's1' in class column 'path' is not .*; every column but .* is a class",
        ),
        (TABLE.replace("clip_id", "clip-id"), r"no column 'clip_id'; .*; did you mean 'clip-id'\?"),
        ("clip_id,true_label,a\nc1,a,1\n", "one column a class is expected"),
        (
            f"clip_id,true_label,{','.join(map(str, range(2000)))}\nc1,0{',0' * 2000}\n",
            "2,000 classes, over 1,000; is it",
        ),
        (
            "clip_id,true_label,predicted_label\n" + "".join(f"c{n},{n},{n}\n" for n in range(1001)),
            "1,001 labels .* look like measurements",
        ),
        ("clip_id,true_label,predicted_label\n" + "".join(f"c{n},l{n},l{n}\n" for n in range(1001)), "1,001 classes"),
        (TABLE.replace("c2", "c" * 2000), "row 3: 'cccccccccccccccccccc'… has 2,000 characters, too many for a name"),
        ("clip_id,true_label,a,b\n", "not one clip to score"),
    ],
)
def test_a_table_that_cannot_be_scored_is_refused_with_its_row(tmp_path, text, message):
    with pytest.raises(RunError, match=message):
        read_predictions(table(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "encoding", "message"),
    [(TABLE.replace("s1", "é"), "latin-1", "p.csv, row 2: byte 0xe9 is not UTF-8"), ("", "utf-8", "empty file")],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text, encoding, message):
    with pytest.raises(ManifestError, match=message):
        read_predictions(table(tmp_path, text, encoding))


def test_where_there_is_no_table_what_writes_one_is_said(tmp_path):
    with pytest.raises(ManifestError, match=r"no\.csv: no such file; `vjepa-fer probe CACHE --out DIR` writes"):
        read_predictions(tmp_path / "no.csv")
