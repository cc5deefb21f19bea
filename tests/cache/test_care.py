"""Damage is found and named, taken out and made good; caches are merged, cut and pooled without a number changing unnoticed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache import index as index_module
from vjepa_fer.cache.anonymous import Anonymiser, telling_ids
from vjepa_fer.cache.copying import merge_caches, subset_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.cache.repair import repair_cache
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.cache.verify import shard_files, verify_cache
from vjepa_fer.errors import CacheError, RecipeError, RecipeMismatchError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Storage

INT8 = small_recipe(storage=Storage(levels=("mean", "grid:2", "tokens"), token_dtype="int8"))


def flip(path: Path, offset: int, bit: int = 3) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def data_offset(root: Path, name: str, row: int) -> int:
    """A byte in the middle of a row of a dataset of the first shard."""
    shard = read_shard_index(shard_files(root)[0])
    if name in shard.offsets:
        return int(shard.offsets[name][row]) + 3
    with h5py.File(shard.path) as file:
        dataset = file[name]
        row_bytes = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
        return dataset.id.get_offset() + row * row_bytes


@pytest.mark.parametrize("recipe", [small_recipe(), INT8], ids=["float16", "int8"])
def test_a_whole_cache_has_no_problems(tmp_path, recipe):
    write_small_cache(tmp_path, recipe=recipe, shard_bytes=3000)
    done = verify_cache(tmp_path)
    assert (done.problems, done.clips, done.rows) == ((), 6, 12)
    assert done.shards == len(shard_files(tmp_path)) > 1


STORED = ["levels/mean", "levels/grid", "levels/tokens", "scales/grid", "scales/tokens"]
INDEX = ["source_sha256", "start_frame", "view", "num_real_frames", "frame_indices", "timestamps"]


@pytest.mark.parametrize("name", [*STORED, *(f"index/{n}" for n in INDEX), *(f"checksums/{n}" for n in STORED)])
def test_a_flipped_bit_is_found_and_its_clip_named(tmp_path, name):
    write_small_cache(tmp_path, recipe=INT8)
    flip(shard_files(tmp_path)[0], data_offset(tmp_path, name, 7))
    (problem,) = verify_cache(tmp_path).problems
    assert problem.clip_id == "c3"
    assert problem.what == f"{name.removeprefix('checksums/')} is damaged"


def test_a_flipped_bit_in_any_data_byte_is_found(tmp_path):
    write_small_cache(tmp_path, num_clips=1, recipe=INT8)
    path = shard_files(tmp_path)[0]
    data, shard = path.read_bytes(), read_shard_index(path)
    sizes = {"levels/mean": 32, "levels/grid": 64, "levels/tokens": 64, "scales/tokens": 64}
    for name, size in sizes.items():
        for byte in int(shard.offsets[name][0]) + np.arange(
            0, size, 5
        ):  # every bit of a byte, and both ends of a number
            flip(path, byte, byte % 8)
            assert verify_cache(tmp_path).problems, f"{name}, byte {byte}"
            path.write_bytes(data)


def test_a_wrong_sha256_is_found_when_every_row_is_right(tmp_path):
    write_small_cache(tmp_path)
    with h5py.File(shard_files(tmp_path)[0], "r+") as file:
        sums = json.loads(file.attrs["checksums"])
        file.attrs["checksums"] = np.bytes_(json.dumps({**sums, "levels/frames": "0" * 64}))
    (problem,) = verify_cache(tmp_path).problems
    assert "levels/frames does not have the SHA-256" in str(problem)


def test_verify_goes_on_after_a_shard_that_cannot_be_read(tmp_path):
    write_small_cache(tmp_path, shard_bytes=1)
    first, second = shard_files(tmp_path)[:2]
    os.truncate(first, 1000)
    flip(second, int(read_shard_index(second).offsets["levels/tokens"][0]))
    problems = verify_cache(tmp_path).problems
    assert [(p.shard, p.clip_id) for p in problems] == [(first.name, None), (second.name, "c1")]


def test_verify_looks_at_the_lists_and_the_notebook_too(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    write_small_cache(tmp_path, shard_bytes=1)
    open_cache(tmp_path)
    path = tmp_path / "shards" / "index.npz"
    with np.load(path) as arrays:
        changed = {name: arrays[name].copy() for name in arrays.files}
    changed["index/start_frame"][4] += 1
    np.savez(path, **changed)
    write_failures(tmp_path, {"c5": Failure("c5", "", "missing", "", "")})
    [piece] = (tmp_path / "failed").iterdir()
    piece.write_text(piece.read_text().replace("missing", "timeout"))
    problems = verify_cache(tmp_path).problems
    assert [p.shard for p in problems] == [piece.name, "index.npz"]
    assert "says other things of" in problems[1].what
    (tmp_path / "failed.csv").unlink()
    repair_cache(tmp_path)
    assert verify_cache(tmp_path).problems == ()


def test_repair_drops_exactly_what_is_bad(tmp_path):
    recipe = write_small_cache(tmp_path)
    expected = open_cache(tmp_path).features("tokens").X
    flip(shard_files(tmp_path)[0], data_offset(tmp_path, "levels/tokens", 7))
    (tmp_path / "shards" / "x.h5.elsewhere.1.partial").touch()
    os.utime(tmp_path / "shards" / "x.h5.elsewhere.1.partial", (0, 0))
    repair = repair_cache(tmp_path)
    cache = open_cache(tmp_path)
    assert cache.done == {"c0", "c1", "c2", "c4", "c5"} == set(repair.rescued)
    assert [p.name for p in repair.swept] == ["x.h5.elsewhere.1.partial"]
    assert repair.set_aside[0].is_file()
    assert verify_cache(tmp_path).problems == ()
    writer = ShardWriter(tmp_path, recipe)
    writer.add(small_rows("c3", recipe))
    writer.flush()
    np.testing.assert_array_equal(open_cache(tmp_path).features("tokens").X, expected)


def test_repair_sets_an_unreadable_shard_aside(tmp_path):
    write_small_cache(tmp_path, shard_bytes=1)
    os.truncate(shard_files(tmp_path)[2], 500)
    assert repair_cache(tmp_path).rescued == ()
    assert open_cache(tmp_path).done == {"c0", "c1", "c3", "c4", "c5"}
    assert repair_cache(tmp_path).problems == ()


def write_part(root, clips, *, seed=0, recipe=None):
    recipe = recipe or small_recipe()
    prepare_cache(root, recipe, Manifest(clips=tuple(clips)))
    writer = ShardWriter(root, recipe, shard_bytes=2000)
    for clip in clips:
        writer.add(small_rows(clip.clip_id, recipe, seed=seed))
    writer.flush()


@pytest.mark.parametrize("recipe", [small_recipe(), INT8], ids=["float16", "int8"])
def test_merging_parts_gives_the_whole_bit_for_bit(tmp_path, recipe):
    clips = small_manifest(6).clips
    write_part(tmp_path / "a", clips[:4], recipe=recipe)
    write_part(tmp_path / "b", clips[3:], recipe=recipe)
    write_failures(tmp_path / "b", {"c5": Failure("c5", "", "missing", "", "")})
    merged = merge_caches([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    write_small_cache(tmp_path / "whole", recipe=recipe)
    whole = open_cache(tmp_path / "whole")
    for mine, other in zip(merged, whole, strict=True):
        assert mine.clip == other.clip
        np.testing.assert_array_equal(mine.level("tokens"), other.level("tokens"))
        np.testing.assert_array_equal(mine.timestamps, other.timestamps)
    assert sum(len(shard) for shard in merged.shards) == 12
    assert verify_cache(tmp_path / "out").problems == ()


def test_merging_different_recipes_names_the_fields(tmp_path):
    write_small_cache(tmp_path / "a")
    write_small_cache(tmp_path / "b", recipe=small_recipe(precision="float16"))
    with pytest.raises(RecipeMismatchError, match="precision: 'float16' there, 'float32' asked for"):
        merge_caches([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_merging_refuses_a_clip_with_two_sets_of_numbers(tmp_path):
    clips = small_manifest(3).clips
    write_part(tmp_path / "a", clips)
    write_part(tmp_path / "b", clips[1:2], seed=1)
    with pytest.raises(CacheError, match="1 clips have different numbers in two caches, such as c1"):
        merge_caches([tmp_path / "a", tmp_path / "b"], tmp_path / "out")


def test_merging_refuses_a_clip_with_two_labels(tmp_path):
    write_part(tmp_path / "a", [Clip("c0", "", "sad", "s0")])
    write_part(tmp_path / "b", [Clip("c0", "", "happy", "s0")])
    with pytest.raises(CacheError, match="clip c0 has the label 'happy'"):
        merge_caches([tmp_path / "a", tmp_path / "b"], tmp_path / "out")


def test_damage_is_not_copied_under_fresh_checksums(tmp_path):
    write_small_cache(tmp_path / "a")
    flip(shard_files(tmp_path / "a")[0], data_offset(tmp_path / "a", "levels/grid", 2))
    with pytest.raises(
        CacheError, match="clip c1: levels/grid is damaged: not what was written; run `vjepa-fer cache repair`"
    ):
        merge_caches([tmp_path / "a"], tmp_path / "out")


def test_a_copy_never_writes_into_what_is_there(tmp_path):
    write_small_cache(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with pytest.raises(CacheError, match="there is something already"):
        merge_caches([tmp_path / "a"], tmp_path / "b")


def test_a_subset_holds_the_kept_clips_only(tmp_path):
    write_small_cache(tmp_path / "a")
    cache = subset_cache(tmp_path / "a", tmp_path / "out", lambda clip: clip.label != "sad")
    assert [c.clip_id for c in cache.clips] == ["c0", "c1", "c3", "c4"]
    assert len(cache.manifest) == 4
    with pytest.raises(CacheError, match="none of its 6 clips is to be kept"):
        subset_cache(tmp_path / "a", tmp_path / "none", lambda clip: False)


@pytest.mark.parametrize(("dtype", "share"), [("float32", 2e-6), ("float16", 2**-11), ("int8", 1 / 254)])
def test_pooling_stored_tokens_is_what_extract_would_have_written(tmp_path, dtype, share):
    torch_levels = pytest.importorskip("vjepa_fer.extract.levels")
    torch = pytest.importorskip("torch")
    levels = ("mean", "frames", "grid:2")
    recipe = small_recipe(storage=Storage(levels=("tokens",), token_dtype=dtype), preprocessing=preprocessing(48))
    write_small_cache(tmp_path / "tokens", recipe=recipe)
    pooled = pool_cache(tmp_path / "tokens", tmp_path / "out", levels, token_dtype="float32")
    tokens = small_rows("c4", recipe).levels["tokens"]
    storage = Storage(levels=levels, token_dtype="float32")
    want = torch_levels.pool_on_device(torch.from_numpy(tokens.reshape(2, -1, 8)), recipe.token_grid, storage)
    for level in levels:
        bound = share * (np.ptp(tokens) if dtype == "int8" else np.abs(tokens).max())
        np.testing.assert_allclose(pooled[4].level(level), want[level.split(":")[0]], rtol=0, atol=bound)


def preprocessing(crop_size):
    return type(small_recipe().preprocessing)(crop_size=crop_size)


def test_pooled_levels_say_in_their_recipe_what_they_were_pooled_from(tmp_path):
    write_small_cache(tmp_path / "tokens", recipe=small_recipe(storage=Storage(levels=("tokens",), token_dtype="int8")))
    pooled = pool_cache(tmp_path / "tokens", tmp_path / "out", ["mean"])
    assert pooled.recipe.storage.pooled_from == "int8"
    assert pooled.fingerprint != open_cache(tmp_path / "tokens").fingerprint
    assert pooled[0].source_sha256 == "ab" * 32
    with pytest.raises(CacheError, match="level tokens is not stored"):
        pool_cache(tmp_path / "out", tmp_path / "again", ["mean"])
    with pytest.raises(RecipeError, match="the token grid is only 2 × 2"):
        pool_cache(tmp_path / "tokens", tmp_path / "again", ["grid:3"])


def test_an_anonymous_copy_says_neither_path_nor_subject(tmp_path):
    write_small_cache(tmp_path / "a")
    (tmp_path / "a" / "shards" / "nothing").touch()
    cache = merge_caches([tmp_path / "a"], tmp_path / "out", anonymiser=Anonymiser(b"key"))
    assert [c.path for c in cache.clips] == [c.clip_id for c in cache.clips]
    subjects = [c.subject for c in cache.clips]
    assert subjects[0] == subjects[1] != subjects[2]
    assert len(subjects[0]) == 16
    assert cache[0].source_sha256 == ""
    everything = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"/videos" not in everything
    assert b"ab" * 32 not in everything
    np.testing.assert_array_equal(cache.features("tokens").X, open_cache(tmp_path / "a").features("tokens").X)


def test_an_anonymous_copy_of_imported_features_does_not_name_their_file(tmp_path):
    table = FeatureTable(("c0", "c1"), ("AU1",), np.ones((2, 1), np.float32), "maria.csv", "ab" * 32)
    import_features(table, tmp_path / "a", small_manifest(3))
    for key in (b"key", b"other"):
        merge_caches([tmp_path / "a"], tmp_path / f"of {key!r}", anonymiser=Anonymiser(key))
    one, other = (open_cache(tmp_path / f"of {key!r}") for key in (b"key", b"other"))
    everything = b"".join(p.read_bytes() for p in one.root.rglob("*") if p.is_file())
    assert not any(word in everything for word in (b"maria", b"ab" * 32, b"/videos", b"no row"))
    assert one.recipe.columns == ("AU1",)
    assert one.fingerprint != other.fingerprint
    assert one.failures["c2"].reason == "missing"
    assert verify_cache(one.root).problems == ()


def test_pooling_can_leave_names_behind_too(tmp_path):
    write_small_cache(tmp_path / "a")
    small = pool_cache(tmp_path / "a", tmp_path / "out", ["mean"], anonymiser=Anonymiser(b"key"))
    assert small[0].source_sha256 == ""
    assert [clip.path for clip in small.clips] == [clip.clip_id for clip in small.clips]
    assert not {clip.subject for clip in small.clips} & {"s0", "s1", "s2"}


def test_clip_ids_that_name_their_subject_are_found():
    clips = [Clip("03-17", "", "sad", "17"), Clip("Maria_1", "", "sad", "maria"), Clip("c0", "", "sad", "s0")]
    assert telling_ids(clips) == ["03-17", "Maria_1"]


def test_one_key_gives_one_subject_one_name_and_another_key_another():
    assert Anonymiser(b"k").subject("actor 17") == Anonymiser(b"k").subject("actor 17")
    assert Anonymiser().subject("actor 17") != Anonymiser().subject("actor 17")
    assert "key" not in repr(Anonymiser(b"secret"))
