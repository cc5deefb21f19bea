"""Kinds of film that bug reports are about: several films in a file, headers that lie, files cut off, clocks that do not rise."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from videos import encode, ffmpeg_frames, frame_number, keep_start, run_ffmpeg, write_video
from vjepa_fer.errors import VideoError
from vjepa_fer.video import count_packets, decode_video
from vjepa_fer.video.clock import rising_seconds
from vjepa_fer.video.container import read_packets
from vjepa_fer.video.extent import is_cut_off

PICTURES = "lavfi:testsrc2=d=2:r=30:s=96x64"
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]


# ── several films


@pytest.mark.parametrize("name", ["both.mkv", "both.mp4", "both.avi"])
@pytest.mark.parametrize("flags", [("0", "default"), ("0", "0"), ("default", "0")], ids="/".join)
def test_of_a_still_and_a_film_the_film_is_taken_and_both_are_named(tmp_path, name, flags):
    still = encode(
        "lavfi:testsrc2=d=0.04:r=25:s=96x64", tmp_path / "still.mkv", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"
    )
    film = encode(PICTURES, tmp_path / "film.mkv", "-c:v", "mpeg4")
    path, flagged = tmp_path / name, ["-disposition:v:0", flags[0], "-disposition:v:1", flags[1]]
    run_ffmpeg("-i", still, "-i", film, "-map", "0", "-map", "1", "-c", "copy", *flagged, path)
    video = decode_video(path)
    assert video.num_frames == count_packets(path) == 60
    np.testing.assert_array_equal(video.frames, decode_video(tmp_path / "film.mkv").frames)
    assert video.notes == ("holds 2 films: that of stream 1 (mpeg4 96×64) is taken, not of 0 (mjpeg 96×64)",)


def test_a_file_of_one_film_has_no_notes(tmp_path):
    assert decode_video(write_video(tmp_path / "v.mp4", 5)).notes == ()


# ── headers that lie


def put(path: Path, after: bytes, skip: int, form: str, value: float) -> Path:
    """Write a number `skip` bytes after the first occurrence of a name."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(after) + len(after) + skip, value)
    path.write_bytes(data)
    return path


def avi(folder: Path) -> Path:
    return encode(PICTURES, folder / "v.avi", "-c:v", "mpeg4")


def claims_ninety(folder: Path) -> Path:
    return put(put(avi(folder), b"avih", 4 + 16, "<I", 90), b"strh", 4 + 32, "<I", 90)


def indexed_beyond_its_end(folder: Path) -> Path:
    path = claims_ninety(folder)
    data = bytearray(path.read_bytes())
    start = data.rindex(b"idx1")
    (length,) = struct.unpack_from("<I", data, start + 4)
    entry = struct.pack("<4sIII", b"00dc", 16, 10_000_000, 999)
    data[start + 8 + length :] = entry * 30
    struct.pack_into("<I", data, start + 4, length + 480)
    struct.pack_into("<I", data, 4, len(data) - 8)
    path.write_bytes(data)
    return path


def through_a_pipe(folder: Path) -> Path:
    path = folder / "pipe.avi"
    path.write_bytes(
        run_ffmpeg("-f", "lavfi", "-i", PICTURES.removeprefix("lavfi:"), "-c:v", "mpeg4", "-f", "avi", "-")
    )
    return path


def long_matroska(folder: Path) -> Path:
    return put(encode(PICTURES, folder / "v.mkv", *X264), b"\x44\x89\x88", 0, ">d", 6000.0)


def long_flash(folder: Path) -> Path:
    return put(encode(PICTURES, folder / "v.flv", "-c:v", "flv1"), b"\x08duration\0", 0, ">d", 6.0)


LIARS = {
    claims_ninety: "dwLength in strh.*declares 3.00 s and 90 frames",
    indexed_beyond_its_end: "dwLength in strh, or idx1.* declares 3.00 s",
    through_a_pipe: "dwLength in strh.* declares [0-9.]{5,} s",
    long_matroska: r"header \(Duration\) declares 6.00 s",
    long_flash: r"duration in onMetaData\) declares 6.00 s",
}


@pytest.mark.parametrize("make", LIARS, ids=lambda make: make.__name__)
def test_a_whole_file_is_taken_although_its_header_claims_more(tmp_path, make):
    path = make(tmp_path)
    video = decode_video(path)
    np.testing.assert_array_equal(video.frames, ffmpeg_frames(path, 64, 96))
    assert video.num_frames == 60
    with pytest.raises(AssertionError, match=LIARS[make]):
        raise AssertionError(video.notes)


@pytest.mark.parametrize("make", LIARS, ids=lambda make: make.__name__)
def test_the_same_file_cut_off_is_truncated(tmp_path, make):
    assert refused(keep_start(make(tmp_path), 0.6)) == "truncated"


def longer_by(path: Path, name: bytes, order: str, *, before: int) -> Path:
    """The file with the length beside `name` 1,000 bytes too large."""
    data = path.read_bytes()
    (length,) = struct.unpack_from(order, data, data.index(name) - before)
    return put(path, name, -len(name) - before, order, length + 1000)


def overlong_mp4(folder: Path) -> Path:
    return longer_by(encode(PICTURES, folder / "v.mp4", *X264, "-movflags", "+faststart"), b"mdat", ">I", before=4)


def overlong_avi_without_index(folder: Path) -> Path:
    path = longer_by(avi(folder), b"movi", "<I", before=4)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"idx1")])
    return path


def overlong_matroska(folder: Path) -> Path:
    path = encode(PICTURES, folder / "v.mkv", *X264)
    data = bytearray(path.read_bytes())
    at = data.index(b"\x18\x53\x80\x67") + 4  # the segment
    struct.pack_into(">Q", data, at, struct.unpack_from(">Q", data, at)[0] + 1000)
    path.write_bytes(data)
    return path


def mp4_with_something_behind(folder: Path) -> Path:
    path = encode(PICTURES, folder / "v.mp4", *X264)
    path.write_bytes(path.read_bytes() + b"garbage!" * 9)
    return path


def padded_flash(folder: Path) -> Path:
    path = encode(PICTURES, folder / "v.flv", "-c:v", "flv1")
    path.write_bytes(path.read_bytes() + bytes(100_000))
    return path


OVERLONG = (overlong_mp4, overlong_avi_without_index, overlong_matroska, mp4_with_something_behind, padded_flash)


@pytest.mark.parametrize("make", OVERLONG, ids=lambda make: make.__name__)
def test_lengths_that_are_wrong_behind_the_last_picture_are_no_loss(tmp_path, make):
    path = make(tmp_path)
    video = decode_video(path)
    np.testing.assert_array_equal(video.frames, ffmpeg_frames(path, 64, 96))
    assert (video.num_frames, video.notes) == (60, ())


def refused(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        decode_video(path)
    return caught.value.reason


def test_a_rotation_of_the_first_picture_alone_is_not_believed(tmp_path):
    plain = encode(PICTURES, tmp_path / "plain.mp4", *X264)
    turned = tmp_path / "turned.mp4"
    run_ffmpeg("-i", plain, "-c", "copy", "-bsf:v", "h264_metadata=display_orientation=insert:rotate=90", turned)
    seen = []
    video = decode_video(turned, lambda rgb: seen.append(rgb.shape) or rgb)
    np.testing.assert_array_equal(video.frames, decode_video(plain).frames)
    assert (video.height, video.width, set(seen)) == (64, 96, {(64, 96, 3)})
    assert video.notes == (
        "the display matrix of 1 of its frames differs from that of the others, and is not believed",
    )


@pytest.mark.parametrize(
    ("matrix", "told"), [((55109, 31772, -31772, 55109), "30°"), ((1 << 16, 21845, 0, 1 << 16), "18°")]
)
def test_a_turn_that_is_no_quarter_is_told(tmp_path, matrix, told):
    path = write_video(tmp_path / "v.mp4", 3)
    data = bytearray(path.read_bytes())
    a, b, c, d = matrix
    start = data.index(b"tkhd") + 44
    data[start : start + 20] = struct.pack(">5i", a, b, 0, c, d)
    path.write_bytes(data)
    video = decode_video(path)
    assert video.frames.shape[1:3] == (48, 64)
    with pytest.raises(AssertionError, match=f"asks to be turned by {told}, or skewed: .* to the nearest"):
        raise AssertionError(video.notes)


@pytest.mark.parametrize(
    "codec", [[*X264, "-g", "20"], ["-c:v", "mpeg2video", "-g", "20", "-bf", "2"]], ids=lambda options: options[1]
)
def test_what_a_stream_that_begins_between_key_frames_lacks_is_told(tmp_path, codec):
    path = encode("lavfi:testsrc2=d=1.2:r=25:s=96x64", tmp_path / "v.ts", *codec)
    whole, data = decode_video(path), path.read_bytes()
    path.write_bytes(data[int(len(data) * 0.3) // 188 * 188 :])
    rest = decode_video(path)
    np.testing.assert_array_equal(rest.frames, whole.frames[-rest.num_frames :])
    missing = count_packets(path) - rest.num_frames
    assert missing > 0
    assert rest.notes == (
        f"begins between key frames: what cannot be decoded there is left out ({missing} of {count_packets(path)} pictures)",
    )


def test_a_stream_that_comes_up_midway_ends_no_reading():
    """PyAV fails for it when all is read, if the memory behind its list happens to ask for it."""

    class Container:
        format = SimpleNamespace(name="mpegts")

        def demux(self, *streams):
            yield "packet"
            raise IndexError("list index out of range")

    assert list(read_packets(Path("v.ts"), Container())) == ["packet"]


# ── files cut off

UNDECLARED = {
    "live.webm": ["-c:v", "libvpx", "-live", "1"],
    "live.mkv": [*X264, "-live", "1"],
    "v.ogv": ["-c:v", "libtheora"],
    "v.ogg": ["-c:v", "libvpx"],
    "v.gif": [],
    "live.flv": ["-c:v", "flv1", "-flvflags", "no_duration_filesize"],
    "v.ts": X264,
    "v.mpg": ["-c:v", "mpeg2video"],
    "v.nut": ["-c:v", "mpeg4"],
    "v.wmv": ["-c:v", "wmv2"],
    "v.apng": ["-f", "apng"],
    "v.y4m": ["-pix_fmt", "yuv420p"],
}


@pytest.fixture(scope="module")
def undeclared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undeclared")
    return {name: encode(PICTURES, folder / name, *options) for name, options in UNDECLARED.items()}


@pytest.mark.parametrize("name", UNDECLARED)
def test_a_file_that_declares_no_duration_is_whole_until_it_is_cut(tmp_path, undeclared, name):
    whole = decode_video(undeclared[name])
    assert (whole.num_frames, whole.notes) == (60, ())
    for share in (0.45, 0.83):
        path = tmp_path / name
        path.write_bytes(undeclared[name].read_bytes())
        assert refused(keep_start(path, share)) == "truncated"
        part = decode_video(path, accept_truncated=True)
        assert (0 if name == "v.ogg" else 60 * share - 20) < part.num_frames < 60 * share + 5
        np.testing.assert_array_equal(part.frames, whole.frames[: part.num_frames])
        np.testing.assert_allclose(part.timestamps, whole.timestamps[: part.num_frames])
        assert part.notes[-1].startswith("truncated: ")
        assert part.notes[-1].endswith(f"; the {part.num_frames} frames before the break are taken")


ALMOST_WHOLE = {
    "v.flv": (0.9, [*X264, "-bf", "2"]),
    "v.mkv": (0.97, [*X264, "-bf", "2"]),
    "fragments.mp4": (0.97, [*X264, "-g", "5", "-movflags", "dash+frag_every_frame+empty_moov+default_base_moof"]),
    "v.mxf": (0.9, ["-c:v", "mpeg2video", "-r", "25"]),
    "v.wmv": (0.9, ["-c:v", "wmv1"]),
}


@pytest.mark.parametrize("name", ALMOST_WHOLE)
def test_a_file_that_loses_its_last_pictures_is_truncated_though_almost_as_long_as_declared(tmp_path, name):
    share, options = ALMOST_WHOLE[name]
    path = encode("lavfi:testsrc2=d=1:r=25:s=96x64", tmp_path / name, *options)
    whole = decode_video(path)
    assert refused(keep_start(path, share)) == "truncated"
    part = decode_video(path, accept_truncated=True)
    assert 15 < part.num_frames < 25
    np.testing.assert_array_equal(part.frames, whole.frames[: part.num_frames])


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.mkv"])
def test_a_file_that_loses_what_comes_behind_its_pictures_is_whole(tmp_path, name):
    path = encode("lavfi:testsrc2=d=1:r=25:s=96x64", tmp_path / name, "-c:v", "mpeg4")
    path.write_bytes(path.read_bytes()[:-10])
    assert decode_video(path).num_frames == 25


@pytest.mark.parametrize("share", [0.55, 0.75])
@pytest.mark.parametrize("name", ["v.gif", "v.dv"])
def test_a_part_of_a_picture_is_not_taken_for_one(tmp_path, name, share):
    size = "720x576" if name == "v.dv" else "96x64"
    path = encode(f"lavfi:testsrc2=d=0.2:r=25:s={size}", tmp_path / name)
    whole = decode_video(path)
    assert refused(keep_start(path, share)) == "truncated"
    part = decode_video(path, accept_truncated=True)
    assert 0 < part.num_frames < 5
    np.testing.assert_array_equal(part.frames, whole.frames[: part.num_frames])


@pytest.mark.parametrize(("name", "share"), [("v.mkv", 0.05), ("v.mp4", 0.99)])
def test_a_file_that_breaks_off_in_its_head_or_its_index_is_truncated(tmp_path, name, share):
    path = encode("lavfi:testsrc2=d=0.2:r=25:s=96x64", tmp_path / name, "-c:v", "mpeg4", "-fflags", "+bitexact")
    assert refused(keep_start(path, share)) == "truncated"


def test_an_animated_webp_is_refused_as_what_it_is(tmp_path):
    (tmp_path / "v.webp").write_bytes(b"RIFF\x40\0\0\0WEBPVP8X" + bytes(52))
    with pytest.raises(VideoError, match="a WebP animation, which PyAV cannot decode: convert it to H"):
        decode_video(tmp_path / "v.webp")


def test_a_raw_stream_is_truncated_where_its_last_picture_tells(tmp_path):
    path = encode(PICTURES, tmp_path / "v.h264", *X264)
    data, whole = path.read_bytes(), decode_video(path)
    path.write_bytes(data[: int(len(data) * 0.8)])
    assert refused(path) == "truncated"
    part = decode_video(path, accept_truncated=True)
    np.testing.assert_array_equal(part.frames, whole.frames[: part.num_frames])


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.mkv"])
def test_of_a_file_that_ends_before_its_declared_duration_what_is_there_can_be_taken(tmp_path, name):
    path = encode(PICTURES, tmp_path / name, *X264, "-bf", "2", *["-movflags", "+faststart"] * (name == "v.mp4"))
    whole = decode_video(path)
    keep_start(path, 0.7)
    with pytest.raises(VideoError, match="--accept-truncated takes what is there"):
        count_packets(path)
    part = decode_video(path, accept_truncated=True)
    assert part.num_frames <= count_packets(path, accept_truncated=True) < 60
    np.testing.assert_array_equal(part.frames, whole.frames[: part.num_frames])
    assert part.notes[0].startswith("truncated: ")


def test_a_damaged_middle_is_not_accepted_as_a_break(tmp_path):
    path = encode(PICTURES, tmp_path / "v.avi", "-c:v", "mpeg4", "-g", "60")
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(VideoError) as caught:
        decode_video(path, accept_truncated=True)
    assert caught.value.reason == "corrupt_frames"


SPOILT = {"v.gif": [], "v.avi": ["-c:v", "mjpeg"], "v.ogv": ["-c:v", "libtheora"], "v.flv": ["-c:v", "flv1"]}


@pytest.mark.parametrize("name", SPOILT)
def test_damage_in_the_middle_that_no_frame_bears_a_mark_of_is_heard_from_libav(tmp_path, name):
    path = encode("lavfi:testsrc2=d=1:r=25:s=96x64", tmp_path / name, *SPOILT[name])
    data = bytearray(path.read_bytes())
    start, count = int(len(data) * 0.4), 1500 if name == "v.flv" else 100
    data[start : start + count] = bytes(count)
    path.write_bytes(data)
    assert refused(path) == "corrupt_frames"


def test_a_damaged_page_of_an_ogg_is_described_by_where_it_is(tmp_path):
    path = encode("lavfi:testsrc2=d=1:r=25:s=96x64", tmp_path / "v.ogv", "-c:v", "libtheora")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VideoError, match=r"is damaged after frame \d+ at 0\.\d\d s \(libav: CRC mismatch!\): fetch"):
        decode_video(path)


@pytest.mark.parametrize("more", [bytes(3000), b"junk;" * 999])
def test_bytes_after_the_end_of_a_gif_are_none_of_it(tmp_path, more):
    path = encode(PICTURES, tmp_path / "v.gif")
    path.write_bytes(path.read_bytes() + more)
    assert decode_video(path).num_frames == 60


def test_nothing_is_taken_of_a_file_that_breaks_off_in_its_first_picture(tmp_path):
    path = keep_start(encode("lavfi:testsrc2=d=1:r=1:s=640x480", tmp_path / "v.gif"), 0.5)
    with pytest.raises(VideoError):
        decode_video(path, accept_truncated=True)


def test_libavs_complaints_reach_neither_the_terminal_nor_another_setting(tmp_path, capfd, caplog):
    path = keep_start(encode(PICTURES, tmp_path / "v.gif"), 0.5)
    assert refused(path) == "truncated"
    assert av.logging.get_level() is None
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


@pytest.mark.parametrize(
    "name",
    ["avi", "mov,mp4", "matroska,webm", "ogg", "gif", "flv", "mpegts", "mpeg", "asf", "dv", "mxf", "yuv4mpegpipe"],
)
@given(data=st.binary(max_size=400))
def test_any_bytes_are_judged_without_a_fault(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / "any"
    heads = {
        "avi": b"RIFF\0\0\0\0AVI ",
        "matroska,webm": b"\x1aE\xdf\xa3",
        "ogg": b"OggS\0",
        "mpegts": b"G",
        "yuv4mpegpipe": b"YUV4MPEG2 W",
    }
    path.write_bytes(heads.get(name, b"") + data)
    assert is_cut_off(path, name) in (True, False, None)


def test_an_empty_packet_is_no_damage_but_a_picture_that_stays(tmp_path):
    """Theora writes one for a picture that is like the one before; the ffmpeg program shows no frame for it either."""
    thrice = "lavfi:testsrc2=d=1:r=10:s=96x64,fps=30"
    path = encode(thrice, tmp_path / "v.ogv", "-c:v", "libtheora", "-q:v", "4")
    with av.open(str(path)) as container:
        assert any(not packet.size and packet.dts is not None for packet in container.demux())
    frames = ffmpeg_frames(path, 64, 96)
    np.testing.assert_array_equal(decode_video(path).frames, frames)


# ── times


@pytest.mark.parametrize("codec", [X264, ["-c:v", "mpeg4"], ["-c:v", "mpeg2video"]], ids=lambda options: options[1])
def test_an_avi_with_b_frames_has_the_times_that_libav_takes_for_best(tmp_path, codec):
    path = encode(PICTURES, tmp_path / "v.avi", *codec, "-bf", "2")
    video = decode_video(path)
    assert (np.diff(video.timestamps) > 0).all()
    told = ["-copyts", "-i", path, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "framecrc", "-"]
    lines = [line for line in run_ffmpeg(*told).decode().splitlines() if not line.startswith("#")]
    np.testing.assert_allclose(video.timestamps, [int(line.split(",")[2]) / 30 for line in lines])
    assert video.notes == ()


def test_a_clock_that_begins_anew_goes_on_and_is_noted():
    seconds, note = rising_seconds([0.0, 0.5, 1.0, 1.5, 0.0, 0.5, 1.0], [None] * 7, 2.0)
    np.testing.assert_allclose(seconds, [0, 0.5, 1, 1.5, 2, 2.5, 3])
    assert "does not always go forward" in note


def test_times_that_do_not_come_after_those_before_are_spread():
    seconds, note = rising_seconds([0.0, 0.0, 1.0, 0.9, 2.0, 2.0], [None] * 6, 1.0)
    np.testing.assert_allclose(seconds, [0, 0.5, 1, 1.5, 2, 3])
    assert note


def test_uneven_times_that_rise_are_left_alone():
    assert rising_seconds([0.0, 0.1, 5.0], [None, 7.0, 8.0], 30.0)[0].tolist() == [0, 0.1, 5]


def test_times_of_decoding_stand_in_and_go_on_where_the_decoder_is_emptied():
    seconds, note = rising_seconds([1.0, 4.0, 3.0, 5.0, 2.0], [2.0, 3.0, 4.0, None, None], 1.0)
    assert (seconds.tolist(), note) == ([2, 3, 4, 5, 6], "")


def test_without_any_times_or_rate_nothing_is_made_up():
    assert np.isnan(rising_seconds([None, None], [None, None], 0.0)[0]).all()


times = st.none() | st.floats(-1e6, 1e6).map(lambda t: round(t, 3))


@given(st.lists(st.tuples(times, times), min_size=1, max_size=40), st.sampled_from([1.0, 29.97, 1000.0]))
def test_whatever_a_file_says_times_rise(said, rate):
    seconds, _ = rising_seconds([pts for pts, _ in said], [dts for _, dts in said], rate)
    assert (np.diff(seconds) > 0).all()


def test_frames_are_in_order_where_a_container_has_no_presentation_times(tmp_path):
    path = write_video(tmp_path / "v.mp4", 50)
    b_frames = encode(path, tmp_path / "b.avi", *X264, "-bf", "3", "-crf", "5")
    assert [frame_number(rgb) for rgb in decode_video(b_frames).frames] == list(range(50))
