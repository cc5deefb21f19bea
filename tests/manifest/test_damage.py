"""Promises of vjepa_fer.manifest.damage: which damaged files figures rest on is said in every run, and one option leaves them out."""

import csv
import json

import numpy as np
import pytest

from test_cli_probe import call, call_json
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.evaluation import human_ceiling, make_reference
from vjepa_fer.manifest import Clip, Damage, Manifest, crema_d_clips, crema_d_official, damage_of, without_damaged
from vjepa_fer.manifest.shipped import crema_d_damaged
from vjepa_fer.runs import read_run

DAMAGED = ("1040_ITH_SAD_XX", "1064_IEO_DIS_MD", "1064_TIE_SAD_XX", "1076_MTI_NEU_XX", "1076_MTI_SAD_XX")
ACTORS = ("1040", "1064", "1076", "1001")


def actors_clips():
    return [clip for clip in crema_d_clips() if clip.subject in ACTORS]


def test_the_short_list_of_damaged_clips_is_that_of_the_whole():
    assert crema_d_damaged() == {clip.clip_id: clip.subject for clip in crema_d_official() if clip.extra["damaged"]}


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """Four actors of CREMA-D with made-up features: with every column, and with the four that a table must have."""
    folder, rng = tmp_path_factory.mktemp("crema"), np.random.default_rng(0)
    clips = actors_clips()
    centre = {label: rng.normal(size=4) for label in sorted({clip.label for clip in clips})}
    with (folder / "f.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", *"abcd"])
        writer.writerows([clip.clip_id, *(centre[clip.label] + rng.normal(size=4))] for clip in clips)
    table = read_feature_csv(folder / "f.csv", id_column="clip_id", columns=["*"])
    bare = tuple(Clip(clip.clip_id, "", clip.label, clip.subject) for clip in clips)
    import_features(table, folder / "whole", Manifest(tuple(clips)))
    import_features(table, folder / "bare", Manifest(bare))
    return folder


def test_crema_ds_damaged_files_are_known_by_column_or_id_and_missing_ones_count_as_left_out():
    clips = actors_clips()
    ids = [clip.clip_id for clip in clips]
    assert damage_of(ids, clips) == damage_of(ids, ()) == Damage(judged=DAMAGED)
    kept = without_damaged(Manifest(tuple(clips)))
    assert damage_of([clip.clip_id for clip in kept], kept.clips) == Damage(left_out=DAMAGED)
    assert damage_of(["1001_DFA_ANG_XX"], ()) == damage_of(["c1"], ()) == Damage()


def test_a_manifests_own_mark_counts_for_any_data_set():
    clips = [Clip(name, "", "sad", "s", {"damaged": mark}) for name, mark in (("a", "cut"), ("b", ""), ("c", "dark"))]
    assert damage_of(["a", "b"], clips) == Damage(judged=("a",), left_out=("c",))


@pytest.mark.parametrize("which", ["whole", "bare"])
def test_every_run_says_which_damaged_files_it_rests_on(caches, tmp_path, which):
    text = call("probe", caches / which, "--folds", "loso", "--out", tmp_path)
    assert "5 damaged clips used" in text
    assert read_run(tmp_path / "logreg-mean-standard").evaluation.damage == Damage(judged=DAMAGED)


@pytest.mark.parametrize("which", ["whole", "bare"])
def test_exclude_damaged_is_one_option_and_stands_in_the_run(caches, tmp_path, which):
    arguments = ("probe", caches / which, "--folds", "loso", "--exclude", "damaged", "--out", tmp_path)
    (result,) = call_json(*arguments)["results"]
    assert result["n_clips"] == len(actors_clips()) - 5
    assert result["damaged"] == {"judged": [], "left_out": list(DAMAGED)}
    run = json.loads((tmp_path / "logreg-mean-standard" / "run.json").read_text())
    assert (run["settings"]["exclude"], run["result"]["damaged"]) == ("damaged", result["damaged"])
    assert "5 damaged clips left out" in call(*arguments)


def test_what_raters_say_is_kept_with_the_run_for_the_very_clips_judged(caches, tmp_path):
    arguments = ("--folds", "loso", "--exclude", "damaged", "--labels", "perceived", "--out", tmp_path)
    (result,) = call_json("probe", caches / "bare", *arguments)["results"]
    clips = [clip for clip in actors_clips() if clip.clip_id not in DAMAGED]
    assert result["human"] == human_ceiling(clips, make_reference("perceived", clips))
    assert read_run(tmp_path / "logreg-mean-standard").evaluation.beside["human"] == result["human"]
    assert "raters' majority" in call("runs", "show", tmp_path / "logreg-mean-standard")


def test_anything_else_to_exclude_is_wrong_usage(caches):
    with pytest.raises(AssertionError, match="'faces' is not 'damaged'"):
        call("probe", caches / "bare", "--exclude", "faces")


def test_predictions_for_damaged_files_are_left_out_too(caches, tmp_path):
    call("probe", caches / "bare", "--folds", "loso", "--out", tmp_path)
    table = tmp_path / "logreg-mean-standard" / "predictions.csv"
    (whole,), (rest,) = (call_json("evaluate", table, *option)["results"] for option in ((), ("--exclude", "damaged")))
    assert (whole["n_clips"] - rest["n_clips"], whole["damaged"]["judged"]) == (5, list(DAMAGED))
    assert rest["damaged"] == {"judged": [], "left_out": list(DAMAGED)}
