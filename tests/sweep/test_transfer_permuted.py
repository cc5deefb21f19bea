"""Promises of ``probe --test-on``: no figure depends on the order of clips and features, nor on what classes are called; ties are told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test_cli_probe import call, make_cache
from test_evaluate import faces
from test_transfer import spelt
from vjepa_fer.cache import Features, open_cache
from vjepa_fer.experiment import Cell, Protocol
from vjepa_fer.sweep import run_transfer

POLICIES = ("strict", "drop-true", "repredict")
CELLS = (Cell(probe="knn", params={"n_neighbors": 2}), Cell(probe="centroid"))
FIGURES = ("war", "uar", "macro_f1", "log_loss")


def corpora():
    """Two corpora that share two of four classes, and overlap so much that the votes of two neighbours are often tied."""
    sides = (spelt(faces(dim=3), "a"), spelt(faces(num_subjects=8, dim=3), "b", sad="dull"))
    rng = np.random.default_rng(1)
    return [side._replace(X=side.X + rng.normal(scale=9, size=side.X.shape).astype(np.float32)) for side in sides]


def permuted(side, rows, columns, names):
    y = np.array([names.get(label, label) for label in side.y.tolist()])
    return Features(side.X[rows][:, columns], y[rows], side.subjects[rows], side.clip_ids[rows])


def transferred(folder, sides):
    paths = []
    for name, side in zip(("train", "test"), sides, strict=True):
        (folder / name).mkdir()
        paths.append(make_cache(folder / name, side))
    done = run_transfer(*map(open_cache, paths), CELLS, Protocol(nested=False), policies=POLICIES)
    return done.to_dict()["results"], paths


@pytest.fixture(scope="module")
def as_it_is(tmp_path_factory):
    return transferred(tmp_path_factory.mktemp("plain"), corpora())


def said(result):
    ties = result["ties"] or {}
    shared = {key: ties.get(key) for key in ("clips", "war_shared", "uar_shared")}
    return {figure: result[figure]["pooled"] for figure in FIGURES} | shared | counted(result)


def counted(result):
    return {"no_shared_mass": result["no_shared_mass"], "scored": result["coverage"]["scored"]}


@settings(max_examples=4, deadline=None)
@given(data=st.data(), keep_order=st.booleans())
def test_no_order_and_no_name_changes_a_figure_across_corpora(data, keep_order, as_it_is, tmp_path_factory):
    classes = ["angry", "dull", "happy", "sad"]
    names = ["alert", "calmer", "gay", "low"] if keep_order else data.draw(st.permutations(classes))
    columns = data.draw(st.permutations(range(3)))
    sides = [
        permuted(
            side,
            np.array(data.draw(st.permutations(range(len(side.y))))),
            columns,
            dict(zip(classes, names, strict=True)),
        )
        for side in corpora()
    ]
    results, _ = transferred(tmp_path_factory.mktemp("permuted"), sides)
    for one, again in zip(as_it_is[0], results, strict=True):
        if keep_order or not one["ties"]:
            assert said(again) == pytest.approx(said(one), abs=2e-4)
        else:  # of equals the first by name counts; what they are worth hangs on no name
            assert counted(again) == counted(one)
            assert again["ties"]["war_shared"] == pytest.approx(one["ties"]["war_shared"], abs=2e-4)
            assert again["ties"]["war_range"] == pytest.approx(one["ties"]["war_range"], abs=2e-4)


def test_the_corpora_have_ties_and_clips_without_shared_mass_and_both_are_said(as_it_is):
    knn = [result for result in as_it_is[0] if result["probe"] == "knn"]
    assert all(result["ties"]["rule"] == ("name" if result["policy"] == "repredict" else "said") for result in knn)
    assert knn[2]["no_shared_mass"] > 0
    hits = round(knn[2]["war"]["pooled"] * knn[2]["coverage"]["scored"] / 100)
    assert hits + knn[2]["no_shared_mass"] <= knn[2]["coverage"]["scored"]
    table = call(
        "probe", as_it_is[1][0], "--test-on", as_it_is[1][1], "-p", "knn", "--param", "k=2", "--policy", "repredict"
    )
    assert "one model, pooled over the tested clips" in table
