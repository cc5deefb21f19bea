"""Pixels of decoded frames become pixels of the encoder's input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vjepa_fer.recipe import Preprocessing
from vjepa_fer.video import crop_views, normalise, prepare_frame, resize_frame, resized_size, short_side_for

DATA = Path(__file__).parents[1] / "data"
GOLDEN = np.load(DATA / "eval_transforms.npz")
CONFIG = json.loads(str(GOLDEN["config"]))
OPENCV = np.load(DATA / "opencv_resize.npz")


def golden_preprocessing(num_views: int) -> Preprocessing:
    mean, std = tuple(CONFIG["normalize_mean"]), tuple(CONFIG["normalize_std"])
    return Preprocessing(crop_size=CONFIG["crop_size"], num_views=num_views, mean=mean, std=std)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("orientation", ["landscape", "portrait"])
@pytest.mark.parametrize(("name", "num_views"), [("center", 1), ("three_views", 3)])
@pytest.mark.parametrize("prepare", [prepare_frame, lambda frame, p: resize_frame(frame, short_side_for(p))])
def test_views_equal_the_reference_transform(orientation, name, num_views, prepare):
    preprocessing = golden_preprocessing(num_views)
    frames = GOLDEN["frames"] if orientation == "landscape" else GOLDEN["frames"].transpose(0, 2, 1, 3)
    views = crop_views(np.stack([prepare(frame, preprocessing) for frame in frames]), preprocessing)
    ours = normalise(torch.from_numpy(views.copy()), preprocessing).numpy()
    grey_levels = (ours - GOLDEN[f"{name}_{orientation}"]) * np.reshape(preprocessing.std, (3, 1, 1, 1)) * 255
    assert ours.shape == (num_views, 3, 2, 64, 64)
    assert np.abs(grey_levels).max() < 1e-3  # one level would do; every pixel is the same


@pytest.mark.parametrize("case", sorted({name.rsplit("_", 1)[0] for name in OPENCV.files}))
def test_resizing_gives_the_pixels_that_opencv_gives(case):
    resized = resize_frame(OPENCV[f"{case}_input"], int(case.rsplit("_", 1)[1]))
    np.testing.assert_array_equal(resized, OPENCV[f"{case}_resized"])


@pytest.mark.parametrize("size", [(72, 128), (128, 72), (40, 40)])
@pytest.mark.parametrize("num_views", [1, 3])
def test_a_prepared_frame_has_the_views_of_the_whole_resized_one(size, num_views):
    preprocessing = Preprocessing(crop_size=48, num_views=num_views)
    frame = noise(*size, 3)
    whole = resize_frame(frame, short_side_for(preprocessing))
    prepared = prepare_frame(frame, preprocessing)
    expected = crop_views(whole[None], preprocessing)
    np.testing.assert_array_equal(crop_views(prepared[None], preprocessing), expected)


def test_a_frame_seen_from_behind_is_resized_like_its_copy():
    flipped = noise(50, 70, 3)[::-1, ::-1].transpose(1, 0, 2)
    np.testing.assert_array_equal(resize_frame(flipped, 33), resize_frame(flipped.copy(), 33))


def test_a_frame_of_the_right_size_stays_as_it_is():
    frame = noise(48, 64, 3)
    np.testing.assert_array_equal(resize_frame(frame, 48), frame)


@pytest.mark.parametrize(("crop_size", "short_side"), [(224, 256), (256, 292), (384, 438)])
def test_the_short_side_is_larger_than_one_view_and_equal_to_three(crop_size, short_side):
    assert short_side_for(Preprocessing(crop_size=crop_size)) == short_side
    assert short_side_for(Preprocessing(crop_size=crop_size, num_views=3)) == crop_size


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((720, 1280), 384, (384, 682)),
        ((360, 480), 438, (438, 584)),
        ((1280, 720), 438, (778, 438)),
        ((9, 9), 5, (5, 5)),
    ],
)
def test_the_long_side_keeps_the_aspect_and_is_rounded_down(size, short_side, expected):
    assert resized_size(*size, short_side) == expected


def test_views_run_from_left_to_right_and_from_top_to_bottom():
    preprocessing = Preprocessing(crop_size=32, num_views=3)
    landscape = noise(2, 32, 61, 3)
    views = crop_views(landscape, preprocessing)
    for view, start in enumerate([0, 14, 28]):
        np.testing.assert_array_equal(views[view], landscape[:, :, start : start + 32])
    portrait = landscape.transpose(0, 2, 1, 3)
    np.testing.assert_array_equal(crop_views(portrait, preprocessing), views.transpose(0, 1, 3, 2, 4))


def test_three_views_of_square_frames_are_one_and_the_same():
    views = crop_views(noise(2, 32, 32, 3), Preprocessing(crop_size=32, num_views=3))
    assert (views == views[:1]).all()


@pytest.mark.parametrize("num_views", [1, 3])
def test_views_are_slices_and_copy_nothing(num_views):
    preprocessing = Preprocessing(crop_size=32, num_views=num_views)
    frames = noise(2, short_side_for(preprocessing), 80, 3)
    assert np.shares_memory(crop_views(frames, preprocessing), frames)


def test_normalising_is_per_channel_and_puts_channels_first():
    preprocessing = Preprocessing(mean=(0.5, 0.25, 0), std=(0.5, 0.25, 1))
    pixels = torch.tensor([0, 255, 51], dtype=torch.uint8).expand(2, 4, 6, 7, 3)
    normalised = normalise(pixels, preprocessing)
    assert normalised.shape == (2, 3, 4, 6, 7)
    assert normalised.dtype == torch.float32
    assert normalised.is_contiguous()
    torch.testing.assert_close(normalised[0, :, 0, 0, 0], torch.tensor([-1.0, 3.0, 0.2]))
