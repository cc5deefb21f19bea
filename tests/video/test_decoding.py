"""The frames of a video: all of them, once, in order, with the pixels that the ffmpeg program gives."""

from __future__ import annotations

import numpy as np
import pytest

from videos import (
    drawn_frame,
    encode,
    ffmpeg_frames,
    frame_number,
    keep_start,
    run_ffmpeg,
    set_display_matrix,
    write_video,
)
from vjepa_fer.errors import VideoError
from vjepa_fer.video import decode_video, decoding
from vjepa_fer.video.container import Examined

SOURCE = "lavfi:testsrc2=s=180x120:r=25:d=1.2,noise=alls=20:allf=t"

# MPEG-2 and MPEG-4 Part 2 are missing on purpose: their inverse DCT is not exact by definition, builds of FFmpeg differ
ENCODINGS = {
    "h264.mp4": "-c:v libx264 -pix_fmt yuv420p",
    "h264_bt709.mp4": "-c:v libx264 -pix_fmt yuv420p -colorspace bt709 -color_primaries bt709 -color_trc bt709",
    "h264_full_range.mp4": "-vf scale=out_range=pc,format=yuvj420p -c:v libx264 -color_range pc",
    "h264_bframes.mkv": "-c:v libx264 -pix_fmt yuv420p -bf 3 -g 12",
    "h264_422.mp4": "-c:v libx264 -pix_fmt yuv422p",
    "h264_444_odd_size.mp4": "-vf scale=181:121 -c:v libx264 -pix_fmt yuv444p",
    "h264_uneven_rate.mp4": "-vf select='not(between(n,9,15))' -fps_mode vfr -c:v libx264 -pix_fmt yuv420p",
    "flv1.flv": "-c:v flv1 -q:v 4",
    "vp8.webm": "-c:v libvpx -b:v 500k",
    "vp9.webm": "-c:v libvpx-vp9 -b:v 500k",
    "raw.h264": "-c:v libx264 -pix_fmt yuv420p",
}

QUARTER_TURNS = {
    "upright": (1, 0, 0, 1),
    "90": (0, -1, 1, 0),
    "180": (-1, 0, 0, -1),
    "270": (0, 1, -1, 0),
    "mirrored": (-1, 0, 0, 1),
    "mirrored_180": (1, 0, 0, -1),
    "transposed": (0, 1, 1, 0),
    "transposed_180": (0, -1, -1, 0),
}


def check_equals_ffmpeg(path) -> None:
    video = decode_video(path)
    theirs = ffmpeg_frames(path, video.height, video.width)
    assert video.num_frames == len(theirs) > 0
    assert int(np.abs(np.subtract(video.frames, theirs, dtype=np.int16)).max()) == 0


@pytest.mark.parametrize("name", ENCODINGS)
def test_pixels_equal_the_ffmpeg_programs(tmp_path, name):
    check_equals_ffmpeg(encode(SOURCE, tmp_path / name, *ENCODINGS[name].split()))


@pytest.mark.parametrize(("clip", "frames"), [("ravdess_clip", 110), ("crema_d_clip", 76)])
def test_pixels_of_a_real_face_equal_the_ffmpeg_programs(request, clip, frames):
    path = request.getfixturevalue(clip)
    assert decode_video(path, lambda rgb: rgb[:1]).num_frames == frames
    check_equals_ffmpeg(path)


@pytest.mark.parametrize("turn", ["90", "180", "270"])
def test_a_rotated_video_is_turned_as_the_ffmpeg_program_turns_it(tmp_path, turn):
    path = encode(SOURCE, tmp_path / "clip.mp4", *ENCODINGS["h264.mp4"].split())
    check_equals_ffmpeg(set_display_matrix(path, *QUARTER_TURNS[turn]))


@pytest.mark.parametrize("turn", QUARTER_TURNS)
def test_a_frame_is_shown_as_its_display_matrix_says(tmp_path, turn):
    a, b, c, d = QUARTER_TURNS[turn]
    video = decode_video(set_display_matrix(write_video(tmp_path / "clip.mp4", 2), a, b, c, d))
    drawn = drawn_frame(0)
    y, x = np.mgrid[: drawn.shape[0], : drawn.shape[1]]
    shown_x, shown_y = a * x + c * y, b * x + d * y
    expected = np.empty((video.height, video.width, 3), np.uint8)
    expected[shown_y - shown_y.min(), shown_x - shown_x.min()] = drawn
    assert np.abs(video.frames[0].astype(int) - expected).mean() < 4  # a wrong turn is off by 15 and more


def test_every_frame_is_there_once_and_in_order(tmp_path):
    video = decode_video(write_video(tmp_path / "clip.mp4", 50))
    assert [frame_number(frame) for frame in video.frames] == list(range(50))
    assert video.frame_numbers.tolist() == list(range(50))
    assert (video.height, video.width) == (48, 64)


def test_only_the_chosen_frames_are_prepared_and_kept(tmp_path):
    prepared = []

    def prepare(rgb):
        prepared.append(frame_number(rgb))
        return rgb[::2, ::2]

    video = decode_video(write_video(tmp_path / "clip.mp4", 50), prepare, choose=lambda n: [n - 1, 0, 7, 7])
    assert prepared == video.frame_numbers.tolist() == [0, 7, 49]
    assert video.frames.shape == (3, 24, 32, 3)
    assert video.num_frames == 50


def test_times_are_seconds_and_stay_uneven(tmp_path):
    seconds = [0, 0.04, 0.08, 0.5, 0.54, 1.2]
    video = decode_video(write_video(tmp_path / "clip.mkv", 6, seconds=seconds))
    assert video.timestamps.dtype == np.float64
    np.testing.assert_allclose(video.timestamps, seconds, atol=1e-3)


def test_a_stream_without_times_gets_those_of_its_rate(tmp_path):
    path = encode(SOURCE, tmp_path / "clip.h264", *ENCODINGS["raw.h264"].split())
    np.testing.assert_allclose(np.diff(decode_video(path).timestamps), 1 / 25)


def test_frames_outside_an_edit_list_are_not_shown(tmp_path, ravdess_clip):
    cut = tmp_path / "cut.mp4"
    run_ffmpeg("-ss", "1.03", "-i", ravdess_clip, "-c", "copy", cut)
    video = decode_video(cut, lambda rgb: rgb[::8, ::8])
    expected = decode_video(ravdess_clip, lambda rgb: rgb[::8, ::8]).frames
    assert 70 < video.num_frames < 85
    np.testing.assert_array_equal(video.frames, expected[-video.num_frames :])


@pytest.mark.parametrize("claimed", [0, 20, 70])
def test_a_wrong_count_is_corrected_by_what_was_decoded(tmp_path, monkeypatch, claimed):
    monkeypatch.setattr(decoding, "examine_packets", lambda path: Examined(claimed, None, ()))
    asked = []
    video = decode_video(write_video(tmp_path / "clip.mp4", 50), choose=lambda n: asked.append(n) or [0, n - 1])
    assert video.frame_numbers.tolist() == [0, 49]
    assert asked[-1] == 50


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", 50)

    def choose(num_frames):
        if num_frames == 50:
            write_video(path, 20)
        return range(num_frames)

    monkeypatch.setattr(decoding, "examine_packets", lambda path: Examined(40, None, ()))
    with pytest.raises(VideoError, match="is it still being written") as caught:
        decode_video(path, choose=choose)
    assert caught.value.reason == "changed"


def flip_bytes(path, count: int) -> None:
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(data) // 4, len(data) * 3 // 4, count):
        data[place] ^= 1 << int(place) % 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["h264.mp4", "flv1.flv"])
def test_flipped_bytes_are_corrupt_frames(tmp_path, name):
    path = encode(SOURCE, tmp_path / name, *ENCODINGS[name].split())
    flip_bytes(path, 60)
    with pytest.raises(VideoError, match=r"\d+ of \d+ frames are damaged, the first is number \d+") as caught:
        decode_video(path)
    assert caught.value.reason == "corrupt_frames"


def test_an_unindexed_stream_that_breaks_off_is_truncated(tmp_path):
    path = keep_start(encode(SOURCE, tmp_path / "clip.h264", *ENCODINGS["raw.h264"].split()), 0.6)
    with pytest.raises(VideoError, match=r"last frame \(number \d+\) is incomplete") as caught:
        decode_video(path)
    assert caught.value.reason == "truncated"


def test_a_track_without_a_frame_is_refused(tmp_path):
    path = write_video(tmp_path / "clip.avi", 0)
    with pytest.raises(VideoError, match="holds no frame") as caught:
        decode_video(path)
    assert caught.value.reason == "no_frames"


def test_a_film_whose_size_changes_is_refused(tmp_path):
    parts = [write_video(tmp_path / f"{width}.m2v", 20, size=(48, width), codec="mpeg2video") for width in (64, 96)]
    path = tmp_path / "both.m2v"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(VideoError, match="re-encode it to one size") as caught:
        decode_video(path)
    assert caught.value.reason == "unreadable"


def test_frames_of_a_shape_that_no_film_has_are_refused(tmp_path):
    with pytest.raises(VideoError, match="640×16 pixels are beyond any film's"):
        decode_video(write_video(tmp_path / "ribbon.mp4", 2, size=(16, 640)))


def test_more_pixels_than_allowed_are_refused_before_they_are_held(tmp_path):
    path = write_video(tmp_path / "clip.mp4", 50)
    with pytest.raises(VideoError, match=r"50 of its frames are asked for.*larger stride") as caught:
        decode_video(path, max_bytes=48 * 64 * 3 * 49)
    assert caught.value.reason == "too_long"
    assert decode_video(path, max_bytes=48 * 64 * 3 * 50).num_frames == 50


def test_a_video_prints_its_shape_and_not_its_pixels(tmp_path):
    assert (
        repr(decode_video(write_video(tmp_path / "clip.mp4", 3))) == "DecodedVideo(frames (3, 48, 64, 3) of 3, 64x48)"
    )
