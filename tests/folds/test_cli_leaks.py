"""Promises of ``vjepa-fer probe --folds`` beyond presets: leaks are refused before a fit, or labelled wherever figures show."""

import json

import pytest

from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.cache import CachedClip
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import SplitError
from vjepa_fer.folds import ClipFolds, folds_to_json
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.report import gather_numbers, render_page


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Columns `split` (leaky: each subject on both sides) and `part` (s0 is validation, s1 test)."""
    folder, table = tmp_path_factory.mktemp("faces"), faces()
    make_cache(folder, table)
    parts = {"s0": "val", "s1": "test"}
    clips = (
        Clip(
            str(c),
            "",
            str(y),
            str(s),
            {"split": "test" if n % 4 < 3 and n % 8 > 3 else "train", "part": parts.get(s, "train")},
        )
        for n, (c, y, s) in enumerate(zip(table.clip_ids, table.y, table.subjects, strict=True))
    )
    imported = read_feature_csv(folder / "features.csv", id_column="clip_id", columns=["f*"])
    import_features(imported, folder / "split", Manifest(clips=tuple(clips)))
    return folder / "split"


def test_an_official_split_is_one_fold_of_its_test_part(cache, tmp_path):
    (result,) = call_json("probe", cache, "--folds", "column:part", "--out", tmp_path)["results"]
    assert (result["n_clips"], result["n_subjects"], len(result["war"]["folds"])) == (8, 1, 1)
    assert (result["folds"], result["leaky"], result["war"]["sd"]) == ("column:part", False, None)
    assert call_json("runs", "show", tmp_path / "logreg-mean-standard")["result"]["war"] == result["war"]
    assert call_json("probe", cache, "--folds", "column:part", "--out", tmp_path)["results"] == [result]


def test_a_leaky_split_is_refused_before_anything_is_fitted(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "vjepa_fer.sweep.loop.run_tasks_on", lambda *args, **kwargs: pytest.fail("something was fitted")
    )
    with pytest.raises(SplitError, match=r"the same subject on both sides: 6 subjects .* c0 trained on, c4 tested"):
        call("probe", cache, "--folds", "column:split", "--out", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_allowed_leak_is_labelled_wherever_figures_show(cache, tmp_path):
    arguments = ("probe", cache, "--folds", "column:split", "--allow-leak", "--out", tmp_path)
    (result,) = call_json(*arguments)["results"]
    assert result["leaky"] is True
    assert "6 subjects" in result["leaks"][0]
    assert json.loads((tmp_path / "logreg-mean-standard" / "run.json").read_text())["result"]["leaky"] is True
    assert "LEAKY" in call(*arguments)
    assert "LEAKY" in call("runs", "list", tmp_path)
    assert "LEAKY" in call("runs", "show", tmp_path / "logreg-mean-standard")
    assert call_json("runs", "list", tmp_path)["results"][0]["leaky"] is True
    table = tmp_path / "logreg-mean-standard" / "predictions.csv"
    assert call_json("evaluate", table)["results"][0]["leaks"] == result["leaks"]
    assert "LEAKY" in call("evaluate", table)
    both = call_json("runs", "compare", tmp_path / "logreg-mean-standard", table)
    assert len(both["leaky"]) == 2
    assert all(difference["leaky"] and not difference["real"] for difference in both["differences"])
    assert call("runs", "compare", tmp_path / "logreg-mean-standard", table).count("LEAKY") >= 4
    assert "LEAKY: logreg · mean · standard" in render_page(gather_numbers([tmp_path / "logreg-mean-standard"]))


def test_a_leaky_run_that_is_there_is_not_resumed_unasked(cache, tmp_path):
    call("probe", cache, "--folds", "column:split", "--allow-leak", "--out", tmp_path)
    with pytest.raises(SplitError, match="leak"):
        call("probe", cache, "--folds", "column:split", "--out", tmp_path)


def test_folds_come_from_a_file_too(cache, tmp_path):
    train, test = ([f"c{n}" for n in side] for side in (range(16, 48), range(8)))
    (tmp_path / "mine.json").write_text(folds_to_json(ClipFolds("mine", (tuple(train),), (tuple(test),))))
    (result,) = call_json("probe", cache, "--folds", f"file:{tmp_path / 'mine.json'}")["results"]
    assert (result["folds"], result["n_clips"]) == ("mine", 8)


def test_the_same_file_under_two_names_is_a_leak(cache, monkeypatch):
    monkeypatch.setattr(CachedClip, "__init__", _without_hash(CachedClip.__init__))
    with pytest.raises(SplitError, match="the same file content on both sides: 1 files, 8 test clips"):
        call("probe", cache, "--folds", "loso")


def _without_hash(init):
    """A clip whose file is everybody's."""

    def made(self, **values):
        init(self, **values | {"source_sha256": "ab" * 32})

    return made
