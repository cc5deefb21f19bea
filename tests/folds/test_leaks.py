"""Promises of vjepa_fer.folds.leaks: whatever is known from training is found before a fit, with the offending pairs."""

import numpy as np
import pytest

from vjepa_fer.errors import SplitError
from vjepa_fer.folds import Split, find_leaks, identities, make_folds, recording_of, refuse_leaks
from vjepa_fer.manifest import crema_d_official


def sides(train, test):
    return [Split(np.array(train), np.array(test))]


def kinds(leaks):
    return [leak.kind for leak in leaks]


def test_nothing_shared_is_no_leak():
    shares = identities(["a", "b"], ["s1", "s2"], ["r1", "r2"], ["h1", "h2"])
    assert find_leaks(sides([0], [1]), shares) == ()
    refuse_leaks("loso", ())


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("clip", {"clip_ids": ["a", "a"]}),
        ("subject", {"subjects": ["s1", "s1"]}),
        ("recording", {"recordings": ["r", "r"]}),
        ("recording", {"clip_ids": ["01-01-06-01-02-01-12", "02-01-06-01-02-01-12"]}),
        ("content", {"contents": ["h", "h"]}),
    ],
)
def test_each_kind_of_leak_is_found_on_its_own(kind, changes):
    told = {"clip_ids": ["a", "b"], "subjects": ["s1", "s2"]} | changes
    (leak,) = find_leaks(sides([0], [1]), identities(**told))
    assert (leak.kind, leak.fold, leak.num_test) == (kind, "0", 1)
    assert leak.pairs == (tuple(told["clip_ids"]),)


def test_a_leak_within_one_side_is_none():
    shares = identities(["a", "b", "c"], ["s1", "s1", "s2"], contents=["h", "h", "g"])
    assert find_leaks(sides([0, 1], [2]), shares) == ()


def test_unknown_content_and_recordings_are_shared_by_nobody():
    assert find_leaks(sides([0], [1]), identities(["a", "b"], ["s1", "s2"], ["", ""], ["", ""])) == ()


def test_a_leaky_split_of_crema_d_with_all_actors_on_both_sides_is_refused_with_pairs():
    clips = crema_d_official().clips  # as the published EmoBox fold 1: every actor trained on and tested
    shares = identities([c.clip_id for c in clips], [c.subject for c in clips])
    tested = np.array([c.extra["sentence"] == "IEO" for c in clips])
    leaks = find_leaks([Split(np.flatnonzero(~tested), np.flatnonzero(tested))], shares)
    assert kinds(leaks) == ["subject"]
    assert (len(leaks[0].shared), leaks[0].num_test) == (91, 1456)
    with pytest.raises(
        SplitError, match=r"91 subjects \(1001, 1002, 1003 and 88 more\), 1456 test clips, such as 1001_"
    ):
        refuse_leaks("emobox", leaks)


@pytest.mark.parametrize("preset", ["crema-d-5fold", "crema-d-eing"])
def test_the_published_crema_d_presets_do_not_leak(preset):
    clips = crema_d_official().clips
    subjects = np.array([c.subject for c in clips])
    splits = make_folds(preset, subjects, np.array([c.label for c in clips])).split(subjects)
    official = [c.extra["sha256"] for c in clips]
    assert find_leaks(splits, identities([c.clip_id for c in clips], subjects.tolist(), contents=official)) == ()


def test_a_message_shows_the_first_few_and_counts_the_rest():
    shares = identities(list("abcdefgh"), list("wxyzwxyz"))
    splits = sides([0, 1, 2, 3], [4, 5, 6, 7]) * 5
    with pytest.raises(SplitError) as caught:
        refuse_leaks("mine", find_leaks(splits, shares))
    text = str(caught.value)
    assert "folds 'mine' leak" in text
    assert "a trained on, e tested; b trained on, f tested; c trained on, g tested" in text
    assert "and 2 more of the kind" in text
    assert "--allow-leak" in text


@pytest.mark.parametrize(
    ("clip_id", "recording"),
    [
        ("03-02-06-01-02-01-12", "02-06-01-02-01-12"),
        ("Actor_12__02-02-06-01-02-01-12", "02-06-01-02-01-12"),
        ("02-02-06-01-02-01-12.mp4", "02-06-01-02-01-12"),
        ("1001_DFA_ANG_XX", ""),
        ("01-01-06-01-02-01-12x", ""),
        ("101-01-06-01-02-01-12", ""),
        ("01-01-01-06-01-02-01-12", ""),
    ],
)
def test_ravdess_twins_are_known_by_their_names(clip_id, recording):
    assert recording_of(clip_id) == recording
