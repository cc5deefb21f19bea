"""Promises of a report on runs whose videos are at hand: frames of the mistakes where they were asked for, and the command of the cache."""

import dataclasses
import io
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")
pytest.importorskip("jinja2")

import typer
from PIL import Image
from typer.testing import CliRunner

from test_predict import drawn, run  # noqa: F401 (fixtures)
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cli import extract as extract_cli
from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import FaceCrop
from vjepa_fer.report import ReportSettings, gather_numbers, render_page
from vjepa_fer.report.reproduce import feature_commands
from vjepa_fer.report.thumbnails import thumbnail_strip

PICTURES = ReportSettings(method="pca", thumbnails=True)


def test_a_strip_is_six_small_frames_in_order_of_time(tmp_path):
    strip = Image.open(io.BytesIO(thumbnail_strip(write_video(tmp_path / "a.mp4", 51, size=(240, 320)))))
    assert (strip.format, strip.size) == ("JPEG", (6 * 112, 84))
    pixels = np.asarray(strip)[60, 56::112].mean(axis=1)  # the drawn frames get brighter
    np.testing.assert_allclose(pixels, [16 + 4 * n for n in range(0, 51, 10)], atol=8)


def test_another_file_than_the_one_extracted_is_not_shown(tmp_path):
    clip = write_video(tmp_path / "a.mp4", 10)
    with pytest.raises(VideoError, match="not the file that the features were made from"):
        thumbnail_strip(clip, sha256="0" * 64)


def test_frames_are_shown_only_where_they_were_asked_for(run):  # noqa: F811
    plain = render_page(gather_numbers([run], ReportSettings(method="pca")))
    assert "<img" not in plain
    (numbers,) = gather_numbers([run], PICTURES)
    html = render_page([numbers])
    shown = len(numbers.mistakes) + len(numbers.doubts)
    assert html.count('<img alt="frames of ') == shown > len(numbers.doubts) > 0
    assert html.count('src="data:image/jpeg;base64,') == shown
    assert len(html.encode()) < 1e6


def test_videos_that_are_gone_are_told(drawn, run, tmp_path):  # noqa: F811
    shutil.copytree(drawn[0] / "cache", tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "manifest")  # as in format version 1: the list itself may be edited
    table = (tmp_path / "cache" / "manifest.csv").read_text(encoding="utf-8")
    (tmp_path / "cache" / "manifest.csv").write_text(re.sub(r"[^,\n]*/videos/", "gone/", table), encoding="utf-8")
    (numbers,) = gather_numbers([run], dataclasses.replace(PICTURES, cache=tmp_path / "cache"))
    count = len(numbers.mistakes)
    assert numbers.notes[-1].startswith(f"no thumbnails of {count} of {count} clips; the first: ")
    moved = dataclasses.replace(PICTURES, cache=tmp_path / "cache", videos=tmp_path)
    Path(tmp_path / "gone").symlink_to(drawn[0] / "videos", target_is_directory=True)
    (numbers,) = gather_numbers([run], moved)
    shown = [*(m.clip_id for m in numbers.mistakes), *(d.issue.clip_id for d in numbers.doubts)]
    assert set(shown) == set(numbers.strips)


def test_the_command_at_the_end_makes_the_very_cache(drawn, run, tmp_path):  # noqa: F811
    (numbers,) = gather_numbers([run], ReportSettings(method="pca"))
    (line,) = numbers.features_from
    words = shlex.split(line)
    assert words[:3] == ["vjepa-fer", "extract", "manifest.csv"]
    words[2:4] = [str(drawn[0] / "cache" / "manifest.csv"), str(tmp_path / "again")]
    app = typer.Typer()
    app.command()(extract_cli.extract)
    outcome = CliRunner().invoke(app, [*words[2:], "--workers", "0"])
    assert outcome.exit_code == 0, outcome.output
    assert open_cache(tmp_path / "again").fingerprint == open_cache(drawn[0] / "cache").fingerprint


def test_a_pooled_cache_takes_two_commands_and_a_face_crop_its_option(drawn, tmp_path):  # noqa: F811
    recipe = pool_cache(drawn[0] / "cache", tmp_path / "pooled", ("mean",)).recipe
    first, second = feature_commands(recipe, "small")
    assert "--level tokens --token-dtype int8" in first
    assert second == "vjepa-fer cache pool small-tokens small --levels mean --token-dtype int8"
    preprocessing = dataclasses.replace(recipe.preprocessing, face_crop=FaceCrop())
    line, _ = feature_commands(dataclasses.replace(recipe, preprocessing=preprocessing), "small")
    assert line.endswith(" --face-crop")
