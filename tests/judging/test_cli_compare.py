"""Promises of ``vjepa-fer runs compare``: run folders and tables in, a verdict a pair out."""

import pytest

from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.errors import RunError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


def test_runs_compare_says_which_differences_are_real(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    results = [call_json("probe", cache, "-p", p, "--out", tmp_path)["results"][0] for p in ("knn", "centroid")]
    runs = [r["run"] for r in results]
    answer = call_json("runs", "compare", *runs)
    assert answer["schema"] == "vjepa-fer/compare/1"
    assert [run["war"] for run in answer["runs"]] == [r["war"]["pooled"] for r in results]
    assert {d["figure"] for d in answer["differences"]} == {"war", "uar"}
    assert answer["differences"][0]["value"] == pytest.approx(
        results[1]["war"]["pooled"] - results[0]["war"]["pooled"], abs=1e-3
    )
    lines = call("runs", "compare", *runs).splitlines()
    assert any("B − A" in line and "cannot be" in line for line in lines)  # they differ for one person
    assert "other subjects of this kind" in " ".join(lines)


def test_a_broken_run_among_several_is_refused_by_name(cache, tmp_path):
    call("probe", cache, "-p", "knn,centroid", "--out", tmp_path)
    broken = tmp_path / "centroid-mean-standard"
    (broken / "folds.json").write_text("{}")
    with pytest.raises(RunError, match=r"centroid-mean-standard/folds\.json: was changed after the run was written"):
        call("runs", "compare", tmp_path / "knn-mean-standard", broken)


def test_runs_compare_takes_tables_of_predictions_too(cache, tmp_path):
    call("probe", cache, "--out", tmp_path)
    table = tmp_path / "logreg-mean-standard" / "predictions.csv"
    answer = call_json("runs", "compare", tmp_path / "logreg-mean-standard", table)
    assert [d["value"] for d in answer["differences"]] == [0, 0]
