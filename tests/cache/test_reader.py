"""A cache is read fast, from any process, with bounded handles and memory, and says so when a number is not one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from caches import LABELS, reseal, small_manifest, small_recipe, small_rows, write_small_cache
from forked import run_code
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache import index as index_module
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.int8 import dequantise, quantise
from vjepa_fer.errors import CacheError, NoSuchClipError, RecipeMismatchError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Storage


def shard_paths(root):
    return sorted((root / "shards").glob("*.h5"))


@pytest.fixture(scope="module")
def many_shards(tmp_path_factory):
    """100 shards of one clip each, whose writing need not survive a power cut."""
    root = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        write_small_cache(root / "cache", num_clips=100, shard_bytes=1)
    return root / "cache"


def test_more_shards_than_files_may_be_open_are_read(many_shards):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))\n"
        "from vjepa_fer.cache import open_cache\n"
        "cache = open_cache(sys.argv[1])\n"
        "x = cache.features('tokens').X\n"
        "assert all(clip.level('tokens').any() for clip in cache)\n"
        "print(len(cache.shards), x.shape, int((x == 0).all(axis=1).sum()))"
    )
    done = run_code(code, many_shards)
    assert done.stdout.split() == ["100", "(100,", "64)", "0"]


def test_the_second_opening_reads_no_shard_itself(many_shards, monkeypatch):
    first = open_cache(many_shards)
    monkeypatch.setattr(index_module, "read_shard_index", lambda path: pytest.fail(f"{path} was opened"))
    again = open_cache(many_shards)
    np.testing.assert_array_equal(again.features("frames").X, first.features("frames").X)
    assert [c.timestamps.tolist() for c in again[:3]] == [c.timestamps.tolist() for c in first[:3]]


def test_a_shard_that_changed_is_read_itself(many_shards, monkeypatch):
    open_cache(many_shards)
    read = []
    monkeypatch.setattr(index_module, "read_shard_index", lambda path: read.append(path) or original(path))
    changed = shard_paths(many_shards)[7]
    whole = changed.read_bytes()
    changed.write_bytes(whole + b" ")
    assert len(open_cache(many_shards)) == 100
    changed.write_bytes(whole)
    assert read == [changed]


original = index_module.read_shard_index


@pytest.mark.parametrize("place", [0.001, 0.3, 0.5, 0.9, 0.9999])
def test_a_damaged_index_is_never_believed(tmp_path, monkeypatch, place):
    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    write_small_cache(tmp_path, shard_bytes=1)
    expected = open_cache(tmp_path).features("tokens").X
    path = tmp_path / "shards" / "index.npz"
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(data)
    np.testing.assert_array_equal(open_cache(tmp_path).features("tokens").X, expected)


@pytest.mark.parametrize("name", ["index/clip_id", "index/start_frame", "offsets/levels/tokens"])
def test_an_index_of_other_dtypes_is_not_believed(tmp_path, monkeypatch, name):
    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    write_small_cache(tmp_path, shard_bytes=1)
    expected = open_cache(tmp_path).features("tokens").X
    path = tmp_path / "shards" / "index.npz"
    with np.load(path) as arrays:
        changed = {
            n: arrays[n].astype("f8" if arrays[n].dtype.kind == "i" else "U9") if n == name else arrays[n]
            for n in arrays
        }
    np.savez(path, **changed)
    np.testing.assert_array_equal(open_cache(tmp_path).features("tokens").X, expected)


def test_an_index_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    def no_space(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    monkeypatch.setattr(index_module, "write_durably", no_space)
    write_small_cache(tmp_path)
    assert len(open_cache(tmp_path)) == 6
    assert not (tmp_path / "shards" / "index.npz").exists()


def test_a_clip_is_found_by_its_id(tmp_path):
    recipe, manifest = small_recipe(), small_manifest(8)
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for clip in manifest.clips[:6]:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()
    write_failures(tmp_path, {"c7": Failure("c7", "/videos/c7.mp4", "truncated", "ends early", "")})
    cache = open_cache(tmp_path)
    np.testing.assert_array_equal(cache["c4"].level("mean"), cache[4].level("mean"))
    assert "c4" in cache
    assert "c6" not in cache
    assert cache[4].clip in cache.clips
    for clip_id, message in [
        ("c6", "clip 'c6' is not done yet; run extract again"),
        ("c7", r"clip 'c7' could not be done \(truncated\)"),
        ("cc4", "clip 'cc4' is not one of 6; did you mean 'c4'"),
    ]:
        with pytest.raises(NoSuchClipError, match=message) as caught:
            cache[clip_id]
        assert isinstance(caught.value, KeyError)
        assert str(caught.value).startswith(str(tmp_path))
    part = cache.only(lambda clip: clip.label == "sad")
    assert part["c2"].clip.label == "sad"
    with pytest.raises(NoSuchClipError, match="clip 'c4' is not in this part of the cache"):
        part["c4"]


def test_a_cache_survives_pickling(tmp_path):
    write_small_cache(tmp_path)
    cache = open_cache(tmp_path)
    again = pickle.loads(pickle.dumps(cache))  # noqa: S301
    np.testing.assert_array_equal(again[3].level("tokens"), cache[3].level("tokens"))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_torch_workers_of_every_kind_read_the_same(tmp_path, method):
    torch_data = pytest.importorskip("torch.utils.data")
    recipe = write_small_cache(tmp_path, num_clips=4)
    dataset = open_cache(tmp_path).torch_dataset("tokens")
    loader = torch_data.DataLoader(dataset, batch_size=2, num_workers=1, multiprocessing_context=method)
    batches = list(loader)
    assert [list(b["clip_id"]) for b in batches] == [["c0", "c1"], ["c2", "c3"]]
    assert [dataset.classes[n] for b in batches for n in b["label"]] == [LABELS[i % 3] for i in range(4)]
    want = small_rows("c3", recipe).levels["tokens"].astype(np.float16)
    np.testing.assert_array_equal(batches[1]["x"][1].numpy(), want)


def test_levels_come_in_float32_or_as_stored(tmp_path):
    write_small_cache(tmp_path)
    clip = open_cache(tmp_path)[0]
    assert clip.level("tokens").dtype == np.float32
    assert clip.level("tokens", dtype="stored").dtype == np.float16


def test_without_pooling_there_is_one_row_a_window(tmp_path):
    recipe = write_small_cache(tmp_path)
    features = open_cache(tmp_path).features("mean", pool=None)
    assert features.X.shape == (12, 8)
    np.testing.assert_array_equal(features.X[2:4], small_rows("c1", recipe).levels["mean"])
    assert features.clip_ids.tolist()[:4] == ["c0", "c0", "c1", "c1"]
    assert features.y.tolist()[2:4] == ["happy", "happy"]
    with pytest.raises(CacheError, match="pool 'max' is not 'mean'"):
        open_cache(tmp_path).features("mean", pool="max")


def write_part(root, clips):
    recipe = small_recipe()
    prepare_cache(root, recipe, Manifest(clips=tuple(clips)))
    writer = ShardWriter(root, recipe)
    for clip in clips:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()


def test_several_caches_are_read_as_one(tmp_path):
    clips = small_manifest(6).clips
    write_part(tmp_path / "a", clips[:4])
    write_part(tmp_path / "b", clips[3:])
    write_small_cache(tmp_path / "whole")
    both = open_cache([tmp_path / "a", tmp_path / "b"])
    assert [c.clip_id for c in both.clips] == [f"c{i}" for i in range(6)]
    np.testing.assert_array_equal(both.features("grid").X, open_cache(tmp_path / "whole").features("grid").X)


def test_caches_that_contradict_each_other_are_not_read_as_one(tmp_path):
    write_part(tmp_path / "a", [Clip("c0", "", "sad", "s0")])
    write_part(tmp_path / "b", [Clip("c0", "", "happy", "s0")])
    write_small_cache(tmp_path / "c", recipe=small_recipe(precision="float16"))
    with pytest.raises(CacheError, match="clip c0 has the label 'happy', 'sad' in a cache before it"):
        open_cache([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(RecipeMismatchError, match="precision"):
        open_cache([tmp_path / "a", tmp_path / "c"])
    with pytest.raises(CacheError, match="no cache folder given"):
        open_cache([])


def test_clips_are_a_sequence_and_a_table(tmp_path):
    write_small_cache(tmp_path)
    clips = open_cache(tmp_path).clips
    assert clips["take"].tolist() == ["0", "1", "2", "3", "4", "5"]
    assert clips["label"].tolist() == [clip.label for clip in clips]
    assert clips.columns == ("clip_id", "path", "label", "subject", "take")
    assert pickle.loads(pickle.dumps(clips))["take"].tolist() == clips["take"].tolist()  # noqa: S301
    with pytest.raises(KeyError, match="no column 'mood'; the columns are clip_id, path"):
        clips["mood"]


def test_with_pandas_clips_have_what_a_data_frame_has(tmp_path):
    pandas = pytest.importorskip("pandas")
    write_small_cache(tmp_path)
    clips = open_cache(tmp_path).clips
    assert isinstance(clips.to_pandas(), pandas.DataFrame)
    assert clips.groupby("label").size().to_dict() == {"angry": 2, "happy": 2, "sad": 2}
    assert list(clips.query("subject == 's1'").clip_id) == ["c2", "c3"]


def test_without_pandas_clips_say_what_would_help(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    write_small_cache(tmp_path)
    with pytest.raises(AttributeError, match="clips have no 'groupby'; with pandas installed"):
        open_cache(tmp_path).clips.groupby("label")
    assert isinstance(open_cache(tmp_path).table(), list)


def test_the_table_has_every_column_of_the_manifest(tmp_path):
    write_small_cache(tmp_path)
    table = open_cache(tmp_path).table()
    records = table if isinstance(table, list) else table.to_dict("records")
    assert records[4] == {"clip_id": "c4", "path": "/videos/c4.mp4", "label": "happy", "subject": "s2", "take": "4"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("level", ["mean", "tokens"])
def test_a_number_that_is_none_is_refused_with_its_clip(tmp_path, level, value):
    write_small_cache(tmp_path)
    with h5py.File(shard_paths(tmp_path)[0], "r+") as file:
        file[f"levels/{level}"][(7, *[0] * (file[f"levels/{level}"].ndim - 1))] = value
    reseal(shard_paths(tmp_path)[0])
    with pytest.raises(CacheError, match=rf"clip c3: levels/{level} holds NaN or infinity"):
        open_cache(tmp_path).features(level)
    assert open_cache(tmp_path)[2].level(level).any()
    with pytest.raises(
        CacheError, match=rf"{shard_paths(tmp_path)[0].name}: clip c3: levels/{level} holds NaN or infinity"
    ):
        open_cache(tmp_path)[3].level(level, dtype="stored")


def test_the_set_of_finished_clips_is_made_once(tmp_path):
    write_small_cache(tmp_path)
    cache = open_cache(tmp_path)
    assert cache.done is cache.done == {f"c{i}" for i in range(6)}


def test_a_shard_that_went_away_or_grew_is_named(tmp_path):
    write_small_cache(tmp_path)
    cache = open_cache(tmp_path)
    path = shard_paths(tmp_path)[0]
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(CacheError, match="open the cache again"):
        cache[0].level("mean")
    path.unlink()
    with pytest.raises(CacheError, match="the shard is gone"):
        cache[0].level("mean")


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS is Linux's")
def test_memory_stays_bounded_while_a_large_cache_streams(tmp_path):
    recipe = small_recipe(storage=Storage(levels=("tokens",)), encoder=wide_encoder(24_576))
    prepare_cache(tmp_path, recipe, small_manifest(60))
    writer = ShardWriter(tmp_path, recipe, shard_bytes=48 << 20)
    rows = small_rows("c0", recipe, num_rows=16)
    for clip in small_manifest(60):
        writer.add(type(rows)(**{**vars(rows), "clip_id": clip.clip_id}))
    writer.flush()
    code = (
        "import resource, sys; from vjepa_fer.cache import open_cache; cache = open_cache(sys.argv[1])\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n"
        "print(sum(clip.level('tokens', dtype='stored').nbytes for clip in cache))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 60 * 16 * 8 * 24_576 * 2  # 378 MB in 64 MB


def wide_encoder(dim):
    return type(small_recipe().encoder)(**{**vars(small_recipe().encoder), "embed_dim": dim})


def test_int8_is_within_half_a_step_of_each_channel(tmp_path):
    recipe = write_small_cache(
        tmp_path, recipe=small_recipe(storage=Storage(levels=("grid:2", "tokens"), token_dtype="int8"))
    )
    tokens = small_rows("c2", recipe).levels["tokens"]
    step = (tokens.max((1, 2, 3)) - tokens.min((1, 2, 3))) / 254
    error = np.abs(open_cache(tmp_path)[2].level("tokens") - tokens)
    assert (error <= 0.5001 * step[:, None, None, None]).all()
    assert error.max() > 0
    np.testing.assert_allclose(open_cache(tmp_path).features("grid").X.shape, (6, 64))


def test_int8_keeps_constant_channels_exactly():
    values = np.full((1, 5, 3), [7.25, 0, -1e30], np.float32)
    np.testing.assert_array_equal(dequantise(*quantise(values)), values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_int8_refuses_what_it_cannot_hold(tmp_path, value):
    recipe = small_recipe(storage=Storage(levels=("tokens",), token_dtype="int8"))
    rows = small_rows("c0", recipe)
    rows.levels["tokens"][1, 0, 0, 0, 0] = value
    rows.levels["tokens"][1, 0, 0, 1, 0] = -abs(value)
    with pytest.raises(CacheError, match=r"clip c0: scales/tokens holds NaN or infinity"):
        ShardWriter(tmp_path, recipe).add(rows)


def test_an_index_that_names_another_folders_shards_is_not_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(index_module, "WORTH_WRITING", 1)
    mine, other = tmp_path / "mine", tmp_path / "other"
    write_small_cache(mine, shard_bytes=1)
    write_small_cache(other, shard_bytes=1)
    open_cache(mine)
    path = mine / "shards" / "index.npz"
    with np.load(path) as arrays:
        changed = dict(arrays)
    about = json.loads(changed["about"].tobytes())
    about["shards"] = [[f"../../other/shards/{name}", *rest] for name, *rest in about["shards"]]
    np.savez(path, **{**changed, "about": np.frombuffer(json.dumps(about).encode(), np.uint8)})
    assert {shard.path.parent for shard in open_cache(mine).shards} == {mine / "shards"}
