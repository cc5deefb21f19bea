"""Votes are counted answers of raters: no other column of a manifest becomes one, and what was taken for votes is listed."""

from __future__ import annotations

import numpy as np
import pytest

from tables import call, draw, write_features
from vjepa_fer.errors import ManifestError
from vjepa_fer.evaluation import manifest_roles
from vjepa_fer.evaluation.votes import find_votes, vote_columns
from vjepa_fer.manifest import write_manifest

FACES = draw(people=4)
NUM = len(FACES.ids)
RNG = np.random.default_rng(0)
DETECTOR = {
    "face_x": RNG.integers(0, 200, NUM),
    "face_y": RNG.integers(0, 200, NUM),
    "face_score": RNG.random(NUM).round(3),
    "face_yaw": RNG.normal(size=NUM).round(2),
    "face_detector": ["yunet"] * NUM,
}
VOTES = {f"face_{name}": RNG.integers(0, 6, NUM) + (FACES.y == name) * 5 for name in ("angry", "happy", "sad", "other")}


@pytest.mark.parametrize("names", [[name] for name in DETECTOR] + [list(DETECTOR)], ids=lambda names: "+".join(names))
def test_columns_of_a_face_detector_are_no_votes(names):
    clips = FACES.manifest(**{name: DETECTOR[name] for name in names}).clips
    assert find_votes(clips) is None


def test_votes_beside_them_are_read_alone():
    manifest = FACES.manifest(**DETECTOR, **VOTES)
    votes = find_votes(manifest.clips)
    assert votes.classes == ("angry", "happy", "other", "sad")
    np.testing.assert_array_equal(votes.counts, np.column_stack([VOTES[f"face_{name}"] for name in votes.classes]))
    lines = manifest_roles(manifest)
    assert "votes of raters on the silent video: face_angry, face_happy, face_other, face_sad" in lines
    assert any(line.startswith("not read by a probe: face_x, face_y") for line in lines)


def test_votes_may_be_shares_and_may_know_expressions_that_no_clip_shows():
    shares = RNG.dirichlet(np.ones(3), NUM).round(3)
    clips = FACES.manifest(face_anger=shares[:, 0], face_happy=shares[:, 1], face_fear=shares[:, 2]).clips
    assert vote_columns(clips) == ("face_anger", "face_fear", "face_happy")
    np.testing.assert_allclose(find_votes(clips).shares.sum(axis=1), 1, atol=2e-3)


def test_confidences_are_refused_as_votes():
    clips = FACES.manifest(face_happy=np.full(NUM, 0.93), face_sad=np.full(NUM, 0.4)).clips
    with pytest.raises(ManifestError, match=r"face_happy 0.93, face_sad 0.4: expected counts of votes, or shares"):
        find_votes(clips)


@pytest.mark.parametrize("names", [["face_x", "face_y", "face_score"], ["face_detector"], ["face_yaw"]])
def test_a_probe_works_beside_a_face_detectors_columns_and_shows_no_rater(tmp_path, names):
    write_manifest(FACES.manifest(**{name: DETECTOR[name] for name in names}), tmp_path / "m.csv")
    write_features(tmp_path / "f.csv", FACES.ids, {f"f{n}": column for n, column in enumerate(FACES.x.T)})
    call("cache", "import", tmp_path / "f.csv", tmp_path / "cache", "-m", tmp_path / "m.csv")
    done = call("probe", tmp_path / "cache", "--folds", "loso", "-p", "centroid")
    assert "rater" not in done.stdout
    assert f"not read by a probe: {names[0]}" in done.stderr
