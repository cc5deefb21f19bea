"""The tutorial about one's own videos quotes what is said where no subjects are known; the readers and `probe` say just that."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from documented import ROOT, examples, stand_in, write_videos
from vjepa_fer.cli.main import app

PAGE = ROOT / "docs/tutorials/own-videos.md"
BLOCKS = list(examples(PAGE))
(QUOTED,) = [block.text.splitlines() for block in BLOCKS if block.language == "text"]
(TABLE,) = [words for block in BLOCKS for words in block.commands if "nobody.csv" in words]


@pytest.fixture
def here(tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    write_videos(tmp_path)


def said_by(*words):
    done = CliRunner().invoke(app, stand_in(list(words)))
    assert done.exit_code == 0, done.output
    return done.stderr


def test_both_readers_and_probe_say_what_the_page_quotes(here):
    reads, probes = QUOTED
    assert reads in said_by(*TABLE)
    assert reads in said_by("manifest", "folder", "videos", "-o", "alike.csv", "--pattern", ".+/(?P<label>[^/]+)/.+")
    said_by("extract", "nobody.csv", "cache/nobody", "--model", "tiny-v21")
    assert probes in said_by("probe", "cache/nobody", "--folds", "subject-kfold:2")
