"""Features come in from every kind of file that people have them in, the same to the digit; files that are none are refused by name."""

from __future__ import annotations

import gzip
import json

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from caches import small_manifest, write_small_cache
from tables import call, draw, write_features
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.exports import export_features
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import write_manifest

FACES = draw(people=3)
CLIPS = dict(zip(FACES.ids, FACES.x.astype(np.float32), strict=True))


def npy_folder(path):
    for number, (clip_id, row) in enumerate(CLIPS.items()):
        place = path / f"person{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / f"{clip_id}.npy", row)
    return path


def gzipped(path):
    columns = {f"f{n}": column for n, column in enumerate(FACES.x.astype(np.float32).T)}
    text = write_features(path.with_suffix(".csv"), FACES.ids, columns).read_bytes()
    (path.with_suffix(".csv.gz")).write_bytes(gzip.compress(text))
    return path.with_suffix(".csv.gz")


def hdf5(path, name="{}"):
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        for clip_id, row in CLIPS.items():
            file[name.format(clip_id)] = row
    return path.with_suffix(".h5")


def one_tensor_a_clip(path):
    save_file(CLIPS, path.with_suffix(".safetensors"))
    return path.with_suffix(".safetensors")


def one_array_a_clip(path):
    np.savez(path.with_suffix(".npz"), **CLIPS)
    return path.with_suffix(".npz")


def exported_tensors(path):
    said = {"clip_id": json.dumps(FACES.ids), "columns": json.dumps([f"f{n}" for n in range(6)])}
    save_file({"X": np.stack([*CLIPS.values()])}, path.with_suffix(".safetensors"), metadata=said)
    return path.with_suffix(".safetensors")


WRITERS = [npy_folder, gzipped, hdf5, one_tensor_a_clip, one_array_a_clip, exported_tensors]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_kind_gives_the_same_cache(tmp_path, write):
    cache, surplus = import_features(read_feature_table(write(tmp_path / "x")), tmp_path / "cache", FACES.manifest())
    features = cache.features("mean")
    np.testing.assert_array_equal(features.X, FACES.x.astype(np.float32))
    assert (features.clip_ids.tolist(), surplus) == (list(FACES.ids), ())
    assert len(cache.recipe.source_sha256) == 64


def test_a_dataset_in_a_group_a_clip_comes_in(tmp_path):
    table = read_feature_table(hdf5(tmp_path / "x", "{}/features"), values="features")
    assert set(table.ids) == set(FACES.ids)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".csv", ".parquet"])
def test_whatever_export_writes_comes_back_bit_for_bit(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    write_small_cache(tmp_path / "cache")
    cache = open_cache(tmp_path / "cache")
    path = export_features(cache, tmp_path / f"x{suffix}", "frames")
    again, _ = import_features(read_feature_table(path), tmp_path / "again", small_manifest())
    np.testing.assert_array_equal(again.features("mean").X, cache.features("frames").X)
    assert again.recipe.columns == tuple(f"frames_{n}" for n in range(16))


def test_rows_over_time_become_their_mean_and_a_pattern_says_which_files(tmp_path):
    rng = np.random.default_rng(0)
    rows = {clip_id: rng.normal(size=(n + 2, 5)) for n, clip_id in enumerate(FACES.ids)}
    for clip_id, array in rows.items():
        np.save(tmp_path / f"{clip_id}_rgb.npy", array)
        np.save(tmp_path / f"{clip_id}_flow.npy", array[:, :2])
        np.save(tmp_path / f"{clip_id}_fps.npy", np.array(25.0))
    table = read_feature_table(tmp_path, values="*_rgb.npy")
    np.testing.assert_array_equal(table.values, np.array([rows[name].mean(axis=0) for name in table.ids], np.float32))
    with pytest.raises(CacheError, match=r"expected numbers \(features,\) or \(times, features\)|features, .* has"):
        read_feature_table(tmp_path)


def test_what_is_no_folder_of_clips_is_refused_by_name(tmp_path):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "c0.npy", np.ones(3))
    np.save(tmp_path / "c1.npy", np.ones(3))
    (tmp_path / "c2.npy").symlink_to("/etc/hostname")
    assert set(read_feature_table(tmp_path).ids) == {"c0", "c1"}
    np.save(tmp_path / "c0.npy", np.ones(3))
    with pytest.raises(CacheError, match="the id 'c0' stands twice"):
        read_feature_table(tmp_path)
    (tmp_path / "a" / "c0.npy").write_bytes(b"no array")
    (tmp_path / "c0.npy").unlink()
    with pytest.raises(CacheError, match=r"c0.npy: cannot be read as NPY"):
        read_feature_table(tmp_path)
    np.save(tmp_path / "a" / "c0.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(CacheError, match="holds Python objects"):
        read_feature_table(tmp_path)
    with pytest.raises(CacheError, match="no file x_"):
        read_feature_table(tmp_path, values="x_*.npy")


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}"])
@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_a_broken_file_is_refused(tmp_path, suffix, data):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / f"x{suffix}").write_bytes(data)
    with pytest.raises(CacheError, match="cannot be read as"):
        read_feature_table(tmp_path / f"x{suffix}")


def test_an_import_with_fewer_clips_says_what_is_there(tmp_path):
    columns = {f"f{n}": column for n, column in enumerate(FACES.x.T)}
    write_features(tmp_path / "f.csv", [*FACES.ids[:-1], "stranger"], columns)
    whole = FACES.manifest()
    write_manifest(whole, tmp_path / "m1.csv")
    write_manifest(whole.where(whole.clips[:12]), tmp_path / "m2.csv")
    call("cache", "import", tmp_path / "f.csv", tmp_path / "cache", "-m", tmp_path / "m1.csv", status=4)
    done = call("cache", "import", tmp_path / "f.csv", tmp_path / "cache", "-m", tmp_path / "m2.csv", status=4)
    assert f"{len(FACES.ids) - 1} clips × 6 features" in done.stderr
    assert "1 rows are not clips" in done.stderr
    assert "an earlier import brought them, and they stay" in done.stderr
    assert len(open_cache(tmp_path / "cache")) == len(FACES.ids) - 1
