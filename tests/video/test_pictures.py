"""Clips that are folders of pictures: the same as films, in the order of their numbers, refused by name where anything is wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from videos import drawn_frame, frame_number, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import CacheError, ManifestError, VideoError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, plan_extraction
from vjepa_fer.manifest import Clip, Manifest, folder_manifest, with_picture_rate, write_manifest
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import decode_video, read_windows
from vjepa_fer.video.pictures import list_pictures, pictures_sha256
from vjepa_fer.video.reading import source_sha256

Image = pytest.importorskip("PIL.Image", reason="the tests draw with Pillow, an extra")

SMALL = Preprocessing(crop_size=32)
LOSSLESS = {".png": {}, ".bmp": {}, ".webp": {"lossless": True, "exact": True}}


def encoded(pixels: np.ndarray, suffix: str, **options) -> bytes:
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}[suffix.lower()]
    Image.fromarray(pixels).save(buffer, kind, **(LOSSLESS.get(suffix) or {}), **options)
    return buffer.getvalue()


def write_pictures(folder: Path, count: int = 30, *, suffix: str = ".png", name="{}", size=(48, 64)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = drawn_frame(number, height=size[0], width=size[1])
        (folder / f"{name.format(number + 1)}{suffix}").write_bytes(encoded(pixels, suffix))
    return folder


def blobs(seed: int = 0, size=(47, 61)) -> np.ndarray:
    """Smooth colours, as a face has, (H, W, 3)."""
    coarse = np.random.default_rng(seed).integers(40, 216, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))


# order


@pytest.mark.parametrize("name", ["{}", "{:05}", "S005_001_{:08}", "frame {}", "{}_aligned"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPG"])
def test_pictures_come_in_the_order_of_their_numbers(tmp_path, name, suffix):
    folder = write_pictures(tmp_path / "clip", 21, suffix=suffix, name=name)
    (folder / "Thumbs.db").touch()
    (folder / "._1.jpg").touch()
    assert [frame_number(frame) for frame in decode_video(folder).frames] == list(range(21))


def test_windows_are_those_of_a_film_of_as_many_frames(tmp_path):
    film = read_windows(write_video(tmp_path / "film.mp4", 25), Sampling(frame_step=1), SMALL)
    clip = read_windows(write_pictures(tmp_path / "clip", 25), Sampling(frame_step=1), SMALL, picture_rate=30)
    assert clip.windows == film.windows
    np.testing.assert_allclose(clip.timestamps, film.timestamps, atol=1e-4)
    for number in range(len(clip.windows)):
        shown = [frame_number(frame) for frame in clip.window_pixels(number)[0]]
        assert shown == [frame_number(frame) for frame in film.window_pixels(number)[0]]


# pixels


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_pictures_give_exactly_what_they_hold(tmp_path, suffix):
    for number in range(3):
        (tmp_path / f"{number}{suffix}").write_bytes(encoded(blobs(number), suffix))
    np.testing.assert_array_equal(decode_video(tmp_path).frames, [blobs(number) for number in range(3)])


@pytest.mark.parametrize("kind", ["grey", "palette", "transparent"])
def test_pngs_of_every_kind_become_the_same_rgb_as_elsewhere(tmp_path, kind):
    picture = Image.fromarray(blobs()).convert({"grey": "L", "palette": "P", "transparent": "RGBA"}[kind])
    picture.save(tmp_path / "1.png")
    np.testing.assert_array_equal(decode_video(tmp_path).frames[0], np.asarray(picture.convert("RGB")))


def test_jpegs_give_the_pixels_of_the_film_made_of_them(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    with av.open(str(tmp_path / "film.avi"), "w") as film:
        stream = film.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 61, 47, "yuvj420p"
        film.start_encoding()
        for number in range(5):
            data = encoded(blobs(number), ".jpg", quality=90)
            (folder / f"{number}.jpg").write_bytes(data)
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, number, number, stream.time_base
            film.mux(packet)
    np.testing.assert_array_equal(decode_video(folder).frames, decode_video(tmp_path / "film.avi").frames)


def write_photographs(folder: Path, *orientations: int) -> Path:
    """JPEGs with EXIF, as a camera writes them that was held so."""
    for number, orientation in enumerate(orientations):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (folder / f"{number}.jpg").write_bytes(encoded(blobs(), ".jpg", quality=95, subsampling=0, exif=exif))
    return folder


def test_photographs_are_turned_as_their_exif_says(tmp_path):
    as_stored = decode_video(write_photographs(tmp_path, 1)).frames[0]
    turned = decode_video(write_photographs(tmp_path, 6, 6)).frames[1]
    np.testing.assert_array_equal(turned, np.rot90(as_stored, -1))


def test_photographs_that_are_turned_differently_are_refused_by_name(tmp_path):
    with pytest.raises(VideoError, match=r"2\.jpg is to be turned otherwise than those before it \(EXIF\): turn"):
        decode_video(write_photographs(tmp_path, 1, 1, 3))


def test_jpegs_without_shared_colours_are_pillows_within_rounding(tmp_path):
    data = encoded(blobs(), ".jpg", quality=95, subsampling=0)
    (tmp_path / "1.jpg").write_bytes(data)
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode_video(tmp_path).frames[0] - theirs).max() <= 3


# what is refused


def refuse(folder: Path, reason: str, message: str) -> None:
    with pytest.raises(VideoError, match=message) as caught:
        decode_video(folder)
    assert (caught.value.reason, caught.value.path) == (reason, folder)


def test_pictures_of_unequal_size_are_refused_by_name(tmp_path):
    write_pictures(tmp_path, 12)
    (tmp_path / "11.png").write_bytes(encoded(blobs(), ".png"))
    refuse(
        tmp_path, "unreadable", r"11\.png is 61×47, unlike 1\.png, which is 64×48: the frames of a clip need one size"
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
@pytest.mark.parametrize("left", [0.1, 0.5, 0.9, 0.99])
def test_a_picture_that_is_cut_off_is_refused_by_name(tmp_path, suffix, left):
    write_pictures(tmp_path, 3, suffix=suffix)
    data = encoded(blobs(), suffix)
    for number in (1, 2, 3):
        (tmp_path / f"{number}{suffix}").write_bytes(data)
    (tmp_path / f"2{suffix}").write_bytes(data[: int(len(data) * left)])
    with pytest.raises(VideoError, match=rf"2\{suffix} is (damaged, )?cut off") as caught:
        decode_video(tmp_path)
    assert caught.value.reason in ("truncated", "corrupt_frames")


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (b"", "empty", r"2\.png is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "lfs_pointer", "2.png is a Git LFS pointer"),
        (b"a text", "unreadable", r"2\.png is no JPEG, PNG, BMP or WebP, whatever its name says"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(tmp_path, data, reason, message):
    write_pictures(tmp_path, 3)
    (tmp_path / "2.png").write_bytes(data)
    refuse(tmp_path, reason, message)


def test_a_picture_is_known_by_its_bytes_whatever_its_name(tmp_path):
    (tmp_path / "1.jpg").write_bytes(encoded(blobs(), ".png"))
    np.testing.assert_array_equal(decode_video(tmp_path).frames[0], blobs())


def huge_png(side: int) -> bytes:
    data = bytearray(encoded(np.zeros((8, 8, 3), np.uint8), ".png"))
    data[16:24] = side.to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("side", [8193, 65_535, 2**31 - 1])
def test_a_picture_that_declares_to_be_huge_takes_no_memory(tmp_path, side):
    (tmp_path / "1.png").write_bytes(huge_png(side))
    program = (
        "import resource, sys; from vjepa_fer.video import decode_video\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))\n"
        "decode_video(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert "larger than 67,108,864 pixels" in done.stderr


def test_two_pictures_of_one_number_are_named(tmp_path):
    write_pictures(tmp_path, 3)
    write_pictures(tmp_path, 1, suffix=".jpg", name="0{}")
    refuse(tmp_path, "unreadable", r"01\.jpg and 1\.png have one place in the order of its frames")


def test_a_folder_without_pictures_or_that_is_gone_is_said(tmp_path):
    (tmp_path / "notes.txt").touch()
    refuse(tmp_path, "not_video", "a folder without pictures")
    with pytest.raises(VideoError, match="no such folder"):
        list_pictures(tmp_path / "gone")


def test_links_within_the_folder_are_followed_and_those_out_of_it_refused(tmp_path):
    folder = write_pictures(tmp_path / "clip", 3)
    outside = write_pictures(tmp_path / "other", 1)
    try:
        (folder / "4.png").symlink_to("3.png")
    except OSError:
        pytest.skip("no links on this system")
    assert decode_video(folder).num_frames == 4
    (folder / "5.png").symlink_to(outside / "1.png")
    refuse(folder, "unreadable", r"5\.png is a link out of the folder")
    (tmp_path / "link").symlink_to(outside)  # the whole folder may be one
    assert decode_video(tmp_path / "link").num_frames == 1


# what it is known by


def test_the_hash_of_a_folder_is_that_of_its_sha256sums_in_the_order_of_frames(tmp_path):
    folder = write_pictures(tmp_path / "clip", 11)
    lines = [f"{hashlib.sha256((folder / f'{n}.png').read_bytes()).hexdigest()}  {n}.png\n" for n in range(1, 12)]
    assert pictures_sha256(folder) == hashlib.sha256("".join(lines).encode()).hexdigest() == source_sha256(folder)
    before = source_sha256(folder)
    (folder / "Thumbs.db").touch()
    assert source_sha256(folder) == before
    (folder / "11.png").rename(folder / "12.png")
    assert source_sha256(folder) != before


# extraction


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


def manifest_of(*folders: Path, **extra: str) -> Manifest:
    labels = ("happy", "sad")
    return Manifest(
        tuple(Clip(f.name, str(f), labels[i % 2], f"s{i}", extra) for i, f in enumerate(folders)),
    )


def test_clips_of_pictures_are_extracted_resumed_and_listed_as_videos_are(tmp_path, encoder):
    folders = [write_pictures(tmp_path / name, 20 + i) for i, name in enumerate("abcd")]
    (folders[2] / "7.png").write_bytes(b"")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    manifest, cache = manifest_of(*folders, fps="25"), tmp_path / "cache"
    plan, _ = plan_extraction(manifest, cache, recipe)
    assert (plan.clips, plan.unreadable) == (4, 0)
    assert plan.window_seconds == pytest.approx((15 / 25, 15 / 25))
    first = extract_manifest(manifest, cache, encoder, recipe, settings=ExtractSettings(workers=1))
    assert (first.written, [(f.clip_id, f.reason) for f in first.failures]) == (3, [("c", "empty")])
    again = extract_manifest(manifest, cache, encoder, recipe, settings=ExtractSettings(workers=0, retry_failed=True))
    assert (again.written, again.skipped) == (0, 3)
    clip = open_cache(cache)[0]
    assert clip.source_sha256 == source_sha256(folders[0])
    np.testing.assert_allclose(clip.timestamps[0], np.arange(16) / 25)
    in_line = extract_manifest(manifest, tmp_path / "other", encoder, recipe, settings=ExtractSettings(workers=0))
    assert in_line.written == 3
    np.testing.assert_array_equal(open_cache(tmp_path / "other")[1].level("mean"), open_cache(cache)[1].level("mean"))


def test_pictures_without_a_rate_have_no_times_and_need_one_by_time(tmp_path, encoder):
    folder = write_pictures(tmp_path / "a", 20)
    by_frames = make_recipe(encoder, sampling=Sampling(frame_step=1))
    by_time = make_recipe(encoder, sampling=Sampling(frames_per_second=10))
    settings = ExtractSettings(workers=0)
    extract_manifest(manifest_of(folder), tmp_path / "1", encoder, by_frames, settings=settings)
    assert np.isnan(open_cache(tmp_path / "1")[0].timestamps).all()
    (failure,) = extract_manifest(manifest_of(folder), tmp_path / "2", encoder, by_time, settings=settings).failures
    assert "pictures do not say when they are shown: a column fps in the manifest, or --picture-fps" in failure.message
    rated = with_picture_rate(manifest_of(folder), 12.5)
    assert extract_manifest(rated, tmp_path / "3", encoder, by_time, settings=settings).written == 1


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("fps", ["many", "0", "nan", "-25", "1e9"])
def test_a_rate_that_is_none_is_the_clips_failure(tmp_path, encoder, workers, fps):
    folder = write_pictures(tmp_path / "a", 20)
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    settings = ExtractSettings(workers=workers)
    summary = extract_manifest(manifest_of(folder, fps=fps), tmp_path / "c", encoder, recipe, settings=settings)
    assert f"its fps '{fps}' in the manifest is not a number of pictures a second" in summary.failures[0].message


def test_another_folder_under_a_finished_clips_id_is_refused(tmp_path, encoder):
    folder, other = write_pictures(tmp_path / "a", 20), write_pictures(tmp_path / "b", 21)
    recipe, settings = make_recipe(encoder, sampling=Sampling(frame_step=1)), ExtractSettings(workers=0)
    extract_manifest(manifest_of(folder), tmp_path / "c", encoder, recipe, settings=settings)
    (clip,) = manifest_of(folder)
    moved = Manifest((dataclasses.replace(clip, path=str(other)),))
    with pytest.raises(CacheError, match="another video"):
        extract_manifest(moved, tmp_path / "c", encoder, recipe, settings=settings)
    os.rename(folder, tmp_path / "elsewhere")
    same = Manifest((dataclasses.replace(clip, path=str(tmp_path / "elsewhere")),))
    assert extract_manifest(same, tmp_path / "c", encoder, recipe, settings=settings).skipped == 1


# manifests


def test_class_folders_of_picture_folders_are_clips(tmp_path):
    write_pictures(tmp_path / "happy" / "001", 2)
    write_pictures(tmp_path / "sad" / "x" / "2.5", 2, suffix=".webp")
    manifest = folder_manifest(tmp_path, picture_fps=25)
    assert [(c.clip_id, c.label, c.value("fps")) for c in manifest] == [
        ("happy__001", "happy", "25"),
        ("sad__x__2.5", "sad", "25"),
    ]
    assert manifest.notes[-1] == "2 of 2 clips are folders of pictures: 25 a second"
    assert "how many are a second is not known" in folder_manifest(tmp_path).notes[-1]
    with pytest.raises(ManifestError, match=r"0 pictures a second are not from 0\.001 to 1,000"):
        folder_manifest(tmp_path, picture_fps=0)


def test_a_dfew_like_tree_goes_from_its_lists_to_a_cross_validated_table_in_three_commands(tmp_path):
    from test_cli import run

    lists = tmp_path / "DFEW" / "EmoLabel_DataSplit"
    labels = {number: 1 + number % 2 for number in range(1, 21)}
    for number in labels:
        write_pictures(tmp_path / "DFEW" / "Clip" / "clip_224x224" / f"{number:05}", 16 + number, suffix=".jpg")
    for fold in range(1, 6):
        tested = [number for number in labels if number % 5 == fold - 1]
        for side, numbers in (("test", tested), ("train", [n for n in labels if n not in tested])):
            path = lists / f"{side}(single-labeled)" / f"set_{fold}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("video_name,label\n" + "".join(f"{n},{labels[n]}\n" for n in numbers))
    made = run("manifest", "corpus", "dfew", "DFEW", "-o", "dfew.csv", "--picture-fps", "25", cwd=tmp_path)
    assert "20 of 20 clips are folders of pictures: 25 a second" in made.stderr
    words = ["--model", "tiny-v21", "--weights", "random:0", "--frame-step", "1", "--workers", "0"]
    assert "20 clips written" in run("extract", "dfew.csv", "cache", *words, cwd=tmp_path).stderr
    table = run("probe", "cache", "--probe", "logreg", "--folds", "column:fold", "--out", "run", cwd=tmp_path)
    assert "UAR" in table.stdout + table.stderr
    few = str(lists / "test(single-labeled)" / "set_1.csv")
    run("manifest", "corpus", "dfew", "DFEW", "-o", "one.csv", "--subset", few, cwd=tmp_path)
    assert (tmp_path / "one.csv").read_text().count("clip_224x224") == 4


def test_predict_takes_folders_of_pictures(tmp_path):
    from fitted_runs import write_fitted_run
    from vjepa_fer.predict import load_predictor

    run = write_fitted_run(tmp_path / "run")
    predictor = load_predictor(run)
    assert predictor(write_pictures(tmp_path / "clip", 40)).num_frames == 40
    with pytest.raises(VideoError, match="nothing says when its frames are shown: it has no timeline"):
        predictor.timeline(tmp_path / "clip")


def test_the_extraction_of_a_written_manifest_takes_the_rate_as_an_option(tmp_path):
    from test_cli import run

    write_manifest(manifest_of(write_pictures(tmp_path / "a", 20)), tmp_path / "m.csv")
    words = ["--model", "tiny-v21", "--weights", "random:0", "--workers", "0", "--fps", "10", "--picture-fps", "20"]
    run("extract", "m.csv", "cache", *words, cwd=tmp_path)
    (clip,) = open_cache(tmp_path / "cache")
    assert clip.clip.value("fps") == "20"
    assert list(clip.frame_indices[0][:10]) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be made there")
def test_an_odd_name_of_a_picture_is_escaped_in_the_list_of_failures(tmp_path, encoder):
    folder = write_pictures(tmp_path / "a", 20)
    (folder / "\x1b[31m7.png").write_bytes(b"")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1))
    extract_manifest(manifest_of(folder), tmp_path / "c", encoder, recipe, settings=ExtractSettings(workers=0))
    text = (tmp_path / "c" / "failed.csv").read_text()
    assert "\\x1b[31m7.png is empty" in text
    assert "\x1b" not in text
