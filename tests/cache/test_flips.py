"""A byte that changed on the disk is never another number in silence: what is read is compared with its sums."""

from __future__ import annotations

import os

import numpy as np
import pytest

from caches import small_recipe, write_small_cache
from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.sums import are_unchanged, joined_checksum, row_checksums
from vjepa_fer.cache.verify import shard_files
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.recipe import Storage

INT8 = small_recipe(storage=Storage(levels=("mean", "frames", "grid:2", "tokens"), token_dtype="int8"))


def everything(root):
    """All that the default read gives of a cache."""
    cache = open_cache(root)
    levels = [cache.features(level) for level in ("mean", "frames", "grid")]
    tokens = [clip.level("tokens") for clip in cache]
    index = [
        [clip.start_frame, clip.view, clip.multiplicity, clip.num_real_frames, clip.frame_indices, clip.timestamps]
        for clip in cache
    ]
    sources = [clip.source_sha256 for clip in cache]
    rows = [list(map(clip.value, cache.manifest.columns)) for clip in cache.manifest]
    return (
        cache.fingerprint,
        [[a.tobytes() for a in level] for level in levels],
        [t.tobytes() for t in tokens],
        [[a.tobytes() for a in arrays] for arrays in index],
        sources,
        rows,
        sorted(map(str, cache.failures.values())),
    )


def mutants(data, count, seed):
    """The bytes with one bit flipped, or one byte replaced, somewhere."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        where = int(rng.integers(len(data)))
        new = data[where] ^ (1 << int(rng.integers(8))) if number % 2 else int(rng.integers(256))
        if new != data[where]:
            yield data[:where] + bytes([new]) + data[where + 1 :]


@pytest.mark.parametrize("recipe", [small_recipe(), INT8], ids=["float16", "int8"])
@pytest.mark.parametrize("remembered", [False, True], ids=["shards", "index"])
def test_no_changed_byte_of_a_shard_is_read_in_silence(tmp_path, recipe, remembered, monkeypatch):
    monkeypatch.setattr("vjepa_fer.cache.index.WORTH_WRITING", 1 if remembered else 99)
    write_small_cache(tmp_path, num_clips=3, recipe=recipe)
    before = everything(tmp_path)
    assert (tmp_path / "shards" / layout.INDEX_NPZ).exists() == remembered
    path = shard_files(tmp_path)[0]
    if remembered:
        check_index(tmp_path, before)
    data, status = path.read_bytes(), path.stat()
    refused = 0
    for mutant in mutants(data, 60, 7):
        path.write_bytes(mutant)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a disk's own fault leaves it
        try:
            assert everything(tmp_path) == before
        except VjepaFerError:
            refused += 1
    assert refused > 10


def check_index(root, before):
    """A changed notebook is forgotten, or made again."""
    path = root / "shards" / layout.INDEX_NPZ
    data = path.read_bytes()
    for mutant in mutants(data, 60, 8):
        path.write_bytes(mutant)
        assert everything(root) == before
    path.write_bytes(data)


@pytest.mark.parametrize(("num_rows", "row_bytes"), [(1, 1), (1, 5120), (2, 3), (7, 64), (100, 1), (1023, 36), (5, 0)])
def test_the_checksum_of_many_rows_follows_from_those_of_each(num_rows, row_bytes):
    rows = np.random.default_rng(0).integers(0, 256, (num_rows, row_bytes), dtype=np.uint8)
    sums = row_checksums(rows)
    assert joined_checksum(sums, row_bytes) == row_checksums(rows.reshape(1, -1))[0]
    assert are_unchanged(rows, sums)
    if row_bytes:
        rows[num_rows // 2, row_bytes // 2] ^= 16
        assert not are_unchanged(rows, sums)


def test_tokens_are_compared_when_a_clip_is_first_read_unless_that_is_declined(tmp_path):
    write_small_cache(tmp_path)
    cache, careless = open_cache(tmp_path), open_cache(tmp_path, check_tokens=False)
    before = cache[3].level("tokens")
    path = shard_files(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[int(cache.shards[0].offsets["levels/tokens"][6]) + 1] ^= 1
    path.write_bytes(data)
    assert (cache[3].level("tokens") != before).any()  # it was looked at once
    assert (careless[3].level("tokens") != before).any()
    with pytest.raises(VjepaFerError, match="clip c3: levels/tokens is damaged: not what was written"):
        open_cache(tmp_path)[3].level("tokens")
    with pytest.raises(VjepaFerError, match="clip c3: levels/tokens is damaged"):
        open_cache(tmp_path).features("tokens")
