"""Caches at addresses: the same as on a disk to the bit, read by ranges and each byte once, through a network at its worst."""

from __future__ import annotations

import gc
import json
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import fsspec
import h5py

from caches import write_small_cache
from servers import Site, serve
from stores import Manners, forget_stores, s3_server, web_server
from tables import call
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.care import cache_info
from vjepa_fer.cache.copying import subset_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.errors import CacheError, RemoteError, VjepaFerError
from vjepa_fer.remote import CONTENTS, Contents, Entry, blocks, place_of, read_contents, stores
from vjepa_fer.remote.addresses import without_secrets

LEVELS = ("mean", "frames", "grid", "tokens")
PROBE = ("--folds", "subject-kfold:2", "--probe", "centroid", "--allow-leak")


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    """A cache of seventeen shards with an index, as a web server would serve it: with its contents."""
    root = tmp_path_factory.mktemp("elsewhere") / "cache"
    write_small_cache(root, num_clips=17, shard_bytes=1)
    open_cache(root)
    paths = [p for p in sorted(root.rglob("*")) if p.is_file() and p.name != "manifest.csv"]
    files = {p.relative_to(root).as_posix(): Entry(p.stat().st_size) for p in paths}
    assert "shards/index.npz" in files
    (root / CONTENTS).write_text(Contents(files).text())
    return root


@pytest.fixture
def s3(monkeypatch):
    with s3_server(monkeypatch) as sent:
        yield sent


@pytest.fixture
def no_pauses(monkeypatch):
    monkeypatch.setattr(stores, "FIRST_PAUSE_SECONDS", 0.001)


def put(folder, address):
    protocol, _, path = address.partition("://")
    fsspec.filesystem(protocol).put(str(folder), path, recursive=True)


def assert_equal(address, folder):
    there, here = open_cache(address), open_cache(folder)
    assert [clip.clip_id for clip in there.clips] == [clip.clip_id for clip in here.clips]
    for level in LEVELS:
        np.testing.assert_array_equal(there.features(level).X, here.features(level).X)
    clip, same = there["c7"], here["c7"]
    np.testing.assert_array_equal(clip.level("tokens", dtype="stored"), same.level("tokens", dtype="stored"))
    np.testing.assert_array_equal(clip.timestamps, same.timestamps)
    over_time = ["mean", "max"]
    np.testing.assert_array_equal(there.features("frames", pool=over_time).X, here.features("frames", pool=over_time).X)


@pytest.mark.parametrize("protocol", ["memory", "s3", "file"])
@pytest.mark.parametrize("has_contents", [True, False], ids=["with contents", "copied by another program"])
def test_a_cache_elsewhere_is_the_same_to_the_bit(protocol, has_contents, cache_folder, tmp_path, s3):
    copy = shutil.copytree(cache_folder, tmp_path / "copy")
    if not has_contents:
        (copy / CONTENTS).unlink()
    address = f"file://{copy}" if protocol == "file" else f"{protocol}://bucket/{protocol}-{has_contents}"
    if protocol != "file":
        put(copy, address)
    assert_equal(address, cache_folder)
    info, here = cache_info(address), cache_info(cache_folder)
    assert {name for name in info if info[name] != here[name]} == {"cache"}
    assert info["cache"] == address
    assert not verify_cache(address).problems


def test_opening_is_a_few_small_reads_and_no_byte_is_read_twice(cache_folder, s3):
    put(cache_folder, "s3://bucket/cache")
    s3.clear()
    cache = open_cache("s3://bucket/cache")
    assert [path.rpartition("/")[2].rpartition(".")[2] for _, path, _ in s3.requests] == ["json", "json", "csv", "npz"]
    cache.features("mean")
    cache.features("tokens")
    cache_info(cache.root)
    assert s3.times_each <= 1.1
    assert all(method == "GET" for method, _, _ in s3.requests)


@pytest.mark.parametrize(
    "manners", [Manners(fail=True), Manners(cut=True), Manners(stall_seconds=0.3)], ids=["503", "cut", "stall"]
)
def test_every_third_request_may_go_wrong(manners, cache_folder, no_pauses, monkeypatch):
    monkeypatch.setattr(stores, "STALL_SECONDS", 0.1)
    forget_stores()
    with web_server(cache_folder, manners):
        assert_equal(manners.url, cache_folder)
    assert sum(manners.faults.values()) > 3
    assert manners.sent.times_each <= 1.1


def test_a_collection_of_cycles_in_the_thread_that_asks_the_network_does_not_hang(cache_folder, monkeypatch):
    """It would want h5py's lock, which the reader holds that waits for this thread."""
    forget_stores()
    cycles: list = [[h5py.File.in_memory()] for _ in range(100)]
    for cycle in cycles:
        cycle.append(cycle)
    asked = stores._from_web

    async def collects(*words):
        del cycles[-1:]
        if gc.isenabled():
            gc.collect()
        return await asked(*words)

    monkeypatch.setattr(stores, "_from_web", collects)
    del cycle
    with web_server(cache_folder, manners := Manners()):
        reader = threading.Thread(target=assert_equal, args=(manners.url, cache_folder), daemon=True)
        reader.start()
        reader.join(60)
    assert not reader.is_alive()
    assert gc.isenabled()


def test_what_never_answers_is_one_line(cache_folder, no_pauses):
    manners = Manners(fail=True, every=1)
    with (
        web_server(cache_folder, manners),
        pytest.raises(RemoteError, match=r"contents.json: does not answer as it should, 6 times"),
    ):
        open_cache(manners.url)
    with pytest.raises(RemoteError, match=r"http://127.0.0.1:9/cache/contents.json: does not answer"):
        open_cache("http://127.0.0.1:9/cache")


def test_a_server_without_ranges_is_named(cache_folder, no_pauses, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1 << 10)  # the files are small
    copy = shutil.copytree(cache_folder, tmp_path / "copy")
    manners = Manners(ranges=False)
    with web_server(copy, manners), pytest.raises(RemoteError, match="cannot be read by ranges"):
        open_cache(manners.url).features("tokens")


def test_a_flipped_bit_on_the_way_is_found(cache_folder, tmp_path):
    copy = shutil.copytree(cache_folder, tmp_path / "copy")
    shard = sorted((copy / "shards").glob("*.h5"))[3]
    data = bytearray(shard.read_bytes())
    cache = open_cache(cache_folder)
    index = next(s for s in cache.shards if s.path.name == shard.name)
    data[int(index.offsets["levels/mean"][0])] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CacheError, match=rf"file://.*{shard.name}: clip c\d+: levels/mean is damaged"):
        open_cache(f"file://{copy}").features("mean")


def test_a_cache_elsewhere_can_be_sent_to_other_processes(cache_folder):
    cache = pickle.loads(pickle.dumps(open_cache(f"file://{cache_folder}")))  # noqa: S301
    np.testing.assert_array_equal(cache.features().X, open_cache(cache_folder).features().X)


def test_commands_take_addresses_and_a_probe_reads_no_byte_twice(cache_folder, s3, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 1 << 12)  # a few a shard
    put(cache_folder, "s3://bucket/cache")
    assert json.loads(call("cache", "info", "s3://bucket/cache", "--json").stdout)["clips_done"] == 17
    s3.clear()
    call("probe", "s3://bucket/cache", *PROBE, "--out", tmp_path / "there")
    assert s3.times_each <= 1.1
    call("probe", cache_folder, *PROBE, "--out", tmp_path / "here")
    there, here = (next((tmp_path / name).rglob("predictions.csv")).read_bytes() for name in ("there", "here"))
    assert there == here


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://key:secret@bucket/cache", r"s3://bucket/cache: the address holds a password or a signature"),
        ("https://me:secret@host/cache", r"https://host/cache: the address holds a password"),
        ("https://host/cache?X-Amz-Signature=secret", r"https://host/cache: the address holds a password"),
        ("ftp://host/cache", r"protocol 'ftp' is not one of s3, gs, hf, https"),
        ("s4://bucket/cache", r"is not one of s3, gs"),
        ("s3://bucket/../cache", r"without \.\."),
        ("s3://", r"expected s3://BUCKET/FOLDER"),
    ],
)
def test_an_address_that_may_not_be_one_is_refused_and_no_secret_printed(address, words):
    with pytest.raises(RemoteError, match=words) as told:
        open_cache(address)
    assert "secret" not in str(told.value)


def test_what_a_library_says_is_shown_without_secrets():
    said = without_secrets("403, url='https://u:hunter2@host/a?X-Amz-Signature=hunter2', message")
    assert "https://host/a" in said
    assert "hunter2" not in said


def test_a_missing_bucket_wrong_credentials_and_nothing_there_are_told_apart(s3, monkeypatch, cache_folder):
    with pytest.raises(RemoteError, match=r"s3://nobucket/cache: there is no bucket 'nobucket'"):
        open_cache("s3://nobucket/cache")
    with pytest.raises(CacheError, match=r"s3://bucket/cache: no such cache folder"):
        open_cache("s3://bucket/cache")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget_stores()
    with pytest.raises(
        RemoteError, match=r"may not be read \(Unable to locate credentials\); who we are is looked up in: AWS_PROFILE"
    ):
        open_cache("s3://bucket/cache")


def test_a_rejected_key_is_one_line(s3, cache_folder):
    put(cache_folder, "s3://bucket/cache")
    s3.refused = dict.fromkeys(("GET", "HEAD"), "InvalidAccessKeyId")
    forget_stores()
    with pytest.raises(RemoteError, match=r"^s3://bucket/cache\S*: may not be read .*AWS_PROFILE"):
        open_cache("s3://bucket/cache")


def test_contents_that_lead_out_of_the_folder_are_refused(tmp_path):
    for name in ("../secret", "/etc/passwd", "shards/../../x", "a\\b", ""):
        text = Contents({"cache.json": Entry(1)}).text().replace("cache.json", name.replace("\\", "\\\\"))
        (tmp_path / CONTENTS).write_text(text)
        with pytest.raises(RemoteError, match="leads out of the folder"):
            read_contents(f"file://{tmp_path}")
    for text in ("[]", "{", '{"format": "vjepa-fer/contents", "format_version": 1, "files": {"a": {"size": -1}}}'):
        (tmp_path / CONTENTS).write_text(text)
        with pytest.raises(RemoteError, match="damaged"):
            read_contents(f"file://{tmp_path}")


def test_a_web_folder_without_contents_says_how_one_is_made(tmp_path):
    manners = Manners()
    with (
        web_server(tmp_path, manners),
        pytest.raises(RemoteError, match=r"no contents\.json there, and a web server lists nothing"),
    ):
        open_cache(manners.url)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("vjepa_fer.extras.find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"s3:// needs fsspec and s3fs, not installed here: pip install 'vjepa-fer\[remote\]'"
    ):
        open_cache("s3://bucket/cache")


def test_a_path_that_has_lost_a_slash_and_writing_there_are_refused(tmp_path, cache_folder):
    with pytest.raises(RemoteError, match="two slashes"):
        open_cache(Path("s3://bucket/cache"))
    for out in ("s3://bucket/new", Path("s3://bucket/new")):
        with pytest.raises(VjepaFerError, match=r"cannot be done|two slashes"):
            subset_cache(cache_folder, out, lambda clip: True)


def test_paths_elsewhere_answer_as_paths_do(cache_folder):
    there = place_of(f"file://{cache_folder}")
    assert sorted(p.name for p in there.iterdir()) == ["cache.json", "manifest", "shards"]
    assert (there / "shards").is_dir()
    assert not (there / "shards").is_file()
    assert (there / "shards" / "a.h5").with_name("b.h5") == there / "shards" / "b.h5"
    assert not (there / "none").exists()


def test_a_server_that_never_ends_fills_no_memory(no_pauses):
    with (
        serve(Site(b"x" * 1000, endless=True, ranges=False, says_length=False)) as site,
        pytest.raises(RemoteError, match="sends more"),
    ):
        stores.read_ranges(f"{site.url}/file", [(0, 4096)])
