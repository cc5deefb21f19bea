"""Where there is no file to compare, the features are: copies under two people are found, and what nobody could look at is listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import call, draw, write_features
from vjepa_fer.errors import SplitError
from vjepa_fer.folds import identical_rows
from vjepa_fer.manifest import write_manifest

NOISE = draw(separation=0.0)
NUM = len(NOISE.ids)


def groups_of(names):
    return {tuple(np.flatnonzero(names == name).tolist()) for name in set(names.tolist()) - {""}}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 30), st.integers(3, 90))
def test_exactly_the_copies_are_found(seed, num_copies, dim):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, dim)).astype(np.float32)
    source, target = rng.permutation(60)[: 2 * num_copies].reshape(2, -1)
    x[target] = x[source]
    assert groups_of(identical_rows(x)) == {
        tuple(sorted(pair)) for pair in zip(source.tolist(), target.tolist(), strict=True)
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 80), st.integers(1, 6))
def test_copies_among_few_whole_numbers_are_those_of_the_definition(seed, num_rows, dim, num_values):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, num_values, (num_rows, dim)).astype(np.float32)[rng.integers(0, num_rows, num_rows)]
    x[rng.random(x.shape) < 0.05] = -0.0
    seen = x[:, np.unique(np.linspace(0, dim - 1, 64).astype(int))]
    expected = set()
    for row in range(num_rows):
        equal = np.flatnonzero((x == x[row]).all(axis=1))
        own = np.count_nonzero((seen == seen[row]).sum(axis=0) == len(equal))
        if len(equal) > 1 and own >= 3 and (x[row] != x[row, 0]).any():
            expected.add(tuple(equal.tolist()))
    assert groups_of(identical_rows(x)) == expected


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((50, 35)),
        np.where(np.arange(50)[:, None] % 3 == 0, 0, np.random.default_rng(0).normal(size=(50, 35))),
        np.random.default_rng(0).integers(0, 2, (50, 3)),
        np.random.default_rng(0).integers(0, 9, (50, 1)),
    ],
    ids=["no face anywhere", "no face in a third", "three yes or no", "one whole number"],
)
def test_rows_that_meet_by_chance_or_say_nothing_are_no_copies(x):
    assert set(identical_rows(x.astype(np.float32))) == {""}


def make_cache(folder, ids, y, subjects, x, **columns):
    drawn = NOISE._replace(ids=tuple(ids), y=np.array(y), subjects=np.array(subjects), x=x)
    write_features(folder / "f.csv", ids, {f"f{n}": column for n, column in enumerate(x.T)})
    write_manifest(drawn.manifest(**columns), folder / "m.csv")
    call("cache", "import", folder / "f.csv", folder / "cache", "-m", folder / "m.csv")
    return folder / "cache"


@pytest.fixture
def copied(tmp_path):
    """Noise, each recording there twice: under its person and under another."""
    ids = [*NOISE.ids, *(f"again_{name}" for name in NOISE.ids)]
    others = [f"t{n}" for n in (NOISE.codes("subjects") + 3) % 6]
    return make_cache(tmp_path, ids, [*NOISE.y] * 2, [*NOISE.subjects, *others], np.vstack([NOISE.x] * 2))


def test_copies_of_a_recording_under_two_people_are_refused(copied):
    with pytest.raises(
        SplitError, match=r"the same features on both sides: \d+ rows of them, .*(?s:.*)keep one of each"
    ):
        call("probe", copied, "--folds", "subject-kfold:4")


def test_where_they_are_allowed_every_figure_is_called_leaky(copied):
    done = call("probe", copied, "--folds", "subject-kfold:4", "--allow-leak", "--json", "-p", "knn", "--param", "k=1")
    result = json.loads(done.stdout)["results"][0]
    assert result["leaky"]
    assert result["war"]["mean"] > 60  # on noise


def test_an_audit_lists_what_it_could_not_look_at(tmp_path):
    cache = make_cache(tmp_path, NOISE.ids, NOISE.y, NOISE.subjects, NOISE.x)
    said = call("probe", cache, "--folds", "loso", "--out", tmp_path / "runs")
    files = f"files: {NUM} of {NUM} clips carry no hash of theirs; their features were compared instead"
    recordings = "recordings: the manifest has no column recording"
    shown = call("runs", "show", tmp_path / "runs" / "logreg-mean-standard")
    call("report", tmp_path / "runs", "-o", tmp_path / "page.html")
    for text in (said.stderr, shown.stderr, (tmp_path / "page.html").read_text(encoding="utf-8")):
        assert files in text
        assert recordings in text
    known = make_cache(make(tmp_path / "known"), NOISE.ids, NOISE.y, NOISE.subjects, NOISE.x, recording=NOISE.ids)
    assert recordings not in call("probe", known, "--folds", "loso").stderr


def make(folder):
    folder.mkdir()
    return folder


def test_where_each_clip_is_a_subject_every_table_says_that_none_is_known(tmp_path):
    cache, runs = make_cache(tmp_path, NOISE.ids, NOISE.y, NOISE.ids, NOISE.x), tmp_path / "runs"
    words = "no subjects known (every clip is a subject of its own)"
    done = call(
        "probe", cache, "--folds", "subject-kfold:4", "--out", runs, "-p", "knn", "--param", "k=1,3", "--no-nested"
    )
    assert words in " ".join(done.stdout.split())
    assert "a person may be on both sides of a fold" in done.stderr
    first, second = sorted(path.parent for path in runs.glob("*/run.json"))
    listed, compared = call("runs", "list", runs).stdout, call("runs", "compare", first, second)
    shown, judged = call("runs", "show", first), call("evaluate", first / "predictions.csv")
    call("report", runs, "-o", tmp_path / "page.html")
    assert words in " ".join(listed.split())
    assert words in " ".join(compared.stdout.split())
    assert all("no subjects are known" in one.stderr for one in (shown, judged, compared))
    assert "No subjects are known" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "no subjects known" in call("cache", "info", cache).stdout
    assert (
        "no subjects known"
        in call("cache", "import", tmp_path / "f.csv", tmp_path / "two", "-m", tmp_path / "m.csv").stderr
    )
