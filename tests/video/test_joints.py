"""Transport streams that were put together of several are whole; those that lost packets are not."""

from __future__ import annotations

import numpy as np
import pytest

from videos import encode
from vjepa_fer.errors import VideoError
from vjepa_fer.video import decode_video

CODECS = {"h264": ["-c:v", "libx264", "-preset", "veryfast", "-g", "12"], "mpeg2": ["-c:v", "mpeg2video"]}


@pytest.fixture(scope="module", params=CODECS)
def stream(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("stream") / f"{request.param}.ts"
    return encode("lavfi:testsrc2=d=0.8:r=25:s=96x64", path, *CODECS[request.param])


def test_two_recordings_in_one_file_have_the_frames_of_both(tmp_path, stream):
    once, path = decode_video(stream), tmp_path / "twice.ts"
    path.write_bytes(2 * stream.read_bytes())
    twice = decode_video(path)
    np.testing.assert_array_equal(twice.frames, np.concatenate([once.frames, once.frames]))
    assert (np.diff(twice.timestamps) > 0).all()
    assert twice.notes == ("its clock does not always go forward: those times are made to rise",)


def amid_a_picture(data: bytes, share: float) -> int:
    """Where a packet begins that goes on with a picture of stream 256."""
    place = int(len(data) * share) // 188 * 188
    while data[place + 1 : place + 3] != b"\x01\x00":
        place += 188
    return place


@pytest.mark.parametrize("share", [0.35, 0.75])
def test_a_recording_that_breaks_off_before_another_is_damaged(tmp_path, stream, share):
    data, path = stream.read_bytes(), tmp_path / "broken.ts"
    path.write_bytes(data[: amid_a_picture(data, share)] + data)
    with pytest.raises(VideoError, match="damaged"):
        decode_video(path)


@pytest.mark.parametrize("share", [0.35, 0.55])
def test_a_lost_packet_is_no_joint(tmp_path, stream, share):
    data, path = stream.read_bytes(), tmp_path / "lost.ts"
    lost = amid_a_picture(data, share)
    path.write_bytes(data[:lost] + data[lost + 188 :])
    with pytest.raises(VideoError, match="damaged"):
        decode_video(path)
