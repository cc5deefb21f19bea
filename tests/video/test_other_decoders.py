"""decord and torchcodec, where installed, are held to PyAV's frames; where they have others, these are taken and a note says so."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from test_extract import all_levels, check_equal, manifest_of
from videos import encode, set_display_matrix, write_video
from vjepa_fer.errors import MissingExtraError, VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.recipe import Sampling
from vjepa_fer.video import decode_video, decoding, others

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
FILES = {
    "720p.mp4": ["-t", "1", "-s", "1280x720", *X264],
    "360p.flv": ["-t", "1", "-s", "480x360", "-c:v", "flv1", "-q:v", "5"],
    "360p.mp4": ["-t", "1", "-s", "480x360", *X264],
    "bt709.mp4": ["-t", "1", *X264, "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"],
    "full_range.mp4": ["-t", "1", "-vf", "scale=out_range=full", *X264[:-1], "yuvj420p", "-color_range", "pc"],
    "uneven.mp4": ["-t", "2", "-vf", "select='not(between(n,10,20))'", "-fps_mode", "vfr", *X264],
}


@pytest.fixture(scope="module", params=["decord", "torchcodec"])
def decoder(request):
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_and_times_are_those_of_pyav(tmp_path, decoder, name):
    path = encode("lavfi:testsrc2=rate=25:size=320x240", tmp_path / name, *FILES[name])
    check_same(path, decoder)


def check_same(path, decoder):
    ours = decode_video(path)
    theirs = decode_video(path, choose=lambda n: range(n - 1, -1, -3), decoder=decoder)
    assert theirs.num_frames == ours.num_frames
    assert (theirs.height, theirs.width) == (ours.height, ours.width)
    np.testing.assert_array_equal(theirs.frames, ours.frames[theirs.frame_numbers])
    np.testing.assert_allclose(theirs.timestamps, ours.timestamps, rtol=0, atol=1e-12)


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)], ids=["90", "180", "270"])
def test_a_rotated_video_is_shown_upright_by_all(tmp_path, decoder, matrix):
    drawn = encode("lavfi:testsrc2=rate=25:size=96x64", tmp_path / "v.mp4", "-t", "0.5", *X264)
    path = set_display_matrix(drawn, *matrix)
    assert decode_video(path).height == (64 if matrix[0] else 96)
    check_same(path, decoder)


@pytest.mark.parametrize(
    "matrix", [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)], ids=["left-right", "up-down", "across"]
)
def test_of_a_mirrored_video_pyavs_frames_are_taken_where_a_library_does_not_mirror(tmp_path, decoder, matrix):
    drawn = encode("lavfi:testsrc2=rate=25:size=96x64", tmp_path / "v.mp4", "-t", "0.5", *X264)
    path = set_display_matrix(drawn, *matrix)
    check_same(path, decoder)
    assert "shows other pixels in " in decode_video(path, decoder=decoder).notes[-1]


def library_that(monkeypatch, decoder: str, body: str) -> None:
    """Have the library's process open files with ``opened(path, real)``, whose `body` this is."""
    program = (
        "import os, time\n"
        "from vjepa_fer.video import others\n"
        f"real = others._OPEN[{decoder!r}]\n"
        "def opened(path):\n"
        "    count, get = real(path)\n"
        f"    {body}\n"
        f"others._OPEN[{decoder!r}], others._AT_A_TIME = opened, 2\n"
        f"others.serve({decoder!r})\n"
    )
    process = others._Process(decoder)
    process._program = program
    monkeypatch.setattr(others, "_process", lambda name: process)


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (
            "return count, lambda numbers: get(numbers) ^ (1 if 9 in numbers else 0)",
            "shows other pixels in 2 of 4 frames",
        ),
        ("return count, lambda numbers: get([max(0, n - (n == 4)) for n in numbers])", "other pixels in 1 of 4 frames"),
        ("return 13, get", "sees 13 frames of 10"),
        ("return 9, get", "sees 9 frames of 10"),
        ("raise ValueError('no such thing')", "cannot decode it (no such thing)"),
        ("os.abort()", "died of it (signal 6)"),
        ("time.sleep(60)", "did not decode it within 1 s"),
    ],
    ids=["some pixels", "a frame too early", "more", "fewer", "refused", "dead", "hung"],
)
def test_where_a_library_differs_pyavs_frames_are_taken_with_a_note(tmp_path, decoder, monkeypatch, body, note):
    library_that(monkeypatch, decoder, body)
    real = others.disagreement
    short = 1.0 if "sleep" in body else 60.0
    monkeypatch.setattr(decoding, "disagreement", lambda *a, seconds: real(*a, seconds=short))
    path = write_video(tmp_path / "v.mp4", 10)
    video, ours = (decode_video(path, choose=lambda n: [4, 8], decoder=name) for name in (decoder, "pyav"))
    np.testing.assert_array_equal(video.frames, ours.frames)
    assert note in video.notes[0]
    assert video.notes[0].endswith(": PyAV's frames are taken")
    assert not ours.notes


def test_a_library_goes_on_after_a_film_that_it_died_of(tmp_path, decoder, monkeypatch):
    library_that(monkeypatch, decoder, "'bad' in path and os.abort()\n    return count, get")
    good, bad = (write_video(tmp_path / name, 10) for name in ("good.mp4", "bad.mp4"))
    assert [len(decode_video(path, decoder=decoder).notes) for path in (good, bad, good)] == [0, 1, 0]


def test_a_film_cut_between_key_frames_has_the_frames_of_pyav(tmp_path, decoder):
    """Of such a stream decord makes frames for the packets before the first key frame, too."""
    whole = encode("lavfi:testsrc2=rate=30:size=96x64", tmp_path / "whole.ts", "-t", "2", *X264, "-g", "30", "-bf", "0")
    data = whole.read_bytes()
    cut = tmp_path / "cut.ts"
    start = len(data) // 4 // 188 * 188
    cut.write_bytes(data[: 188 * 3] + data[start:])
    check_same(cut, decoder)


def test_a_file_with_an_edit_list_gives_the_frames_of_pyav(tmp_path, decoder):
    whole = encode("lavfi:testsrc2=rate=25:size=320x240", tmp_path / "whole.mp4", "-t", "4", *X264, "-g", "50")
    cut = encode(whole, tmp_path / "cut.mp4", "-c", "copy", "-ss", "1.2")
    moved = encode(whole, tmp_path / "moved.mp4", "-c", "copy", "-t", "2.1")
    for path in (cut, moved):
        check_same(path, decoder)


def test_extraction_with_another_decoder_gives_the_same_cache(tmp_path, decoder):
    from vjepa_fer.encoder import load_encoder

    encoder = load_encoder("tiny-v21", weights="random:1")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    manifest = manifest_of([write_video(tmp_path / f"v{i}.mp4", 20 + i) for i in range(3)])
    for name, workers in (("pyav", 0), (decoder, 1)):
        settings = ExtractSettings(decoder=name, workers=workers)
        extract_manifest(manifest, tmp_path / name, encoder, recipe, settings=settings)
    check_equal(all_levels(tmp_path / "pyav"), all_levels(tmp_path / decoder))


def test_a_decoder_that_is_not_installed_is_said_before_anything_begins(monkeypatch):
    monkeypatch.setattr(others.importlib.util, "find_spec", lambda name: None)
    missing = r"--decoder torchcodec needs torchcodec, not installed here: pip install 'vjepa-fer\[torchcodec\]'"
    with pytest.raises(MissingExtraError, match=missing):
        others.require_decoder("torchcodec")


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_the_extra_that_is_named_for_a_decoder_has_it(decoder):
    extras = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert any(line.startswith(decoder) for line in extras[others._EXTRA_WITH[decoder]])


def test_a_decoder_that_is_installed_but_does_not_work_is_said_before_any_clip_fails(tmp_path, monkeypatch):
    (tmp_path / "torchcodec").mkdir()
    (tmp_path / "torchcodec" / "__init__.py").touch()
    (tmp_path / "torchcodec" / "decoders.py").write_text("raise OSError('no FFmpeg to be found\\nmany more lines')")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torchcodec", "torchcodec.decoders"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(VjepaFerError, match=r"cannot decode here \(no FFmpeg to be found\): use --decoder pyav"):
        others.require_decoder("torchcodec")


def test_a_decoder_that_works_is_let_through(decoder):
    others.require_decoder(decoder)
