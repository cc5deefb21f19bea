"""Promises about tables as data sets, R and pandas write them: what is honest is taken, and an advice that is printed works."""

import pytest

from vjepa_fer.errors import ManifestError, RunError
from vjepa_fer.judging import read_prediction_table
from vjepa_fer.manifest import ROW_NAMES, csv_manifest

CREMA_D = '"","FileName","VoiceVote","FaceVote"\n"1","1001_IEO_ANG_HI","A","A"\n"2","1002_IEO_SAD_LO","N","S"\n'
CASME_2 = "Subject,Filename,,Onset,Estimated Emotion\n01,EP02_01f,,46,happiness\n02,EP03_02,,59,others\n"
MOSI = "video_id,segment,label,annotation\nv1,1,2.4,Positive\nv2,2,-0.8,Negative\n"
AFFECT_NET = "subDirectory_filePath,expression\n689/737d.jpg,1\n392/c4db.jpg,0\n"
RAF_DB = "train_00001.jpg 5\ntrain_00002.jpg 4\n"


@pytest.fixture
def write(tmp_path):
    """Write a table; its path."""

    def _write(text):
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return tmp_path / "t.csv"

    return _write


def test_names_of_rows_have_no_name_above_them(write):
    manifest = csv_manifest(write(CREMA_D), columns={"clip_id": "FileName", "label": "FaceVote"})
    assert [(clip.clip_id, clip.label, clip.value(ROW_NAMES)) for clip in manifest] == [
        ("1001_IEO_ANG_HI", "A", "1"),
        ("1002_IEO_SAD_LO", "S", "2"),
    ]


@pytest.mark.parametrize("text", [CASME_2, CASME_2.replace(",,", ";").replace(",", ";").replace("\n", ";;\n")])
def test_columns_without_a_name_and_a_value_are_none(write, text):
    asked = {"clip_id": "Filename", "label": "Estimated Emotion", "subject": "Subject"}
    manifest = csv_manifest(write(text), columns=asked)
    assert manifest.labels == ("happiness", "others")
    assert manifest.columns == ("subject", "clip_id", "Onset", "label")


def test_row_names_of_predictions_are_no_class_and_may_be_clip_ids(write):
    path = write(",true_label,a,b\n0,a,1,0\n1,b,0,1\n2,b,0,1\n")
    with pytest.raises(RunError, match=f"no column 'clip_id'.*--column 'clip_id={ROW_NAMES}'"):
        read_prediction_table(path)
    said = read_prediction_table(path, columns={"clip_id": ROW_NAMES})
    assert said.predictions.clip_ids.tolist() == ["0", "1", "2"]
    beside = read_prediction_table(write(",clip_id,true_label,a,b\n0,x,a,1,0\n1,y,b,0,1\n"), scores=True)
    assert (beside.known, beside.columns["left_out"]) == (("a", "b"), (ROW_NAMES,))


def test_a_column_that_has_our_name_may_have_another(write):
    asked = {"clip_id": "segment", "label": "annotation", "subject": "video_id"}
    with pytest.raises(ManifestError, match=r"it has a column 'label' already; .* --column other_label=label"):
        csv_manifest(write(MOSI), columns=asked)
    manifest = csv_manifest(write(MOSI), columns=asked | {"other_label": "label"})
    assert [(clip.label, clip.value("other_label")) for clip in manifest] == [("Positive", "2.4"), ("Negative", "-0.8")]


def test_paths_are_no_clip_ids_but_make_some(write):
    asked = {"label": "expression"}
    with pytest.raises(
        ManifestError, match=r"row 2: clip_id '689/737d.jpg' .* --column path=subDirectory_filePath instead"
    ):
        csv_manifest(write(AFFECT_NET), columns=asked | {"clip_id": "subDirectory_filePath"})
    manifest = csv_manifest(write(AFFECT_NET), columns=asked | {"path": "subDirectory_filePath"})
    assert [clip.clip_id for clip in manifest] == ["737d", "c4db"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"clip_id": "file"},
            "no column 'file'; its columns are a, label; --column clip_id=NAME takes one that is there",
        ),
        ({}, "no column 'clip_id' and no column 'path'; its columns are a, label"),
        ({"clip_id": "a", "subject": "a"}, "'a' is clip_id already; copy it in the table for subject"),
    ],
)
def test_a_column_that_cannot_be_had_says_what_to_type(write, columns, message):
    with pytest.raises(ManifestError, match=message):
        csv_manifest(write("a,label\nc0,sad\nc1,happy\n"), columns=columns)


@pytest.mark.parametrize("text", [RAF_DB, f"SAMM,,\nVersion 2,,\n,,\n{RAF_DB}"])
def test_a_list_whose_first_line_does_not_name_the_columns_is_told_so(write, text):
    expected = r"expected commas, semicolons or tabs between cells, and the names of columns in the first line, with nothing above$"
    for columns in ({}, {"clip_id": "0"}):
        with pytest.raises(ManifestError, match=expected):
            csv_manifest(write(text), columns=columns)
    assert len(csv_manifest(write("clip_id,label\n" + RAF_DB.replace(" ", ",")))) == 2
