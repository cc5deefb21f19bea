"""Videos at addresses and in tar archives give the features of the same files on a disk; they are brought ahead, and nothing stays."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import fsspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stores import Manners, forget_stores, web_server
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import CacheError, ManifestError, RemoteError, VideoError
from vjepa_fer.extract import (
    ExtractSettings,
    Target,
    ahead,
    extract_manifest,
    extract_together,
    make_recipe,
    plan_extraction,
)
from vjepa_fer.extract.ahead import Ahead
from vjepa_fer.manifest import Clip, Manifest, read_manifest
from vjepa_fer.perturb import perturbation
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.remote import bring, brought, find_source, stores, tars
from vjepa_fer.remote.tars import expanded


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")


@pytest.fixture(scope="module")
def recipe(encoder):
    return make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean",)))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    return [write_video(folder / f"v{i}.mp4", 16 + i) for i in range(4)]


@pytest.fixture(scope="module")
def on_disk(videos, encoder, recipe, tmp_path_factory):
    root = tmp_path_factory.mktemp("disk") / "cache"
    extract_manifest(manifest_of(map(str, videos)), root, encoder, recipe, settings=ExtractSettings(workers=1))
    return root


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where copies go; empty again after every test."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    tars._members.cache_clear()
    yield place
    assert not [name for name in os.listdir(place) if name.startswith("vjepa-fer")]
    fsspec.filesystem("memory").store.clear()


def manifest_of(paths):
    return Manifest(clips=tuple(Clip(f"v{i}", path, ("happy", "sad")[i % 2], f"s{i}") for i, path in enumerate(paths)))


def tar_of(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def assert_same(root, on_disk):
    there, here = open_cache(root), open_cache(on_disk)
    for mine, theirs in zip(there, here, strict=True):
        assert mine.source_sha256 == theirs.source_sha256
        np.testing.assert_array_equal(mine.level("mean"), theirs.level("mean"))


@pytest.mark.parametrize("workers", [0, 2])
def test_videos_from_everywhere_give_the_same_features(workers, videos, on_disk, encoder, recipe, tmp_path):
    fsspec.filesystem("memory").pipe("/bucket/v0.mp4", videos[0].read_bytes())
    tar_of(tmp_path / "shard-000.tar", {"v1.mp4": videos[1].read_bytes()})
    tar_of(tmp_path / "shard-001.tar", {"other.txt": b"1", "./deep/v2.mp4": videos[2].read_bytes()})
    fsspec.filesystem("memory").put(str(tmp_path / "shard-001.tar"), "/bucket/shard-001.tar")
    paths = [
        "memory://bucket/v0.mp4",
        f"{tmp_path}/shard-{{000..001}}.tar::v1.mp4",
        "memory://bucket/shard-001.tar::deep/v2.mp4",
        str(videos[3]),
    ]
    plan, left = plan_extraction(manifest_of(paths), tmp_path / "cache", recipe)
    assert (plan.counted, plan.unreadable, len(left)) == (4, 0, 4)
    summary = extract_manifest(
        manifest_of(paths), tmp_path / "cache", encoder, recipe, settings=ExtractSettings(workers=workers)
    )
    assert (summary.written, summary.failures) == (4, ())
    assert_same(tmp_path / "cache", on_disk)
    assert [clip.path for clip in open_cache(tmp_path / "cache").clips] == paths
    again = extract_manifest(
        manifest_of(map(str, videos)), tmp_path / "cache", encoder, recipe
    )  # the same videos moved
    assert again.skipped == 4
    with pytest.raises(CacheError, match="another video"):
        extract_manifest(manifest_of([paths[1], *paths[1:]]), tmp_path / "cache", encoder, recipe)


@pytest.mark.parametrize("workers", [0, 2])
def test_several_caches_are_filled_from_one_copy_of_each_video(workers, videos, encoder, recipe, tmp_path, monkeypatch):
    """A perturbed recipe draws by the clip's id, wherever its video lies; a copy goes when the last recipe has seen it."""
    worse = make_recipe(
        encoder,
        sampling=Sampling(frame_step=2),
        storage=Storage(levels=("mean",)),
        perturb=perturbation(("noise:5",), seed=7),
    )
    for number in range(3):
        fsspec.filesystem("memory").pipe(f"/bucket/v{number}.mp4", videos[number].read_bytes())
    paths = [*(f"memory://bucket/v{number}.mp4" for number in range(3)), "memory://bucket/none.mp4"]
    room = max(path.stat().st_size for path in videos[:3])  # no two at once
    copies = []
    monkeypatch.setattr(ahead, "bring", lambda source, copy: copies.append(copy) or bring(source, copy))
    targets = [Target(tmp_path / name, [encoder], one) for name, one in (("clean", recipe), ("worse", worse))]
    done = extract_together(manifest_of(paths), targets, settings=ExtractSettings(workers=workers, scratch_bytes=room))
    assert len(copies) == 3
    assert [one.written for one in done] == [3, 3]
    assert [[(f.path, f.reason) for f in one.failures] for one in done] == [[(paths[3], "missing")]] * 2
    here = manifest_of(map(str, videos[:3]))
    for target in targets:
        alone = f"{target.cache}-alone"
        extract_manifest(here, alone, encoder, target.recipe, settings=ExtractSettings(workers=0))
        assert_same(target.cache, alone)


def test_what_cannot_be_brought_is_listed_and_the_rest_is_done(videos, encoder, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FIRST_PAUSE_SECONDS", 0.001)
    fsspec.filesystem("memory").pipe("/bucket/v0.mp4", videos[0].read_bytes())
    fsspec.filesystem("memory").pipe("/bucket/v3.mp4", b"not a video")
    tar = tar_of(tmp_path / "a.tar", {"x.mp4": b"1"})
    paths = ["memory://bucket/v0.mp4", "memory://bucket/none.mp4", f"{tar}::v1.mp4", "memory://bucket/v3.mp4"]
    paths += ["http://127.0.0.1:9/v.mp4"]
    summary = extract_manifest(
        manifest_of(paths), tmp_path / "cache", encoder, recipe, settings=ExtractSettings(workers=2)
    )
    assert summary.written == 1
    said = {failure.path: failure for failure in summary.failures}
    assert said[paths[1]].reason == said[paths[2]].reason == "missing"
    assert "no member 'v1.mp4'" in said[paths[2]].message
    assert said[paths[3]].reason == "not_video"
    assert said[paths[4]].reason == "unreadable"
    assert "does not answer" in said[paths[4]].message


def test_a_bad_network_costs_no_clip(videos, on_disk, encoder, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "FIRST_PAUSE_SECONDS", 0.001)
    forget_stores()
    manners = Manners(fail=True)
    with web_server(videos[0].parent, manners):
        paths = [f"{manners.url}/{video.name}" for video in videos]
        extract_manifest(manifest_of(paths), tmp_path / "cache", encoder, recipe, settings=ExtractSettings(workers=1))
    assert manners.faults["fail"] > 1
    assert_same(tmp_path / "cache", on_disk)


def test_copies_never_take_more_room_than_was_said(scratch):
    for number in range(12):
        fsspec.filesystem("memory").pipe(f"/bucket/{number}.mp4", bytes(100))
    most = 0
    clips = manifest_of(f"memory://bucket/{number}.mp4" for number in range(12)).clips
    with Ahead(clips, room=250) as ahead:
        done = []
        for one in ahead:
            held = sum(path.stat().st_size for path in scratch.rglob("*.mp4"))
            most = max(most, held)
            assert Path(one.path).read_bytes() == bytes(100)
            ahead.give_back(one)
            done.append(one.clip.clip_id)
    assert sorted(done) == sorted(clip.clip_id for clip in clips)
    assert 0 < most <= 250


def test_a_file_larger_than_the_room_is_refused_and_does_not_hang():
    fsspec.filesystem("memory").pipe("/bucket/a.mp4", bytes(100))
    with Ahead(manifest_of(["memory://bucket/a.mp4"]).clips, room=50) as ahead:
        (one,) = ahead
        with pytest.raises(VideoError, match=r"memory://bucket/a.mp4: has 100 bytes, more than the 50"):
            ahead.rate(one)


def test_closing_ends_threads_that_wait_for_room():
    for number in range(8):
        fsspec.filesystem("memory").pipe(f"/bucket/{number}.mp4", bytes(100))
    before = threading.active_count()
    with Ahead(manifest_of(f"memory://bucket/{number}.mp4" for number in range(8)).clips, room=150) as ahead:
        next(iter(ahead))
    assert threading.active_count() <= before + 1


@given(
    st.dictionaries(
        st.text("abc/é", min_size=1, max_size=120).filter(lambda n: n.strip("/") == n and "//" not in n),
        st.binary(max_size=2000),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=12)
def test_every_member_of_an_archive_is_found_as_tarfile_finds_it(members):
    with tempfile.TemporaryDirectory() as folder:
        path = tar_of(Path(folder, "a.tar"), members)
        for name, data in members.items():
            source = find_source(f"{path}::{name}")
            assert path.read_bytes()[source.start : source.start + source.size] == data
        tars._members.cache_clear()


@pytest.mark.parametrize(
    ("kind", "words"),
    [(tarfile.SYMTYPE, "a link to '/etc/passwd'"), (tarfile.LNKTYPE, "a link"), (tarfile.FIFOTYPE, "no file")],
)
def test_links_and_devices_are_refused_by_name(kind, words, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        info = tarfile.TarInfo("v.mp4")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(RemoteError, match=rf"a\.tar::v\.mp4: is {words}"):
        find_source(f"{tmp_path}/a.tar::v.mp4")


def test_sparse_twice_ambiguous_damaged_and_compressed_archives_are_refused(tmp_path):
    header = tarfile.TarInfo("v.mp4")
    header.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "sparse.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(RemoteError, match=r"sparse"):
        find_source(f"{tmp_path}/sparse.tar::v.mp4")
    for name in ("b-0.tar", "b-1.tar"):
        tar_of(tmp_path / name, {"v.mp4": b"1"})
    with pytest.raises(RemoteError, match=r"is in .*b-0\.tar and in .*b-1\.tar"):
        find_source(f"{tmp_path}/b-{{0..1}}.tar::v.mp4")
    (tmp_path / "c.tar.gz").write_bytes(b"\x1f\x8b" + bytes(600))
    with pytest.raises(RemoteError, match=r"not a readable tar archive .*compressed"):
        find_source(f"{tmp_path}/c.tar.gz::v.mp4")
    with pytest.raises(RemoteError, match="more than 10,000 archives"):
        find_source(f"{tmp_path}/c-{{0..99999}}.tar::v.mp4")


def test_a_header_that_asks_for_gigabytes_is_refused(tmp_path):
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.PAX_FORMAT) + bytes(4096))
    with pytest.raises(RemoteError, match="a header of 4,294,967,296 bytes"):
        find_source(f"{tmp_path}/a.tar::v.mp4")


def test_braces_stand_for_many():
    assert [*expanded("a-{08..10}.tar")] == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert [*expanded("{x,y}-{0..1}.tar")] == ["x-0.tar", "x-1.tar", "y-0.tar", "y-1.tar"]
    assert [*expanded("plain.tar")] == ["plain.tar"]


@pytest.mark.parametrize(
    "path",
    [
        "https://me:secret@host/v.mp4",
        "https://host/v.mp4?X-Amz-Signature=secret",
        "s3://k:secret@b/v.tar::a.mp4",
        "a.tar::../secret",
    ],
)
def test_a_manifest_never_carries_a_secret(path, tmp_path):
    (tmp_path / "clips.csv").write_text(f"clip_id,path,label,subject\na,{path},happy,s1\n")
    with pytest.raises(ManifestError) as told:
        read_manifest(tmp_path / "clips.csv")
    assert "row 2" in str(told.value)
    assert "secret" not in str(told.value) or path.startswith("a.tar")


def test_a_path_elsewhere_is_absolute_as_it_is(tmp_path):
    (tmp_path / "clips.csv").write_text(
        "clip_id,path,label,subject\na,s3://b/v.mp4,happy,s1\nb,shards/x.tar::v.mp4,sad,s2\n"
    )
    manifest = read_manifest(tmp_path / "clips.csv")
    assert [manifest.absolute(clip).path for clip in manifest] == ["s3://b/v.mp4", f"{tmp_path}/shards/x.tar::v.mp4"]


def test_a_copy_lasts_as_long_as_it_is_needed(scratch):
    fsspec.filesystem("memory").pipe("/bucket/a b.mp4", b"123")
    with brought("memory://bucket/a b.mp4") as path:
        assert path.endswith("/clip.mp4")
        assert Path(path).read_bytes() == b"123"
    assert not Path(path).exists()
