"""Other sizes and frame counts than in training: the encoder adapts, the recipe records it, and what cannot be is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from test_checkpoint import tiny_config
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.loading.load import random_encoder
from vjepa_fer.errors import RecipeError
from vjepa_fer.extract import extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import (
    Sampling,
    Storage,
    parse_resolution,
    recipe_differences,
    recipe_from_json,
    recipe_to_json,
)
from vjepa_fer.video.decoding import decode_video
from vjepa_fer.video.transforms import covering_size, normalise, resize_region, resized_size


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


@pytest.mark.parametrize(("text", "shape"), [("384", (384, 384)), ("288x384", (288, 384)), ("16x16", (16, 16))])
def test_a_resolution_is_a_side_or_height_and_width(text, shape):
    assert parse_resolution(text) == shape


@pytest.mark.parametrize("text", ["", "x", "384x", "3x4x5", "-16", "1.5", "²", "384X288", "1000000"])
def test_anything_else_is_no_resolution(text):
    with pytest.raises(RecipeError, match=r"is neither a side, such as 384, nor HEIGHTxWIDTH"):
        parse_resolution(text)


def test_an_oblong_is_in_the_recipe_and_a_square_has_one_spelling():
    square, oblong = (load_encoder("tiny-v21", weights="random:0", resolution=r) for r in ((64, 64), (48, 80)))
    assert make_recipe(square) == make_recipe(load_encoder("tiny-v21", weights="random:0"))
    recipe = make_recipe(oblong, storage=Storage(levels=("mean", "grid:3")))
    assert recipe_from_json(recipe_to_json(recipe)) == recipe
    assert recipe.token_grid == (8, 3, 5)
    assert "crop_width" not in recipe_to_json(make_recipe(square))
    with pytest.raises(RecipeError, match="level grid:4: the token grid is only 3 × 5"):
        make_recipe(oblong)
    with pytest.raises(RecipeError, match="an oblong input has one view"):
        make_recipe(oblong, storage=recipe.storage, num_views=3)


@given(st.integers(16, 2000), st.integers(16, 2000), st.integers(1, 30), st.integers(1, 30))
def test_a_resized_frame_covers_every_crop_and_squares_as_ever(height, width, rows, columns):
    tall, wide = covering_size(height, width, (16 * rows, 16 * columns))
    assert tall >= 16 * rows
    assert wide >= 16 * columns
    assert covering_size(height, width, (16 * rows, 16 * rows)) == resized_size(
        height, width, int(16 * rows * 256 / 224)
    )


def test_a_video_is_extracted_as_an_oblong_that_is_the_middle_of_its_frames(tmp_path):
    encoder = load_encoder("tiny-v21", weights="random:0", resolution=(32, 96))
    recipe = make_recipe(encoder, sampling=Sampling(frame_step=1, num_segments=1), storage=Storage(levels=("tokens",)))
    clip = Clip("a", str(write_video(tmp_path / "a.mp4", 20)), "happy", "s1")
    extract_manifest(Manifest(clips=(clip,)), tmp_path / "cache", encoder, recipe)
    cached = open_cache(tmp_path / "cache")[0]
    frames = decode_video(clip.path).frames[cached.frame_indices[0]]
    size = covering_size(*frames.shape[1:3], (32, 96))
    whole = np.stack([resize_region(f, size, slice(0, size[0]), slice(0, size[1])) for f in frames])
    top, left = round((size[0] - 32) / 2), round((size[1] - 96) / 2)
    middle = torch.from_numpy(whole[None, :, top : top + 32, left : left + 96].copy())
    tokens = encoder.encode(normalise(middle, recipe.preprocessing))[0].reshape(8, 2, 6, 48)
    np.testing.assert_allclose(cached.level("tokens")[0], tokens.half().float(), atol=2e-3)


def test_a_video_is_extracted_at_another_size_and_length(tmp_path):
    encoder = load_encoder("tiny-v21", weights="random:0", resolution=96)
    sampling = Sampling(frames_per_window=8, frame_step=2, num_segments=1)
    recipe = make_recipe(encoder, sampling=sampling, storage=Storage(levels=("mean", "tokens")))
    clip = Clip("a", str(write_video(tmp_path / "a.mp4", 20)), "happy", "s1")
    extract_manifest(Manifest(clips=(clip,)), tmp_path / "cache", encoder, recipe)
    cached = open_cache(tmp_path / "cache")
    assert cached[0].level("tokens").shape == (1, 4, 6, 6, 48)
    assert cached.recipe.preprocessing.crop_size == 96
