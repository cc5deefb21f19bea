"""Files become samples, or an error that says why not: nothing is made up where there is no sound."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("av")

from sounds import RATE, needs_espeak, speak, tone, write_film, write_wav
from videos import run_ffmpeg, write_video
from vjepa_fer.errors import VideoError
from vjepa_fer.sound import read_sound
from vjepa_fer.sound.reading import track_seconds


def refused(path):
    with pytest.raises(VideoError) as caught:
        read_sound(path, RATE)
    return caught.value


def test_samples_of_the_rate_that_is_asked_for_are_those_of_the_file(tmp_path):
    path = write_wav(tmp_path / "a.wav", tone())
    sound = read_sound(path, RATE)
    np.testing.assert_array_equal(sound.samples, np.round(tone() * 32767).astype("<i2") / np.float32(32768))
    assert (sound.rate, sound.seconds, sound.start_seconds, sound.notes) == (RATE, 0.5, 0.0, ())


@pytest.mark.parametrize("rate", [8000, 22_050, 44_100, 48_000])
def test_another_rate_is_resampled_to_the_same_tone(tmp_path, rate):
    time = np.arange(round(0.5 * rate)) / rate
    path = write_wav(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 440 * time), rate)
    sound, middle = read_sound(path, RATE), slice(800, 7200)
    want = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / RATE)
    assert abs(len(sound.samples) - 8000) <= 2
    np.testing.assert_allclose(sound.samples[middle], want[middle], atol=0.01)


def test_channels_are_averaged(tmp_path):
    left, right = tone(hertz=200), tone(hertz=300)
    stereo = read_sound(write_wav(tmp_path / "a.wav", np.stack([left, right], axis=1)), RATE)
    np.testing.assert_allclose(stereo.samples, (left + right) / 2, atol=1e-4)
    assert np.abs(read_sound(write_wav(tmp_path / "b.wav", np.stack([left, -left], axis=1)), RATE).samples).max() == 0


def test_the_sound_of_a_film_is_that_of_its_first_track(tmp_path):
    sound = read_sound(write_film(tmp_path / "a.mkv", tone(), tracks=2), RATE)
    np.testing.assert_allclose(sound.samples, tone(), atol=1e-4)
    assert sound.notes == ("holds 2 sound tracks: the first is taken, as the recipe says",)


def test_silence_is_a_sound(tmp_path):
    sound = read_sound(write_film(tmp_path / "a.mkv", np.zeros(8000)), RATE)
    assert len(sound.samples) == 8000
    assert not sound.samples.any()


def test_a_film_without_a_track_has_no_audio(tmp_path):
    error = refused(write_film(tmp_path / "a.mp4", None))
    assert error.reason == "no_audio"
    assert "holds no sound track, only video" in str(error)


def test_a_folder_of_pictures_has_no_audio(tmp_path):
    assert refused(tmp_path).reason == "no_audio"


def test_a_track_without_samples_has_no_audio(tmp_path):
    error = refused(write_wav(tmp_path / "a.wav", np.zeros(0)))
    assert error.reason == "no_audio"
    assert "its sound track holds no samples" in str(error)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "missing"), (b"", "empty"), (b"hello, I am text", "not_audio"), (bytes(range(256)) * 9, "not_audio")],
)
def test_what_is_no_sound_is_named(tmp_path, content, reason):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    assert refused(path).reason == reason


def test_a_wav_that_was_cut_off_is_truncated_and_one_from_a_pipe_is_not(tmp_path):
    whole = write_wav(tmp_path / "a.wav", tone()).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    error = refused(tmp_path / "cut.wav")
    assert error.reason == "truncated"
    assert "its sound breaks off at 0.25 s" in str(error)
    streamed = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]
    (tmp_path / "pipe.wav").write_bytes(streamed)
    assert read_sound(tmp_path / "pipe.wav", RATE).seconds == 0.5


def test_a_film_that_was_cut_off_is_refused(tmp_path):
    whole = write_film(tmp_path / "a.mkv", tone()).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    assert refused(tmp_path / "cut.mkv").reason in ("truncated", "corrupt_frames")


def test_headers_say_how_long_a_track_is(tmp_path):
    assert track_seconds(write_wav(tmp_path / "a.wav", tone(0.3))) == pytest.approx(0.3)
    with pytest.raises(VideoError, match="holds no sound track"):
        track_seconds(write_video(tmp_path / "a.mp4", 3))


def test_a_sound_that_begins_later_than_its_film_has_its_own_times(tmp_path):
    film, late = write_film(tmp_path / "a.mkv", tone()), tmp_path / "late.mkv"
    inputs = ("-i", film, "-itsoffset", "0.2", "-i", film)
    run_ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    assert read_sound(late, RATE).start_seconds == pytest.approx(0.2, abs=0.01)


def test_spoken_words_last_as_long_as_their_file_says(tmp_path):
    needs_espeak()
    path = speak(tmp_path / "a.wav", "kids")
    assert read_sound(path, RATE).seconds == pytest.approx(track_seconds(path), abs=1e-3)
