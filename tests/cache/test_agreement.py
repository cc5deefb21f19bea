"""An index of a folder of shards makes opening fast and nothing else: whatever it says, no row comes out that its shard does not hold."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, agreement, open_cache
from vjepa_fer.cache import index as index_module
from vjepa_fer.cache.copying import merge_caches, subset_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.index import remember_shards
from vjepa_fer.cache.repair import repair_cache
from vjepa_fer.errors import CacheError

LIE = r"index\.npz: says other things of .*\.h5 than it holds; delete it, it makes itself again"


@pytest.fixture(autouse=True)
def _small_folders_have_an_index(monkeypatch):
    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def by_hdf5(monkeypatch):
    """Names of the shards that were read by HDF5."""
    read: list[str] = []
    original = index_module.read_shard_index
    for module in (index_module, agreement):
        monkeypatch.setattr(module, "read_shard_index", lambda path: read.append(path.name) or original(path))
    return read


def write_with_index(root, **how):
    recipe = write_small_cache(root, **({"shard_bytes": 1} | how))
    remember_shards(root, recipe)
    return recipe


def contents_unless_refused(root):
    """As :func:`contents`, None where the index is refused by its name."""
    try:
        return contents(root)
    except CacheError as error:
        return None if "index.npz" in str(error) else error


def contents(root):
    """What is read of every clip."""
    cache = open_cache(root)
    names = ("start_frame", "view", "multiplicity", "num_real_frames", "frame_indices", "timestamps")
    index = [[getattr(clip, name).tolist() for name in names] + [clip.source_sha256] for clip in cache]
    levels = [cache.features(level).X.tobytes() for level in ("mean", "frames", "grid", "tokens")]
    windows = cache.window_features()
    return cache.clips["clip_id"].tolist(), index, levels, windows.multiplicity.tolist()


def forge(root, change):
    """Rewrite the index whole, as somebody who knows how would: only what it says is wrong."""
    path = root / "shards" / "index.npz"
    with np.load(path) as arrays:
        said = {name: arrays[name].copy() for name in arrays.files}
    change(said)
    np.savez(path, **said)


def names_in_index(root):
    with np.load(root / "shards" / "index.npz") as arrays:
        return [name for name in arrays.files if name != "about"]


def test_an_index_is_read_instead_of_the_shards_and_each_is_compared_once(tmp_path, by_hdf5):
    write_with_index(tmp_path)
    assert len(by_hdf5) == 6
    by_hdf5.clear()
    cache = open_cache(tmp_path)
    assert by_hdf5 == []  # nothing but the index is read until a row is asked for
    cache.features("tokens")
    assert len(by_hdf5) == 1  # the first of its kind; the others lie alike
    cache.features("mean")
    assert len(by_hdf5) == 1


def _lie(said, name, row, swap):
    column = said[name]
    other = column[row].copy()
    if swap:
        column[row], column[row - 2] = column[row - 2], other
    else:
        flat = column[row : row + 1].reshape(-1).view(np.uint8)
        flat[:1] ^= 1


def test_no_lie_of_an_index_is_believed(tmp_path):
    write_with_index(tmp_path)
    before, path = contents(tmp_path), tmp_path / "shards" / "index.npz"
    whole, names = path.read_bytes(), names_in_index(tmp_path)

    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(names), st.integers(0, 11), st.booleans())
    def check(name, row, swap):
        path.write_bytes(whole)
        forge(tmp_path, lambda said: _lie(said, name, row, swap))
        assert contents_unless_refused(tmp_path) in (before, None)

    check()


def test_two_clips_that_an_index_has_exchanged_are_refused_before_any_of_their_numbers(tmp_path):
    write_with_index(tmp_path)

    def exchange(said):
        ids = said["index/clip_id"]
        ids[0:2], ids[2:4] = ids[2:4].copy(), ids[0:2].copy()

    forge(tmp_path, exchange)
    cache = open_cache(tmp_path)
    for read in (lambda: cache.features(), lambda: cache[0], lambda: cache.read_level("c1", "tokens")):
        with pytest.raises(CacheError, match=LIE):
            read()
    (tmp_path / "shards" / "index.npz").unlink()
    assert len(open_cache(tmp_path).features().X) == 6


def test_an_index_that_hides_rows_is_refused(tmp_path):
    """Two clips a shard; the index tells of the first alone."""
    write_with_index(tmp_path, num_clips=2, shard_bytes=1 << 20)

    def hide(said):
        import json

        about = json.loads(said["about"].tobytes())
        about["shards"][0][3] = 2
        said["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        for name in said.keys() - {"about"}:
            said[name] = said[name][:2]

    forge(tmp_path, hide)
    with pytest.raises(CacheError, match=LIE):
        open_cache(tmp_path).features()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_copy_whose_times_are_others_opens_by_its_index(tmp_path, by_hdf5, monkeypatch, read_only):
    write_with_index(tmp_path / "first")
    before = contents(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy" / "shards").iterdir():
        os.utime(path, ns=(10**18, 10**18))
    by_hdf5.clear()
    if read_only:
        monkeypatch.setattr(index_module, "write_durably", _refuse)
    assert contents(tmp_path / "copy") == before
    assert len(by_hdf5) == 1
    by_hdf5.clear()
    open_cache(tmp_path / "copy")
    assert len(by_hdf5) == (1 if read_only else 0)  # the new times are written down where that is allowed


def _refuse(path, data):
    raise OSError(30, "Read-only file system")


def test_another_shard_of_the_same_name_and_size_is_read_itself(tmp_path):
    recipe = write_with_index(tmp_path / "mine", num_clips=2)
    prepare_cache(tmp_path / "theirs", recipe, small_manifest(2))
    writer = ShardWriter(tmp_path / "theirs", recipe, shard_bytes=1)
    for clip in ("c0", "c1"):
        writer.add(small_rows(clip, recipe, seed=9))
    for mine, theirs in zip(*(sorted((tmp_path / n / "shards").glob("*.h5")) for n in ("mine", "theirs")), strict=True):
        shutil.copyfile(theirs, mine)
        os.utime(mine, ns=(10**18, 10**18))
    np.testing.assert_array_equal(
        open_cache(tmp_path / "mine").features().X, open_cache(tmp_path / "theirs").features().X
    )


def test_another_shard_under_the_old_time_is_refused(tmp_path):
    recipe = write_with_index(tmp_path / "mine", num_clips=1)
    prepare_cache(tmp_path / "theirs", recipe, small_manifest(1))
    ShardWriter(tmp_path / "theirs", recipe, shard_bytes=1).add(small_rows("c0", recipe, seed=9))
    [mine], [theirs] = (list((tmp_path / n / "shards").glob("*.h5")) for n in ("mine", "theirs"))
    time = mine.stat().st_mtime_ns
    shutil.copyfile(theirs, mine)
    os.utime(mine, ns=(time, time))
    with pytest.raises(CacheError, match=LIE):
        open_cache(tmp_path / "mine").features()


def test_two_writers_leave_an_index_of_both_and_a_shard_after_it_is_read_itself(tmp_path, by_hdf5):
    recipe = small_recipe()
    prepare_cache(tmp_path, recipe, small_manifest())
    writers = [ShardWriter(tmp_path, recipe, shard_bytes=1) for _ in range(2)]
    for number in range(4):
        writers[number % 2].add(small_rows(f"c{number}", recipe))
    remember_shards(tmp_path, recipe)
    writers[0].add(small_rows("c4", recipe))
    by_hdf5.clear()
    assert len(open_cache(tmp_path)) == 5
    assert len(by_hdf5) == 1


def test_copies_and_repairs_leave_an_index_of_their_own(tmp_path, by_hdf5):
    write_with_index(tmp_path / "first")
    merge_caches([tmp_path / "first"], tmp_path / "merged")
    subset_cache(tmp_path / "first", tmp_path / "part", lambda clip: clip.clip_id < "c3")
    repair_cache(tmp_path / "first")
    by_hdf5.clear()
    assert [len(open_cache(tmp_path / name)) for name in ("merged", "part", "first")] == [6, 3, 6]
    assert by_hdf5 == []


def test_a_damaged_shard_at_the_end_of_a_job_is_left_to_whoever_reads(tmp_path):
    recipe = write_small_cache(tmp_path, shard_bytes=1)
    path = sorted((tmp_path / "shards").glob("*.h5"))[2]
    path.write_bytes(b"no shard")
    remember_shards(tmp_path, recipe)
    with pytest.raises(CacheError, match=path.name):
        open_cache(tmp_path)


def test_an_index_that_is_a_link_is_not_followed(tmp_path, by_hdf5):
    write_with_index(tmp_path / "mine", num_clips=2)
    path = tmp_path / "mine" / "shards" / "index.npz"
    path.rename(tmp_path / "elsewhere.npz")
    path.symlink_to(tmp_path / "elsewhere.npz")
    by_hdf5.clear()
    open_cache(tmp_path / "mine")
    assert len(by_hdf5) == 2
