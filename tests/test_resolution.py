"""Other sizes and frame counts than in training: the encoder adapts, the recipe records it, and what cannot be is said."""

from __future__ import annotations

import pytest
import torch

from test_checkpoint import tiny_config
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.loading import random_encoder
from vjepa_fer.errors import RecipeError
from vjepa_fer.extract import extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage, recipe_differences


def test_the_recipe_records_the_resolution_and_keeps_the_trained_one():
    trained, larger = (load_encoder("tiny-v21", weights="random:0", resolution=r) for r in (None, 96))
    assert recipe_differences(make_recipe(trained), make_recipe(larger)) == {"preprocessing.crop_size": (64, 96)}
    assert make_recipe(larger).token_grid == (8, 6, 6)


@pytest.mark.parametrize(
    ("resolution", "message"),
    [
        (100, "resolution 100 is not a multiple of the patch size, 16 pixels; 96 and 112 are"),
        (7, "resolution 7 is not a multiple of the patch size, 16 pixels; 16 is"),
        (-16, "resolution -16 is not a multiple"),
    ],
)
def test_a_size_that_patches_do_not_fill_is_refused_before_anything_is_read(resolution, message):
    with pytest.raises(RecipeError, match=message):
        load_encoder("tiny-v21", weights="no such file", resolution=resolution)


@pytest.mark.parametrize("family", ["v1", "v2", "v21"])
@pytest.mark.parametrize("shape", [(8, 96, 96), (16, 64, 64), (4, 32, 80)])
def test_every_family_takes_other_sizes_other_lengths_and_oblong_input(family, shape):
    encoder = random_encoder(tiny_config(family), 0)
    frames, height, width = shape
    x = torch.randn(1, 3, *shape, generator=torch.Generator().manual_seed(0))
    tokens = encoder(x)
    assert tokens.shape == (1, frames // 2 * height // 16 * width // 16, 24)
    assert tokens.isfinite().all()


def test_a_video_is_extracted_at_another_size_and_length(tmp_path):
    encoder = load_encoder("tiny-v21", weights="random:0", resolution=96)
    sampling = Sampling(frames_per_window=8, frame_step=2, num_segments=1)
    recipe = make_recipe(encoder, sampling=sampling, storage=Storage(levels=("mean", "tokens")))
    clip = Clip("a", str(write_video(tmp_path / "a.mp4", 20)), "happy", "s1")
    extract_manifest(Manifest(clips=(clip,)), tmp_path / "cache", encoder, recipe)
    cached = open_cache(tmp_path / "cache")
    assert cached[0].level("tokens").shape == (1, 4, 6, 6, 48)
    assert cached.recipe.preprocessing.crop_size == 96
