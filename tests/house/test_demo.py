"""The demo goes the whole way, and says what its figures mean."""

from __future__ import annotations

from functools import partial

import numpy as np

from forked import run_forked
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.demo import demo
from vjepa_fer.demo import EXPRESSIONS, DemoSettings, Face, draw_clip, write_demo_set
from vjepa_fer.manifest import read_manifest
from vjepa_fer.video import decode_video


def run_demo(cwd):
    """The command in a process of its own, with a temporary folder of its own beside `cwd`."""
    scratch = cwd.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    done = run_forked("demo", cwd=cwd, env=dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch)))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done, scratch


def test_the_demo_ends_in_a_table_and_a_warning_and_leaves_nothing_behind(tmp_path):
    here = tmp_path / "checkout"
    here.mkdir()
    done, scratch = run_demo(cwd=here)
    assert "drew 96 clips of 8 subjects" in done.stderr
    for probe in ("logreg", "knn", "svm"):
        assert probe in done.stdout
    said = " ".join(done.stderr.split())
    assert "mean nothing about V-JEPA" in said
    assert "nothing is kept; `vjepa-fer demo FOLDER` keeps" in said
    assert list(here.iterdir()) == []
    assert [path.name for path in scratch.iterdir() if path.name.startswith("vjepa-fer-demo")] == []


def test_the_demo_keeps_its_folder_where_one_is_named(tmp_path, monkeypatch, capsys):
    fewer = partial(DemoSettings, num_subjects=3, num_repetitions=1, num_frames=16)
    monkeypatch.setattr("vjepa_fer.demo.DemoSettings", fewer)
    demo(tmp_path / "drawn", seed=0)
    assert "nothing is kept" not in capsys.readouterr().err
    assert len(read_manifest(tmp_path / "drawn" / "manifest.csv")) == 18
    assert len(open_cache(tmp_path / "drawn" / "cache").done) == 18


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
