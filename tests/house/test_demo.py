"""The demo goes the whole way, and says what its figures mean."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from vjepa_fer.cache import open_cache
from vjepa_fer.cli.demo import demo
from vjepa_fer.cli.main import app
from vjepa_fer.demo import EXPRESSIONS, DemoSettings, Face, draw_clip, write_demo_set
from vjepa_fer.manifest import read_manifest
from vjepa_fer.video import decode_video


def fewer_faces(monkeypatch):
    """The whole demo, which the README's first command runs, of 18 clips in place of 96."""
    fewer = partial(DemoSettings, num_subjects=3, num_repetitions=1, num_frames=16)
    monkeypatch.setattr("vjepa_fer.demo.DemoSettings", fewer)


def test_the_demo_ends_in_a_table_and_a_warning_and_leaves_nothing_behind(tmp_path, monkeypatch):
    fewer_faces(monkeypatch)
    here, scratch = tmp_path / "checkout", tmp_path / "scratch"
    here.mkdir()
    scratch.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    done = CliRunner().invoke(app, ["demo"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert "drew 18 clips of 3 subjects" in done.stderr
    for probe in ("logreg", "knn", "svm"):
        assert probe in done.stdout
    said = " ".join(done.stderr.split())
    assert "mean nothing about V-JEPA" in said
    assert "nothing is kept; `vjepa-fer demo FOLDER` keeps" in said
    assert list(here.iterdir()) == []
    assert list(scratch.iterdir()) == []


def test_the_demo_keeps_its_folder_where_one_is_named(tmp_path, monkeypatch, capsys):
    fewer_faces(monkeypatch)
    demo(tmp_path / "drawn", seed=0)
    assert "nothing is kept" not in capsys.readouterr().err
    assert len(read_manifest(tmp_path / "drawn" / "manifest.csv")) == 18
    assert len(open_cache(tmp_path / "drawn" / "cache").done) == 18


def test_the_demo_compares_encoders_in_one_table(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    fewer_faces(monkeypatch)
    demo(tmp_path, compare=True, seed=0)
    shown = capsys.readouterr()
    for name in ("A  tiny-v21 random:0", "B  pixels:8", "C  videomae-2x48-64", "D  dinov2-2x48-64"):
        assert name in shown.out
    assert "− A" in shown.out
    assert "p Holm" in shown.out
    runs = [str(path.parent) for path in sorted((tmp_path / "runs").glob("*/*/run.json"))]
    assert len(runs) == 4
    asked = ["runs", "compare", *runs, "--reference", str(tmp_path / "runs" / "tiny-v21"), "--json"]
    rows = json.loads(CliRunner().invoke(app, asked).stdout)["encoders"]
    by_name = {row["encoder"]: row for row in rows}
    assert by_name["tiny-v21 random:0"]["difference"] is None
    assert by_name["videomae-2x48-64"]["computed_by"].startswith("transformers ")
    assert by_name["pixels:8"]["gflop_a_clip"] == 0
    page = tmp_path / "page.html"
    CliRunner().invoke(app, ["report", *runs, "--reference", runs[-2], "-o", str(page)], catch_exceptions=False)
    assert "<h3>The encoders</h3>" in page.read_text()
    assert "features of dinov2-2x48-64, computed by transformers" in " ".join(page.read_text().split())
    told = CliRunner().invoke(app, ["runs", "show", runs[0]], catch_exceptions=False)
    assert "features of dinov2-2x48-64, computed by transformers" in " ".join(told.output.split())
    one = CliRunner().invoke(app, ["runs", "show", runs[0], "--json"], catch_exceptions=False)
    assert json.loads(one.stdout)["result"]["encoder"]["name"] == "dinov2-2x48-64"


def test_drawn_clips_are_seeded_and_their_expressions_differ():
    settings = DemoSettings(num_frames=9)
    face = Face.random(np.random.default_rng(3))
    clips = {name: draw_clip(face, e, settings, np.random.default_rng(0)) for name, e in EXPRESSIONS.items()}
    again = draw_clip(face, EXPRESSIONS["sad"], settings, np.random.default_rng(0))
    np.testing.assert_array_equal(clips["sad"], again)
    for name, clip in clips.items():
        assert clip.shape == (9, 96, 96, 3)
        if name != "neutral":
            assert np.abs(clip[4].astype(int) - clips["neutral"][4]).max() > 60, name


def test_demo_videos_hold_every_frame(tmp_path):
    manifest = write_demo_set(tmp_path, DemoSettings(num_subjects=1, num_repetitions=1, num_frames=7))
    assert manifest.labels == tuple(EXPRESSIONS)
    assert all(decode_video(clip.path).num_frames == 7 for clip in manifest)
