"""Promises of ``vjepa-fer probe --by``: figures by any manifest column, in the table, the JSON and the run folder."""

import json

import pytest

from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import Clip, Manifest, write_manifest


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A cache, and its manifest with sex and age."""
    folder, table = tmp_path_factory.mktemp("faces"), faces()
    make_cache(folder, table)
    people = {f"s{n}": {"sex": "fm"[n % 2], "age": str(25 + 4 * n)} for n in range(6)}
    rows = zip(table.clip_ids, table.y, table.subjects, strict=True)
    manifest = Manifest(clips=tuple(Clip(str(c), "", str(y), str(s), people[s]) for c, y, s in rows))
    imported = read_feature_csv(folder / "features.csv", id_column="clip_id", columns=["f*"])
    import_features(imported, folder / "grouped", manifest)
    write_manifest(manifest, folder / "manifest.csv")
    return folder / "grouped", folder / "manifest.csv"


def test_groups_are_in_the_json_the_table_and_the_run(study, tmp_path):
    cache, _ = study
    arguments = ("probe", cache, "--by", "sex,age_band", "--out", tmp_path)
    (result,) = call_json(*arguments)["results"]
    assert [(g["value"], g["n_clips"], g["n_subjects"]) for g in result["by"]["sex"]] == [("f", 24, 3), ("m", 24, 3)]
    assert [g["value"] for g in result["by"]["age_band"]] == ["20–29", "30–39", "40–49"]
    weighted = sum(g["war"] * g["n_clips"] for g in result["by"]["sex"]) / 48
    assert weighted == pytest.approx(result["war"]["pooled"], abs=1e-3)
    assert json.loads((tmp_path / "logreg-mean-standard" / "run.json").read_text())["result"]["by"] == result["by"]
    assert call_json("runs", "show", tmp_path / "logreg-mean-standard")["result"]["by"] == result["by"]
    assert call_json(*arguments)["results"] == [result]
    assert "30–39" in call(*arguments)
    assert "30–39" in call("runs", "show", tmp_path / "logreg-mean-standard")


def test_a_run_that_is_there_is_grouped_anew_when_asked(study, tmp_path):
    cache, _ = study
    assert call_json("probe", cache, "--out", tmp_path)["results"][0]["by"] == {}
    assert set(call_json("probe", cache, "--out", tmp_path, "--by", "sex")["results"][0]["by"]) == {"sex"}


@pytest.mark.parametrize("column", ["gender", "clip_id", "path"])
def test_a_column_that_makes_no_groups_is_refused_before_anything_is_fitted(study, column, monkeypatch):
    monkeypatch.setattr(
        "vjepa_fer.sweep.loop.run_tasks_on", lambda *args, **kwargs: pytest.fail("something was fitted")
    )
    with pytest.raises(
        ManifestError, match=f"no column '{column}' to group by; the manifest's columns are label, subject"
    ):
        call("probe", study[0], "--by", column)


def test_every_class_has_recall_and_precision_and_probabilities_are_judged(study):
    (result,) = call_json("probe", study[0])["results"]
    assert set(result["by_class"]) == {"angry", "happy", "sad"}
    assert result["by_class"]["sad"]["n_clips"] == 24
    recalls = [one["recall"] for one in result["by_class"].values()]
    assert sum(recalls) / 3 == pytest.approx(result["uar"]["pooled"], abs=1e-3)
    assert len(result["log_loss"]["folds"]) == len(result["ece"]["folds"]) == 5
    assert result["log_loss"]["pooled"] > 0
