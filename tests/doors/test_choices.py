"""Promises of vjepa_fer.doors.choices: whoever mistypes a name out of a closed list is told all of them and the one that was meant."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vjepa_fer.cache.exports import export_features
from vjepa_fer.doors import nearest, nearest_of, not_one_of
from vjepa_fer.encoder.loading.registry import find_encoder, read_registration
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.evaluation import make_reference
from vjepa_fer.experiment import Cell, Experiment, make_cells
from vjepa_fer.experiment.params import check_decision
from vjepa_fer.features.scaling import fit_scaler
from vjepa_fer.folds import make_folds
from vjepa_fer.judging.policies import find_policy
from vjepa_fer.manifest import corpus_manifest, ravdess_clips, verify_download
from vjepa_fer.manifest.damage import check_exclude
from vjepa_fer.probes import make_probe
from vjepa_fer.recipe import Sampling, Storage, parse_level

ROOT = Path(__file__).parents[2]
NAMES = ["none", "standard", "minmax"]


def test_a_message_says_what_was_given_what_there_is_and_what_was_meant():
    said = "scale 'standrad' is not one of none, standard, minmax; did you mean 'standard'?"
    assert not_one_of("scale", "standrad", NAMES) == said
    assert not_one_of("modality", 3, (1, 2)) == "modality 3 is not one of 1, 2"
    assert not_one_of("x", "nothing alike", NAMES, listed="three") == "x 'nothing alike' is not one of three"


def test_letter_case_is_no_other_name():
    assert nearest("HAPPY", ["sad", "happy"]) == "; did you mean 'happy'?"


def test_a_long_name_takes_no_time_and_no_room():
    long = "ab" * 500_000
    started = time.perf_counter()
    assert len(not_one_of("probe", long, [*NAMES, long[:-1]])) < 2_000_200
    assert len(not_one_of("probe", long, NAMES)) < 400
    assert time.perf_counter() - started < 1


@given(st.sampled_from(NAMES), st.data())
def test_one_letter_more_less_or_other_still_finds_the_name(name, data):
    place = data.draw(st.integers(0, len(name) - 1))
    letter = data.draw(st.sampled_from("abcxyz"))
    cut = data.draw(st.integers(0, 1))
    typed = name[:place] + letter * (1 - cut) + name[place + cut :]
    assert nearest_of(typed, NAMES) == name


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=8))
def test_what_is_proposed_is_always_on_the_list(word, names):
    assert nearest_of(word, names) in {*names, ""}


CLOSED = {
    "corpus": (lambda tmp: corpus_manifest("mafv", tmp), "mafw"),
    "corpus to verify": (lambda tmp: verify_download(tmp, corpus="cremad"), "crema-d"),
    "channel": (lambda tmp: list(ravdess_clips(channels=["speach"])), "speech"),
    "exclude": (lambda tmp: check_exclude("damage"), "damaged"),
    "policy": (lambda tmp: find_policy("merg"), "merge"),
    "suffix": (lambda tmp: export_features(None, tmp / "a.parqet"), ".parquet"),
    "model": (lambda tmp: find_encoder("vjepa2-larg-256"), "vjepa2-large-256"),
    "probe": (lambda tmp: make_probe("logrge"), "logreg"),
    "parameter": (lambda tmp: make_probe("mlp", {"alhpa": 1}), "alpha"),
    "parameter of a fitted probe": (lambda tmp: make_probe("mlp").set_params(alhpa=1), "alpha"),
    "parameter of a grid": (lambda tmp: make_cells(["mlp"], ["mean"], {"mlp.alhpa": [1]}, scales=["none"]), "alpha"),
    "preset": (lambda tmp: make_probe("attentive", {"preset": "papre"}), "paper"),
    "value of a parameter": (lambda tmp: make_probe("svm", {"kernel": "rfb"}).fit([[0.0], [1.0]], ["a", "b"]), "rbf"),
    "recipe's word": (lambda tmp: Sampling(mode="segmets"), "segments"),
    "token dtype": (lambda tmp: Storage(token_dtype="float61"), "float16"),
    "level": (lambda tmp: parse_level("fames"), "frames"),
    "scale": (lambda tmp: fit_scaler("standrad", None), "standard"),
    "decision": (lambda tmp: check_decision(Cell(decision="votes")), "vote"),
    "fusion": (lambda tmp: Experiment(streams={"a": "x", "b": "y"}, fusion="earley"), "early"),
    "folds": (lambda tmp: make_folds("ravdes-5fold", ["a", "b"], ["x", "y"]), "ravdess-5fold"),
    "folds with a number": (lambda tmp: make_folds("subject-kfld:5", ["a", "b"], ["x", "y"]), "subject-kfold:N"),
    "labels": (lambda tmp: make_reference("percieved", []), "perceived"),
    "ties": (lambda tmp: make_reference("perceived", [], ties="splitt"), "split"),
    "field of a registration": (lambda tmp: read_registration(written(tmp, 'wieghts = "a.pt"')), "weights"),
    "like of a registration": (
        lambda tmp: read_registration(written(tmp, 'like = "vjepa2-larg-256"\nweights = "a.pt"')),
        "vjepa2-large-256",
    ),
}


def written(folder, text):
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


@pytest.mark.parametrize(("refuse", "meant"), CLOSED.values(), ids=CLOSED)
def test_every_closed_list_proposes_the_nearest(refuse, meant, tmp_path):
    with pytest.raises(VjepaFerError) as refused:
        refuse(tmp_path)
    assert f"did you mean {meant!r}?" in str(refused.value)


def test_one_function_compares_names():
    for path in [*(ROOT / "vjepa_fer").rglob("*.py"), *(ROOT / "cli").glob("*.py")]:
        imported = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        if path.name == "choices.py":
            continue
        assert "difflib" not in imported, f"{path}: use vjepa_fer.doors.nearest"
        text = path.read_text(encoding="utf-8")
        assert "is not one of {', '.join" not in text, f"{path}: use vjepa_fer.doors.not_one_of"
