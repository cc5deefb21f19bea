"""Which frames of a clip make its windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vjepa_fer.recipe import Sampling
from vjepa_fer.video import sample_windows, window_span
from vjepa_fer.video.sampling import reference_segments, reference_sliding

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "frame_indices.json").read_text())

samplings = st.builds(
    Sampling,
    mode=st.sampled_from(["segments", "sliding"]),
    frames_per_window=st.integers(1, 64),
    frame_step=st.integers(1, 8),
    num_segments=st.integers(1, 12),
    stride=st.integers(1, 20),
)
lengths = st.integers(1, 800)


def reference_of(case: dict, **settings: object) -> Sampling:
    frames, step = case["frames_per_clip"], case["frame_step"]
    return Sampling(rule="reference", frames_per_window=frames, frame_step=step, **settings)


def all_windows(num_frames: int, sampling: Sampling) -> list[list[int]]:
    windows = sample_windows(num_frames, sampling)
    return [list(w.frame_indices) for w in windows for _ in range(w.multiplicity)]


@pytest.mark.parametrize("case", GOLDEN["segments"], ids=lambda c: "-".join(map(str, list(c.values())[:5])))
def test_the_reference_segments_are_those_of_the_published_code(case):
    sampling = reference_of(case, num_segments=case["num_segments"])
    indices = reference_segments(case["num_frames"], sampling, allow_overlap=case["allow_overlap"]).indices()
    assert indices.tolist() == case["clip_indices"]


@pytest.mark.parametrize(
    "case", [c for c in GOLDEN["segments"] if c["allow_overlap"]], ids=lambda c: str(c["num_frames"])
)
def test_a_recipe_samples_the_reference_segments_and_merges_equal_ones(case):
    sampling = reference_of(case, num_segments=case["num_segments"])
    assert all_windows(case["num_frames"], sampling) == case["clip_indices"]
    windows = [w.frame_indices for w in sample_windows(case["num_frames"], sampling)]
    assert len(set(windows)) == len(windows)


@pytest.mark.parametrize("case", GOLDEN["full_video"], ids=lambda c: str(c["num_frames"]))
def test_the_reference_sliding_windows_are_those_of_the_published_code(case):
    sampling = reference_of(case, mode="sliding")
    for windows in (
        all_windows(case["num_frames"], sampling),
        reference_sliding(case["num_frames"], sampling).indices().tolist(),
    ):
        assert len(windows) == case["num_clips"]
        assert windows[0] == case["first"]
        assert windows[-1] == case["last"]
        assert case["second"] is None or windows[1] == case["second"]


@pytest.mark.parametrize(
    ("num_frames", "windows", "first"),
    [
        (3, 1, [2] * 16),
        (20, 1, [0, 5, 10, 15, *[19] * 12]),
        (63, 1, [0, 4, 9, 13, 18, 22, 27, 31, 36, 40, 45, 49, 54, 58, 62, 62]),
        (64, 1, [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]),
        (65, 1, [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]),
        (66, 2, [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]),
        (111, 47, [0, 4, 8, 12, 17, 21, 25, 29, 34, 38, 42, 46, 51, 55, 59, 63]),
    ],
)
def test_the_reference_full_video_rule_follows_the_protocols_table(num_frames, windows, first):
    made = all_windows(num_frames, Sampling(mode="sliding", rule="reference"))
    assert len(made) == windows
    assert made[0] == first


def test_the_reference_makes_eight_copies_of_one_window_up_to_70_frames():
    sampling = Sampling(rule="reference", num_segments=8)
    assert [len(sample_windows(n, sampling)) for n in (50, 64, 70, 71, 111)] == [1, 1, 1, 8, 8]
    assert sample_windows(70, sampling)[0].multiplicity == 8
    assert [w.start_frame for w in sample_windows(111, sampling)] == [0, 6, 12, 18, 24, 30, 36, 42]


@given(st.integers(1, 800), st.sampled_from(["segments", "sliding"]), st.integers(1, 12))
@settings(deadline=None)
def test_reference_windows_name_frames_that_exist(num_frames, mode, num_segments):
    made = all_windows(num_frames, Sampling(mode=mode, rule="reference", num_segments=num_segments))
    assert np.min(made) >= 0
    assert np.max(made) < num_frames


@given(lengths, samplings)
@settings(deadline=None)
def test_frames_exist_and_never_go_back(num_frames, sampling):
    for window in sample_windows(num_frames, sampling):
        assert len(window.frame_indices) == sampling.frames_per_window
        assert window.frame_indices[0] == window.start_frame >= 0
        assert window.frame_indices[-1] < num_frames
        assert (np.diff(window.frame_indices) >= 0).all()


@given(lengths, samplings)
@settings(deadline=None)
def test_a_clip_that_holds_a_window_is_sampled_at_exact_steps(num_frames, sampling):
    if num_frames >= window_span(sampling):
        for window in sample_windows(num_frames, sampling):
            assert set(np.diff(window.frame_indices)) <= {sampling.frame_step}
            assert window.num_real_frames == sampling.frames_per_window


@given(lengths, samplings)
@settings(deadline=None)
def test_a_short_clip_repeats_its_last_frame_and_nothing_else(num_frames, sampling):
    if num_frames < window_span(sampling):
        (window,) = sample_windows(num_frames, sampling)
        real, padding = np.split(window.frame_indices, [window.num_real_frames])
        assert (np.diff(real)[:-1] == sampling.frame_step).all()
        assert set(padding) <= {num_frames - 1}
        assert real[-1] == num_frames - 1


@given(lengths, samplings)
@settings(deadline=None)
def test_the_windows_reach_from_the_first_frame_to_the_last(num_frames, sampling):
    windows = sample_windows(num_frames, sampling)
    if sampling.mode == "sliding" or sampling.num_segments > 1:
        assert windows[0].start_frame == 0
        assert windows[-1].frame_indices[-1] == num_frames - 1


@given(lengths, samplings)
@settings(deadline=None)
def test_multiplicities_add_up_to_the_rules_windows(num_frames, sampling):
    made = sum(w.multiplicity for w in sample_windows(num_frames, sampling))
    starts = max(num_frames - window_span(sampling), 0) + 1
    assert made == (sampling.num_segments if sampling.mode == "segments" else -(-(starts - 1) // sampling.stride) + 1)


@given(lengths, samplings)
@settings(deadline=None)
def test_segments_are_spread_evenly(num_frames, sampling):
    starts = [w.start_frame for w in sample_windows(num_frames, sampling)]
    if sampling.mode == "segments" and len(starts) == sampling.num_segments:
        assert np.ptp(np.diff(starts)) <= 1 if len(starts) > 1 else True


def test_one_segment_sits_in_the_middle():
    assert [w.start_frame for w in sample_windows(111, Sampling(num_segments=1))] == [25]


def test_sliding_windows_start_at_every_frame_that_leaves_room_for_one():
    windows = sample_windows(111, Sampling(mode="sliding"))
    assert [w.start_frame for w in windows] == list(range(111 - 61 + 1))
    assert windows[-1].frame_indices[-1] == 110


def test_a_stride_that_misses_the_end_gets_a_last_window_there():
    assert [w.start_frame for w in sample_windows(111, Sampling(mode="sliding", stride=20))] == [0, 20, 40, 50]


def test_a_very_short_clip_still_shows_its_last_frame():
    (window,) = sample_windows(3, Sampling())
    assert window.frame_indices == (0, *[2] * 15)
    assert (window.num_real_frames, window.multiplicity) == (2, 2)


def test_segments_of_an_hours_long_film_cost_no_more_than_a_clips():
    windows = sample_windows(10**12, Sampling(num_segments=4))
    assert windows[-1].frame_indices[-1] == 10**12 - 1


def test_equal_windows_are_equal_values():
    assert sample_windows(80, Sampling()) == sample_windows(80, Sampling())


def test_a_clip_without_frames_is_refused():
    with pytest.raises(ValueError, match=r"num_frames \(0\) must be above 0"):
        sample_windows(0, Sampling())
