"""No cell of a table that we write is a formula in a spreadsheet, and what we read back is what was written."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hostile import FORMULAS, is_formula
from test_cli_probe import call, call_json
from test_evaluate import faces
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.exports import export_features
from vjepa_fer.cache.failures import Failure, failure_pieces, read_failures, write_failures
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.judging import Predictions, read_confusion, read_predictions, write_predictions
from vjepa_fer.judging.prediction_csv import COLUMNS as PREDICTION_COLUMNS
from vjepa_fer.manifest import (
    COLUMNS,
    Clip,
    Manifest,
    csv_manifest,
    is_missing,
    parse_listed,
    read_label_map,
    read_manifest,
    read_table,
    write_manifest,
)
from vjepa_fer.predict.timeline import Timeline, write_timeline
from vjepa_fer.runs import read_run

EVERY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]))
OTHER_COLUMNS = frozenset([*COLUMNS, *PREDICTION_COLUMNS])
# a reader strips cells, numpy strips NUL, and a manifest refuses control characters; a table of predictions takes them
NAMES = (FORMULAS | PLAIN).filter(lambda text: text and text == text.strip().strip("\0") and text not in OTHER_COLUMNS)
CLEAN = NAMES.filter(lambda text: text.isprintable() and not set(text) & set("/\\") and text not in (".", ".."))


def cells(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [cell for row in csv.reader(file, strict=True) for cell in row]


def formulas(path: Path) -> list[str]:
    return [cell for cell in cells(path) if is_formula(cell)]


@EVERY
@given(names=st.lists(CLEAN, min_size=4, max_size=4), extra=st.dictionaries(NAMES, NAMES, max_size=2))
def test_a_manifest_of_any_names_reads_back_equal(tmp_path, names, extra):
    clip_id, path, label, subject = names
    assume(not is_missing(label) and not is_missing(subject))
    manifest = Manifest((Clip(clip_id, f"/{path}", label, subject, extra),))
    write_manifest(manifest, tmp_path / "m.csv", force=True)
    again = parse_listed((tmp_path / "m.csv").read_bytes(), tmp_path / "m.csv")
    assert (again.clips, again.columns) == (manifest.clips, manifest.columns)
    assert formulas(tmp_path / "m.csv") == []


@EVERY
@given(
    classes=st.lists(
        NAMES, min_size=2, max_size=3, unique_by=lambda name: "".join(filter(str.isalnum, name)).casefold() or name
    ),
    clip_ids=st.lists(NAMES, min_size=2, max_size=2, unique=True),
    subjects=st.lists(NAMES, min_size=2, max_size=2),
)
def test_predictions_of_any_names_read_back_equal(tmp_path, classes, clip_ids, subjects):
    shares = np.eye(len(classes))[:2]
    said = Predictions(
        classes=tuple(classes),
        clip_ids=np.array(clip_ids),
        subjects=np.array(subjects),
        fold=np.array([0, 1]),
        truth=np.array([1, 0]),
        predicted=np.array([0, 1]),
        probabilities=shares,
    )
    write_predictions(tmp_path / "p.csv", said)
    again = read_predictions(tmp_path / "p.csv", spelling="kept")
    assert again.classes == said.classes
    for name in ("clip_ids", "subjects", "fold", "truth", "predicted", "probabilities"):
        np.testing.assert_array_equal(getattr(again, name), getattr(said, name))
    assert formulas(tmp_path / "p.csv") == []


@EVERY
@given(texts=st.lists(FORMULAS | PLAIN, min_size=5, max_size=5))
def test_a_list_of_failures_reads_back_equal(tmp_path, texts):
    failure = Failure(*texts[:2], f"{texts[2]}.", *texts[3:])  # one without a reason takes an earlier one back
    write_failures(tmp_path, {failure.clip_id: failure})
    assert read_failures(tmp_path)[failure.clip_id] == failure
    assert (
        formulas(tmp_path / "failed.csv")
        == [formula for piece in failure_pieces(tmp_path) for formula in formulas(piece)]
        == []
    )


def test_an_exported_table_is_imported_under_the_same_names(tmp_path):
    columns = ("=a", "-b", "@c", "'=d", "-1")
    clips = Manifest((Clip("=1+1", "", "+x", "-s"), Clip("'@2", "", "+x", "s")))
    table = FeatureTable(("=1+1", "'@2"), columns, np.array([[-1, 2, 3, 4, 5]] * 2, np.float32), "x.csv", "0" * 64)
    cache, _ = import_features(table, tmp_path / "cache", clips)
    path = export_features(cache, tmp_path / "out.csv")
    assert formulas(path) == []
    again = read_feature_table(path, columns=["*"])
    assert (again.ids, again.columns) == (table.ids, columns)
    np.testing.assert_array_equal(again.values, table.values)


def test_a_timeline_is_no_formula(tmp_path):
    one = np.zeros(1)
    timeline = Timeline(
        Path("a"), ("=1+1", "-sad"), one, one, np.array([[0.5, 0.5]]), np.zeros((1, 2, 2, 3), np.uint8), one
    )
    (path,) = write_timeline(timeline, tmp_path, "a", plot=False)
    assert formulas(path) == []
    assert cells(path)[:7] == ["start_seconds", "end_seconds", "label", "'=1+1", "'-sad", "0.0000", "0.0000"]


def test_tables_from_anywhere_are_read_as_a_spreadsheet_saves_them(tmp_path):
    (tmp_path / "t.csv").write_text("'=id;label;note\n'@a;'tis;'-1\n")
    table = read_table(tmp_path / "t.csv")
    assert table.header == ("=id", "label", "note")
    assert table.rows == ((2, {"=id": "@a", "label": "'tis", "note": "'-1"}),)
    (tmp_path / "c.csv").write_text("true_label,'=x,y\n'=x,1,2\ny,3,4\n")
    assert read_confusion(tmp_path / "c.csv")[0] == ("=x", "y")
    (tmp_path / "map.csv").write_text("label,name\n'=x,happy\n")
    assert read_label_map(tmp_path / "map.csv") == {"=x": "happy"}
    (tmp_path / "m.csv").write_text("clip_id,path,label,subject\n'=a,v.mp4,'-x,'@s\n")
    (clip,) = csv_manifest(tmp_path / "m.csv").clips
    assert (clip.clip_id, clip.label, clip.subject) == ("=a", "-x", "@s")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Features of clips whose names are formulas, imported by the command, and a run on them."""
    root, plain = tmp_path_factory.mktemp("formulas"), faces()
    names = [[f"{sign}{name}" for name in column] for sign, column in zip("=@-", plain[1:], strict=True)]
    label, subject, clip_id = names
    clips = [Clip(c, "", y, s, {"+sex": f"={s[-1]}"}) for y, s, c in zip(label, subject, clip_id, strict=True)]
    write_manifest(Manifest((*clips, Clip("=absent", "", "=sad", "@s0", {"+sex": "=0"}))), root / "clips.csv")
    table = FeatureTable(tuple(clip_id), ("=f", "@g", "-h", "+i", "j"), plain.X, "=x.csv", "0" * 64)
    import_features(table, root / "cache", read_manifest(root / "clips.csv"))
    call("probe", root / "cache", "--probe", "knn", "--folds", "loso", "--by", "+sex", "--out", root / "runs")
    export_features(open_cache(root / "cache"), root / "features.csv")
    return root


def test_nothing_that_commands_write_is_a_formula(study):
    written = {path.name for path in study.rglob("*.csv") if path.parent.name not in ("manifest", "failed")}
    assert written == {"clips.csv", "failed.csv", "features.csv", "groups.csv", "manifest.csv", "predictions.csv"}
    assert [cell for path in study.rglob("*.csv") for cell in formulas(path)] == []


def test_a_run_and_its_table_have_the_names_of_the_manifest(study):
    run = next((study / "runs").iterdir())
    clip_ids = {clip.clip_id for clip in read_manifest(study / "clips.csv")} - {"=absent"}
    assert open_cache(study / "cache").done == clip_ids
    evaluation = read_run(run).evaluation
    assert set(evaluation.predictions.clip_ids.tolist()) == clip_ids
    assert set(evaluation.groups["+sex"]) == clip_ids
    (result,) = call_json("evaluate", run / "predictions.csv", "--manifest", study / "clips.csv", "--by", "+sex")[
        "results"
    ]
    assert (result["n_clips"], result["missing"]) == (48, ["=absent"])
    assert set(result["by"]) == {"+sex"}
    assert result["classes"] == ["=angry", "=happy", "=sad"]
