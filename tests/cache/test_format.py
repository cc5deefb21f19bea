"""Caches of every released format version are read for ever; what they hold is known by formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from caches import token_volume
from vjepa_fer.cache import open_cache

DATA = Path(__file__).parents[1] / "data"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FORMAT_PAGE = Path(__file__).parents[2] / "vjepa_fer" / "cache" / "FORMAT.md"
CACHES = ("cache_v1_float16", "cache_v1_int8", "cache_v1_float32")


@pytest.mark.parametrize("name", CACHES)
def test_a_cache_of_every_format_version_is_read_number_for_number(name):
    cache = open_cache(DATA / name)
    assert [clip.clip.clip_id for clip in cache] == ["c0", "c1", "c2"]
    for number, clip in enumerate(cache):
        tokens = np.stack([token_volume(number, row) for row in range(2)])
        half_step = np.ptp(tokens) / 254 / 2 * 1.001 if name.endswith("int8") else 0
        np.testing.assert_allclose(clip.level("tokens"), tokens, rtol=0, atol=half_step)
        np.testing.assert_allclose(clip.level("grid:1")[:, :, 0, 0], tokens.mean((2, 3)), rtol=0, atol=half_step)
        np.testing.assert_array_equal(clip.level("frames"), tokens.mean((2, 3)))
        np.testing.assert_array_equal(clip.level("mean"), tokens.mean((1, 2, 3)))


@pytest.mark.parametrize("name", CACHES)
def test_what_is_beside_the_tokens_is_read_too(name):
    cache = open_cache(DATA / name)
    clip = cache[1]
    assert (clip.clip.label, clip.clip.subject, clip.clip.extra["take"]) == ("happy", "s0", "1")
    assert clip.multiplicity.tolist() == [1, 3]
    assert clip.frame_indices.tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]]
    np.testing.assert_array_equal(clip.timestamps, clip.frame_indices / 25)
    assert clip.source_sha256 == "1" * 64
    assert cache.failures["c3"].reason == "truncated"
    assert cache.recipe.encoder.name == "tiny"


def test_the_fingerprint_of_a_stored_recipe_never_changes():
    assert open_cache(DATA / "cache_v1_float16").fingerprint[:16] == "bd83d30039daf61e"


def test_the_figures_on_the_format_page_are_those_of_the_benchmarks():
    page = " ".join((FORMAT_PAGE.read_text(encoding="utf-8")).split())
    fuzz, bench = (json.loads((BENCHMARKS / f"{name}_cache.json").read_text()) for name in ("fuzz", "bench"))
    assert fuzz["inputs"] >= 10_000
    assert fuzz["faults"] == []
    for count in (fuzz["inputs"], *fuzz["ends"].values()):
        assert f"{count:,}" in page
    rates = bench["tokens_gigabytes_per_second"]
    for name, shown in (("vjepa-fer", "this cache, with its checksums"), ("zarr v3", "zarr v3")):
        row = [f"{rates[name][what]['cpu']['median']:.1f}" for what in ("write", "sequential", "random")]
        assert f"| {shown} | {' | '.join(row)} |" in page
    for kind, error in bench["int8"]["rms_error_share_of_channel_spread"].items():
        assert f"{100 * error['median']:.2f} %" in page, kind
        assert f"{100 * error['largest']:.2f} %" in page, kind
