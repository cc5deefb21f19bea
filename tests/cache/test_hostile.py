"""Whatever a file holds, reading it ends in an error that names it or in the right numbers: no crash, no hang, no silent zeros."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caches import reseal, small_manifest, write_small_cache
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.imports import FeatureTable, import_features
from vjepa_fer.cache.verify import shard_files, verify_cache
from vjepa_fer.errors import CacheError, VjepaFerError

FUZZER = Path(__file__).parents[2] / "benchmarks" / "fuzz_cache.py"


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")
@pytest.mark.parametrize("token_dtype", ["float16", "int8"])
def test_no_broken_shard_out_of_two_hundred_does_harm(token_dtype):
    command = [sys.executable, str(FUZZER), "--inputs", "200", "--token-dtype", token_dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["faults"] == []
    assert sum(result["ends"].values()) == 200
    assert min(result["ends"].values()) > 0


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "cache"
    write_small_cache(root, num_clips=3)
    open_cache(root)
    return root


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["cache.json", "manifest.csv", "failed.csv"]),
    place=st.floats(0, 1),
    junk=st.binary(max_size=40),
)
def test_broken_texts_of_a_cache_are_refused_or_harmless(cache, name, place, junk):
    path = cache / name
    data = path.read_bytes() if path.exists() else b"clip_id,path,reason,message,traceback_sha256\nc9,,missing,,\n"
    at = int(place * len(data))
    whole = path.exists()
    path.write_bytes(data[:at] + junk + data[at + len(junk) :])
    with contextlib.suppress(VjepaFerError):
        opened = open_cache(cache)
        assert opened.done == {"c0", "c1", "c2"}
        assert not opened.failures.keys() & opened.done
    path.write_bytes(data) if whole else path.unlink()


def leaves(data, path=()):
    for name, value in data.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from leaves(value, (*path, name))


ODD = [
    0,
    -1,
    1.0,
    8.0,
    32.0,
    10**30,
    float("nan"),
    "x",
    "",
    None,
    [],
    {},
    True,
    ["mean", 3],
    [[["a"]]],
    "int8",
    ["grid:-1"],
]


def test_a_recipe_with_a_right_fingerprint_and_odd_values_is_refused_or_harmless(tmp_path):
    write_small_cache(tmp_path, num_clips=1)
    whole = json.loads((tmp_path / "cache.json").read_text())
    for path in leaves(whole["recipe"]):
        for odd in ODD:
            recipe = copy.deepcopy(whole["recipe"])
            part = functools.reduce(dict.__getitem__, path[:-1], recipe)
            part[path[-1]] = odd
            text = json.dumps(recipe, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            signed = {"recipe": recipe, "fingerprint": hashlib.sha256(text.encode()).hexdigest()}
            (tmp_path / "cache.json").write_text(json.dumps(whole | signed))
            with contextlib.suppress(VjepaFerError):
                open_cache(tmp_path).features()


def add_vlen(file):
    del file.attrs["recipe"]
    file.attrs["recipe"] = "a text of variable length"


def add_megabytes(file):
    file.attrs["fingerprint"] = np.bytes_(b"x" * (17 << 20))


def compress(file):
    data = file["levels/tokens"][:]
    del file["levels/tokens"]
    file.create_dataset("levels/tokens", data=data, chunks=(1, *data.shape[1:]), compression="gzip")


def unchunk(file):
    data = file["levels/tokens"][:]
    del file["levels/tokens"]
    file.create_dataset("levels/tokens", data=data)


def scatter(file):
    ids = file["index/clip_id"][:]
    file["index/clip_id"][:] = np.roll(ids, 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (add_vlen, "'recipe' is no text of fixed length"),
        (add_megabytes, "'fingerprint' is absurdly large"),
        (compress, "levels/tokens (stores|is compressed)"),
        (unchunk, "levels/tokens is compressed, or chunked otherwise"),
        (scatter, "the rows of a clip are not adjacent"),
        (
            lambda f: f["index/multiplicity"].write_direct(np.zeros(12, "<i4")),
            "index/multiplicity holds a value below 1",
        ),
        (lambda f: f["index/source_sha256"].write_direct(np.full(12, b"\xff" * 64)), "no hexadecimal digits"),
    ],
)
def test_what_the_format_forbids_is_refused(tmp_path, edit, message):
    write_small_cache(tmp_path)
    with h5py.File(shard_files(tmp_path)[0], "r+", libver="v110") as file:
        edit(file)
    reseal(shard_files(tmp_path)[0])
    with pytest.raises(CacheError, match=message):
        open_cache(tmp_path)


def attribute(name, value, **form):
    def edit(file):
        del file.attrs[name]
        file.attrs.create(name, value, **form)

    return edit


def wide_attribute(name):
    """A whole number of 128 bits."""

    def edit(file):
        del file.attrs[name]
        kind = h5py.h5t.STD_U64LE.copy()
        kind.set_size(16)
        kind.set_precision(128)
        h5py.h5a.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))

    return edit


ODD_ATTRIBUTES = [
    np.uint64(2**64 - 1),
    np.int64(-(2**63)),
    np.bytes_(b"9" * 5000),
    np.bytes_(b"\xff\xfe"),
    np.arange(3),
    np.empty(0),
    np.array([1]),
    np.nan,
    np.bool_(True),
    np.void(b"1"),
    h5py.Empty("i8"),
]


@pytest.mark.parametrize("name", ["format", "format_version", "recipe", "fingerprint"])
def test_an_absurd_attribute_is_refused(tmp_path, name):
    write_small_cache(tmp_path)
    (shard,) = shard_files(tmp_path)
    whole = shard.read_bytes()
    for edit in [*(attribute(name, value) for value in ODD_ATTRIBUTES), wide_attribute(name)]:
        shard.write_bytes(whole)
        with h5py.File(shard, "r+", libver="v110") as file:
            edit(file)
        with pytest.raises(CacheError, match=re.escape(shard.name)):
            open_cache(tmp_path)


def rewrite_without_sums(shard, **shapes):
    """The same objects in HDF5's first layout, where no checksum guards a number; those of `shapes` empty, and of these."""
    old = shard.with_suffix(".old")
    with h5py.File(shard) as source, h5py.File(old, "w", libver="earliest") as file:
        for name in source.attrs:
            file.attrs.create(name, source.attrs[name], dtype=source.attrs.get_id(name).dtype)

        def copy_dataset(name, found):
            if name in shapes:
                file.create_dataset(name, shapes[name], found.dtype, chunks=found.chunks)
            elif isinstance(found, h5py.Dataset):
                file.create_dataset(name, data=found[:], dtype=found.dtype, chunks=found.chunks)

        source.visititems(copy_dataset)
    old.replace(shard)


def put_number(shard, old, new):
    data, number = shard.read_bytes(), old.to_bytes(8, "little")
    assert data.count(number) > 0
    shard.write_bytes(data.replace(number, new.to_bytes(8, "little")))


BEYOND = [2**40, 2**63 - 8, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]


@pytest.mark.parametrize("name", ["levels/tokens", "levels/grid"])
def test_a_row_that_lies_beyond_every_file_is_refused(tmp_path, name):
    write_small_cache(tmp_path)
    (shard,) = shard_files(tmp_path)
    rewrite_without_sums(shard)
    assert verify_cache(tmp_path).problems == ()
    with h5py.File(shard) as file:
        place = file[name].id.get_chunk_info(0).byte_offset
    whole = shard.read_bytes()
    for beyond in BEYOND:
        shard.write_bytes(whole)
        put_number(shard, place, beyond)
        with pytest.raises(CacheError, match=re.escape(shard.name)):
            open_cache(tmp_path)
        assert verify_cache(tmp_path).problems[0].shard == shard.name


@pytest.mark.parametrize(
    "name", ["index/clip_id", "index/frame_indices", "levels/mean", "levels/tokens", "checksums/levels/mean"]
)
@pytest.mark.parametrize("beyond", [2**31, 2**32 + 12, *BEYOND])
def test_a_dataset_of_an_absurd_shape_is_refused(tmp_path, name, beyond):
    write_small_cache(tmp_path)
    (shard,) = shard_files(tmp_path)
    with h5py.File(shard) as file:
        shape = (4321, *file[name].shape[1:])
    rewrite_without_sums(shard, **{name: shape})
    put_number(shard, 4321, beyond)
    assert verify_cache(tmp_path).problems[0].shard == shard.name
    if not name.startswith("checksums"):  # which only verify looks at
        with pytest.raises(CacheError, match=re.escape(shard.name)):
            open_cache(tmp_path)


def test_a_foreign_block_before_the_file_is_refused(tmp_path):
    write_small_cache(tmp_path)
    path = shard_files(tmp_path)[0]
    path.write_bytes(bytes(512) + path.read_bytes())
    with pytest.raises(CacheError, match="begins with a foreign block of 512 bytes"):
        open_cache(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo] if hasattr(os, "mkfifo") else [])
def test_what_is_no_file_is_not_waited_for(tmp_path, make):
    write_small_cache(tmp_path)
    make(tmp_path / "shards" / "a.h5")
    with pytest.raises(CacheError, match=r"a\.h5: not a file"):
        open_cache(tmp_path)
    assert verify_cache(tmp_path).problems[0].shard == "a.h5"


def test_a_recipe_of_many_columns_fits_into_a_shard(tmp_path):
    columns = tuple(f"feature_{n}" for n in range(10_000))
    table = FeatureTable(("c0", "c1"), columns, np.ones((2, 10_000), np.float32), "wide.csv", "0" * 64)
    cache, _ = import_features(table, tmp_path / "cache", small_manifest(2))
    assert cache.recipe.columns == columns
    assert verify_cache(tmp_path / "cache").problems == ()
