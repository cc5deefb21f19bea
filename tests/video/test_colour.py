"""Every kind of picture has the RGB pixels that the ffmpeg program gives it, whichever PyAV is installed."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from videos import run_ffmpeg, set_display_matrix
from vjepa_fer.errors import VideoError, VjepaFerError
from vjepa_fer.video import colour, decode_video

BITS = {"8": "", "10": "10le", "12": "12le", "16": "16le"}
KINDS = ["yuv420p", "yuv422p", "yuv444p", "gray", "gbrp"]
FORMATS = ["yuv411p", "bgr0", *(kind + bits for kind in KINDS for bits in BITS.values() if kind + bits != "gbrp")]
SIZES = [(48, 64), (48, 67), (51, 64), (51, 67)]  # height, width
FIELDS = {"progressive": "prog", "interlaced": "tff"}
RANGES = ["tv", "pc"]
NOISE = "testsrc2=s={}x{}:r=25:d=0.08,noise=alls=40:allf=t"
QUARTERS = {"90": (0, -1, 1, 0), "180": (-1, 0, 0, -1), "270": (0, 1, -1, 0)}


def draw(folder: Path, variants: dict[str, tuple[tuple[int, int], str, list[str]]], *codec: str) -> list[Path]:
    """A film of two noisy pictures for each name: its size, the filters that give its colours, and how these are named."""
    arguments: list[str | Path] = []
    for height, width in {size for size, *_ in variants.values()}:
        arguments += ["-f", "lavfi", "-i", NOISE.format(width, height)]
    sizes = list({size for size, *_ in variants.values()})
    for name, (size, filters, named) in variants.items():
        drawn = ["-map", f"{sizes.index(size)}:v", "-vf", f"scale=flags=bicubic,{filters}"]
        arguments += [*drawn, *codec, *named, folder / name]
    run_ffmpeg(*arguments)
    return [folder / name for name in variants]


def check_equals_ffmpeg(paths: list[Path]) -> None:
    """All of them through one run of the program, which takes longer to start than to decode."""
    raw = [path.with_suffix(".rgb") for path in paths]
    as_rgb = ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo"]
    outputs = [("-map", f"{n}:v", *as_rgb, to) for n, to in enumerate(raw)]
    run_ffmpeg(*itertools.chain(*(("-i", path) for path in paths), *outputs))
    different = {}
    for path, theirs in zip(paths, raw, strict=True):
        ours = decode_video(path).frames
        expected = np.fromfile(theirs, np.uint8).reshape(-1, *ours.shape[1:])
        assert len(ours) == len(expected) > 0
        different[path.name] = int(np.abs(np.subtract(ours, expected, dtype=np.int16)).max())
    assert not any(different.values()), {name: most for name, most in different.items() if most}


@pytest.mark.parametrize("pixels", FORMATS)
def test_pixels_of_each_size_scan_and_range_equal_the_ffmpeg_programs(tmp_path, pixels):
    variants = {}
    for (height, width), scan, limits in itertools.product(SIZES, FIELDS, RANGES):
        filters = f"format={pixels},setfield={FIELDS[scan]},setparams=range={limits}"
        variants[f"{width}x{height}-{scan}-{limits}.mkv"] = (height, width), filters, ["-color_range", limits]
    check_equals_ffmpeg(draw(tmp_path, variants, "-c:v", "ffv1"))


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le", "yuv422p", "yuv444p", "yuvj420p"])
def test_pixels_of_each_matrix_equal_the_ffmpeg_programs(tmp_path, pixels):
    variants = {}
    for matrix in ["bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc", "bt2020c"]:
        variants[f"{matrix}.mkv"] = (51, 67), f"format={pixels},setparams=colorspace={matrix}", ["-colorspace", matrix]
    check_equals_ffmpeg(draw(tmp_path, variants, "-c:v", "ffv1" if pixels != "yuvj420p" else "mjpeg"))


@pytest.mark.parametrize("place", ["left", "center", "topleft", "top", "bottomleft", "bottom"])
def test_chroma_is_where_the_ffmpeg_program_takes_it_to_be_whatever_a_film_says(tmp_path, place):
    variants = {
        f"{pixels}-{height}.mp4": ((height, 66), f"format={pixels}", ["-chroma_sample_location", place])
        for pixels, height in itertools.product(["yuv420p", "yuv420p10le"], [48, 51])
    }
    check_equals_ffmpeg(draw(tmp_path, variants, "-c:v", "libx264"))


CODECS = {
    "hevc10.mp4": "-c:v libx265 -x265-params log-level=error -pix_fmt yuv420p10le",
    "hevc12_422.mp4": "-c:v libx265 -x265-params log-level=error -pix_fmt yuv422p12le",
    "hevc_hdr.mp4": "-c:v libx265 -x265-params log-level=error:chromaloc=2 -pix_fmt yuv420p10le -colorspace bt2020nc "
    "-color_trc arib-std-b67 -color_primaries bt2020",
    "vp9_profile2.webm": "-c:v libvpx-vp9 -pix_fmt yuv420p10le",
    "prores.mov": "-c:v prores_ks -pix_fmt yuv422p10le",
    "mjpeg_444.avi": "-c:v mjpeg -pix_fmt yuvj444p",
    "rawvideo_yuyv.avi": "-c:v rawvideo -pix_fmt yuyv422",
    "rgb_h264.mp4": "-c:v libx264rgb -pix_fmt rgb24",
    "grey10_h264.mp4": "-c:v libx264 -pix_fmt gray10le",
    "palette.gif": "-pix_fmt pal8",
}


@pytest.mark.parametrize("name", CODECS)
def test_pixels_of_codecs_that_people_have_equal_the_ffmpeg_programs(tmp_path, name):
    filters = ["-f", "lavfi", "-i", NOISE.format(66, 50), "-vf", "scale=flags=bicubic"]
    run_ffmpeg(*filters, *CODECS[name].split(), tmp_path / name)
    check_equals_ffmpeg([tmp_path / name])


@pytest.mark.parametrize("turn", QUARTERS)
def test_frames_are_turned_before_they_are_converted_where_the_ffmpeg_program_does(tmp_path, turn):
    """A phone's film, held upright: with chroma between the pixels, the order shows."""
    formats = ["yuv420p", "yuv420p10le", "yuv422p", "yuv422p10le", "yuv444p10le", "gray10le", "yuvj422p"]
    variants = {f"{pixels}.mp4": ((50, 66), f"format={pixels}", []) for pixels in formats}
    paths = draw(tmp_path, variants, "-c:v", "libx264")
    check_equals_ffmpeg([set_display_matrix(path, *QUARTERS[turn]) for path in paths])


def test_colours_that_change_midway_are_followed(tmp_path):
    pictures = [trial_frame("yuv420p10le", limits, matrix) for limits, matrix in [(1, 1), (2, 1), (2, 9), (1, 1)]]
    convert = colour.ToRGB()
    one, *others, again = (convert(picture) for picture in pictures)
    np.testing.assert_array_equal(one, again)
    assert all((one != other).any() for other in others)


@pytest.mark.parametrize(("matrix", "name"), [("ycgco", "YCgCo"), ("ictcp", "ICtCp")])
def test_colours_of_an_unknown_kind_are_refused_by_name(tmp_path, matrix, name):
    variants = {"film.mkv": ((48, 64), f"format=yuv444p,setparams=colorspace={matrix}", ["-colorspace", matrix])}
    [path] = draw(tmp_path, variants, "-c:v", "ffv1")
    with pytest.raises(VideoError, match=f"its colours are {name}, which cannot be converted to RGB: re-") as caught:
        decode_video(path)
    assert caught.value.reason == "unreadable"


def trial_frame(pixels: str, limits: int = 1, matrix: int = 1) -> av.VideoFrame:
    return colour._trial_frame(pixels, limits, matrix)


@pytest.mark.parametrize("pixels", colour._TRIAL_FORMATS)
def test_the_pictures_that_a_pyav_is_tried_with_are_the_ffmpeg_programs(tmp_path, pixels):
    frame = trial_frame(pixels)
    raw = tmp_path / "frame.raw"
    raw.write_bytes(b"".join(without_padding(plane, frame) for plane in frame.planes))
    stored = f"-f rawvideo -video_size {frame.width}x{frame.height} -pixel_format {pixels} -color_range tv"
    theirs = run_ffmpeg(*stored.split(), "-colorspace", "bt709", "-i", raw, "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    assert colour.ToRGB()(frame).tobytes() == theirs


def without_padding(plane: av.video.plane.VideoPlane, frame: av.VideoFrame) -> bytes:
    row_bytes = plane.width * ((frame.format.components[0].bits + 7) // 8)
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, :row_bytes].tobytes()


def test_this_pyav_gives_the_reference_pixels():
    colour.require_reference_pixels()


def test_a_pyav_that_gives_other_pixels_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(colour, "_TRIAL_SHA256", "0" * 64)
    monkeypatch.setattr(colour.platform, "machine", lambda: "x86_64")
    with pytest.raises(VjepaFerError, match=rf"PyAV {av.__version__} \(libswscale [\d.]+\) .* install another release"):
        colour.require_reference_pixels.__wrapped__()


_DECODE_ELSEWHERE = """
import hashlib, json, sys
import av
from vjepa_fer.video import decode_video
print(json.dumps([av.__version__, {path: hashlib.sha256(decode_video(path).frames.tobytes()).hexdigest() for path in sys.argv[1:]}]))
"""


def test_another_pyav_gives_the_same_pixels(tmp_path):
    """``VJEPA_FER_OTHER_AV`` names a folder with one: ``pip install --no-deps --target FOLDER av==17.1.0``."""
    folder = os.environ.get("VJEPA_FER_OTHER_AV")
    if not folder:
        pytest.skip("set VJEPA_FER_OTHER_AV to a folder with another PyAV")
    variants = {
        f"{pixels}-{width}x{height}-{limits}.mkv": ((height, width), f"format={pixels},setparams=range={limits}", [])
        for pixels, (height, width), limits in itertools.product(FORMATS, SIZES, RANGES)
    }
    paths = draw(tmp_path, variants, "-c:v", "ffv1")
    ours = {str(path): hashlib.sha256(decode_video(path).frames.tobytes()).hexdigest() for path in paths}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(Path(__file__).parents[2])])}
    command = [sys.executable, "-c", _DECODE_ELSEWHERE, *ours]
    done = subprocess.run(command, capture_output=True, env=environment, check=False, text=True)
    assert done.returncode == 0, done.stderr
    version, theirs = json.loads(done.stdout)
    assert version != av.__version__
    assert theirs == ours
