"""A copy of a cache is a cache only when it is finished, and the same command finishes it."""

from __future__ import annotations

import os
import shutil
import signal

import numpy as np
import pytest

from caches import small_manifest, write_small_cache
from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache import writer as writer_module
from vjepa_fer.cache.copying import merge_caches, subset_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.verify import verify_cache
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import recipe_to_json

COPIES = {
    "merge": lambda source, out: merge_caches([source], out),
    "subset": lambda source, out: subset_cache(source, out, lambda clip: clip.label != "sad"),
    "pool": lambda source, out: pool_cache(source, out, ("mean", "grid:2")),
}


@pytest.fixture(params=COPIES)
def copy(request, monkeypatch):
    """A way to copy, in shards of a clip each."""
    monkeypatch.setattr("vjepa_fer.cache.copying.DEFAULT_SHARD_BYTES", 1)
    real = ShardWriter.__init__
    monkeypatch.setattr(ShardWriter, "__init__", lambda self, *a, **k: real(self, *a, **{**k, "shard_bytes": 1}))
    return COPIES[request.param]


def numbers(cache):
    return {c.clip.clip_id: [c.level(level).tobytes() for level in cache.recipe.storage.levels] for c in cache}


def stop_after(monkeypatch, num_shards, how):
    """The third shard is not written: the disk is full, or the process is killed."""
    written, real = [], writer_module.write_durably

    def write(path, content, **options):
        if len(written) == num_shards:
            how()
        written.append(path)
        return real(path, content, **options)

    monkeypatch.setattr(writer_module, "write_durably", write)


def no_space():
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("fault", ["full", "killed"])
def test_half_a_copy_is_no_cache_and_the_same_call_finishes_it(tmp_path, monkeypatch, copy, fault):
    write_small_cache(tmp_path / "a")
    whole = numbers(copy(tmp_path / "a", tmp_path / "whole"))
    with monkeypatch.context() as patch:
        if fault == "full":
            stop_after(patch, 2, no_space)
            with pytest.raises(OSError, match="No space left"):
                copy(tmp_path / "a", tmp_path / "out")
        elif not (pid := os.fork()):
            stop_after(patch, 2, lambda: os.kill(os.getpid(), signal.SIGKILL))
            copy(tmp_path / "a", tmp_path / "out")
        else:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    half = sorted((tmp_path / "out" / "shards").glob("*.h5"))
    assert len(half) == 2
    for use in (open_cache, verify_cache):
        with pytest.raises(CacheError, match=r"out: a copy that was not finished; the same `vjepa-fer cache` command"):
            use(tmp_path / "out")
    with pytest.raises(CacheError, match="holds a copy that was not finished"):
        prepare_cache(tmp_path / "out", open_cache(tmp_path / "a").recipe, small_manifest())
    before = [path.stat().st_mtime_ns for path in half]
    done = copy(tmp_path / "a", tmp_path / "out")
    assert numbers(done) == whole
    assert [path.stat().st_mtime_ns for path in half] == before  # what was there was not written again
    assert sum(map(len, done.shards)) == 2 * len(whole)
    assert verify_cache(tmp_path / "out").problems == ()
    assert not (tmp_path / "out" / layout.COPYING_JSON).exists()


def test_another_copy_does_not_go_on_with_what_was_begun(tmp_path, monkeypatch):
    write_small_cache(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with monkeypatch.context() as patch:
        stop_after(patch, 0, no_space)
        with pytest.raises(OSError, match="No space left"):
            merge_caches([tmp_path / "a"], tmp_path / "out")
    with pytest.raises(
        CacheError, match=r"holds the beginning of another copy \(other source\); choose another folder"
    ):
        merge_caches([tmp_path / "b"], tmp_path / "out")
    with pytest.raises(CacheError, match=r"another copy \(other manifest\)"):
        subset_cache(tmp_path / "a", tmp_path / "out", lambda clip: clip.clip_id == "c1")
    with pytest.raises(CacheError, match=r"another copy \(other fingerprint\)"):
        pool_cache(tmp_path / "a", tmp_path / "out", ("mean",))
    assert len(merge_caches([tmp_path / "a"], tmp_path / "out")) == 6


def test_a_copy_says_what_its_source_says(tmp_path):
    write_small_cache(tmp_path / "a")
    copy = merge_caches([tmp_path / "a"], tmp_path / "out")
    assert recipe_to_json(copy.recipe) == recipe_to_json(open_cache(tmp_path / "a").recipe)
    assert copy.manifest.clips == open_cache(tmp_path / "a").manifest.clips
    np.testing.assert_array_equal(copy.features().X, open_cache(tmp_path / "a").features().X)
