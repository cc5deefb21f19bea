"""The command ``extract-audio``: what it says, its exit status, and that its caches are probed, joined to pictures and refused by predict."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("transformers")
pytest.importorskip("av")

from typer.testing import CliRunner

from sounds import tone, write_film, write_speech, write_study
from test_cli_probe import make_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.main import app
from vjepa_fer.features import join


def call(*words, status=0):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Twelve tones of two labels, one film without sound, an encoder, and its cache with two layers; a cache of other numbers beside it."""
    root = tmp_path_factory.mktemp("study")
    manifest = write_study(root, 12)
    write_film(root / "mute.mp4", None)
    manifest.write_text(manifest.read_text() + "mute,mute.mp4,sad,s1\n")
    write_speech(root / "speech")
    return root


@pytest.fixture(scope="module")
def heard(study):
    words = ("--features", f"hf:{study / 'speech'}", "--layers", "0,-1")
    return call("extract-audio", study / "clips.csv", study / "cache", *words, status=4)


def test_it_says_what_it_did_and_lists_what_has_no_sound(study, heard):
    assert "sound: wav2vec2-3x24 by transformers" in heard.stderr
    assert "frames@0, frames, 24 numbers each; the first track at 16,000 Hz, its channels averaged" in heard.stderr
    assert "12 clips written (" in heard.stderr
    assert "failed: mute (no_audio): holds no sound track, only video" in " ".join(heard.stderr.split())
    assert open_cache(study / "cache").failures["mute"].reason == "no_audio"


def test_it_resumes_and_says_so_to_machines(study, heard):
    words = ("--features", f"hf:{study / 'speech'}", "--layers", "0,1.0", "--json")
    told = json.loads(call("extract-audio", study / "clips.csv", study / "cache", *words, status=4).stdout)
    assert (told["schema"], told["written"], told["skipped"]) == ("vjepa-fer/extract-audio/1", 0, 12)
    assert [(one["clip_id"], one["reason"]) for one in told["failed"]] == [("mute", "no_audio")]


def test_a_dry_run_only_tells(study):
    words = ("extract-audio", study / "clips.csv", study / "new", "--features", f"hf:{study / 'speech'}", "--dry-run")
    assert "13 clips, 4 s of sound, about 186 rows" in call(*words).stdout
    told = json.loads(call(*words, "--json").stdout)
    assert (told["schema"], told["clips"], told["unreadable"]) == (
        "vjepa-fer/extract-audio-plan/1",
        13,
        {"no_audio": 1},
    )
    assert not (study / "new").exists()


def test_other_layers_in_the_same_cache_are_refused(study, heard):
    words = ("extract-audio", study / "clips.csv", study / "cache", "--features", f"hf:{study / 'speech'}")
    assert "storage.levels" in call_failing(*words, status=1)


def call_failing(*words, status):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return f"{done.output}{done.exception}"


@pytest.mark.parametrize(
    ("features", "options", "said"),
    [
        ("egemap", (), "did you mean 'egemaps'"),
        ("egemaps", ("--layers", "3"), "layers: egemaps has none"),
        ("hf:speech", ("--layers", "7"), "layer 7: the encoder has 3, counted from 0 to 2"),
        ("hf:speech", ("--layers", "all"), "--layers 'all': write numbers, such as 5,11"),
    ],
)
def test_wrong_usage_is_said(study, monkeypatch, features, options, said):
    monkeypatch.chdir(study)
    words = ("extract-audio", "clips.csv", "new", "--features", features, *options)
    assert said in " ".join(call_failing(*words, status=2).split())


def test_info_and_verify_know_it(study, heard):
    said = call("cache", "info", study / "cache").stdout
    assert "moments" in said
    assert "computed by" in said
    assert "from the sound" in said
    assert "all whole" in call("cache", "verify", study / "cache").stderr


def test_its_layers_are_probed_by_statistics_and_moment_by_moment(study, heard, tmp_path):
    words = ("probe", study / "cache", "--folds", "loso", "--no-nested")
    done = call(*words, "--probe", "centroid", "--features", "frames,frames@0:mean+std", "--out", tmp_path / "a")
    assert "the sound, wav2vec2-3x24 by transformers" in done.output
    call(*words, "--probe", "efficient", "--features", "frames@0", "--param", "epochs=1", "--out", tmp_path / "b")
    names = " ".join(path.name for path in (tmp_path / "a").iterdir())
    assert "centroid-frames-standard" in names
    assert "centroid-frames-0-mean+std-standard" in names


def test_a_mean_is_that_of_the_moments_of_its_layer(study, heard):
    cache = open_cache(study / "cache")
    want = [clip.level("frames@0")[:, 0].mean(axis=0) for clip in cache]
    np.testing.assert_allclose(cache.features("mean@0").X, want, rtol=1e-4, atol=1e-6)


def test_sound_and_pictures_are_joined_clip_by_clip(study, heard, tmp_path):
    sound = open_cache(study / "cache").features("mean")
    (tmp_path / "pictures").mkdir()
    pictures = make_cache(tmp_path / "pictures", sound._replace(X=np.ones((12, 3), np.float32)))
    both = {"face": open_cache(pictures), "voice": open_cache(study / "cache")}
    assert join(both).features("mean").X.shape == (12, 3 + 24)
    streams = ("--stream", f"face={pictures}", "--stream", f"voice={study / 'cache'}")
    for fusion in ("early", "late"):
        words = ("--probe", "centroid", "--folds", "loso", "--no-nested", "--fusion", fusion)
        call("probe", *streams, *words, "--out", tmp_path / fusion)


def test_moments_of_sound_and_pictures_are_aligned_by_time(study, heard, tmp_path):
    cache = open_cache(study / "cache")
    lines = [f"{clip.clip.clip_id},{n / 25},{n}" for clip in cache for n in range(8)]
    (tmp_path / "au.csv").write_text("\n".join(["clip_id,timestamp,AU01_r", *lines]))
    call(
        "cache",
        "import",
        tmp_path / "au.csv",
        tmp_path / "au",
        "--manifest",
        study / "clips.csv",
        "--level",
        "frames",
        status=4,
    )
    both = {"face": open_cache(tmp_path / "au"), "voice": cache}
    joined = join(both, aligned=True)
    first = joined.moments()[0]
    voice = cache[first.clip.clip_id].level("frames")[:, 0]
    np.testing.assert_array_equal(first.level("frames")[:, 0, 1:], voice[np.arange(len(first)) * 2])  # 40 and 20 ms


def test_predict_refuses_a_probe_of_sound_plainly(study, heard, tmp_path):
    words = ("probe", study / "cache", "--probe", "logreg", "--folds", "loso", "--no-nested", "--refit")
    call(*words, "--out", tmp_path / "runs")
    run = next(path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    write_film(tmp_path / "new.mkv", tone())
    said = call_failing("predict", tmp_path / "new.mkv", "--run", run, status=1)
    assert "its features are of sound (wav2vec2-3x24 by transformers" in said


def test_an_export_names_its_columns(study, heard, tmp_path):
    call("cache", "export", study / "cache", "-o", tmp_path / "mean.csv")
    header = (tmp_path / "mean.csv").read_text().splitlines()[0].split(",")
    assert header[:4] == ["clip_id", "label", "subject", "mean_0"]


def test_a_report_says_which_command_makes_the_cache_again(study, heard):
    from vjepa_fer.report.reproduce import feature_commands

    (line,) = feature_commands(open_cache(study / "cache").recipe, "cache")
    assert line == (
        "vjepa-fer extract-audio manifest.csv cache --features hf:FOLDER-of-wav2vec2-3x24 --level frames --layers 0,2"
    )
