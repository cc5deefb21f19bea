"""Antialiased resizing is Pillow's and torchvision's, and so Hugging Face's processor's, to one grey level; whole numbers everywhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from test_extract import manifest_of
from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import extract_manifest, make_recipe
from vjepa_fer.predict.loading import _recipe_at_hand
from vjepa_fer.recipe import Preprocessing, Sampling, fingerprint, recipe_from_json, recipe_to_json
from vjepa_fer.report.reproduce import feature_commands
from vjepa_fer.video import crop_views, normalise, prepare_frame
from vjepa_fer.video.antialias import antialiased_region
from vjepa_fer.video.transforms import resize_region, resized_size


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def whole(rgb, height, width):
    return antialiased_region(rgb, (height, width), slice(0, height), slice(0, width))


def torch_resized(rgb, height, width):
    """What torchvision's resize is: torch's own, of bytes."""
    planes = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(planes, (height, width), mode="bilinear", antialias=True)
    return resized[0].permute(1, 2, 0).numpy()


def most_apart(a, b):
    return int(np.abs(a.astype(int) - b).max())


SIZES = [
    (720, 1280, 256),
    (480, 640, 292),
    (100, 80, 60),
    (90, 160, 292),
    (64, 64, 64),
    (37, 211, 5),
    (1080, 1920, 438),
]


@pytest.mark.parametrize(("height", "width", "short"), SIZES)
def test_pixels_are_theirs_to_one_grey_level(height, width, short):
    rgb, size = noise(height, width), resized_size(height, width, short)
    ours = whole(rgb, *size)
    assert most_apart(ours, torch_resized(rgb, *size)) <= 1
    assert most_apart(ours, np.asarray(Image.fromarray(rgb).resize(size[::-1], Image.Resampling.BILINEAR))) <= 1


@settings(max_examples=50, deadline=None)
@given(*[st.integers(1, 60)] * 4, st.integers(0, 9))
def test_of_any_size_to_any_size(height, width, new_height, new_width, seed):
    rgb = noise(height, width, seed)
    assert most_apart(whole(rgb, new_height, new_width), torch_resized(rgb, new_height, new_width)) <= 1


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_region_is_that_part_of_the_whole(data):
    rgb = noise(50, 70)
    size = data.draw(st.tuples(st.integers(4, 90), st.integers(4, 90)))
    (top, bottom), (left, right) = (sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2))) for n in size)
    region = antialiased_region(rgb, size, slice(top, bottom), slice(left, right))
    np.testing.assert_array_equal(region, whole(rgb, *size)[top:bottom, left:right])


def test_a_constant_frame_stays_as_it_is():
    for level in (0, 1, 127, 255):
        rgb = np.full((90, 160, 3), level, np.uint8)
        assert (whole(rgb, 33, 58) == level).all()


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("shape", [(720, 1280), (300, 200)])
def test_a_recipe_that_asks_for_it_gets_it_for_every_view(shape, views):
    rgb = noise(*shape)
    told = Preprocessing(crop_size=96, num_views=views, interpolation="antialiased")
    size = resized_size(*shape, 96 if views > 1 else int(96 * 256 / 224))
    theirs = torch_resized(rgb, *size)
    ours = crop_views(prepare_frame(rgb, told)[None], told)
    assert most_apart(ours, crop_views(theirs[None], told)) <= 1
    plain = resize_region(rgb, size, slice(0, size[0]), slice(0, size[1]))
    assert most_apart(plain, theirs) > 10  # that is why


def test_hugging_faces_processor_gives_these_pixels():
    pytest.importorskip("torchvision")
    from transformers import VJEPA2VideoProcessor

    rgb = noise(720, 1280)
    theirs = VJEPA2VideoProcessor(crop_size=256)(torch.from_numpy(rgb[None]).permute(0, 3, 1, 2), return_tensors="pt")
    told = Preprocessing(crop_size=256, interpolation="antialiased")
    ours = normalise(torch.from_numpy(crop_views(prepare_frame(rgb, told)[None], told)), told)
    level = 1 / 255 / min(told.std)
    torch.testing.assert_close(ours[0].transpose(0, 1), theirs["pixel_values_videos"][0], atol=1.01 * level, rtol=0)


def test_the_recipe_says_it_and_old_ones_keep_their_fingerprints(tmp_path):
    encoder = load_encoder("tiny-v21", weights="random:0")
    plain = make_recipe(encoder, sampling=Sampling(frame_step=1))
    told = make_recipe(encoder, sampling=Sampling(frame_step=1), interpolation="antialiased")
    assert fingerprint(plain) != fingerprint(told)
    assert make_recipe(encoder, sampling=Sampling(frame_step=1), interpolation="bilinear") == plain
    assert recipe_from_json(recipe_to_json(told)) == told == _recipe_at_hand(told, "tiny-v21")
    assert "--interpolation antialiased" in feature_commands(told, "c")[0]
    assert "--interpolation" not in feature_commands(plain, "c")[0]
    clip = write_video(tmp_path / "v.mp4", 30, size=(144, 256))
    for name, recipe in (("plain", plain), ("told", told)):
        extract_manifest(manifest_of([clip]), tmp_path / name, encoder, recipe)
    a, b = (open_cache(tmp_path / name)[0].level("mean") for name in ("plain", "told"))
    assert not np.allclose(a, b, atol=1e-3)
