"""One clip comes in, the pixels of all its windows go out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from videos import drawn_frame, ffmpeg_frames, frame_number, write_video
from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import crop_views, read_windows, resize_frame, sample_windows, short_side_for, transforms

SMALL = Preprocessing(crop_size=32)
FOUR_FRAMES = Sampling(frames_per_window=4, frame_step=2, num_segments=3)
SLIDING = Sampling(frames_per_window=4, frame_step=2, mode="sliding")


def shown(pixels: np.ndarray) -> list[int]:
    return [frame_number(frame) for frame in pixels]


@pytest.mark.parametrize("sampling", [FOUR_FRAMES, SLIDING, Sampling(rule="reference", num_segments=8)])
def test_each_window_shows_the_frames_that_its_rule_names(tmp_path, sampling):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 50), sampling, SMALL)
    assert clip.windows == sample_windows(50, sampling)
    for number, window in enumerate(clip.windows):
        (pixels,) = clip.window_pixels(number)
        assert pixels.shape == (sampling.frames_per_window, 32, 32, 3)
        assert shown(pixels) == list(window.frame_indices)


def test_a_frame_that_many_windows_need_is_prepared_and_held_once(tmp_path, monkeypatch):
    calls = []
    resize = transforms.resize_region
    monkeypatch.setattr(transforms, "resize_region", lambda rgb, *a: calls.append(1) or resize(rgb, *a))
    clip = read_windows(write_video(tmp_path / "clip.mp4", 50), SLIDING, SMALL)
    assert len(clip.windows) == 44
    assert len(calls) == len(clip.frames) == clip.num_frames == 50


def test_frames_that_no_window_needs_are_not_held(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 50), FOUR_FRAMES, SMALL)
    assert clip.frames.shape == (12, 32, 32, 3)
    assert shown(clip.frames) == [0, 2, 4, 6, 22, 24, 26, 28, 43, 45, 47, 49]


def test_times_are_those_of_each_windows_frames(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 50), FOUR_FRAMES, SMALL)
    indices = [window.frame_indices for window in clip.windows]
    np.testing.assert_allclose(clip.timestamps, np.array(indices) / 30, atol=1e-4)


def test_a_clip_shorter_than_a_window_repeats_its_last_frame(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 20), Sampling(), SMALL)
    assert len(clip.windows) == 1
    assert shown(clip.window_pixels(0)[0]) == [0, 4, 8, 12, 16, *[19] * 11]
    assert len(clip.frames) == clip.windows[0].num_real_frames == 6


def test_a_clip_of_one_frame_is_a_window(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 1), Sampling(), SMALL)
    assert clip.window_pixels(0).shape == (1, 16, 32, 32, 3)


def test_three_views_are_cut_from_the_same_frames(tmp_path):
    preprocessing = Preprocessing(crop_size=32, num_views=3)
    clip = read_windows(write_video(tmp_path / "clip.mp4", 10), FOUR_FRAMES, preprocessing)
    assert clip.frames.shape[1:] == (32, 42, 3)
    np.testing.assert_array_equal(clip.window_pixels(1), crop_views(clip.frames[clip.rows[1]], preprocessing))


def test_a_windows_pixels_may_be_handed_to_torch_and_written_to(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 10), FOUR_FRAMES, SMALL)
    before = clip.frames.copy()
    torch.from_numpy(clip.window_pixels(0)).zero_()
    np.testing.assert_array_equal(clip.frames, before)


def test_a_clip_whose_windows_need_too_much_memory_is_refused(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 50)
    with pytest.raises(VideoError, match="50 of its frames are asked for") as caught:
        read_windows(path, SLIDING, SMALL, max_bytes=100_000)
    assert caught.value.reason == "too_long"
    assert len(read_windows(path, FOUR_FRAMES, SMALL, max_bytes=100_000).frames) == 12


def test_a_broken_video_gives_an_error_and_no_pixels(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match="empty"):
        read_windows(tmp_path / "clip.mp4", Sampling(), SMALL)


def test_it_prints_shapes_and_not_pixels(tmp_path):
    clip = read_windows(write_video(tmp_path / "clip.mp4", 50), FOUR_FRAMES, SMALL)
    assert repr(clip) == "ClipPixels(3 windows, frames (12, 32, 32, 3) of 50)"


def test_the_drawn_frames_can_be_told_apart():
    assert [frame_number(resize_frame(drawn_frame(number), 36)) for number in range(60)] == list(range(60))


@pytest.mark.parametrize(("clip", "size"), [("ravdess_clip", (720, 1280)), ("crema_d_clip", (360, 480))])
@pytest.mark.parametrize("preprocessing", [Preprocessing(crop_size=224), Preprocessing(crop_size=224, num_views=3)])
def test_windows_of_a_real_face_equal_frames_that_ffmpeg_decoded(request, clip, size, preprocessing):
    path = request.getfixturevalue(clip)
    pixels, theirs = read_windows(path, Sampling(), preprocessing), ffmpeg_frames(path, *size)
    assert len(theirs) == pixels.num_frames
    for number, window in enumerate(pixels.windows):
        resized = [resize_frame(theirs[i], short_side_for(preprocessing)) for i in window.frame_indices]
        np.testing.assert_array_equal(pixels.window_pixels(number), crop_views(np.stack(resized), preprocessing))
