"""Promises of vjepa_fer.judging.label_issues and ``runs issues``: planted label errors are found, by the published rule, and shown."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import call, draw, write_features
from vjepa_fer.errors import RunError
from vjepa_fer.judging import Predictions, find_label_issues
from vjepa_fer.judging.label_issues import confident_classes
from vjepa_fer.manifest import crema_d_clips, write_manifest

CLASSES = ("angry", "happy", "sad")


def predictions(probabilities, label, ids=None):
    num = len(label)
    return Predictions(
        classes=CLASSES,
        clip_ids=np.array(ids if ids is not None else [f"c{n:03d}" for n in range(num)]),
        subjects=np.array([f"s{n % 5}" for n in range(num)]),
        fold=np.zeros(num, np.int64),
        truth=np.asarray(label),
        predicted=np.asarray(probabilities).argmax(axis=1),
        probabilities=np.asarray(probabilities),
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 40))
def test_clips_count_for_classes_as_the_paper_has_it(seed, num_clips):
    """Northcutt et al. 2021, eq. 1 and 2, clip by clip."""
    rng = np.random.default_rng(seed)
    values, label = rng.dirichlet(np.ones(3), num_clips), rng.integers(3, size=num_clips)
    threshold = {c: values[label == c, c].mean() for c in set(label.tolist())}
    found = confident_classes(values, label)
    for row in range(num_clips):
        reached = [c for c in threshold if values[row, c] >= threshold[c] - 1e-12]
        assert found[row] == (max(reached, key=lambda c: values[row, c]) if reached else -1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.permutations(range(60)), st.permutations(range(3)))
def test_neither_the_order_of_rows_nor_of_classes_matters(seed, rows, columns):
    rng = np.random.default_rng(seed)
    values, label = rng.dirichlet(np.ones(3), 60), rng.integers(3, size=60)
    one = predictions(values, label)
    other = predictions(values[rows][:, columns], np.argsort(columns)[label[rows]], one.clip_ids[rows])
    names = [
        [(i.clip_id, i.label, i.suggested) for i in find_label_issues(found)]
        for found in (one, Predictions(**{**vars(other), "classes": tuple(np.array(CLASSES)[list(columns)])}))
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize("seed", range(3))
def test_only_planted_errors_are_found(seed):
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=300)
    values = 0.3 * rng.dirichlet(np.ones(3), 300) + 0.7 * np.eye(3)[true]
    planted = rng.choice(300, 24, replace=False)
    label = true.copy()
    label[planted] = (true[planted] + rng.integers(1, 3, 24)) % 3
    issues = find_label_issues(predictions(values, label))
    assert {issue.clip_id for issue in issues} <= {
        f"c{n:03d}" for n in planted
    }  # some are not sure enough of the other class
    assert len(issues) >= 12
    assert all(issue.suggested == CLASSES[true[int(issue.clip_id[1:])]] for issue in issues)
    assert find_label_issues(predictions(values, true)) == ()


def test_without_probabilities_no_label_is_doubted():
    bare = predictions(np.eye(3), [0, 1, 2])
    with pytest.raises(RunError, match="by probabilities only"):
        find_label_issues(Predictions(**{**vars(bare), "probabilities": None}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on clips of CREMA-D's names, a tenth of them with a planted label, and what was planted."""
    folder = tmp_path_factory.mktemp("issues")
    drawn, rng = draw(people=8, times=10, separation=4.0, seed=3), np.random.default_rng(1)
    codes = drawn.codes("y")
    wrong = rng.choice(len(codes), 24, replace=False)
    label = codes.copy()
    label[wrong] = (codes[wrong] + 1) % 3
    votes = {f"face_{name}": 2 + 7 * (codes == number) for number, name in enumerate(CLASSES)}
    shown = drawn._replace(y=np.array(CLASSES)[label]).manifest(**votes)
    write_manifest(shown, folder / "m.csv")
    features = write_features(folder / "f.csv", drawn.ids, {f"x{n}": drawn.x[:, n] for n in range(6)})
    call("cache", "import", features, folder / "cache", "-m", folder / "m.csv")
    call("probe", folder / "cache", "--probe", "logreg", "--folds", "subject-kfold:4", "--out", folder / "runs")
    (path,) = {p.parent for p in (folder / "runs").rglob("run.json") if "best" not in p.parts}
    return path, folder / "m.csv", {drawn.ids[n]: CLASSES[codes[n]] for n in wrong}


def test_the_command_lists_planted_errors_with_subjects_and_raters(run):
    path, manifest, planted = run
    found = json.loads(call("runs", "issues", path, "-m", manifest, "--json").stdout)
    assert found["n_clips"] == 240
    listed = {one["clip_id"]: one for one in found["issues"]}
    hit = set(listed) & set(planted)
    assert len(hit) >= 0.9 * len(planted)
    assert len(hit) >= 0.75 * len(listed)
    assert all(listed[name]["suggested"] == planted[name] for name in hit)
    assert all(listed[name]["raters"][planted[name]] == 9 for name in hit)
    assert all(one["subject"] == one["clip_id"][:3] for one in found["issues"])
    gap = [one["probability_of_label"] - one["probability_of_suggested"] for one in found["issues"]]
    assert gap == sorted(gap)
    text = call("runs", "issues", path, "-m", manifest, "--top", "3")
    assert f"{len(listed)} of 240 labels are doubtful; the first 3" in text.stdout
    assert text.stdout.count(" 9, ") == 3


def test_without_votes_raters_saw_nothing(run):
    found = json.loads(call("runs", "issues", run[0], "--json").stdout)
    assert {one["raters"] for one in found["issues"]} == {None}


def test_the_report_shows_them(run, tmp_path):
    pytest.importorskip("jinja2")
    call("report", run[0], "-o", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    (first, *_) = json.loads(call("runs", "issues", run[0], "--json").stdout)["issues"]
    section = page[page.index("Labels most likely wrong") :]
    assert first["clip_id"] in section[:3000]
    assert f"{first['suggested']} 9, " in section[:3000]  # the cache's manifest has the votes


def test_raters_of_crema_d_are_known_by_the_clips_names():
    from vjepa_fer.judging import LabelIssue
    from vjepa_fer.runs.doubts import _votes

    clip = next(iter(crema_d_clips()))
    votes = _votes([LabelIssue(clip.clip_id, clip.subject, clip.label, "x", 0, 1)], ())
    assert sum(votes[clip.clip_id].values()) > 5
