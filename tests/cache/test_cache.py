"""What is written is read back, and nothing that is not a cache is taken for one."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import zlib

import h5py
import numpy as np
import pytest

from caches import LABELS, small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ClipRows, ShardWriter, open_cache
from vjepa_fer.cache.care import cache_info
from vjepa_fer.cache.failures import Failure, read_failures, refresh_failed, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.pooling import WindowFeatures, mean_over_windows
from vjepa_fer.errors import CacheError, RecipeMismatchError, VideoError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Storage


def shard_paths(root):
    return sorted((root / "shards").glob("*.h5"))


def edit_shard(root, edit):
    """Open the first shard for writing and let `edit` damage it."""
    with h5py.File(shard_paths(root)[0], "r+") as file:
        edit(file)


@pytest.mark.parametrize("shard_bytes", [1, 3000, 1 << 20])
def test_every_level_and_index_comes_back_as_written(tmp_path, shard_bytes):
    recipe = write_small_cache(tmp_path / "cache", shard_bytes=shard_bytes)
    cache = open_cache(tmp_path / "cache")
    assert [clip.clip.clip_id for clip in cache] == [f"c{i}" for i in range(6)]
    for clip in cache:
        rows = small_rows(clip.clip.clip_id, recipe)
        np.testing.assert_array_equal(clip.level("mean"), rows.levels["mean"])
        np.testing.assert_array_equal(clip.level("frames"), rows.levels["frames"])
        np.testing.assert_array_equal(clip.level("tokens"), rows.levels["tokens"].astype(np.float16))
        np.testing.assert_array_equal(clip.timestamps, rows.timestamps)
        np.testing.assert_array_equal(clip.frame_indices, rows.frame_indices)
        assert clip.source_sha256 == rows.source_sha256
        assert clip.clip.extra["take"] == clip.clip.clip_id[1:]


def test_a_cache_is_a_sequence_in_manifest_order(tmp_path):
    write_small_cache(tmp_path / "cache")
    cache = open_cache(tmp_path / "cache")
    assert len(cache) == 6
    assert cache[-1].clip.clip_id == "c5"
    assert [c.clip.clip_id for c in cache[1:3]] == ["c1", "c2"]
    with pytest.raises(IndexError):
        cache[6]
    assert "6 of 6 clips" in repr(cache)


def test_features_weigh_identical_windows_once(tmp_path):
    recipe = write_small_cache(tmp_path / "cache")
    x, y, subjects, clip_ids = open_cache(tmp_path / "cache").features("mean")
    mean = small_rows("c3", recipe).levels["mean"]
    assert x.shape == (6, 8)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x[3], (mean[0] + mean[1]) / 2, rtol=1e-6)
    assert list(y) == [LABELS[i % 3] for i in range(6)]
    assert list(subjects) == ["s0", "s0", "s1", "s1", "s2", "s2"]
    assert list(clip_ids) == [f"c{i}" for i in range(6)]


@pytest.mark.parametrize(("level", "dim"), [("mean", 8), ("frames", 16), ("grid", 64), ("grid:2", 64), ("tokens", 64)])
def test_every_level_flattens_to_one_vector_a_clip(tmp_path, level, dim):
    write_small_cache(tmp_path / "cache")
    assert open_cache(tmp_path / "cache").features(level).X.shape == (6, dim)


def test_one_row_a_clip_is_not_rounded_by_averaging():
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    windows = WindowFeatures(x, np.arange(5), np.full(5, 8))
    np.testing.assert_array_equal(mean_over_windows(windows, 5), x)


def test_checksums_are_those_of_the_bytes(tmp_path):
    write_small_cache(tmp_path / "cache")
    with h5py.File(shard_paths(tmp_path / "cache")[0]) as file:
        tokens = file["levels/tokens"][:]
        assert file["checksums/levels/tokens"][3] == zlib.crc32(tokens[3].tobytes())
        assert set(json.loads(file.attrs["checksums"])) == {
            *(f"index/{name}" for name in file["index"]),
            *(f"levels/{name}" for name in file["levels"]),
        }


def test_a_growing_cache_shows_complete_shards_only(tmp_path):
    recipe = small_recipe()
    prepare_cache(tmp_path, recipe, small_manifest())
    writer = ShardWriter(tmp_path, recipe)
    assert writer.add(small_rows("c0", recipe)) == ()
    assert len(open_cache(tmp_path)) == 0
    assert writer.flush() == ("c0",)
    (tmp_path / "shards" / "x.h5.host.1.partial").write_bytes(b"half")
    assert [c.clip_id for c in open_cache(tmp_path).clips] == ["c0"]


def test_a_clip_done_twice_counts_once(tmp_path):
    recipe = write_small_cache(tmp_path)
    writer = ShardWriter(tmp_path, recipe)
    writer.add(small_rows("c0", recipe))
    writer.flush()
    assert len(open_cache(tmp_path)) == 6


def test_another_recipe_is_refused_with_the_differing_fields(tmp_path):
    write_small_cache(tmp_path)
    other = small_recipe(precision="float16", storage=Storage(levels=("mean",)))
    with pytest.raises(RecipeMismatchError, match=r"precision: 'float32' there, 'float16' asked for") as caught:
        prepare_cache(tmp_path, other, small_manifest())
    assert "storage.levels" in str(caught.value)


def test_a_foreign_shard_is_refused(tmp_path):
    write_small_cache(tmp_path / "a")
    write_small_cache(tmp_path / "b", recipe=small_recipe(precision="float16"))
    shutil.copy(shard_paths(tmp_path / "b")[0], tmp_path / "a" / "shards")
    with pytest.raises(RecipeMismatchError, match="precision"):
        open_cache(tmp_path / "a")


def test_the_manifest_of_a_cache_grows_and_newer_rows_count(tmp_path):
    newer = Manifest(clips=(Clip("c1", "/videos/c1.mp4", "sad", "s9"), Clip("c7", "/videos/c7.mp4", "sad", "s9")))
    prepare_cache(tmp_path, small_recipe(), small_manifest(2))
    union = prepare_cache(tmp_path, small_recipe(), newer)
    assert [(c.clip_id, c.subject) for c in union] == [("c0", "s0"), ("c1", "s9"), ("c7", "s9")]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: None, "no such cache folder"),
        (lambda p: p.write_text("x"), "a file, not a cache folder"),
        (lambda p: p.mkdir(), "not a cache"),
        (lambda p: (p.mkdir(), (p / "cache.json").write_text("{")), "cannot be read as JSON"),
        (lambda p: (p.mkdir(), (p / "cache.json").write_text("[]")), "holds a list, expected one JSON object"),
        (
            lambda p: (p.mkdir(), (p / "cache.json").write_text('{"format": "vjepa-fer/cache", "format_version": 99}')),
            "written by a newer vjepa-fer",
        ),
    ],
)
def test_what_is_not_a_cache_is_named_so(tmp_path, make, message):
    make(tmp_path / "cache")
    with pytest.raises(CacheError, match=message):
        open_cache(tmp_path / "cache")


def test_a_folder_with_other_things_is_not_made_a_cache(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(CacheError, match=r"not empty and not a cache"):
        prepare_cache(tmp_path, small_recipe(), small_manifest())
    assert os.listdir(tmp_path) == ["holiday.jpg"]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.attrs.__delitem__("format"), "attribute 'format' is missing"),
        (lambda f: f.attrs.__setitem__("format_version", 2), "written by a newer vjepa-fer"),
        (lambda f: f.attrs.__setitem__("recipe", np.bytes_("{}")), "the stored recipe has no EncoderSpec"),
        (lambda f: f.attrs.__setitem__("fingerprint", np.bytes_("0" * 64)), "does not have the stored fingerprint"),
        (lambda f: f.__delitem__("index/view"), "index/view is missing"),
        (lambda f: f.__delitem__("levels/mean"), "levels/mean is missing"),
    ],
)
def test_a_damaged_shard_is_refused_by_name(tmp_path, edit, message):
    write_small_cache(tmp_path)
    edit_shard(tmp_path, edit)
    with pytest.raises(CacheError, match=message) as caught:
        open_cache(tmp_path)
    assert shard_paths(tmp_path)[0].name in str(caught.value)


def replace(name, **options):
    def edit(file):
        del file[name]
        file.create_dataset(name, **options)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (replace("levels/mean", data=np.zeros((12, 9), "<f4")), "levels/mean has shape"),
        (replace("levels/mean", data=np.zeros((12, 8), "<f8")), "levels/mean has dtype float64"),
        (replace("levels/mean", shape=(12, 8), dtype="<f4"), "levels/mean stores 0 bytes"),
        (replace("levels/mean", shape=(10**9, 8), dtype="<f4"), "levels/mean has shape"),
        (replace("index/clip_id", shape=(2**40,), dtype="S8"), "levels|index|stores|shape"),
        (
            lambda f: (f.__delitem__("levels/mean"), f.__setitem__("levels/mean", h5py.SoftLink("/levels/frames"))),
            "a link",
        ),
        (
            lambda f: (
                f.__delitem__("levels/mean"),
                f.__setitem__("levels/mean", h5py.ExternalLink("/etc/hosts", "x")),
            ),
            "a link",
        ),
        (
            replace("levels/mean", shape=(12, 8), dtype="<f4", external=[("outside.bin", 0, 384)]),
            "not a plain dataset inside the file",
        ),
    ],
)
def test_a_hostile_shard_is_refused_before_anything_is_allocated(tmp_path, edit, message):
    write_small_cache(tmp_path)
    edit_shard(tmp_path, edit)
    with pytest.raises(CacheError, match=message):
        open_cache(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_shard_is_refused_by_name(tmp_path, share):
    write_small_cache(tmp_path)
    path = shard_paths(tmp_path)[0]
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(CacheError, match="not a readable shard"):
        open_cache(tmp_path)


def test_an_unstored_level_is_refused_with_what_there_is(tmp_path):
    write_small_cache(tmp_path, recipe=small_recipe(storage=Storage(levels=("mean",))))
    with pytest.raises(CacheError, match="level tokens is not stored; stored are mean"):
        open_cache(tmp_path).features("tokens")
    with pytest.raises(CacheError, match="'meen' is not one of mean, frames"):
        open_cache(tmp_path).features("meen")


def test_numbers_that_overflow_their_dtype_are_refused_with_the_clip(tmp_path):
    recipe = small_recipe()
    rows = small_rows("c0", recipe)
    rows.levels["tokens"][1, 0, 0, 0, 0] = 1e6
    with pytest.raises(CacheError, match=r"clip c0: levels/(grid|tokens) holds NaN or infinity as float16"):
        ShardWriter(tmp_path, recipe).add(rows)


def test_rows_of_another_shape_are_refused(tmp_path):
    recipe = small_recipe()
    rows = small_rows("c0", recipe)
    bad = ClipRows(**{**vars(rows), "levels": {**rows.levels, "mean": np.zeros((2, 9))}})
    with pytest.raises(CacheError, match=r"levels/mean should have shape \(2, 8\), has \(2, 9\)"):
        ShardWriter(tmp_path, recipe).add(bad)


def test_failures_are_read_back_and_an_empty_list_leaves_no_file(tmp_path):
    failure = Failure.from_error("c1", "/v/c1.mp4", VideoError("truncated", "/v/c1.mp4", 'ends, "early"\nindeed'))
    write_failures(tmp_path, {"c1": failure})
    assert read_failures(tmp_path) == {"c1": failure}
    assert failure.reason == "truncated"
    write_failures(
        tmp_path,
        {"c1": dataclasses.replace(failure, reason="timeout"), "c2": dataclasses.replace(failure, clip_id="c2")},
    )
    assert {key: row.reason for key, row in read_failures(tmp_path).items()} == {"c1": "timeout", "c2": "truncated"}
    refresh_failed(tmp_path, lambda: frozenset({"c1"}))
    assert (tmp_path / "failed.csv").read_text().splitlines()[1].startswith("c2,/v/c1.mp4,truncated")
    refresh_failed(tmp_path, lambda: frozenset({"c1", "c2"}))
    assert not (tmp_path / "failed.csv").exists()


def test_info_counts_what_is_there(tmp_path):
    write_small_cache(tmp_path)
    facts = cache_info(tmp_path)
    assert (facts["clips_done"], facts["clips_asked"], facts["rows"]) == (6, 6, 12)
    assert facts["labels"] == {"angry": 2, "happy": 2, "sad": 2}
    assert facts["level_bytes"] == {"mean": 12 * 32, "frames": 12 * 64, "grid": 12 * 128, "tokens": 12 * 128}


def test_a_video_error_survives_the_way_home_from_a_worker():
    error = VideoError("timeout", "/v/a.mp4", "took longer than 60 s")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes; this is how processes send errors
    assert (again.reason, again.path, str(again)) == (error.reason, error.path, str(error))
