"""A cache is copied between disks and addresses as it is; stopped, it goes on; and nobody sees half of it."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import fsspec

from caches import small_recipe, write_small_cache
from stores import Manners, forget_stores, s3_server, web_server
from tables import call
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.mirror import cache_files, mirror_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.cli.options import warn_of_other_writers
from vjepa_fer.disk import new_owner
from vjepa_fer.errors import CacheError, RecipeMismatchError, RemoteError
from vjepa_fer.recipe import Storage
from vjepa_fer.remote import WRITER, stores


@pytest.fixture(scope="module")
def cache_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirror") / "cache"
    write_small_cache(root, shard_bytes=1)
    return root


@pytest.fixture
def s3(monkeypatch):
    with s3_server(monkeypatch) as sent:
        yield sent


@pytest.fixture(autouse=True)
def empty_memory():
    yield
    fsspec.filesystem("memory").store.clear()


def bytes_of(root):
    return {name: (root / name).read_bytes() for name in cache_files(root)}


def test_there_and_back_every_file_is_the_same(cache_folder, s3, tmp_path):
    there = mirror_cache(cache_folder, "s3://bucket/one")
    assert (there.files, there.present) == (8, 0)
    assert mirror_cache(cache_folder, "s3://bucket/one").present == 8
    mirror_cache("s3://bucket/one", "memory://two")
    back = mirror_cache("memory://two", tmp_path / "back")
    assert back.num_bytes == there.num_bytes
    assert bytes_of(tmp_path / "back") == bytes_of(cache_folder)
    assert (tmp_path / "back/manifest.csv").read_bytes() == (cache_folder / "manifest.csv").read_bytes()
    assert not verify_cache(tmp_path / "back").problems
    assert not (tmp_path / "back/copying.json").exists()


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_mirror_to_a_disk_that_is_stopped_is_no_cache_and_goes_on(stop, cache_folder, tmp_path):
    mirror_cache(cache_folder, "memory://one")
    out = tmp_path / "out"

    def stopping(name, done=[]):  # noqa: B006
        done.append(name)
        if len(done) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirror_cache("memory://one", out, progress=stopping)
    if stop < 8:
        with pytest.raises(
            CacheError, match="a copy that was not finished; the same `vjepa-fer cache` command finishes it"
        ):
            open_cache(out)
    assert mirror_cache("memory://one", out).present == stop
    assert bytes_of(out) == bytes_of(cache_folder)


@pytest.mark.parametrize("stop", range(1, 9))
def test_a_mirror_to_a_store_that_is_stopped_is_not_visible_and_goes_on(stop, cache_folder):
    def stopping(name, done=[]):  # noqa: B006
        done.append(name)
        if len(done) == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mirror_cache(cache_folder, "memory://one", progress=stopping)
    assert not fsspec.filesystem("memory").exists("/one/contents.json")
    assert not fsspec.filesystem("memory").exists(f"/one/{WRITER}")
    mirror_cache(cache_folder, "memory://one")
    assert len(open_cache("memory://one")) == 6


def test_what_came_otherwise_than_it_was_sent_is_refused_and_brought_again(cache_folder, tmp_path):
    mirror_cache(cache_folder, "memory://one")
    files = fsspec.filesystem("memory")
    shard = next(name for name in cache_files(cache_folder) if name.endswith(".h5"))
    good = files.cat(f"/one/{shard}")
    files.pipe(f"/one/{shard}", good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(RemoteError, match=rf"memory://one/{shard}: is not what was sent \(its SHA-256 differs\)"):
        mirror_cache("memory://one", tmp_path / "out")
    files.pipe(f"/one/{shard}", good)
    mirror_cache("memory://one", tmp_path / "out")
    assert bytes_of(tmp_path / "out") == bytes_of(cache_folder)


def test_a_damaged_shard_is_found_where_nobody_says_its_sum(cache_folder, tmp_path):
    copy = shutil.copytree(cache_folder, tmp_path / "copy")
    shard = sorted((copy / "shards").glob("*.h5"))[0]
    data = bytearray(shard.read_bytes())
    index = next(s for s in open_cache(cache_folder).shards if s.path.name == shard.name)
    data[int(index.offsets["levels/tokens"][0])] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CacheError, match=f"{shard.name}: is damaged, or did not come as it was sent"):
        mirror_cache(f"file://{copy}", tmp_path / "out")


def test_a_growing_cache_is_brought_up_to_date(cache_folder, tmp_path):
    copy = tmp_path / "growing"
    write_small_cache(copy, num_clips=2, shard_bytes=1)
    mirror_cache(copy, "memory://one")
    mirror_cache("memory://one", tmp_path / "out")
    write_small_cache(copy, num_clips=4, shard_bytes=1 << 20)
    mirror_cache(copy, "memory://one")
    mirror_cache("memory://one", tmp_path / "out")
    assert len(open_cache("memory://one")) == len(open_cache(tmp_path / "out")) == 4


def test_another_cache_other_files_and_another_recipe_are_refused(cache_folder, tmp_path):
    other = tmp_path / "other"
    write_small_cache(other, recipe=small_recipe(storage=Storage(levels=("mean",))))
    mirror_cache(other, "memory://other")
    again = tmp_path / "again"
    write_small_cache(again)
    fsspec.filesystem("memory").pipe("/strange/thesis.pdf", b"1")
    for target in ("memory://other", other):
        with pytest.raises(RecipeMismatchError, match="levels"):
            mirror_cache(cache_folder, target)
    with pytest.raises(CacheError, match=r"holds 1 files that the cache has not, such as thesis\.pdf"):
        mirror_cache(cache_folder, "memory://strange")
    with pytest.raises(CacheError, match=r"which .* does not; mirror into another folder"):
        mirror_cache(cache_folder, again)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.pdf").write_bytes(b"1")
    with pytest.raises(CacheError, match="there is something already"):
        mirror_cache(cache_folder, tmp_path / "full")


@pytest.mark.parametrize("protocol", ["memory", "s3", "file"])
def test_one_process_at_a_time_writes_to_an_address(protocol, cache_folder, s3, tmp_path):
    address = f"file://{tmp_path}/one" if protocol == "file" else f"{protocol}://bucket/one"
    alive = json.dumps({"owner": new_owner(), "since": "2026-01-01T00:00:00"})
    assert stores.create_bytes(f"{address}/{WRITER}", alive.encode())
    assert not stores.create_bytes(f"{address}/{WRITER}", b"mine")
    with pytest.raises(RemoteError, match=r"writer\.json: another process writes there since 2026-01-01"):
        mirror_cache(cache_folder, address)
    dead = alive.replace(new_owner().split(".")[1], "4194304")
    stores.remove_file(f"{address}/{WRITER}")
    stores.create_bytes(f"{address}/{WRITER}", dead.encode())
    mirror_cache(cache_folder, address)
    with pytest.raises(FileNotFoundError):
        stores.size_of(f"{address}/{WRITER}")


def test_the_command_says_what_it_did(cache_folder, tmp_path):
    said = call("cache", "mirror", cache_folder, f"file://{tmp_path}/served").stderr
    assert f"file://{tmp_path}/served: 8 files, " in said
    assert "8 were there" in call("cache", "mirror", cache_folder, f"file://{tmp_path}/served").stderr


def test_a_served_folder_is_mirrored_through_a_bad_network(cache_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FIRST_PAUSE_SECONDS", 0.001)
    mirror_cache(cache_folder, f"file://{tmp_path}/served")
    manners = Manners(cut=True)
    forget_stores()
    with web_server(tmp_path / "served", manners):
        mirror_cache(manners.url, tmp_path / "out")
        with pytest.raises(RemoteError, match="a web server only gives"):
            mirror_cache(cache_folder, manners.url)
    assert manners.faults["cut"]
    assert bytes_of(tmp_path / "out") == bytes_of(cache_folder)


def test_a_missing_bucket_wrong_credentials_and_a_read_only_store_leave_nothing(
    cache_folder, s3, monkeypatch, tmp_path
):
    with pytest.raises(
        RemoteError, match=r"s3://nobucket/one/writer.json: cannot be written \(The specified bucket does not exist\)"
    ):
        mirror_cache(cache_folder, "s3://nobucket/one")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_stores()
    with pytest.raises(RemoteError, match=r"may not be written .*AWS_PROFILE"):
        mirror_cache(cache_folder, "s3://bucket/one")


def test_a_store_without_an_exclusive_create_is_said(capsys):
    warn_of_other_writers("hf://datasets/me/faces")
    assert "hf://datasets/me/faces: this store has no exclusive create" in capsys.readouterr().err
    for cache in ("s3://bucket/a", "gs://bucket/a", "file:///srv", "cache/faces"):
        warn_of_other_writers(cache)
    assert not capsys.readouterr().err
