"""A prediction is planned before it is made: the numbers of a run that somebody else made fill no memory, and long films little."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import sys
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from fitted_runs import forge, tiny_recipe, write_fitted_run
from test_predict import predict
from test_recipe_bounds import FIELDS, changed, values_beyond
from videos import write_video
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cli import predict as predict_cli
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import ProbeError, RecipeError, RecipeMismatchError, RunError, VideoError
from vjepa_fer.extract import ExtractSettings, extract_manifest
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.predict import load_predictor
from vjepa_fer.predict.features import LevelEncoder
from vjepa_fer.predict.plan import bytes_at_once
from vjepa_fer.recipe import FaceCrop, Perturbation, Preprocessing, Sampling, Storage, recipe_to_dict
from vjepa_fer.video import read_windows, sample_windows, streaming
from vjepa_fer.video.sampling import needed_frames

MEGABYTE = 1_000_000
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")


@contextlib.contextmanager
def little(megabytes=300, seconds=20):
    """So much more memory than now, and so much time: what takes more ends in another error than ours."""
    import resource

    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    resource.setrlimit(resource.RLIMIT_AS, (size + megabytes * MEGABYTE, before[1]))
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", 58)


@pytest.fixture
def run(tmp_path):
    return write_fitted_run(tmp_path / "run")


@needs_linux
@pytest.mark.parametrize(("dotted", "bound"), FIELDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_run_with_an_absurd_recipe_is_refused_by_field(run, dotted, bound):
    worse = Perturbation(steps=("dark:1",))
    whole = tiny_recipe(preprocessing=Preprocessing(crop_size=64, face_crop=FaceCrop(), perturb=worse))
    for value in values_beyond(bound):
        if value == "\ud800" or (isinstance(value, int) and abs(value) > 10**300):
            continue  # a file cannot say them
        forge(run, changed(whole, dotted, value))
        with (
            little(),
            pytest.raises(
                RunError,
                match=rf"recipe\.json: .*{dotted.rpartition('.')[2]}|each kind at most once|over 1,048,576 bytes",
            ),
        ):
            load_predictor(run)


LARGEST = {
    "sampling.num_segments": 10_000,
    "sampling.frames_per_window": 4096,
    "preprocessing.crop_size": 4096,
    "preprocessing.num_views": 64,
    "encoder.embed_dim": 65_536,
    "encoder.depth": 1024,
    "encoder.patch_size": 1,
    "encoder.mlp_ratio": 1000,
    "encoder.img_size": 4096,
    "encoder.num_frames": 4096,
}


@needs_linux
@pytest.mark.parametrize("one", LARGEST)
def test_a_run_whose_fields_are_absurd_together_builds_nothing(run, one):
    """Each is within its own bound: the product is refused, or that there is no such encoder here; or it is a large, honest recipe."""
    for other in LARGEST:
        recipe = changed(tiny_recipe(), one, LARGEST[one])
        part, name = other.split(".")
        recipe[part][name] = LARGEST[other]
        forge(run, recipe)
        with little(), contextlib.suppress(RunError, RecipeError, ProbeError):
            predictor = load_predictor(run, memory_bytes=100 * MEGABYTE)
            assert predictor.recipe.encoder.config == predictor.encoder.spec.config


@needs_linux
def test_the_encoder_is_the_one_of_that_name_here_and_not_what_the_recipe_says(run):
    forge(run, changed(tiny_recipe(), "encoder.depth", 12))
    with little(), pytest.raises(RecipeMismatchError, match=r"encoder\.depth: 4 there, 12 asked for"):
        load_predictor(run)


@pytest.mark.parametrize("name", ["evil.toml", "evil.pt", "/dev/zero", "../evil", "evil"])
def test_a_recipe_names_an_encoder_and_never_a_file(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for file in ("evil.toml", "evil.pt", "evil"):
        (tmp_path / file).write_text('like = "vjepa2.1-gigantic-384"\nweights = "w"\n')
    forge(run, changed(tiny_recipe(), "encoder.name", name))
    with pytest.raises(RecipeError, match=f"model '{name}' is not one of"):
        load_predictor(run)


def test_random_weights_that_fill_the_memory_are_refused(run):
    with pytest.raises(
        RunError, match=r"random weights of tiny-v21 take .* kB; at most 1 kB are taken: raise --memory"
    ):
        load_predictor(run, memory_bytes=1000)


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("frames", "reads level 'frames', but its recipe stores mean, grid:2, tokens"),
        ("tokens@3", "reads level 'tokens@3', but its recipe stores"),
        ("x" * 10_000, r"which level it reads cannot be told \(level 'x+\.\.\.x+' is not one of"),
        (3, "'expects' is .* expected an object of texts"),
        ("tokens", r"takes 48 numbers, but level tokens of its recipe has 6,144 \(8, 4, 4, 48\)"),
    ],
)
def test_a_probe_of_a_level_that_its_recipe_has_not_is_refused(run, level, message):
    forge(run, recipe_to_dict(tiny_recipe()), level=level)
    with pytest.raises(ProbeError, match=message):
        load_predictor(run)


def test_a_probe_of_the_grid_reads_the_grid_that_is_stored(tmp_path, video):
    by_kind, by_name = (
        load_predictor(write_fitted_run(tmp_path / name.replace(":", "-"), level=name))(video).probabilities
        for name in ("grid", "grid:2")
    )
    np.testing.assert_array_equal(by_kind, by_name)


@needs_linux
@pytest.mark.parametrize(
    ("preprocessing", "sampling"),
    [
        (Preprocessing(crop_size=512), Sampling(frames_per_window=512, frame_step=1)),
        (Preprocessing(crop_size=1024, num_views=16), Sampling(frames_per_window=16, frame_step=1)),
    ],
)
def test_a_window_that_fills_the_memory_is_refused_before_anything_is_decoded(tmp_path, video, preprocessing, sampling):
    recipe = tiny_recipe(preprocessing=preprocessing, sampling=sampling)
    predictor = load_predictor(write_fitted_run(tmp_path / "run", recipe), memory_bytes=500 * MEGABYTE)
    message = rf"clip\.mp4: a window of frames_per_window {sampling.frames_per_window}, crop_size .* takes about .* GB to encode; at most 500 MB"
    for call in (predictor, predictor.timeline, predictor.plan):
        with little(), pytest.raises(VideoError, match=message) as caught:
            call(video)
        assert caught.value.reason == "too_long"


def sliding(**sampling):
    return tiny_recipe(sampling=Sampling(mode="sliding", frame_step=1, **sampling))


def test_many_windows_are_taken_a_few_at_a_time_and_decided_alike(tmp_path, video):
    predictor = load_predictor(write_fitted_run(tmp_path / "run", sliding()))
    plan, windows = predictor.plan(video), sample_windows(58, predictor.recipe.sampling)
    assert (plan.num_frames, plan.num_windows, plan.windows_at_once) == (58, 43, 8)
    expected = predictor(video)
    for at_once in (4, 2, 1):
        needed = plan.bytes_kept + bytes_at_once(predictor.recipe, "mean", predictor._encode.rows, windows, at_once)
        tight = dataclasses.replace(predictor, memory_bytes=needed)
        assert tight.plan(video).windows_at_once == at_once
        np.testing.assert_array_equal(tight(video).probabilities, expected.probabilities)
    with pytest.raises(VideoError, match="43 windows are to be encoded"):
        dataclasses.replace(predictor, memory_bytes=needed - 1)(video)


def test_more_windows_than_the_memory_holds_are_refused_with_their_number(tmp_path, video):
    recipe = dataclasses.replace(sliding(), storage=Storage(levels=("tokens",)))
    run = write_fitted_run(tmp_path / "run", recipe, level="tokens")
    predictor = load_predictor(run, memory_bytes=4 * MEGABYTE)
    message = r"43 windows are to be encoded, and what they become takes 2\.11 MB at once, .*; at most 4 MB are taken: raise --mem"
    with pytest.raises(VideoError, match=message):
        predictor(video)
    assert predictor.plan(video, stride=1).bytes_kept == 0
    assert len(predictor.timeline(video, stride=1).start) == 43


def test_frames_that_windows_far_apart_need_are_counted_before_they_are_held(tmp_path, video):
    sampling = Sampling(mode="sliding", frames_per_window=2, frame_step=40)
    with pytest.raises(VideoError, match="19 of its frames have to be held for 1 windows") as caught:
        streaming.map_windows(
            video, sampling, Preprocessing(crop_size=32), lambda part: part, at_once=1, max_bytes=18 * 3 * 32**2
        )
    assert caught.value.reason == "too_long"
    streaming.map_windows(
        video, sampling, Preprocessing(crop_size=32), lambda part: 0, at_once=1, max_bytes=19 * 3 * 32**2
    )


@pytest.mark.parametrize("rule", ["corrected", "reference"])
@pytest.mark.parametrize("mode", ["segments", "sliding"])
@pytest.mark.parametrize(("frames", "step", "at_once"), [(1, 1, 3), (4, 1, 2), (4, 7, 2), (16, 9, 8)])
def test_no_more_frames_are_held_than_was_said(video, monkeypatch, rule, mode, frames, step, at_once):
    sampling = Sampling(mode=mode, rule=rule, frames_per_window=frames, frame_step=step, stride=5, num_segments=9)
    held, original = [], streaming._Parts.take
    monkeypatch.setattr(
        streaming._Parts, "take", lambda parts, rgb: (held.append(len(parts.held)), original(parts, rgb))[1]
    )
    found = streaming.map_windows(video, sampling, Preprocessing(crop_size=32), len_of, at_once=at_once)
    assert sum(found.results) == len(found.windows)
    assert max(held) + 1 <= streaming.frames_held(found.windows, at_once) + 1
    whole = read_windows(video, sampling, Preprocessing(crop_size=32))
    np.testing.assert_array_equal(found.seconds, whole.timestamps[:, [0, -1]])


def len_of(part):
    return len(part.windows)


def test_two_hours_of_windows_take_little_memory():
    sampling = Sampling(mode="sliding", frames_per_window=4096, frame_step=1, stride=4, num_segments=1)
    tracemalloc.start()
    windows = sample_windows(2 * 60 * 60 * 30, sampling)
    assert len(needed_frames(windows)) == 216_000
    assert streaming.frames_held(windows, 8) == 4096 + 7 * 4
    assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    tracemalloc.stop()


def test_a_clip_of_absurdly_many_window_frames_is_refused_and_not_sampled(video, monkeypatch):
    from vjepa_fer.video import reading

    monkeypatch.setattr(reading, "MOST_FRAMES", 43 * 16 - 1)
    with pytest.raises(VideoError, match="has 43 windows of 16 frames; at most 42 are held at once") as caught:
        read_windows(video, sliding().sampling, Preprocessing(crop_size=32))
    assert caught.value.reason == "too_long"


def test_levels_of_other_layers_pooled_from_stored_tokens_are_pooled_so_again(tmp_path, video):
    recipe = tiny_recipe(storage=Storage(levels=("tokens@1", "tokens"), token_dtype="int8"))
    encoder, manifest = (
        load_encoder("tiny-v21", weights="random:3"),
        Manifest(clips=(Clip("a", str(video), "happy", "s"),)),
    )
    extract_manifest(manifest, tmp_path / "cache", encoder, recipe, settings=ExtractSettings(workers=0))
    pooled = pool_cache(tmp_path / "cache", tmp_path / "pooled", ("mean@1", "grid:2@1"), token_dtype="float16")
    pixels = read_windows(video, recipe.sampling, recipe.preprocessing)
    for level in ("mean@1", "grid:2@1"):
        rows = LevelEncoder(encoder, pooled.recipe, level)(pixels)
        np.testing.assert_array_equal(rows, pooled.window_features(level).X)


def test_how_many_windows_there_are_is_said_where_they_are_many(tmp_path, video, monkeypatch):
    run = write_fitted_run(tmp_path / "run", sliding())
    assert "windows to encode" not in predict(video, "--run", run).stderr
    monkeypatch.setattr(predict_cli, "MANY_WINDOWS", 10)
    said = predict(video, "--run", run, "--timeline", tmp_path / "time", "--stride", 3).stderr
    assert "clip.mp4: 43 windows to encode\n" in said
    assert "clip.mp4: 15 windows to encode for the timeline\n" in said


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--stride", 10**9, "stride 1000000000 must be a whole number from 1 to 1,000,000"),
        ("--memory", 10**9, "1e+09 GB; this machine has"),
        ("--memory", "inf", "inf GB; this machine has"),
        ("--memory", "nan", "--memory"),
        ("--memory", 0, "--memory"),
    ],
)
def test_absurd_options_are_wrong_usage(run, video, option, value, message):
    said = predict(video, "--run", run, option, value, status=2).stderr
    assert message in " ".join(said.replace("│", " ").split())


def test_little_memory_refuses_a_video_by_name_and_the_status_tells(tmp_path, video):
    run = write_fitted_run(tmp_path / "run", tiny_recipe(preprocessing=Preprocessing(crop_size=256)))
    (failed,) = json.loads(predict(video, "--run", run, "--memory", "0.01", "--json", status=4).stdout)["failed"]
    assert (failed["path"], failed["reason"]) == (str(video), "too_long")
    assert "at most 10 MB are taken: raise --memory" in failed["message"]
    (done,) = json.loads(predict(video, "--run", run, "--memory", 1, "--json").stdout)["results"]
    assert done["num_windows"] == 3
