"""Machines that extract into one address at once make the cache that one makes: each clip once, whoever dies or sleeps meanwhile."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import senders
from stores import s3_server
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import extract_manifest
from vjepa_fer.manifest import Clip, Manifest, write_manifest
from vjepa_fer.remote import WRITERS, list_files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc")
COUNT = 10


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A manifest of ten clips, one of them no video, and the cache of one process on a disk."""
    folder = tmp_path_factory.mktemp("study")
    paths = [write_video(folder / f"v{n}.mp4", 16 + n) for n in range(COUNT)]
    paths[4].write_text("no video")
    clips = tuple(Clip(p.stem, str(p), ("happy", "sad")[n % 2], f"s{n}") for n, p in enumerate(paths))
    write_manifest(Manifest(clips=clips), folder / "clips.csv")
    encoder = load_encoder("tiny-v21", weights="random:1")
    extract_manifest(
        Manifest(clips=clips), folder / "whole", encoder, senders.recipe_of(encoder), settings=senders.SETTINGS
    )
    return folder


@pytest.fixture
def s3(monkeypatch):
    with s3_server(monkeypatch) as server:
        yield server


def assert_as_by_one(address, folder):
    there, whole = open_cache(address), open_cache(folder / "whole")
    assert [clip.clip.clip_id for clip in there] == [clip.clip.clip_id for clip in whole]
    for mine, theirs in zip(there, whole, strict=True):
        np.testing.assert_array_equal(mine.level("mean"), theirs.level("mean"))
    assert sum(len(shard.clip_runs) for shard in there.shards) == COUNT - 1  # each once
    assert [*there.failures] == ["v4"]
    assert not list_files(f"{address}/{WRITERS}")


@pytest.mark.parametrize("count", [2, 4])
def test_several_at_once_share_the_clips(count, study, s3, tmp_path):
    processes = senders.start(study / "clips.csv", "s3://bucket/one", tmp_path, count)
    assert [one.ended() for one in processes] == [0] * count
    written = [one.written.value for one in processes]
    assert sum(written) == COUNT - 1
    assert sum(number > 0 for number in written) > 1
    assert_as_by_one("s3://bucket/one", study)


def test_what_one_held_that_was_killed_is_done_by_the_other(study, s3, tmp_path):
    killed, other = senders.start(study / "clips.csv", "s3://bucket/one", tmp_path, 2, struck=signal.SIGKILL)
    assert (killed.ended(), other.ended()) == (-signal.SIGKILL, 0)
    assert other.written.value == COUNT - 1
    assert_as_by_one("s3://bucket/one", study)


def test_one_that_slept_until_all_was_done_leaves_out_what_is_there(study, s3, tmp_path):
    sleeper, other = senders.start(study / "clips.csv", "s3://bucket/one", tmp_path, 2, struck=signal.SIGSTOP)
    try:
        sleeper.wait_till_stopped()
        assert other.ended() == 0
        assert other.written.value == COUNT - 1
    finally:
        os.kill(sleeper.process.pid, signal.SIGCONT)
    assert sleeper.ended() == 0
    assert sleeper.written.value == 0  # it had a clip on its disk that the other had done by then
    assert_as_by_one("s3://bucket/one", study)
