"""Perturbed frames on their way from a film to the encoder; and what a recipe and a cache say of them."""

from __future__ import annotations

import dataclasses
import itertools
import json

import av
import numpy as np
import pytest
import torch

from videos import drawn_frame, frame_number, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import MissingExtraError, RecipeError, RecipeMismatchError, VideoError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.extract.levels import encode_levels
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.perturb import perturb, perturbation
from vjepa_fer.recipe import (
    FaceCrop,
    Perturbation,
    Preprocessing,
    Sampling,
    Storage,
    fingerprint,
    recipe_from_json,
    recipe_to_json,
    require_same_recipe,
)
from vjepa_fer.video import decode_video, read_windows
from vjepa_fer.video.in_line import read_in_line
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.video.pool_settings import PoolSettings
from vjepa_fer.video.transforms import normalise, prepare_frame

SAMPLING = Sampling(frames_per_window=4, frame_step=2, num_segments=2)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", 23)


def worse(*steps: str, seed: int = 0) -> Preprocessing:
    return Preprocessing(crop_size=32, perturb=perturbation(steps, seed=seed))


@pytest.mark.parametrize(
    "steps",
    [
        ["mouth:4"],
        ["noise:3"],
        ["reverse:5"],
        ["freeze:5", "noise:2"],
        ["flicker:5", "shuffle:5", "moving:3"],
        ["drop:5", "jpeg:3", "flip"],
    ],
)
def test_a_film_is_read_as_if_all_its_frames_had_been_perturbed_before_any_was_resized(film, steps):
    clip = read_windows(film, SAMPLING, worse(*steps, seed=4), clip_id="one")
    frames = perturb(decode_video(film).frames, steps, seed=4, clip_id="one")
    needed = sorted({number for window in clip.windows for number in window.frame_indices})
    expected = [prepare_frame(frames[number], clip.preprocessing) for number in needed]
    assert np.array_equal(clip.frames, np.stack(expected))
    plain = read_windows(film, SAMPLING, Preprocessing(crop_size=32))
    assert clip.windows == plain.windows
    assert np.array_equal(clip.timestamps, plain.timestamps)


def needed_by(film) -> list[int]:
    windows = read_windows(film, SAMPLING, Preprocessing(crop_size=32)).windows
    return sorted({number for window in windows for number in window.frame_indices})


def test_h264_codes_the_frames_that_windows_need_as_one_film(film):
    clip = read_windows(film, SAMPLING, worse("dark:2", "h264:5"), clip_id="one")
    plain = read_windows(film, SAMPLING, worse("dark:2"), clip_id="one")
    needed = needed_by(film)
    coded = perturb(perturb(decode_video(film).frames[needed], ["dark:2"]), ["h264:5"])
    assert np.array_equal(clip.frames, np.stack([prepare_frame(frame, clip.preprocessing) for frame in coded]))
    assert not np.array_equal(clip.frames, plain.frames)


def test_h264_after_a_reversal_codes_the_film_as_it_then_runs(film):
    """Its first frame is coded whole, and so at its best; the last of it, that the film began with, is told by those before."""
    forwards, backwards = (
        read_windows(film, SAMPLING, worse(*steps), clip_id="one").frames
        for steps in (["reverse:5"], ["reverse:5", "h264:3"])
    )
    pictures = perturb(decode_video(film).frames[::-1][needed_by(film)], ["h264:3"])
    assert np.array_equal(backwards, np.stack([prepare_frame(one, worse()) for one in pictures]))
    assert np.abs(forwards.astype(int) - backwards).mean() < 16


def test_only_frames_that_are_shown_are_decoded_and_held(film, monkeypatch):
    frozen = read_windows(film, SAMPLING, worse("freeze:5"))
    assert {frame_number(frame) for frame in frozen.frames} == {11}
    with pytest.raises(VideoError, match=r"8 of its frames are perturbed, 0\.0 GB of pixels; at most 0\.0 GB are held"):
        read_windows(film, SAMPLING, worse("dark:1"), max_bytes=1000)
    with pytest.raises(VideoError, match="8 of its frames are perturbed"):
        read_windows(film, SAMPLING, worse("h264:1"), max_bytes=8 * 48 * 64 * 3 - 1)


def test_workers_and_one_process_perturb_alike_by_the_clips_id(film):
    clips = [Clip("one", str(film), "sad", "s1"), Clip("two", str(film), "sad", "s1")]
    settings = PoolSettings(workers=1, memory_bytes=1 << 24)
    with DecodePool(clips, SAMPLING, worse("noise:3"), settings) as pool:
        found = {read.clip.clip_id: read.pixels.frames.copy() for read in pool}
    alone = {read.clip.clip_id: read.pixels.frames for read in read_in_line(clips, SAMPLING, worse("noise:3"))}
    assert all(np.array_equal(found[name], alone[name]) for name in ("one", "two"))
    assert not np.array_equal(found["one"], found["two"])


def test_the_square_round_a_face_is_what_is_perturbed(film):
    from vjepa_fer.video.perturbing import Perturbing
    from vjepa_fer.video.prepare import Preparer

    pixels = Preprocessing(crop_size=32, face_crop=FaceCrop(margin=2.0), perturb=perturbation(["mouth:5", "h264:3"]))
    squares = np.array([[5 + number % 3, 4, 30 + number % 4] for number in range(23)])
    for steps in (["mouth:5"], ["mouth:5", "h264:1"]):
        asked = dataclasses.replace(pixels, perturb=perturbation(steps))
        prepare = Perturbing(Preparer("", asked, squares), asked.perturb, "one", 1 << 20)
        for number in prepare.begin(np.array([2, 6, 9]), 23):
            prepare(drawn_frame(number))
        frames = prepare.result(np.empty(0))
        assert frames.shape == (3, 32, 32, 3)
        height = 16 + 0.28 * 16  # the face is half as wide as the square
        assert np.abs(frames[:, round(height), 14:18].astype(int) - 128).max() < 8


def recipe_of(*steps: str, seed: int = 0):
    encoder = load_encoder("pixels:4")
    return make_recipe(encoder, storage=Storage(levels=("mean",)), perturb=perturbation(steps, seed=seed))


def test_recipes_without_perturbation_keep_their_json_and_fingerprint():
    assert "perturb" not in recipe_to_json(recipe_of())
    assert recipe_of("mouth:0", "dark:0") == recipe_of()


def test_steps_their_order_and_the_seed_are_part_of_the_fingerprint():
    ways = [
        recipe_of(),
        recipe_of("mouth:3"),
        recipe_of("mouth:4"),
        recipe_of("mouth:3", "dark:1"),
        recipe_of("dark:1", "mouth:3"),
        recipe_of("mouth:3", seed=1),
    ]
    assert len({fingerprint(way) for way in ways}) == len(ways)
    assert all(recipe_from_json(recipe_to_json(way)) == way for way in ways)


def test_another_version_of_the_library_that_codes_is_another_recipe():
    ours = recipe_of("jpeg:3")
    assert "libavcodec" in ours.preprocessing.perturb.library
    data = json.loads(recipe_to_json(ours))
    data["preprocessing"]["perturb"]["library"] = "PyAV 9.0.0, libavcodec 59.0.0"
    with pytest.raises(RecipeMismatchError, match=r"preprocessing\.perturb\.library: 'PyAV 9\.0\.0, libavcodec 59"):
        require_same_recipe(recipe_from_json(json.dumps(data)), ours, "there")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": ["moth:3"]}, "perturbation 'moth' is not one of"),
        ({"steps": "mouth:3"}, r"perturb\.steps 'mouth:3' must be a list"),
        ({"steps": ["mouth:3"] * 17}, r"perturb\.steps must have from 1 to 16 values, has 17"),
        ({"steps": ["dark:1"], "seed": -1}, r"perturb\.seed -1 must be a whole number from 0"),
        ({"steps": ["dark:1"], "library": "x"}, r"perturb\.library 'x': said where a step is jpeg or h264"),
        ({"steps": ["jpeg:1"]}, r"perturb\.library ''"),
    ],
)
def test_a_perturbation_out_of_range_is_refused(values, message):
    with pytest.raises(RecipeError, match=message):
        Perturbation(**values)


def test_a_part_of_a_recipe_that_is_none_is_refused():
    with pytest.raises(RecipeError, match="perturb 3 is not a Perturbation"):
        Preprocessing(perturb=3)


def test_coding_without_pyav_names_the_extra(monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vjepa-fer\[extract\]'"):
        perturbation(["jpeg:3"])


def manifest_of(film):
    return Manifest(clips=(Clip("a", str(film), "happy", "s1"), Clip("b", str(film), "sad", "s2")))


def test_extraction_stores_the_features_of_perturbed_frames_and_refuses_the_plain_cache(film, tmp_path):
    encoder, settings = load_encoder("pixels:4"), ExtractSettings(workers=0)
    for name, recipe in (("plain", recipe_of()), ("dark", recipe_of("dark:5"))):
        extract_manifest(manifest_of(film), tmp_path / name, encoder, recipe, settings=settings, progress=False)
    plain, dark = (open_cache(tmp_path / name).features("mean").X for name in ("plain", "dark"))
    again = read_windows(film, Sampling(), recipe_of("dark:5").preprocessing, clip_id="a")
    assert dark.mean() < plain.mean()
    assert again.frames.mean() < 50
    with pytest.raises(RecipeMismatchError, match=r"preprocessing\.perturb: None there, \{'steps': \('dark:5',\)"):
        extract_manifest(manifest_of(film), tmp_path / "plain", encoder, recipe_of("dark:5"), settings=settings)


PHOTOMETRIC = ("dark", "bright", "gamma", "flicker", "cast")


@pytest.mark.parametrize(("model", "names"), [("pixels:8", PHOTOMETRIC), ("tiny-v21", (*PHOTOMETRIC, "blur", "noise"))])
def test_drift_grows_with_severity_on_a_real_face(face_video, model, names):
    """1 − cosine of what an encoder makes of a clean and a perturbed film; a random one, and mean colours."""
    encoder = load_encoder(model, weights=None if model == "pixels:8" else "random:1")
    frames, pixels = first_frames(face_video, 16), encoder.preprocessing
    recipe = make_recipe(encoder, sampling=Sampling(num_segments=1), storage=Storage(levels=("mean",)))

    def feature(steps: list[str]) -> np.ndarray:
        prepared = np.stack([prepare_frame(one, pixels) for one in perturb(frames, steps, clip_id="franck")])
        levels = encode_levels(encoder, normalise(torch.from_numpy(prepared)[None], pixels), recipe)
        return levels["mean"].numpy().astype(float).ravel()

    clean = feature([])
    for name in names:
        drifts = [drift(clean, feature([f"{name}:{severity}"])) for severity in range(6)]
        assert drifts[0] == pytest.approx(0, abs=1e-12)
        assert (np.diff(drifts) > 0).all(), (name, drifts)


def first_frames(film, count: int) -> np.ndarray:
    with av.open(film) as container:
        some = itertools.islice(container.decode(video=0), 0, 8 * count, 8)
        return np.stack([frame.to_ndarray(format="rgb24") for frame in some])


def drift(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
