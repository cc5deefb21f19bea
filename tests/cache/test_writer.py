"""Whatever clips are written, HDF5 and our own reading find the same bytes; and a reader never sees half a shard."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caches import small_manifest, small_recipe, small_rows, write_small_cache
from vjepa_fer.cache import ShardWriter, layout, open_cache
from vjepa_fer.cache import writer as writer_module
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.frame import ShardFrame
from vjepa_fer.cache.sums import all_finite, finite_rows
from vjepa_fer.cache.verify import shard_files, verify_cache
from vjepa_fer.manifest import Clip, Manifest, canonical
from vjepa_fer.recipe import ImportedRecipe, Storage

LEVELS = st.lists(
    st.sampled_from(["mean", "frames", "grid:1", "grid:2", "tokens"]), min_size=1, max_size=4, unique_by=lambda v: v[:4]
)
IDS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=30).filter(
    lambda v: v not in (".", "..")
)


def rows_for(clip_id, recipe, num_rows):
    """Rows whose grid has the recipe's side."""
    rows = small_rows(clip_id, recipe, num_rows=num_rows)
    side = next((int(v[5:]) for v in recipe.storage.levels if v.startswith("grid:")), 2)
    levels = {kind: array[:, :, :side, :side] if kind == "grid" else array for kind, array in rows.levels.items()}
    return type(rows)(**{**vars(rows), "levels": levels})


@settings(max_examples=15, deadline=None)
@given(
    levels=LEVELS,
    dtype=st.sampled_from(["float16", "float32", "int8"]),
    clips=st.lists(st.tuples(IDS, st.integers(1, 4)), min_size=1, max_size=6, unique_by=lambda v: canonical(v[0])),
    shard_bytes=st.sampled_from([1, 2000, 1 << 20]),
)
def test_what_our_writer_lays_out_hdf5_reads_and_every_checksum_agrees(levels, dtype, clips, shard_bytes):
    recipe, clips = small_recipe(storage=Storage(levels=tuple(levels), token_dtype=dtype)), dict(clips)
    with tempfile.TemporaryDirectory() as folder:
        prepare_cache(folder, recipe, Manifest(clips=tuple(Clip(i, "", "sad", "s") for i in clips)))
        writer = ShardWriter(folder, recipe, shard_bytes=shard_bytes)
        for clip_id, num_rows in clips.items():
            writer.add(rows_for(clip_id, recipe, num_rows))
        writer.flush()
        done = verify_cache(folder)  # reads all levels with HDF5 and without it
        assert (done.problems, done.clips, done.rows) == ((), len(clips), sum(clips.values()))
        for clip in open_cache(folder):
            want = rows_for(clip.clip.clip_id, recipe, clips[clip.clip.clip_id]).levels
            for level in recipe.storage.levels:
                bound = {"float16": 2e-3, "float32": 0, "int8": 0.03}[dtype] if level[:4] in ("grid", "toke") else 0
                np.testing.assert_allclose(clip.level(level), want[level.partition(":")[0]], rtol=0, atol=bound)


def test_a_shard_is_one_that_hdf5s_own_tools_take(tmp_path):
    write_small_cache(tmp_path)
    with h5py.File(shard_files(tmp_path)[0]) as file:
        assert file["levels/tokens"].chunks == (1, 2, 2, 2, 8)
        assert file["index/clip_id"].asstr()[:3].tolist() == ["c0", "c0", "c1"]
        assert file.attrs["format_version"] == layout.FORMAT_VERSION
        assert {name for name, item in file.items() if isinstance(item, h5py.Group)} == {"index", "levels", "checksums"}


def test_a_recipe_beyond_hdf5s_small_attributes_is_written_and_read():
    recipe = ImportedRecipe(source="wide.csv", source_sha256="0" * 64, columns=tuple(f"f{n}" for n in range(20_000)))
    frame, file = ShardFrame(recipe, 1, id_bytes=2, writer_id="w"), io.BytesIO()
    frame.finish({"levels/mean": "0" * 64}, file)
    with h5py.File(file) as read:
        assert len(read.attrs["recipe"]) > 1 << 16
        assert read["levels/mean"].shape == (1, 20_000)


def test_a_write_that_failed_can_be_tried_again(tmp_path, monkeypatch):
    recipe = small_recipe()
    prepare_cache(tmp_path, recipe, small_manifest(2))
    writer = ShardWriter(tmp_path, recipe)
    writer.add(small_rows("c0", recipe))
    with monkeypatch.context() as patch:
        patch.setattr(writer_module.os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            writer.flush()
    assert list((tmp_path / "shards").iterdir()) == []
    assert writer.flush() == ("c0",)
    assert verify_cache(tmp_path).problems == ()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4", "i1"])
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_seen_wherever_it_stands(dtype, value):
    largest = np.finfo(dtype).max if "f" in dtype else 127
    array = np.full((4, 300_000), largest, dtype)
    array[1::2] = -largest
    assert all_finite(array)
    if "f" in dtype:
        array[2, 299_999] = value
        assert finite_rows(array).tolist() == [True, True, False, True]
        assert not all_finite(array)
        assert not all_finite(array[:, ::-1])


def test_a_reader_sees_whole_shards_only_while_another_process_writes(tmp_path):
    recipe = small_recipe()
    prepare_cache(tmp_path, recipe, small_manifest(60))
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from caches import *\n"
        "writer = ShardWriter(sys.argv[1], small_recipe(), shard_bytes=1)\n"
        "for clip in small_manifest(60): writer.add(small_rows(clip.clip_id, small_recipe()))\n"
    )
    seen = [0]
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parents[1])]) as process:
        while process.poll() is None:
            cache = open_cache(tmp_path)
            for clip in cache[-3:]:
                np.testing.assert_array_equal(clip.level("mean"), small_rows(clip.clip.clip_id, recipe).levels["mean"])
            seen.append(len(cache))
    assert process.returncode == 0
    assert seen == sorted(seen)
    assert len(open_cache(tmp_path)) == 60


def test_clips_that_became_another_process_s_are_left_out_even_at_the_last_moment(tmp_path):
    recipe, asked = small_recipe(), []

    def is_ours(clip_id):
        asked.append(clip_id)
        return clip_id != "c1" or asked.count("c1") < 2  # taken over while the shard was being written

    prepare_cache(tmp_path, recipe, small_manifest(3))
    writer = ShardWriter(tmp_path, recipe, is_ours=is_ours)
    for clip_id in ("c0", "c1", "c2"):
        writer.add(small_rows(clip_id, recipe))
    assert writer.flush() == ("c0", "c2")
    assert open_cache(tmp_path).done == {"c0", "c2"}
    assert [p.suffix for p in (tmp_path / "shards").iterdir()] == [".h5"]
    writer.is_ours = lambda clip_id: False
    writer.add(small_rows("c1", recipe))
    assert writer.flush() == ()
    assert len(list((tmp_path / "shards").iterdir())) == 1
