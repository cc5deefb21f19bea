"""Promises of vjepa_fer.judging.same_names: tables that spell names otherwise are compared where that is asked for, and refused where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test_cli_probe import call, call_json
from vjepa_fer.errors import RunError
from vjepa_fer.judging import Predictions, spelled_alike

OURS = ("clip_id,true_label,predicted_label,subject,fold", "c{n},{label},{said},s{who},{fold}")
THEIRS = ("clip_id,true_label,predicted_label,subject,fold", "C0{n},{label},{said},S0{who},{fold}")


def table(path, form, spell=str):
    head, row = form
    rows = [
        row.format(
            n=n,
            label=spell("happy" if n % 2 else "sad"),
            said=spell("happy" if n % 3 else "sad"),
            who=n // 4,
            fold=n // 12,
        )
        for n in range(24)
    ]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_tables_of_other_spelling_are_compared_on_request_as_if_they_spelled_alike(tmp_path):
    ours, alike = table(tmp_path / "a.csv", OURS), table(tmp_path / "alike.csv", OURS)
    theirs = table(tmp_path / "b.csv", THEIRS, str.title)
    with pytest.raises(RunError, match=r"differ only in spelling, .*--unify-names"):
        call("runs", "compare", ours, theirs)
    found = call_json("runs", "compare", ours, theirs, "--unify-names")
    expected = call_json("runs", "compare", ours, alike)
    assert (found["n_clips"], found["n_subjects"]) == (24, 6)
    assert found["differences"][0]["value"] == expected["differences"][0]["value"]


def predictions(clips, subjects, classes=("sad", "happy")):
    zeros = np.zeros(len(clips), int)
    return Predictions(
        classes=classes,
        clip_ids=np.array(clips),
        subjects=np.array(subjects),
        fold=zeros,
        truth=zeros,
        predicted=zeros,
        probabilities=None,
    )


@given(st.permutations(["a1", "b2", "c3"]), st.sampled_from([str.upper, str.title, lambda name: f" {name}\u200b"]))
def test_every_spelling_becomes_the_first(clips, spell):
    first, second = (
        predictions(["a1", "b2", "c3"], ["x", "y", ""]),
        predictions(list(map(spell, clips)), ["X", "y", ""]),
    )
    alike, united = spelled_alike({"one": first, "two": second})
    assert alike["two"].clip_ids.tolist() == clips
    assert alike["two"].subjects.tolist() == ["x", "y", ""]
    assert united == {**{spell(clip): clip for clip in clips}, "X": "x"}


def test_two_clips_of_a_table_never_become_one():
    first = predictions(["a1"], ["x"])
    with pytest.raises(RunError, match="two of its clip names are one: 'A1' beside 'a1'"):
        spelled_alike({"one": first, "two": predictions(["A1", "a1"], ["x", "x"])})
    with pytest.raises(RunError, match="two of its clip names are one"):
        spelled_alike({"one": first, "two": predictions(["A1", "a01"], ["x", "x"])})
