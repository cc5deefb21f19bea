"""Windows by time: of each moment the frame that is on the screen, whatever the clip's rate, or rates."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videos import frame_number, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.care import cache_info
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import RecipeError, VideoError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, plan_extraction
from vjepa_fer.recipe import Preprocessing, Sampling, recipe_from_json, recipe_to_json
from vjepa_fer.video import read_windows, sample_windows
from vjepa_fer.video.reading import choose_windows
from vjepa_fer.video.sampling import as_table, from_table, indices_of, needed_frames
from vjepa_fer.video.streaming import map_windows
from vjepa_fer.video.times import frame_seconds

SMALL = Preprocessing(crop_size=32)
EIGHT = Sampling(frames_per_window=8, frames_per_second=8)


def steady(num_frames: int, rate: float) -> np.ndarray:
    return np.arange(num_frames) / rate


# the rule


@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 25, 30, 50, 60])
def test_windows_span_the_same_time_at_every_rate(rate):
    seconds = 5 + steady(int(6 * rate), rate)
    for window in sample_windows(len(seconds), EIGHT, seconds):
        times = seconds[list(window.frame_indices)]
        assert abs(times[-1] - times[0] - 7 / 8) <= 1 / rate + 0.001
        assert (np.abs(np.diff(times) - 1 / 8) <= 1 / rate + 0.001).all()


def test_where_the_rate_divides_evenly_frames_are_those_of_the_rule_in_frames():
    by_time = sample_windows(111, Sampling(frames_per_second=30 / 4, num_segments=1), steady(111, 30))
    assert by_time == sample_windows(111, Sampling(frame_step=4, num_segments=1))


@pytest.mark.parametrize("rounded", [lambda t: t, lambda t: np.round(t, 3), lambda t: np.floor(t * 90000) / 90000])
def test_a_containers_rounded_times_change_no_frame(rounded):
    sampling = Sampling(mode="sliding", frames_per_window=4, frames_per_second=30)
    seconds = rounded(0.0333 + steady(90, 30))
    starts = [window.start_frame for window in sample_windows(90, sampling, seconds)]
    assert starts == list(range(87))
    assert {window.offsets for window in sample_windows(90, sampling, seconds)} == {(0, 1, 2, 3)}


def test_during_a_pause_the_frame_on_the_screen_is_taken():
    seconds = np.array([0, 0.1, 0.2, 1.0, 1.1, 1.2])
    (window,) = sample_windows(6, Sampling(frames_per_window=7, frames_per_second=5, num_segments=1), seconds)
    assert window.frame_indices == (0, 2, 2, 2, 2, 3, 5)  # at 0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2 s
    assert window.num_real_frames == 7  # repeated because it was shown that long, not for want of frames


def test_a_clip_shorter_than_a_window_repeats_its_last_frame():
    (window,) = sample_windows(10, EIGHT, steady(10, 25))  # the last one at 0.36 s
    assert window.frame_indices == (0, 3, 6, 9, 9, 9, 9, 9)
    assert (window.num_real_frames, window.multiplicity) == (3, 2)


@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=60),
    st.sampled_from(["segments", "sliding"]),
    st.integers(1, 5),
    st.floats(0.5, 100),
    st.integers(1, 6),
)
def test_of_each_moment_the_last_frame_is_taken_that_has_begun(pauses, mode, count, rate, frames):
    seconds = np.cumsum([0, *pauses])
    sampling = Sampling(mode=mode, num_segments=count, stride=count, frames_per_window=frames, frames_per_second=rate)
    windows = sample_windows(len(seconds), sampling, seconds)
    last_start = max(seconds[-1] - (frames - 1) / rate, 0)
    assert sum(w.multiplicity for w in windows) >= (count if mode == "segments" else 1)
    for window in windows:
        assert window.frame_indices == tuple(sorted(window.frame_indices))
        assert 1 <= window.num_real_frames <= frames
        assert window.last_frame < len(seconds)
        assert seconds[window.start_frame] <= last_start + 0.001
    begun = np.searchsorted(seconds, np.arange(frames) / rate + 0.001, side="right") - 1
    if not (mode == "segments" and count == 1):
        assert windows[0].frame_indices == tuple(begun)
    assert from_table(as_table(windows)) == windows
    np.testing.assert_array_equal(needed_frames(windows), np.unique(indices_of(windows)))


def test_hostile_times_are_refused_before_any_window_is_made():
    years = np.array([0.0, 1e12])
    with pytest.raises(VideoError, match=r"has 8,000,000,000,002 windows of 8 frames; at most"):
        choose_windows("x.mkv", 2, Sampling(mode="sliding", frames_per_window=8, frames_per_second=8), years)
    assert len(choose_windows("x.mkv", 2, EIGHT, years)) == 2


def test_frames_without_times_are_refused():
    with pytest.raises(VideoError, match="some of its frames have no time: sample it by frames"):
        choose_windows("x.h264", 3, EIGHT, np.full(3, np.nan))
    with pytest.raises(ValueError, match="frames_per_second 8 needs the time of each frame"):
        sample_windows(3, EIGHT)


# the recipe


def test_a_recipe_without_a_rate_keeps_its_json_and_one_with_it_comes_back():
    recipe = make_recipe(load_encoder("tiny-v21", weights="random:0"))
    assert "frames_per_second" not in recipe_to_json(recipe)
    timed = make_recipe(load_encoder("tiny-v21", weights="random:0"), sampling=EIGHT)
    assert recipe_from_json(recipe_to_json(timed)) == timed != recipe


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frame_step": 2}, "frame_step 2 and frames_per_second 8 both say how far frames are apart: give one"),
        ({"rule": "reference"}, "V-JEPA's evaluation counts frames; it has no frames_per_second"),
    ],
)
def test_two_rules_at_once_are_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        Sampling(frames_per_second=8, **values)


# videos


UNEVEN = [0, 0.04, 0.08, 0.12, 0.5, 0.54, 0.58, 1.0, 1.5, 1.54, 1.58, 2.0]


@pytest.fixture
def uneven(tmp_path):
    return write_video(tmp_path / "uneven.mkv", len(UNEVEN), seconds=UNEVEN)


def shown(seconds, at):
    return int(np.searchsorted(np.array(seconds), at + 0.001, side="right")) - 1


def test_a_video_of_varying_rate_gives_the_frames_on_the_screen(uneven):
    np.testing.assert_allclose(frame_seconds(uneven), UNEVEN, atol=0.001)
    clip = read_windows(uneven, Sampling(frames_per_window=4, frames_per_second=2, num_segments=2), SMALL)
    for number, start in enumerate((0, 0.5)):
        expected = [shown(UNEVEN, start + k / 2) for k in range(4)]
        assert [frame_number(frame) for frame in clip.window_pixels(number)[0]] == expected
        np.testing.assert_allclose(clip.timestamps[number], [UNEVEN[i] for i in expected], atol=0.001)


def test_streamed_windows_are_the_same(uneven):
    sampling = Sampling(mode="sliding", frames_per_window=4, frames_per_second=4)
    whole = read_windows(uneven, sampling, SMALL)
    seen: list[np.ndarray] = []
    found = map_windows(
        uneven,
        sampling,
        SMALL,
        lambda part: seen.extend(part.window_pixels(i) for i in range(len(part.windows))),
        at_once=2,
    )
    assert found.windows == whole.windows
    for number, pixels in enumerate(seen):
        np.testing.assert_array_equal(pixels, whole.window_pixels(number))


@pytest.mark.parametrize("lie", [lambda t: t * 3, lambda t: t[:-1], lambda t: np.append(t, t[-1] + 9)])
def test_where_packets_say_other_times_than_frames_do_the_frames_count(uneven, monkeypatch, lie):
    from vjepa_fer.video import reading

    sampling = Sampling(frames_per_window=4, frames_per_second=2)
    truth = read_windows(uneven, sampling, SMALL)
    monkeypatch.setattr(reading, "frame_seconds", lambda path, rate, **_: lie(frame_seconds(path)))
    misled = read_windows(uneven, sampling, SMALL)
    assert misled.windows == truth.windows
    np.testing.assert_array_equal(misled.frames, truth.frames)


# whole extractions


def manifest_of(*paths):
    from test_extract import manifest_of

    return manifest_of(paths)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_cache_of_mixed_rates_has_windows_of_one_span(tmp_path, workers):
    clips = [write_video(tmp_path / f"at{rate}.mp4", 58, rate=rate) for rate in (10, 15, 30)]
    encoder = load_encoder("tiny-v21", weights="random:0")
    step = Sampling(frame_step=3, num_segments=1)
    by_frames, by_time = step, Sampling(frames_per_second=10, num_segments=1)
    spans = {}
    for name, sampling in (("frames", by_frames), ("time", by_time)):
        recipe, cache = make_recipe(encoder, sampling=sampling), tmp_path / name
        plan, _ = plan_extraction(manifest_of(*clips), cache, recipe)
        extract_manifest(manifest_of(*clips), cache, encoder, recipe, settings=ExtractSettings(workers=workers))
        facts = cache_info(cache)
        assert facts["window_seconds"] == pytest.approx(plan.window_seconds, abs=0.002)
        spans[name] = facts["window_seconds"]
    assert spans["frames"] == pytest.approx([1.5, 4.5], abs=0.01)
    assert spans["time"] == pytest.approx([1.5, 1.5], abs=0.07)
    for clip in open_cache(tmp_path / "time"):
        assert clip.num_real_frames[0] == 16


def test_short_clips_are_counted_in_the_plan_the_summary_and_the_cache(tmp_path):
    clips = [write_video(tmp_path / f"{count}.mp4", count) for count in (10, 20, 58)]
    encoder = load_encoder("tiny-v21", weights="random:0")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=2))
    assert plan_extraction(manifest_of(*clips), tmp_path / "c", recipe)[0].shorter == 2
    summary = extract_manifest(
        manifest_of(*clips), tmp_path / "c", encoder, recipe, settings=ExtractSettings(workers=0)
    )
    assert summary.shorter == cache_info(tmp_path / "c")["shorter_than_window"] == 2


def test_the_reference_rule_calls_no_whole_window_short(tmp_path):
    clip = write_video(tmp_path / "v.mp4", 58)
    encoder = load_encoder("tiny-v21", weights="random:0")
    recipe = make_recipe(encoder, sampling=Sampling(rule="reference", frame_step=2, num_segments=4))
    assert plan_extraction(manifest_of(clip), tmp_path / "c", recipe)[0].shorter == 0


# the commands


def test_extract_says_spans_and_short_clips_and_takes_frames_by_time(tmp_path):
    from test_cli import run
    from vjepa_fer.manifest import write_manifest

    clips = [write_video(tmp_path / f"at{rate}.mp4", 58, rate=rate) for rate in (10, 30)]
    write_manifest(manifest_of(*clips, write_video(tmp_path / "s.mp4", 9)), tmp_path / "clips.csv")
    words = ["extract", "clips.csv", "cache", "--model", "tiny-v21", "--weights", "random:0", "--workers", "0"]
    dry = run(*words, "--frame-step", "2", "--dry-run", cwd=tmp_path)
    assert "1 of the 3 clips looked at are shorter than a window, and repeat their last frame" in dry.stdout
    assert "windows span 1.00 to 3.00 s, as frame rates differ: --fps or --window-seconds" in dry.stdout
    done = run(*words, "--window-seconds", "1.6", cwd=tmp_path)
    assert "1 of them are shorter than a window" in done.stderr
    assert "windows span" not in done.stderr
    info = run("cache", "info", "cache", cwd=tmp_path).stdout
    assert "1 are shorter than a window" in info
    assert "1.50 s" in info
    assert re.search(r"sampling\.frames_per_second +10\.0", info)
    refused = run(*words, "--fps", "8", "--window-seconds", "2", cwd=tmp_path, status=2)
    assert "--fps and --window-seconds both say how far frames are apart" in refused.stderr
