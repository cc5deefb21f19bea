"""Promises of ``vjepa-fer evaluate``: anyone's predictions, checked against a manifest, labelled where they leak."""

import pytest

from test_cli_probe import call, call_json
from vjepa_fer.errors import RunError
from vjepa_fer.judging import read_predictions
from vjepa_fer.tables.predicted_clips import straddling

MANIFEST = "clip_id,label,subject,sex\nc1,sad,s1,f\nc2,happy,s2,m\nc3,sad,s2,m\n"
TABLE = "clip_id,true_label,fold,sad,happy\nc1,sad,0,0.75,0.25\nc2,happy,1,0.6,0.4\n"


@pytest.fixture
def files(tmp_path):
    """A table and a manifest, and a way to write others."""

    def write(table=TABLE, manifest=MANIFEST):
        (tmp_path / "p.csv").write_text(table)
        (tmp_path / "m.csv").write_text(manifest)
        return tmp_path / "p.csv", "--manifest", tmp_path / "m.csv"

    return write


def test_a_manifest_fills_in_subjects_gives_groups_and_counts_what_nobody_predicted(files):
    (result,) = call_json("evaluate", *files(), "--by", "sex")["results"]
    assert (result["n_clips"], result["n_subjects"], result["n_missing"]) == (2, 2, 1)
    assert [(g["value"], g["war"]) for g in result["by"]["sex"]] == [("f", 100), ("m", 0)]
    assert call("evaluate", *files(), "--by", "sex").count("f  ") >= 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("c2", "c9"), "1 of 2 predicted clips are not in the manifest: c9"),
        (TABLE.replace("fold", "subject").replace(",0,", ",s1,").replace(",1,", ",s7,"), "c2: 's7' here, 's2' there"),
        (TABLE.replace("0.75,0.25", "1.25,-0.25"), "row 2: a probability is negative"),
        (TABLE.replace("0.75", "0.7"), "row 2: the probabilities do not sum to one"),
        (TABLE.replace("c2", "c1"), "1 clips have more than one row: c1"),
    ],
)
def test_predictions_that_cannot_be_are_refused(files, table, message):
    with pytest.raises(RunError, match=message):
        call("evaluate", *files(table))


def test_groups_need_a_manifest(tmp_path):
    (tmp_path / "p.csv").write_text(TABLE)
    with pytest.raises(AssertionError, match="needs --manifest"):
        call("evaluate", tmp_path / "p.csv", "--by", "sex")


def test_a_subject_in_two_folds_is_labelled_leaky(files):
    leaky = "clip_id,true_label,fold,subject,sad,happy\nc2,happy,0,s2,1,0\nc3,sad,1,s2,1,0\nc1,sad,1,s1,1,0\n"
    (result,) = call_json("evaluate", files(leaky)[0])["results"]
    assert result["leaky"] is True
    assert "fold 0: the same subject on both sides: 1 subjects (s2), 1 test clips" in result["leaks"][0]
    (clean,) = call_json("evaluate", *files())["results"]
    assert (clean["leaky"], clean["leaks"]) == (False, [])


def test_ravdess_twins_in_two_folds_are_labelled_leaky(tmp_path):
    rows = ["clip_id,true_label,fold,a,b", "01-01-06-01-02-01-12,a,0,1,0", "02-01-06-01-02-01-12,a,1,1,0"]
    (tmp_path / "p.csv").write_text("\n".join(rows))
    assert "the same recording" in straddling(read_predictions(tmp_path / "p.csv"))[0]
