"""Promises about small problems of tables: columns that classes are called like, commas, Excel's line, paths that are ids, no subjects."""

import gzip

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from test_cli_probe import call, call_json
from vjepa_fer.cache.choosing import chosen
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.doors import as_number
from vjepa_fer.errors import CacheError, ManifestError, RunError
from vjepa_fer.judging import read_confusion, read_predictions
from vjepa_fer.manifest import Clip, Manifest, csv_manifest, read_manifest
from vjepa_fer.manifest.folder import NO_SUBJECTS
from vjepa_fer.runs import read_run


def cache_of(folder, labels):
    """A cache of separable features, four clips of each of six people."""
    random = np.random.default_rng(0)
    clips = [Clip(f"c{n}", "", labels[n % len(labels)], f"s{n // 4}") for n in range(24)]
    x = np.eye(len(labels))[[n % len(labels) for n in range(24)]] + 0.6 * random.normal(size=(24, len(labels)))
    table = FeatureTable(
        tuple(c.clip_id for c in clips), tuple("abcdef"[: len(labels)]), x.astype(np.float32), "f", "0" * 64
    )
    return import_features(table, folder / "cache", Manifest(tuple(clips)))[0]


@pytest.mark.parametrize(
    "labels",
    [
        ("fold", "subject"),
        ("clip_id", "sad"),
        ("true_label", "p_fold"),
        ("fold", "p_fold", "pp_fold"),
        ("predicted_label", "a b"),
    ],
)
def test_a_class_called_like_a_column_makes_a_run_that_reads_back(tmp_path, labels):
    cache = cache_of(tmp_path, labels)
    (result,) = call_json("probe", cache.root, "--folds", "loso", "--out", tmp_path / "runs")["results"]
    run = read_run(tmp_path / "runs" / "logreg-mean-standard")
    said = run.evaluation.predictions
    assert said.classes == tuple(sorted(labels))
    assert result["war"]["pooled"] == pytest.approx(100 * accuracy_score(said.truth, said.predicted), abs=1e-4)
    call("runs", "show", run.path)
    (again,) = call_json("evaluate", run.path)["results"]
    assert (again["war"], again["confusion"]) == (result["war"], confusion_matrix(said.truth, said.predicted).tolist())


def test_where_takes_a_label_with_a_comma_alone_or_in_quotation_marks(tmp_path):
    cache = cache_of(tmp_path, ("happy, very", "sad", "happy"))
    kept = {
        where: {clip.label for clip in cache.clips if chosen(cache.root, [where])(clip)}
        for where in ("label=happy, very", 'label="happy, very",sad', "label=happy,sad")
    }
    assert list(kept.values()) == [{"happy, very"}, {"happy, very", "sad"}, {"happy", "sad"}]
    with pytest.raises(CacheError, match="no clip has the label 'very'"):
        chosen(cache.root, ["label=sad,very"])


def test_where_refuses_what_may_mean_one_value_or_two(tmp_path):
    cache = cache_of(tmp_path, ("a,b", "a", "b"))
    with pytest.raises(CacheError, match="there is a value 'a,b' and there are 'a' and 'b'; put a value with a comma"):
        chosen(cache.root, ["label=a,b"])


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=;;;", "\n\nsep=;"])
def test_excels_line_says_what_stands_between_cells(tmp_path, line):
    text = f"{line}\r\nclip_id;label;subject\r\nc0;a,b,c,d;s0\r\nc1;x;s1\r\n"
    for name, data in (("m.csv", text.encode("utf-8-sig")), ("m.csv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(data)
        assert [clip.label for clip in read_manifest(tmp_path / name)] == ["a,b,c,d", "x"]
    (tmp_path / "m.csv").write_text(text.replace("c1;x;s1", "c1;x"))
    with pytest.raises(ManifestError, match=f"row {4 + line.count(chr(10))}: 2 values"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0,75", 0.75), ("-1,5e3", -1500), ("1,5", 1.5), (",5", 0.5), ("0,123", 0.123), ("12", 12), (" 1.5 ", 1.5)],
)
def test_decimals_have_a_point_or_a_comma(text, value):
    assert as_number(text) == value


@pytest.mark.parametrize("text", ["1,234", "12,345", "-1,234", "1,234.5", "1.234,5", "1_000", "", "x", "1,", "1,2,3"])
def test_what_may_be_two_numbers_or_none_is_no_number(text):
    assert np.isnan(as_number(text))


def test_every_reader_takes_the_same_decimal_commas(tmp_path):
    def write(text):
        (tmp_path / "t.csv").write_text(text)
        return tmp_path / "t.csv"

    assert read_feature_table(write("clip_id;a\nc0;0,75\n")).values.tolist() == [[0.75]]
    said = read_predictions(write("clip_id;true_label;a;b\nc0;a;0,75;0,25\n"))
    assert said.probabilities.tolist() == [[0.75, 0.25]]
    assert read_confusion(write("true_label;a;b\na;1,5;0,5\nb;0;2\n"))[2].tolist() == [[1.5, 0.5], [0, 2]]
    with pytest.raises(RunError, match="'1,234' is not a count of clips"):
        read_confusion(write("true_label;a;b\na;1,234;0\nb;0;2\n"))


def test_the_column_of_paths_may_serve_as_ids_too(tmp_path):
    (tmp_path / "t.csv").write_text("file,label,subject\nx/1.mp4,sad,s1\nx/2.mp4,happy,s2\n")
    manifest = csv_manifest(tmp_path / "t.csv", columns={"path": "file", "clip_id": "file"})
    assert [(clip.clip_id, clip.path) for clip in manifest] == [("1", "x/1.mp4"), ("2", "x/2.mp4")]
    (tmp_path / "t.csv").write_text("path,label,subject\nx/1.mp4,sad,s1\n")
    assert csv_manifest(tmp_path / "t.csv", columns={"clip_id": "path"}).clips[0].clip_id == "1"


def test_a_table_without_subjects_makes_each_clip_its_own_and_says_so(tmp_path):
    (tmp_path / "t.csv").write_text("path,label,take\n1.mp4,sad,x\n2.mp4,happy,y\n")
    manifest = csv_manifest(tmp_path / "t.csv")
    assert manifest.subjects == ("1", "2")
    assert manifest.notes == (f"{NO_SUBJECTS}; the table's columns are clip_id, path, label, take",)
    (tmp_path / "t.csv").write_text("path,label,Subject\n1.mp4,sad,x\n")
    with pytest.raises(ManifestError, match=r"no column 'subject'; .* did you mean 'Subject'"):
        csv_manifest(tmp_path / "t.csv")
