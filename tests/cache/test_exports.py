"""Features leave a cache in formats that other programs read, and come in from them; nothing is lost on the way."""

from __future__ import annotations

import csv
import json
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from caches import small_manifest, write_small_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.exports import export_features
from vjepa_fer.cache.import_arrays import read_feature_table
from vjepa_fer.cache.imports import import_features
from vjepa_fer.errors import CacheError, MissingExtraError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("exports") / "cache"
    write_small_cache(root)
    return open_cache(root)


@pytest.mark.parametrize(("suffix", "columns"), [(".npz", ["*"]), (".csv", ["*"]), (".csv", ["frames_*"])])
def test_what_is_exported_can_be_imported_bit_for_bit(tmp_path, cache, suffix, columns):
    path = export_features(cache, tmp_path / f"out{suffix}", "frames")
    table = read_feature_table(path, columns=columns)
    again, surplus = import_features(table, tmp_path / "again", small_manifest())
    want, have = cache.features("frames"), again.features("mean")
    np.testing.assert_array_equal(have.X, want.X)
    assert have.clip_ids.tolist() == want.clip_ids.tolist()
    assert again.recipe.columns == tuple(f"frames_{n}" for n in range(16))
    assert (again.recipe.kind, again.recipe.source, surplus) == ("imported", path.name, ())


def test_safetensors_carry_everything(tmp_path, cache):
    from safetensors import safe_open

    path = export_features(cache, tmp_path / "out.safetensors", "grid", pool=None)
    with safe_open(path, "np") as file:
        np.testing.assert_array_equal(file.get_tensor("X"), cache.features("grid", pool=None).X)
        metadata = file.metadata()
    assert json.loads(metadata["clip_id"])[:3] == ["c0", "c0", "c1"]
    assert metadata["fingerprint"] == cache.fingerprint


def test_parquet_says_what_to_install_or_works(tmp_path, cache):
    try:
        from pyarrow import parquet
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"pip install 'vjepa-fer\[parquet\]'"):
            export_features(cache, tmp_path / "out.parquet")
        return
    table = parquet.read_table(export_features(cache, tmp_path / "out.parquet"))
    assert table.column_names[:4] == ["clip_id", "label", "subject", "mean_0"]
    np.testing.assert_array_equal(table["mean_3"].to_numpy(), cache.features().X[:, 3])


def test_an_export_replaces_nothing_unless_forced(tmp_path, cache):
    export_features(cache, tmp_path / "out.csv")
    with pytest.raises(CacheError, match="is there already"):
        export_features(cache, tmp_path / "out.csv")
    export_features(cache, tmp_path / "out.csv", force=True)
    with pytest.raises(CacheError, match=r"suffix '.xls' is not one of .npz, .safetensors"):
        export_features(cache, tmp_path / "out.xls")


def test_an_anonymous_export_names_nobody(tmp_path, cache):
    path = export_features(cache, tmp_path / "out.csv", anonymiser=Anonymiser(b"key"))
    with path.open(newline="") as file:
        subjects = [row["subject"] for row in csv.DictReader(file)]
    assert subjects == [Anonymiser(b"key").subject(s) for s in ("s0", "s0", "s1", "s1", "s2", "s2")]


def test_npy_takes_its_ids_from_a_text_file(tmp_path):
    np.save(tmp_path / "x.npy", np.asfortranarray([[1, 2], [3, 4]]))
    (tmp_path / "ids.txt").write_text("c0\nc1\n")
    table = read_feature_table(tmp_path / "x.npy", ids=str(tmp_path / "ids.txt"))
    assert (table.ids, table.columns) == (("c0", "c1"), ("X_0", "X_1"))
    np.testing.assert_array_equal(table.values, [[1, 2], [3, 4]])
    with pytest.raises(CacheError, match="expected a text file of them"):
        read_feature_table(tmp_path / "x.npy")


@pytest.mark.parametrize(
    "ids", [np.array([b"c0", b"c1"]), np.array(["c0", "c1"], dtype=object)], ids=["fixed", "variable"]
)
def test_hdf5_features_come_in(tmp_path, ids):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["names/clip"] = ids
        file.create_dataset("embedding", data=np.eye(2), compression="gzip")
    table = read_feature_table(tmp_path / "x.h5", ids="names/clip", values="embedding")
    assert (table.ids, table.columns) == (("c0", "c1"), ("embedding_0", "embedding_1"))


def write_npz(path, **arrays):
    np.savez(path, **{"clip_id": np.array(["c0", "c1"]), "X": np.eye(2), **arrays})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones(2)}, r"X is float64 of shape \(2,\), expected numbers"),
        ({"X": np.array([["a"], ["b"]])}, "expected numbers"),
        ({"X": np.ones((3, 2))}, "2 ids, but 3 rows"),
        ({"clip_id": np.array(["c0", "c0"])}, "the id 'c0' stands twice"),
        ({"X": np.array([[0, 1], [np.nan, 1]])}, "clip c1: X_0 is not a finite number"),
        ({"X": np.array([[0, 1e300], [0, 1]])}, "clip c0: X_1 is not a finite number"),
        ({"columns": np.array(["a"])}, "1 column names, but 2 columns"),
        ({"clip_id": np.array([{}, {}], dtype=object)}, "holds Python objects"),
    ],
)
def test_arrays_that_are_no_table_are_refused(tmp_path, arrays, message):
    write_npz(tmp_path / "x.npz", **arrays)
    with pytest.raises(CacheError, match=message):
        read_feature_table(tmp_path / "x.npz")


def test_an_absurd_shape_is_refused_before_anything_is_allocated(tmp_path):
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64)
    (tmp_path / "x.npy").write_bytes(npy)
    (tmp_path / "ids").write_text("c0\n")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as packed:
        packed.writestr("X.npy", npy)
        packed.writestr("clip_id.npy", npy)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("X", shape=(10**9, 10**6), dtype="f4")
        file["clip_id"] = np.array([b"c0"])
    for name in ("x.npy", "x.npz", "x.h5"):
        with pytest.raises(CacheError, match=r"only 1\d\d bytes are there|more than the file can hold"):
            read_feature_table(tmp_path / name, ids=str(tmp_path / "ids") if name == "x.npy" else "clip_id")


@pytest.mark.parametrize("name", ["x.npz", "x.h5", "x.npy"])
def test_files_of_another_kind_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello")
    (tmp_path / "ids").write_text("c0\n")
    with pytest.raises(CacheError, match=name):
        read_feature_table(tmp_path / name, ids=str(tmp_path / "ids"))
    with pytest.raises(CacheError, match="no such file"):
        read_feature_table(tmp_path / f"absent{name}")


def test_arrays_that_were_not_written_to_their_end_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["clip_id"] = np.array([b"c0", b"c1"])
        half = file.create_dataset("X", shape=(2, 300), chunks=(1, 300), dtype="f4", compression="gzip")
        half[0] = 1
        file.create_dataset("Y", shape=(2, 3), dtype="f4")
    for name, message in (("X", "was not written to its end"), ("Y", "more than the file can hold")):
        with pytest.raises(CacheError, match=message):
            read_feature_table(tmp_path / "x.h5", values=name)


def test_a_few_bytes_that_unpack_to_many_are_refused(tmp_path):
    zeros = np.zeros((1000, 17_000), np.float32)  # 68 MB
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["clip_id"] = np.array([b"c%d" % n for n in range(1000)])
        file.create_dataset("X", data=zeros, compression="gzip", chunks=(1000, 1000))
    np.savez_compressed(tmp_path / "x.npz", X=zeros, clip_id=np.array(["c0"]))
    for name in ("x.h5", "x.npz"):
        with pytest.raises(CacheError, match="than the file can hold"):
            read_feature_table(tmp_path / name)


@pytest.mark.parametrize("name", ["X", "clip_id", "columns"])
@pytest.mark.parametrize("kind", ["soft", "external", "virtual"])
def test_nothing_is_read_through_a_link(tmp_path, name, kind):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["X"] = np.ones((2, 2))
    layout = h5py.VirtualLayout(shape=(2, 2), dtype="f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "X", shape=(2, 2))
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["there"] = np.ones((2, 2))
        for plain in {"X", "clip_id"} - {name}:
            file[plain] = np.ones((2, 2)) if plain == "X" else np.array([b"c0", b"c1"])
        if kind == "virtual":
            file.create_virtual_dataset(name, layout)
        else:
            file[name] = h5py.SoftLink("/there") if kind == "soft" else h5py.ExternalLink(tmp_path / "other.h5", "X")
    with pytest.raises(CacheError, match=r"is a link, which could lead|not a plain dataset"):
        read_feature_table(tmp_path / "x.h5")


def test_a_file_of_a_kind_that_does_not_come_in_is_named_so(tmp_path):
    (tmp_path / "x.mat").write_bytes(b"PAR1")
    with pytest.raises(CacheError, match=r"unknown suffix '.mat'; features come in as one of .csv, .tsv, .txt, .npz"):
        read_feature_table(tmp_path / "x.mat")


def packed_npy(path, name, header, data, method=zipfile.ZIP_DEFLATED):
    head = header.encode().ljust(117) + b"\n"
    with zipfile.ZipFile(path, "a", method) as archive:
        archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        ("{'descr': '|i1', 'fortran_order': False, 'shape': (2, 40000000)}", bytes(60_000_000), "X says int8"),
        (
            "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 50000000)}",
            bytes(100_000_000),
            "more bytes than the file",
        ),
        (
            "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 30000000)}",
            bytes(60_000_000),
            "30,000,000 columns, over",
        ),
        ("{'descr': '|i1', 'fortran_order': False, 'shape': (-2, 2)}", bytes(4), "X says int8 of shape"),
        ("{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2)}", bytes(5), "X goes on after its last number"),
        (
            "{'descr': '|i1', 'fortran_order': False, 'shape': ((2, 2",
            bytes(4),
            r"x\.npz: cannot be read as NPZ \(no header",
        ),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}", bytes(5), "holds Python objects"),
    ],
)
def test_a_packed_array_that_says_more_than_there_is_takes_no_memory(tmp_path, header, data, message):
    np.savez(tmp_path / "x.npz", clip_id=np.array(["c0", "c1"]))
    packed_npy(tmp_path / "x.npz", "X", header, data)
    tracemalloc.start()
    with pytest.raises(CacheError, match=message):
        read_feature_table(tmp_path / "x.npz")
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_ways_of_packing_that_numpy_does_not_know_are_refused(tmp_path):
    write_npz(tmp_path / "x.npz")
    header = "{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2)}"
    packed_npy(tmp_path / "x.npz", "columns", header, bytes(4), zipfile.ZIP_LZMA)
    with pytest.raises(CacheError, match="columns is compressed otherwise than NumPy does"):
        read_feature_table(tmp_path / "x.npz")


def test_names_that_could_not_be_written_are_refused(tmp_path):
    write_npz(tmp_path / "x.npz", columns=np.array(["a", "\ud800"]))
    with pytest.raises(CacheError, match=r"x\.npz: cannot be read as NPZ"):
        read_feature_table(tmp_path / "x.npz")
