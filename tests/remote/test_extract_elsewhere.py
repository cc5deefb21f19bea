"""An extraction to an address gives the cache that one to a disk gives; stopped anywhere, the same command ends with every clip once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import fsspec

from stores import forget_stores, s3_server
from tables import call
from videos import write_video
from vjepa_fer.cache import index, open_cache
from vjepa_fer.cache.care import cache_info
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import RecipeMismatchError, RemoteError
from vjepa_fer.extract import ExtractSettings, Stage, extract_manifest, make_recipe
from vjepa_fer.extract.staging import staging_folder
from vjepa_fer.manifest import Clip, Manifest, read_manifest, write_manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.remote import WRITER, WRITERS, list_files, shared, stores

SETTINGS = ExtractSettings(workers=1, shard_bytes=1)
TYPED = (
    "--model",
    "tiny-v21",
    "--weights",
    "random:1",
    "--frame-step",
    "1",
    *("--level", "mean", "--level", "tokens"),
    "--workers",
    "1",
)


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Three clips, and one that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    paths = [write_video(folder / f"v{i}.mp4", 16 + i) for i in range(3)]
    (folder / "v3.mp4").write_bytes(b"not a video")
    paths.append(folder / "v3.mp4")
    labels = ("happy", "sad")
    return Manifest(clips=tuple(Clip(p.stem, str(p), labels[i % 2], f"s{i}") for i, p in enumerate(paths)))


@pytest.fixture(scope="module")
def recipe(encoder):
    return make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean", "tokens")))


@pytest.fixture(scope="module")
def on_disk(manifest, encoder, recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("disk") / "cache"
    extract_manifest(manifest, root, encoder, recipe, settings=SETTINGS)
    return root


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "home"))
    yield
    fsspec.filesystem("memory").store.clear()


def extract_to(address, manifest, encoder, recipe, stop_after=None):
    """As the command does; `stop_after` so many clips on disk somebody presses Ctrl-C."""
    told = []

    def run(some, folder, report, others):
        def counted(done):
            report(done)
            told.extend(done)
            if stop_after is not None and len(told) >= stop_after:
                raise KeyboardInterrupt

        return extract_manifest(some, folder, encoder, recipe, settings=SETTINGS, report=counted, others=others)

    return Stage(address, manifest).extract(recipe, run)


def assert_same(address, on_disk):
    there, here = open_cache(address), open_cache(on_disk)
    assert [c.clip_id for c in there.clips] == [c.clip_id for c in here.clips]
    assert there.clips == here.clips
    for mine, theirs in zip(there, here, strict=True):
        assert mine.source_sha256 == theirs.source_sha256
        for level in ("mean", "tokens"):
            np.testing.assert_array_equal(mine.level(level, dtype="stored"), theirs.level(level, dtype="stored"))
    assert {k: v.reason for k, v in there.failures.items()} == {k: v.reason for k, v in here.failures.items()}
    assert sum(len(shard.clip_runs) for shard in there.shards) == len(there)  # each once


def test_the_command_extracts_to_a_bucket_what_it_extracts_to_a_disk(manifest, on_disk, tmp_path, monkeypatch):
    write_manifest(manifest, tmp_path / "clips.csv")
    monkeypatch.setattr(index, "WORTH_WRITING", 1)
    with s3_server(monkeypatch):
        said = call("extract", tmp_path / "clips.csv", "s3://bucket/one", *TYPED, "--json", status=4)
        assert json.loads(said.stdout)["cache"] == "s3://bucket/one"
        assert_same("s3://bucket/one", on_disk)
        files = list_files("s3://bucket/one")
        assert "shards/index.npz" in files
        assert WRITER not in files
        assert not [name for name in files if "partial" in name or "claims" in name]
        again = call("extract", tmp_path / "clips.csv", "s3://bucket/one", *TYPED, status=4).stderr
        assert "s3://bucket/one: 0 clips written (0 rows), 3 were there already" in again
        call("extract", tmp_path / "clips.csv", "s3://bucket/one", *TYPED, "--dry-run")
        assert not staging_folder("s3://bucket/one").joinpath("shards").exists()


@pytest.mark.parametrize("stop_after", [1, 2])
def test_stopped_it_shows_what_was_done_and_goes_on(stop_after, manifest, on_disk, encoder, recipe):
    with pytest.raises(KeyboardInterrupt):
        extract_to("memory://one", manifest, encoder, recipe, stop_after)
    there = cache_info("memory://one")
    assert there["clips_done"] >= stop_after
    assert there["clips_asked"] == 4
    summary = extract_to("memory://one", manifest, encoder, recipe)
    assert summary.written + there["clips_done"] == 3
    assert_same("memory://one", on_disk)
    assert not staging_folder("memory://one").exists()


def test_what_a_killed_run_left_is_sent_first(manifest, on_disk, encoder, recipe):
    """Its staging folder holds shards that nobody sent: as after SIGKILL between a shard's end and its sending."""
    extract_manifest(
        manifest.where(manifest.clips[:2]), staging_folder("memory://one"), encoder, recipe, settings=SETTINGS
    )
    summary = extract_to("memory://one", manifest, encoder, recipe)
    assert (summary.written, summary.skipped) == (1, 2)
    assert_same("memory://one", on_disk)


KILLED = """
import os, signal, sys
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, Stage, extract_manifest, make_recipe
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import Sampling, Storage

encoder = load_encoder("tiny-v21", weights="random:1")
recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean", "tokens")))

def run(clips, folder, report, others):
    def dies(done):
        report(done)
        os.kill(os.getpid(), signal.SIGKILL)
    settings = ExtractSettings(workers=1, shard_bytes=1)
    return extract_manifest(clips, folder, encoder, recipe, settings=settings, report=dies, others=others)

Stage(sys.argv[2], read_manifest(sys.argv[1])).extract(recipe, run)
"""


def test_killed_at_its_first_shard_the_next_one_takes_over_and_every_clip_is_there_once(
    manifest, on_disk, encoder, recipe, tmp_path
):
    write_manifest(manifest, tmp_path / "clips.csv")
    address = f"file://{tmp_path}/one"
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "clips.csv", address], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list_files(f"{address}/{WRITERS}")
    assert len(open_cache(address)) <= 1
    summary = extract_to(address, read_manifest(tmp_path / "clips.csv"), encoder, recipe)
    assert summary.written == 2
    assert_same(address, on_disk)
    assert not list_files(f"{address}/{WRITERS}")


def test_another_machine_goes_on_where_one_stopped(manifest, on_disk, encoder, recipe, tmp_path, monkeypatch):
    extract_to("memory://one", manifest.where(manifest.clips[1:]), encoder, recipe)
    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path / "another"))
    summary = extract_to("memory://one", manifest, encoder, recipe)
    assert (summary.written, summary.skipped, len(summary.failures)) == (1, 2, 1)
    there, here = open_cache("memory://one"), open_cache(on_disk)
    assert {c.clip_id for c in there.clips} == {c.clip_id for c in here.clips}


@pytest.mark.parametrize("every", [1, 2], ids=["for good", "for moments"])
def test_a_store_that_fails_in_between_gets_all_in_the_end(every, manifest, on_disk, encoder, recipe, monkeypatch):
    send, calls = stores.send_file, []

    def failing(address, path):
        if address.endswith(".h5"):
            calls.append(address)
            if len(calls) % every == 0:
                raise RemoteError(f"{address}: gone")
        send(address, path)

    monkeypatch.setattr("vjepa_fer.extract.sending.send_file", failing)
    if every == 1:
        with pytest.raises(RemoteError, match="gone") as told:
            extract_to("memory://one", manifest, encoder, recipe)
        assert any("the same command sends it" in line for line in told.value.lines)
        assert len(open_cache("memory://one")) == 0
        monkeypatch.setattr("vjepa_fer.extract.sending.send_file", send)
    summary = extract_to("memory://one", manifest, encoder, recipe)
    assert summary.written == (0 if every == 1 else 3)
    assert_same("memory://one", on_disk)


def test_another_recipe_or_writer_is_refused_before_anything_is_decoded(manifest, encoder, recipe):
    other = make_recipe(encoder, sampling=Sampling(frame_step=2), storage=Storage(levels=("mean",)))
    extract_to("memory://one", manifest, encoder, recipe)
    with pytest.raises(RecipeMismatchError, match="frame_step"):
        Stage("memory://one", manifest).extract(other, lambda *_: pytest.fail("extracted"))
    stores.create_bytes(f"memory://two/{WRITER}", b'{"owner": "another", "since": "now"}')
    with pytest.raises(RemoteError, match="another process writes there since now"):
        Stage("memory://two", manifest).extract(recipe, lambda *_: pytest.fail("extracted"))


def test_a_missing_bucket_and_wrong_credentials_are_one_line_before_anything_is_decoded(
    manifest, recipe, monkeypatch, tmp_path
):
    with s3_server(monkeypatch):
        with pytest.raises(RemoteError, match="no bucket 'nobucket'"):
            Stage("s3://nobucket/one", manifest)
        stage = Stage("s3://bucket/one", manifest)
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        forget_stores()
        with pytest.raises(RemoteError, match=r"may not be written .*AWS_PROFILE"):
            stage.extract(recipe, lambda *_: pytest.fail("extracted"))
    assert not staging_folder("s3://bucket/one").exists()


@pytest.mark.parametrize("reason", ["AccessDenied", "InvalidAccessKeyId"])
def test_a_store_that_takes_nothing_says_so_before_anything_is_decoded(reason, manifest, recipe, monkeypatch):
    with s3_server(monkeypatch) as s3:
        s3.refused = dict.fromkeys(("PUT", "POST"), reason)
        stage = Stage("s3://bucket/one", manifest)
        with pytest.raises(RemoteError, match=r"s3://bucket/one\S* may not be written .*AWS_PROFILE"):
            stage.extract(recipe, lambda *_: pytest.fail("extracted"))
        assert not list_files("s3://bucket/one")


def test_a_store_that_takes_nothing_any_more_keeps_nothing_from_us(manifest, on_disk, encoder, recipe, monkeypatch):
    monkeypatch.setattr(shared, "SHARES", 1)  # all clips are claimed at once
    with s3_server(monkeypatch) as s3:

        def run(some, folder, report, others):
            def refused(done):
                s3.refused = dict.fromkeys(("PUT", "POST"), "AccessDenied")
                report(done)

            return extract_manifest(some, folder, encoder, recipe, settings=SETTINGS, report=refused, others=others)

        with pytest.raises(RemoteError, match="may not be written") as refused:
            Stage("s3://bucket/one", manifest).extract(recipe, run)
        assert any("the same command sends it" in note for note in refused.value.__notes__)
        s3.refused.clear()
        summary = extract_to("s3://bucket/one", manifest, encoder, recipe)
        assert summary.written == 0
        assert_same("s3://bucket/one", on_disk)


def test_a_place_on_a_disk_is_as_it_was(manifest, recipe, tmp_path):
    stage = Stage(tmp_path / "cache", manifest)
    assert (stage.folder, stage.manifest) == (tmp_path / "cache", manifest)
    assert not (tmp_path / "cache").exists()
    assert stage.extract(recipe, lambda some, folder, report, _: (some, folder, report)) == (
        manifest,
        tmp_path / "cache",
        None,
    )
