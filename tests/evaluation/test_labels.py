"""Promises of vjepa_fer.evaluation.reference: votes become labels, ties are dealt with as asked, and people's own accuracy is known."""

import csv

import numpy as np
import pytest

from test_cli_probe import call, call_json
from test_evaluate import faces
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import ManifestError, ProbeError
from vjepa_fer.evaluation import LabelledCache, human_ceiling, human_words, make_reference
from vjepa_fer.evaluation.ceiling import vote_cross_entropy
from vjepa_fer.evaluation.reference import TIES
from vjepa_fer.evaluation.votes import find_votes
from vjepa_fer.manifest import Clip, Manifest, crema_d_official
from vjepa_fer.runs import read_run


def clip(name, label, angry, happy, sad):
    votes = {"face_angry": str(angry), "face_happy": str(happy), "face_sad": str(sad)}
    return Clip(name, "", label, "s", votes)


CLIPS = [clip("a", "angry", 8, 2, 0), clip("b", "happy", 5, 5, 0), clip("c", "sad", 1, 4, 5), clip("d", "sad", 2, 4, 4)]


@pytest.fixture(scope="module")
def crema_d():
    return list(crema_d_official())


def test_perceived_labels_of_crema_d_are_the_official_ones(crema_d):
    """The figures of the official summary table: 470 ties, the classes of the 6,972 others, 70.73 % as intended."""
    reference = make_reference("perceived", crema_d)
    assert int(reference.kept.sum()) == 6972
    labels, counts = np.unique(reference.y, return_counts=True)
    found = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    assert found == {"neutral": 2076, "happy": 1266, "disgust": 1057, "anger": 968, "fear": 822, "sad": 783}
    intended = np.array([clip.label for clip in reference.take(crema_d)])
    assert round(100 * float((intended == reference.y).mean()), 2) == 70.73


def test_votes_are_found_by_clip_id_where_the_manifest_has_none(crema_d):
    bare = [Clip(clip.clip_id, "", clip.label, clip.subject) for clip in crema_d[::500]]
    np.testing.assert_array_equal(find_votes(bare).counts, find_votes(crema_d[::500]).counts)
    assert find_votes([Clip("c0", "", "sad", "s")]) is None


@pytest.mark.parametrize(
    ("ties", "shares"),
    [
        ("skip", [[1, 0, 0], [0, 0, 1]]),
        ("split", [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0.5, 0.5]]),
        ("soft", [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0.2, 0.4, 0.4]]),
    ],
)
def test_ties_are_dealt_with_as_asked(ties, shares):
    np.testing.assert_allclose(make_reference("perceived", CLIPS, ties=ties).shares, shares)


def test_votes_are_shares_of_all_raters():
    reference = make_reference("votes", CLIPS)
    np.testing.assert_allclose(reference.shares, [[0.8, 0.2, 0], [0.5, 0.5, 0], [0.1, 0.4, 0.5], [0.2, 0.4, 0.4]])
    assert reference.y.tolist() == ["angry", "angry", "sad", "happy"]


@pytest.mark.parametrize(
    ("spec", "ties", "rater", "majority", "against"),
    [
        ("intended", "skip", (0.8 + 0.5 + 0.5 + 0.4) / 4, (1 + 0.5 + 1 + 0.5) / 4, "labels"),
        # a: 8 angry of 10 are right by the 9 others; c: of 5 sad each meets 4 sad and 4 happy, half right; its 4 happy and 1 angry are wrong
        ("perceived", "skip", (0.8 + 0.5 * 0.5) / 2, None, "others"),
        # b: of 5 against 5 each meets 4 of his own and 5 others; d: of 4 happy each meets 3 happy and 4 sad
        ("perceived", "split", (0.8 + 0 + 0.5 * 0.5 + 0) / 4, None, "others"),
        # where the 9 others are tied, they give c's sad raters 4 ninths, and d's angry ones 1 ninth
        ("perceived", "soft", (0.8 + 0 + 0.5 * 4 / 9 + 0.2 / 9) / 4, None, "others"),
        (
            "votes",
            "skip",
            ((56 + 2) + (20 + 20) + (12 + 20) + (2 + 12 + 12)) / 90 / 4,
            (0.8 + 0.5 + 0.5 + 0.4) / 4,
            "votes",
        ),
    ],
)
def test_peoples_own_accuracy_is_by_hand(spec, ties, rater, majority, against):
    found = human_ceiling(CLIPS, make_reference(spec, CLIPS, ties=ties))
    assert found["rater"] == pytest.approx(100 * rater, abs=1e-3)
    assert found["majority"] == (None if majority is None else pytest.approx(100 * majority, abs=1e-3))
    assert (found["votes"], found["against"]) == ("face", against)


@pytest.mark.parametrize("spec", ["perceived", "perceived:av", "votes", "votes:av"])
def test_a_rater_meets_the_others_only(crema_d, spec):
    """One by one: every rater of every 50th clip against what is seen without him."""
    clips = crema_d[::50]
    reference = make_reference(spec, clips)
    counts = find_votes(reference.take(clips), "av" if spec.endswith("av") else "face").counts
    right = []
    for row in counts.astype(int):
        own = []
        for rater in np.repeat(np.arange(len(row)), row):
            others = row.copy()
            others[rater] -= 1
            most = np.flatnonzero(others == others.max())
            seen = others[rater] / others.sum() if spec.startswith("votes") else (rater in most) / len(most)
            own.append(seen)
        right.append(np.mean(own))
    assert human_ceiling(clips, reference)["rater"] == pytest.approx(100 * np.mean(right), abs=1e-3)


def test_votes_with_sound_are_judged_by_votes_with_sound(crema_d):
    found = human_ceiling(crema_d, make_reference("votes:av", crema_d))
    assert found["votes"] == "av"
    assert (round(found["rater"], 2), round(found["majority"], 2)) == (58.52, 72.59)
    assert [words for words, _ in human_words(found)] == [
        "two raters (av) agree",
        "best answer against av votes",
    ]


def test_shares_do_not_tell_what_one_rater_less_would_be():
    clips = [
        Clip(c.clip_id, "", c.label, "s", {name: str(int(value) / 10) for name, value in c.extra.items()})
        for c in CLIPS
    ]
    assert human_ceiling(clips, make_reference("perceived", clips))["rater"] is None
    assert human_ceiling(clips, make_reference("votes", clips))["majority"] == pytest.approx(55)
    assert human_ceiling(clips, make_reference("intended", clips))["rater"] == pytest.approx(55)


def test_people_on_crema_ds_silent_videos_are_where_its_authors_found_them(crema_d):
    """Cao et al. 2014 report 58.2 % for visual ratings, over all responses; the official table leaves slow ones out."""
    assert human_ceiling(crema_d, make_reference("intended", crema_d))["rater"] == pytest.approx(58.2, abs=1)


def test_no_clip_without_votes_has_a_ceiling():
    clips = [Clip("a", "", "sad", "s")]
    assert human_ceiling(clips, make_reference("intended", clips)) is None


def test_cross_entropy_to_the_votes_is_least_at_the_votes():
    votes = find_votes(CLIPS)
    entropy = vote_cross_entropy(votes.classes, votes.shares, votes)
    shares = votes.shares[votes.shares > 0]
    assert entropy == pytest.approx(-(shares * np.log(shares)).sum() / 4)
    assert vote_cross_entropy(votes.classes, np.full((4, 3), 1 / 3), votes) == pytest.approx(np.log(3))


@pytest.mark.parametrize(
    ("spec", "ties", "message"),
    [
        ("seen", "skip", "labels 'seen' with ties 'skip': expected intended, perceived or votes"),
        ("votes:voice", "skip", "expected intended, perceived or votes"),
        ("perceived", "drop", "and ties skip, split, soft"),
        ("perceived:av", "skip", "need the raters' votes, but no column av_"),
    ],
)
def test_what_is_no_reference_is_refused(spec, ties, message):
    with pytest.raises(ManifestError, match=message):
        make_reference(spec, CLIPS, ties=ties)


@pytest.mark.parametrize("count", ["many", "-1", "inf"])
def test_a_count_that_is_none_is_refused_by_clip(count):
    with pytest.raises(ManifestError, match=f"clip 'x': face_sad is '{count}', expected a count of votes"):
        find_votes([*CLIPS, clip("x", "sad", 1, 2, count)])


def test_clips_without_votes_are_named():
    with pytest.raises(ManifestError, match="1 clips have none: x"):
        make_reference("perceived", [*CLIPS, clip("x", "sad", 0, 0, 0)])


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Faces that raters see as they are, but for sad ones, which every second time tie with happy."""
    folder, table = tmp_path_factory.mktemp("rated"), faces()
    with (folder / "f.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"f{n}" for n in range(table.X.shape[1]))])
        writer.writerows([c, *x] for c, x in zip(table.clip_ids, table.X.tolist(), strict=True))
    clips = []
    for number, (c, y, s) in enumerate(zip(table.clip_ids, table.y, table.subjects, strict=True)):
        votes = {name: 8 if name == y else 1 for name in ("angry", "happy", "sad")}
        if y == "sad" and number % 2:
            votes["happy"] = 8
        clips.append(Clip(str(c), "", str(y), str(s), {f"face_{name}": str(count) for name, count in votes.items()}))
    imported = read_feature_csv(folder / "f.csv", id_column="id", columns=["f*"])
    import_features(imported, folder / "cache", Manifest(clips=tuple(clips)))
    return folder / "cache"


@pytest.mark.parametrize("ties", TIES)
def test_the_command_judges_perceived_labels(cache, ties, tmp_path):
    arguments = (
        "probe",
        cache,
        "--labels",
        "perceived",
        "--ties",
        ties,
        "--folds",
        "subject-kfold:3",
        "--out",
        tmp_path,
    )
    answer = call_json(*arguments)
    (result,) = answer["results"]
    assert answer["labels"] == f"perceived:face:{ties}"
    assert result["n_clips"] == (36 if ties == "skip" else 48)
    assert ("agreement" in result) == (ties != "skip")
    assert result["vote_cross_entropy"] > result["vote_entropy"] > 0
    assert read_run(result["run"]).settings["labels"] == f"perceived:face:{ties}"
    assert call_json(*arguments) == answer


def test_votes_as_targets_come_nearer_to_the_votes_than_labels_do(cache):
    near, far = (call_json("probe", cache, "--labels", labels)["results"][0] for labels in ("votes", "intended"))
    assert near["vote_cross_entropy"] < far["vote_cross_entropy"]


def test_a_probe_that_cannot_weigh_clips_says_so(cache):
    with pytest.raises(ProbeError, match="KnnProbe cannot weigh clips"):
        call("probe", cache, "--labels", "votes", "--probe", "knn")


def test_intended_labels_are_the_default_and_people_stand_beside(cache):
    answer = call_json("probe", cache)
    assert answer["labels"] == "intended"
    assert set(answer["human"]) == {"rater", "majority", "clips", "votes", "against"}
    assert call_json("probe", cache, "--labels", "intended")["results"] == answer["results"]


def test_some_clips_of_a_labelled_cache_keep_their_shares(cache):
    opened = open_cache(cache)
    whole = LabelledCache(opened, make_reference("perceived", opened.clips, ties="split"))
    part = whole.only(lambda clip: clip.subject == "s1")
    rows = [n for n, clip in enumerate(whole.clips) if clip.subject == "s1"]
    assert part.clips == tuple(whole.clips[n] for n in rows)
    np.testing.assert_array_equal(part.reference.shares, whole.reference.shares[rows])
    np.testing.assert_array_equal(part.features("mean").X, whole.features("mean").X[rows])


def test_a_reference_keeps_the_clips_in_order(cache):
    opened = open_cache(cache)
    reference = make_reference("perceived", opened.clips)
    assert [c.clip_id for c in reference.take(opened.clips)] == [
        c.clip_id for c, keep in zip(opened.clips, reference.kept, strict=True) if keep
    ]
