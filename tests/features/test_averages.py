"""A clip's windows become one vector in one way, whoever asks: features, streams of tokens, both pages' projections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caches import small_manifest, small_recipe, small_rows
from vjepa_fer.cache import ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.pooling import WindowFeatures, mean_of_clip, mean_over_windows
from vjepa_fer.features import TokenStream
from vjepa_fer.judging import Predictions
from vjepa_fer.recipe import Storage
from vjepa_fer.report import look_at_cache, projection, quicklook


@pytest.fixture(params=[("mean", "tokens"), ("frames",), ("tokens",)], ids="+".join)
def cache(tmp_path, request):
    """Clips of one to nine windows, of which a rule made some more than once."""
    recipe = small_recipe(storage=Storage(levels=request.param))
    manifest = small_manifest(9)
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for number, clip in enumerate(manifest, 1):
        writer.add(small_rows(clip.clip_id, recipe, num_rows=number))
    writer.flush()
    return open_cache(tmp_path)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 9), st.integers(0, 99))
def test_a_clip_alone_is_averaged_as_among_others(counts, dim, seed):
    index = np.repeat(np.arange(len(counts)), counts)
    x = np.random.default_rng(seed).normal(size=(len(index), dim)).astype(np.float32)
    together = mean_over_windows(WindowFeatures(x, index, np.ones(len(x), int)), len(counts))
    alone = [mean_of_clip(x[index == number]) for number in range(len(counts))]
    np.testing.assert_array_equal(together, np.stack(alone))


def test_both_pages_and_streams_of_tokens_see_the_clips_that_features_gives(cache, monkeypatch):
    seen = {}
    for page in (projection, quicklook):
        real = page.place_in_plane
        monkeypatch.setattr(
            page,
            "place_in_plane",
            lambda x, *a, name=page.__name__, real=real, **k: (seen.update({name: x}), real(x, *a, **k))[1],
        )
    level = cache.recipe.storage.levels[0]
    x, _, subjects, clip_ids = cache.features(level)
    nothing = np.zeros(len(x), int)
    said = Predictions(
        classes=("a",),
        clip_ids=clip_ids,
        subjects=subjects,
        fold=nothing,
        truth=nothing,
        predicted=nothing,
        probabilities=None,
    )
    projection.project(cache, said, level)
    look_at_cache(cache.root)
    np.testing.assert_array_equal(seen[projection.__name__], x)
    np.testing.assert_array_equal(seen[quicklook.__name__], x.reshape(len(x), -1, 8).mean(axis=1))
    stream = TokenStream(list(cache), level)
    np.testing.assert_array_equal(stream[:].reshape(len(x), -1), x)


def test_the_numbers_of_a_clip_are_those_of_its_features(cache):
    level = cache.recipe.storage.levels[0]
    for row, clip in zip(cache.features(level).X, cache, strict=True):
        np.testing.assert_array_equal(mean_of_clip(clip.level(level)), row)
