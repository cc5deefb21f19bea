"""Levels after several encoder layers: named, stored, read, pooled and refused."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from test_extract import manifest_of
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.loading.load import random_encoder
from vjepa_fer.errors import CacheError, RecipeError
from vjepa_fer.extract import extract_manifest, make_recipe, plan_extraction
from vjepa_fer.recipe import (
    EncoderSpec,
    Sampling,
    Storage,
    level_key,
    levels_of_layers,
    recipe_from_json,
    recipe_to_json,
)
from vjepa_fer.video import normalise, read_windows

LEVELS = ("mean@0", "mean@2", "mean", "frames@1", "grid:2@1", "grid:2", "tokens@1", "tokens")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("tiny-v21", weights="random:1")  # four layers, all with norms of their own


@pytest.fixture
def clip(tmp_path):
    return write_video(tmp_path / "v.mp4", 30)


def extracted(encoder, clip, cache, **storage):
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=LEVELS, **storage))
    extract_manifest(manifest_of([clip]), cache, encoder, recipe)
    return open_cache(cache)[0], recipe


def test_each_layer_has_its_own_norm_and_its_own_rows(tmp_path, encoder, clip):
    cached, recipe = extracted(encoder, clip, tmp_path / "c", token_dtype="float32")
    pixels = read_windows(clip, recipe.sampling, recipe.preprocessing).window_pixels(0)
    with torch.inference_mode():
        hidden = encoder.module.embed(normalise(torch.from_numpy(pixels), recipe.preprocessing), (8, 4, 4))
        tables, by_hand = encoder.module.rotary((8, 4, 4), hidden), []
        for block, norm in zip(encoder.module.blocks, encoder.module.norms_block, strict=True):
            hidden = block(hidden, tables)
            by_hand.append(norm(hidden).numpy().reshape(8, 4, 4, -1))
    np.testing.assert_allclose(cached.level("tokens@1")[0], by_hand[1], atol=1e-5)
    np.testing.assert_allclose(cached.level("tokens")[0], by_hand[3], atol=1e-5)
    for layer, name in ((0, "mean@0"), (2, "mean@2"), (3, "mean")):
        np.testing.assert_allclose(cached.level(name)[0], by_hand[layer].mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(cached.level("frames@1")[0], by_hand[1].mean((1, 2)), atol=1e-5)
    for a, b in itertools.combinations(("mean@0", "mean@2", "mean"), 2):
        assert np.abs(cached.level(a) - cached.level(b)).max() > 0.1


def test_the_last_layers_levels_are_those_of_a_cache_without_layers(tmp_path, encoder, clip):
    cached, recipe = extracted(encoder, clip, tmp_path / "c")
    plain = dataclasses.replace(recipe, storage=Storage(levels=("mean", "tokens")))
    extract_manifest(manifest_of([clip]), tmp_path / "plain", encoder, plain)
    for level in ("mean", "tokens"):
        np.testing.assert_array_equal(cached.level(level), open_cache(tmp_path / "plain")[0].level(level))


def test_layers_are_planned_quantised_pooled_and_read_as_features(tmp_path, encoder, clip):
    cached, recipe = extracted(encoder, clip, tmp_path / "c", token_dtype="int8")
    plan, _ = plan_extraction(manifest_of([clip]), tmp_path / "other", recipe)
    assert plan.level_bytes["tokens@1"] == plan.level_bytes["tokens"] == cached.level("tokens@1").size
    cache = open_cache(tmp_path / "c")
    assert cache.features("grid@1").X.shape == cache.features("grid:2@1").X.shape == (1, 8 * 2 * 2 * 48)
    pooled = pool_cache(tmp_path / "c", tmp_path / "p", ("mean@1", "mean"))[0]
    np.testing.assert_allclose(pooled.level("mean@1"), cached.level("tokens@1").mean((1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(pooled.level("mean"), cached.level("mean"), atol=0.02)
    with pytest.raises(CacheError, match="level tokens@2 is not stored; stored are mean@0, mean@2, mean, frames@1"):
        pool_cache(tmp_path / "c", tmp_path / "q", ("mean@2",))


def test_a_recipe_with_layers_survives_json_in_one_order(encoder):
    recipe = make_recipe(encoder, storage=Storage(levels=LEVELS))
    assert recipe_from_json(recipe_to_json(recipe)) == recipe
    assert make_recipe(encoder, storage=Storage(levels=LEVELS[::-1])) == recipe
    assert recipe.storage.layers == (0, 1, 2, None)
    assert [level_key(level) for level in ("grid:4@5", "grid:4", "mean@5")] == ["grid@5", "grid", "mean@5"]


def test_numbers_of_layers_count_from_both_ends():
    assert levels_of_layers(["mean"], [-1, 5, -7, 2], 12) == ("mean@2", "mean@5", "mean")
    with pytest.raises(RecipeError, match="layer 12: the encoder has 12, counted from 0 to 11"):
        levels_of_layers(["mean"], [12], 12)


@pytest.mark.parametrize("level", ["mean@", "mean@x", "mean@-1", "mean@05", "mean@1@2", "grid@5", "mean:2@1", "@1"])
def test_a_level_that_names_no_layer_is_refused(level):
    with pytest.raises(RecipeError, match="level '"):
        Storage(levels=(level,))


def test_layers_that_an_encoder_lacks_or_has_no_norm_for_are_refused():
    twelve = EncoderSpec(
        name="x", family="v21", img_size=64, embed_dim=48, depth=12, num_heads=4, weights="random:0", state_key="random"
    )
    sixteen = load_encoder("tiny-v21", weights="random:1")
    for layer, message in ((11, "the last one's levels have no number"), (4, r"no trained norm .* 2, 5, 8, 11 do")):
        with pytest.raises(RecipeError, match=message):
            make_recipe(dataclasses.replace(sixteen, spec=twelve), storage=Storage(levels=(f"mean@{layer}",)))


@pytest.mark.parametrize("family", ["v1", "v2"])
def test_v_jepa_1_and_2_norm_every_layer_alike_and_run_none_beyond_the_last_asked_for(family):
    shape = {"img_size": 32, "patch_size": 16, "num_frames": 4, "tubelet_size": 2, "embed_dim": 48, "num_heads": 4}
    config = {"family": family, **shape, "depth": 3, "mlp_ratio": 2.0, "uniform_power": True, "layer_norm_eps": 1e-6}
    module, pixels = random_encoder(config, 0), torch.rand(1, 3, 4, 32, 32)
    module.blocks[2].forward = None  # would fail if it were run
    hidden, tables = module.embed(pixels, (2, 2, 2)), module.rotary((2, 2, 2), pixels)
    for tokens, block in zip(module.layer_tokens(pixels, (0, 1)), module.blocks, strict=False):
        hidden = block(hidden, tables)
        torch.testing.assert_close(tokens, module.norm(hidden))


def test_the_command_line_takes_layers(tmp_path, clip):
    from test_cli import run
    from vjepa_fer.manifest import write_manifest

    write_manifest(manifest_of([clip]), tmp_path / "clips.csv")
    words = ["extract", "clips.csv", "c", "--model", "tiny-v21", "--weights", "random:1", "--level", "mean"]
    run(*words, "--layers", "hierarchical", cwd=tmp_path)
    assert open_cache(tmp_path / "c").recipe.storage.levels == ("mean@0", "mean@1", "mean@2", "mean")
    for wrong, said in (("1;2", "write numbers"), ("4", "counted from 0 to 3")):
        done = run(*words, "--layers", wrong, cwd=tmp_path, status=2)
        assert said in " ".join(done.stderr.replace("│", " ").split())
