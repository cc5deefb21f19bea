"""What a film says of how it should be shown: it is done on request, and said either way."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from test_extract import all_levels, manifest_of
from videos import encode, run_ffmpeg, set_display_matrix, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import VideoError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import decode_video, read_windows
from vjepa_fer.video.crop import container_crop

SOURCE = "lavfi:testsrc2=s=180x120:r=25:d=0.2,noise=alls=20:allf=t"
WIDE = "-vf setsar=16/15 -c:v libx264"
CODEC_ALONE = "-bsf:v h264_metadata=sample_aspect_ratio=16/15"


def film(folder, options, name="film.mp4"):
    return encode(SOURCE, folder / name, *options.split())


def as_ffmpeg_squares(path, height, width):
    options = ["-vf", "scale=iw*sar:ih", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    return np.frombuffer(run_ffmpeg("-i", path, *options), np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("film.mp4", WIDE),
        ("film.mkv", WIDE),
        ("film.ts", WIDE),
        ("film.mp4", f"{WIDE} -pix_fmt yuv420p10le"),
        ("film.avi", "-vf setsar=4/3 -c:v ffv1 -pix_fmt yuv422p"),
        ("film.mkv", "-vf setsar=8/9 -c:v ffv1 -pix_fmt gray10le -color_range tv"),
    ],
)
def test_pixels_that_are_not_square_are_said_and_made_square_on_request(tmp_path, name, options):
    path = film(tmp_path, options, name)
    stored, square = decode_video(path), decode_video(path, square_pixels=True)
    ratio = options.split("setsar=")[1].split()[0].replace("/", ":")
    assert (stored.height, stored.width) == (120, 180)
    assert stored.notes[0] == (
        f"its pixels are not square ({ratio}): taken as they are stored; --square-pixels makes them square"
    )
    above, below = map(int, ratio.split(":"))
    assert (square.height, square.width) == (120, 180 * above // below)
    assert square.notes[0] == f"its pixels are not square ({ratio}): made square"
    np.testing.assert_array_equal(square.frames, as_ffmpeg_squares(path, square.height, square.width))


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_a_turned_film_is_squared_after_turning(tmp_path, pixels):
    path = set_display_matrix(film(tmp_path, f"{WIDE} -pix_fmt {pixels}"), 0, -1, 1, 0)
    video = decode_video(path, square_pixels=True)
    assert (video.height, video.width) == (180, 112)
    np.testing.assert_array_equal(video.frames, as_ffmpeg_squares(path, 180, 112))


def test_where_container_and_codec_disagree_the_container_counts_and_both_are_said(tmp_path):
    path = encode(film(tmp_path, "-c:v libx264 -vf setsar=1"), tmp_path / "two.mp4", "-c", "copy", *CODEC_ALONE.split())
    video = decode_video(path, square_pixels=True)
    assert (video.height, video.width) == (120, 180)
    assert video.notes == ("its pixels are 16:15 by its codec and 1:1 by its container, which counts",)


def test_a_film_with_square_pixels_is_the_same_either_way_and_nothing_is_said(tmp_path):
    path = write_video(tmp_path / "film.mp4", 3)
    stored, square = decode_video(path), decode_video(path, square_pixels=True)
    np.testing.assert_array_equal(stored.frames, square.frames)
    assert stored.notes == square.notes == ()


def test_pixels_too_wide_for_any_film_are_refused(tmp_path):
    path = encode("lavfi:testsrc2=s=640x48:r=25:d=0.1", tmp_path / "film.mkv", *["-c:v", "ffv1", "-vf", "setsar=2"])
    assert decode_video(path).width == 640
    with pytest.raises(VideoError, match="1280×48 pixels are beyond any film's"):
        decode_video(path, square_pixels=True)


@pytest.mark.parametrize(("transfer", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_an_hdr_transfer_is_named(tmp_path, transfer, name):
    path = film(tmp_path, f"-c:v libx264 -pix_fmt yuv420p10le -color_trc {transfer}")
    assert decode_video(path).notes == (
        f"its transfer is HDR ({name}): its numbers are taken as they are, without tone mapping",
    )


def put_clap(path, width, height):
    """Ask players of an MP4 to show only its middle."""
    data = bytearray(path.read_bytes())
    clap = struct.pack(">I4s8I", 40, b"clap", width, 1, height, 1, 0, 1, 0, 1)
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    (length,) = struct.unpack(">I", data[entry : entry + 4])
    data[entry + length : entry + length] = clap
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(name, data.index(b"moov")) - 4
        (length,) = struct.unpack(">I", data[place : place + 4])
        data[place : place + 4] = struct.pack(">I", length + len(clap))
    path.write_bytes(data)
    return path


def test_a_crop_in_an_mp4_is_named_and_not_applied(tmp_path):
    path = put_clap(film(tmp_path, "-c:v libx264"), 140, 100)
    video = decode_video(path)
    assert (video.height, video.width) == (120, 180)
    assert video.notes == ("its container asks for a crop (clap, 140×100 pixels), which is not applied",)


def element(name, content):
    return bytes.fromhex(name) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def test_a_crop_in_a_matroska_file_is_named(tmp_path):
    picture = (
        element("B0", b"\x40") + element("54CC", b"\x04") + element("54AA", b"\x01\x00") + element("54DD", b"\x00")
    )
    track = element("AE", element("D7", b"\x01") + element("E0", picture))
    path = tmp_path / "film.mkv"
    path.write_bytes(
        element("1A45DFA3", b"") + element("18538067", element("1549A966", b"") + element("1654AE6B", track))
    )
    assert container_crop(path, "matroska,webm") == "PixelCrop, 4 left, 256 bottom"


@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_broken_containers_end_the_search_for_a_crop(tmp_path, name):
    path = film(tmp_path, "-c:v libx264", name)
    container = {"film.mp4": "mov,mp4", "film.mkv": "matroska,webm"}[name]
    assert container_crop(path, container) is None
    data, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 2000), 20):
            broken[place] = rng.integers(256)
        path.write_bytes(broken[: rng.integers(len(data))])
        container_crop(path, container)


def resized_film(tmp_path):
    """As a browser records a window that is made smaller."""
    for number, size in enumerate(["128x96", "64x48"]):
        run_ffmpeg(
            "-f", "lavfi", "-i", f"testsrc2=s={size}:r=25:d=0.4", "-c:v", "libvpx", tmp_path / f"part{number}.webm"
        )
    (tmp_path / "list.txt").write_text("".join(f"file part{n}.webm\n" for n in range(2)))
    path = tmp_path / "film.webm"
    run_ffmpeg("-f", "concat", "-i", tmp_path / "list.txt", "-c", "copy", path)
    return path


@pytest.fixture
def resized(tmp_path):
    return resized_film(tmp_path)


def test_a_film_whose_size_changes_midway_is_scaled_to_the_first_size_on_request(tmp_path, resized):
    with pytest.raises(
        VideoError, match=r"frame 10 is 64×48, unlike .* or --accept-resize scales all to the first"
    ) as caught:
        decode_video(resized)
    assert caught.value.reason == "unreadable"
    video = decode_video(resized, accept_resize=True)
    assert video.frames.shape == (20, 96, 128, 3)
    assert video.notes == ("its size changes midway: 10 of its frames (64×48) are scaled to the first one's 128×96",)
    options = ["-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-"]
    for start, part in ((0, "part0.webm"), (10, "part1.webm")):
        theirs = run_ffmpeg("-i", tmp_path / part, "-vf", "scale=128:96:flags=bicubic", *options)
        expected = np.frombuffer(theirs, np.uint8).reshape(-1, 96, 128, 3)
        np.testing.assert_array_equal(video.frames[start : start + 10], expected)


def test_windows_of_square_pixels_are_cut_from_the_wider_frame(tmp_path):
    path, sampling = film(tmp_path, "-vf setsar=2 -c:v libx264"), Sampling(frames_per_window=2)
    shapes = [
        read_windows(path, sampling, Preprocessing(crop_size=48, num_views=3, square_pixels=square)).frames.shape[1:3]
        for square in (False, True)
    ]
    assert shapes == [(48, 72), (48, 144)]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_extraction_notes_what_it_did_and_takes_films_that_change_size_on_request(tmp_path, resized, workers):
    encoder = load_encoder("tiny-v21", weights="random:1")
    wide = film(tmp_path, WIDE, "wide.mp4")
    manifest = manifest_of([resized, wide])
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    strict = extract_manifest(manifest, tmp_path / "a", encoder, recipe, settings=ExtractSettings(workers=workers))
    assert [failure.clip_id for failure in strict.failures] == ["film"]
    settings = ExtractSettings(workers=workers, accept_resize=True)
    square = make_recipe(encoder, sampling=Sampling(frame_step=1), square_pixels=True)
    done = extract_manifest(manifest, tmp_path / "b", encoder, square, settings=settings)
    assert (done.written, done.failures) == (2, ())
    assert done.notes["wide"] == ("its pixels are not square (16:15): made square",)
    assert done.notes["film"][-1].startswith("its size changes midway: 10 of its frames")
    assert open_cache(tmp_path / "b").recipe.preprocessing.square_pixels
    stored, squared = (all_levels(tmp_path / name)["wide"]["mean"] for name in "ab")
    assert (stored != squared).any()
