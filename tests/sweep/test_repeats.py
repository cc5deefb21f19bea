"""Promises of ``probe --repeats``: the same clips under the next seeds, told beside the intervals, and part of the experiment."""

import numpy as np
import pytest

from test_cli_probe import call, call_json, make_cache
from test_evaluate import faces
from vjepa_fer.errors import ExperimentError
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.sweep import run_experiment

FOLDS = "subject-kfold:3"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    table = faces(num_subjects=9)
    noise = np.random.default_rng(1).normal(size=table.X.shape).astype(np.float32)
    return make_cache(tmp_path_factory.mktemp("faces"), table._replace(X=table.X + 4 * noise))


CENTROID = (Cell(probe="centroid"),)


def asked(cache, repeats=1, seed=0, cells=CENTROID, folds=FOLDS):
    return Experiment(cache=str(cache), cells=cells, protocol=Protocol(folds=folds, seed=seed, repeats=repeats))


def test_each_repeat_is_the_experiment_of_the_next_seed(cache):
    (row,) = run_experiment(asked(cache, repeats=3, seed=4)).repeated
    assert row.seeds == (4, 5, 6)
    alone = [run_experiment(asked(cache, seed=seed)).best.evaluation.scores["war"].pooled for seed in row.seeds]
    assert list(row.figures["war"]) == alone
    assert len(set(alone)) > 1
    assert row.to_dict()["war"]["sd"] == pytest.approx(100 * np.std(alone, ddof=1), abs=1e-4)


def test_what_is_chosen_is_chosen_anew_in_each_repeat(cache):
    cells = (Cell(probe="centroid"), Cell(probe="knn", params={"n_neighbors": 3}))
    done = run_experiment(asked(cache, repeats=2, cells=cells))
    assert [row.title for row in done.repeated] == [one.title for one in (*done.swept.chosen, *done.swept.cells)]
    (other,) = run_experiment(asked(cache, seed=1, cells=cells)).swept.chosen[:1]
    assert done.repeated[0].figures["uar"][1] == other.evaluation.scores["uar"].pooled


def test_the_table_and_json_show_the_spread_and_no_run_folder_holds_another_seed(cache, tmp_path):
    words = ("probe", cache, "-p", "centroid", "--folds", FOLDS, "--repeats", 3)
    text = call(*words, "--out", tmp_path / "runs")
    assert "over seeded fold assignments" in text
    assert len(list((tmp_path / "runs").rglob("run.json"))) == 1
    (row,) = call_json(*words)["repeats"]
    assert f"{row['war']['mean']:.2f} ± {row['war']['sd']:.2f}" in text
    assert "repeats" not in call_json(*words[:-2])


def test_it_is_part_of_the_experiment(cache, tmp_path):
    call("probe", cache, "-p", "centroid", "--folds", FOLDS, "--repeats", 2, "--save", tmp_path / "e.toml")
    assert "repeats = 2" in (tmp_path / "e.toml").read_text()
    assert len(call_json("probe", "--config", tmp_path / "e.toml")["repeats"][0]["seeds"]) == 2
    assert asked(cache, repeats=2).fingerprint != asked(cache).fingerprint


@pytest.mark.parametrize("folds", ["ravdess-5fold", "loso", "column:split"])
def test_folds_that_no_seed_draws_are_refused(cache, folds):
    with pytest.raises(
        ExperimentError, match=rf"repeats = 2 draws folds anew, and folds = '{folds}' are always the same"
    ):
        asked(cache, repeats=2, folds=folds)


def test_another_corpus_has_no_folds_to_repeat(cache):
    with pytest.raises(ExperimentError, match="test_on has none"):
        Experiment(cache=str(cache), test_on="other", protocol=Protocol(repeats=2))


@pytest.mark.parametrize("repeats", [0, 1001])
def test_a_number_that_is_no_number_of_repeats_is_refused(repeats):
    with pytest.raises(ExperimentError, match=r"repeats = .*expected 1 to 1,000"):
        Experiment(cache="c", protocol=Protocol(repeats=repeats))
