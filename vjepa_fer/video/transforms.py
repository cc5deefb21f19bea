"""Pixels of decoded frames become pixels of the encoder's input: resized once, cut into views as slices, normalised on the device.

V-JEPA has two evaluation transforms, chosen by the number of views (crop 224, landscape frames)::

    1 view    short side → 256   ┌──┬─────┬──┐        3 views   short side → 224   ┌─────╥──╥─────┐
                                 │  │ 224 │  │                                     │ 0   ║1 ║   2 │
                                 └──┴─────┴──┘                                     └─────╨──╨─────┘
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from vjepa_fer.recipe import Preprocessing, Processor
from vjepa_fer.video.antialias import CUBIC, TRIANGLE, antialiased_region

if TYPE_CHECKING:
    import torch

_ROWS_AT_A_TIME = 32  # keeps the intermediate sums in a core's cache: measured 1.6 times faster than whole frames
_ONE = 1 << 11  # OpenCV's fixed point: weights are whole 2048ths


def short_side_for(preprocessing: Preprocessing) -> int:
    """Length to which the frames' short side is resized, in pixels: ``crop * 256 / 224`` for one view, else the crop's.

    For square crops; :func:`covering_size` is for all.
    """
    crop = preprocessing.crop_size
    return int(crop * 256 / 224) if preprocessing.num_views == 1 else crop


def covering_size(height: int, width: int, crop: tuple[int, int]) -> tuple[int, int]:
    """Height and width after resizing a frame so that it just covers 256 / 224 of an oblong crop; the longer one is rounded down.

    >>> covering_size(720, 1280, (384, 384)) == resized_size(720, 1280, 438)
    True
    >>> covering_size(720, 1280, (288, 512)), covering_size(720, 1280, (288, 576))
    ((329, 584), (370, 658))
    """
    tall, wide = (int(side * 256 / 224) for side in crop)
    if width * crop[0] < height * crop[1]:  # narrower than the crop: the width decides
        return max(int(wide * height / width), tall), wide
    return tall, max(int(tall * width / height), wide)


def resized_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Height and width after resizing the shorter of them to `short_side`; the longer one is rounded down.

    >>> resized_size(720, 1280, 438), resized_size(1280, 720, 438)
    ((438, 778), (778, 438))
    """
    if width < height:
        return int(short_side * height / width), short_side
    return short_side, int(short_side * width / height)


def processed_size(height: int, width: int, resize: tuple[int, ...]) -> tuple[int, int]:
    """Height and width after resizing as a processor says: the short side to so much, or both sides.

    >>> processed_size(720, 1280, (256,)), processed_size(720, 1280, (224, 224))
    ((256, 455), (224, 224))
    """
    return resized_size(height, width, resize[0]) if len(resize) == 1 else (resize[0], resize[1])


def prepare_frame(rgb: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """One decoded frame (H, W, 3) uint8, resized and cut down to the pixels that some view uses.

    Only these are computed: for one view of a 720p frame fewer than half of the resized frame's.

    Returns
    -------
    ndarray, uint8
        The crop, (crop, crop, 3) or of an oblong's shape, for one view; else the whole resized frame, short side `crop`.
    """
    if preprocessing.num_views > 1:
        size = resized_size(rgb.shape[0], rgb.shape[1], short_side_for(preprocessing))
        return resize_as_told(rgb, size, slice(0, size[0]), slice(0, size[1]), preprocessing)
    crop = preprocessing.crop_shape
    if preprocessing.processor is not None:
        size = processed_size(rgb.shape[0], rgb.shape[1], preprocessing.processor.resize)
        rows, columns = (
            slice((side - cut) // 2, (side - cut) // 2 + cut) for side, cut in zip(size, crop, strict=True)
        )
        return resize_as_told(rgb, size, rows, columns, preprocessing)
    size = covering_size(rgb.shape[0], rgb.shape[1], crop)
    return resize_as_told(rgb, size, _centre(size[0], crop[0]), _centre(size[1], crop[1]), preprocessing)


def resize_as_told(
    rgb: np.ndarray, size: tuple[int, int], rows: slice, columns: slice, preprocessing: Preprocessing
) -> np.ndarray:
    """:func:`resize_region`, or the same with antialiasing where the recipe asks for it."""
    if preprocessing.interpolation in _FILTERS:
        return antialiased_region(rgb, size, rows, columns, _FILTERS[preprocessing.interpolation])
    return resize_region(rgb, size, rows, columns)


_FILTERS = {"antialiased": TRIANGLE, "antialiased-bicubic": CUBIC}


def resize_frame(rgb: np.ndarray, short_side: int) -> np.ndarray:
    """A frame (H, W, 3) uint8 with its short side resized to `short_side`: the arithmetic of OpenCV's INTER_LINEAR.

    Two taps and no antialiasing, as V-JEPA's evaluation does; whole numbers, so every machine gets the same pixels.
    """
    height, width = resized_size(rgb.shape[0], rgb.shape[1], short_side)
    return resize_region(rgb, (height, width), slice(0, height), slice(0, width))


def resize_region(rgb: np.ndarray, size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """``resized[rows, columns]`` of the frame `rgb` (H, W, 3) uint8 resized to `size` (height, width), and nothing else of it."""
    if rgb.shape[:2] == size:
        return np.ascontiguousarray(rgb[rows, columns])
    top, bottom, top_weights, bottom_weights = (taps[rows] for taps in _taps(rgb.shape[0], size[0], repeat_edge=True))
    first, last = int(top[0]), int(bottom[-1]) + 1  # the input rows that are needed
    sums = _resize_columns(rgb[first:last], size[1], columns)
    out = np.empty((len(top), sums.shape[1]), np.uint8)
    for part in _parts(len(top)):
        upper = np.multiply(sums[top[part] - first], top_weights[part, None], dtype=np.int32) >> 16
        upper += np.multiply(sums[bottom[part] - first], bottom_weights[part, None], dtype=np.int32) >> 16
        upper += 2
        np.right_shift(upper, 2, out=out[part], casting="unsafe")
    return out.reshape(len(top), -1, 3)


def _resize_columns(rgb: np.ndarray, width: int, columns: slice) -> np.ndarray:
    """Weighted sums of each row's two neighbours, in 128ths of a grey level: (H, W', 3) flattened to (H, W' * 3) int16."""
    left, right, left_weights, right_weights = (taps[columns] for taps in _taps(rgb.shape[1], width, repeat_edge=False))
    channels = np.arange(3)
    left, right = ((taps[:, None] * 3 + channels).ravel() for taps in (left, right))
    left_weights, right_weights = np.repeat(left_weights, 3), np.repeat(right_weights, 3)
    flat = rgb.reshape(rgb.shape[0], -1)
    sums = np.empty((len(flat), len(left)), np.int16)
    for part in _parts(len(flat)):
        both = np.multiply(flat[part].take(left, axis=1, mode="clip"), left_weights, dtype=np.int32)
        both += np.multiply(flat[part].take(right, axis=1, mode="clip"), right_weights, dtype=np.int32)
        np.right_shift(both, 4, out=sums[part], casting="unsafe")
    return sums


def _parts(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_A_TIME) for start in range(0, rows, _ROWS_AT_A_TIME))


@lru_cache(maxsize=16)
def _taps(length: int, resized: int, *, repeat_edge: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For each of `resized` pixels its two neighbours among `length`, and their weights in 2048ths: four arrays.

    Beyond the edge OpenCV repeats the last row with both weights, but gives the last column the whole weight.
    """
    position = ((np.arange(resized) + 0.5) * (1 / (resized / length)) - 0.5).astype(np.float32)
    low = np.floor(position)
    share = position - low
    neighbour = low.astype(np.int64)
    if not repeat_edge:
        share[(neighbour < 0) | (neighbour >= length - 1)] = 0
    weights = (np.rint(value * np.float32(_ONE)).astype(np.int32) for value in (1 - share, share))
    return neighbour.clip(0, length - 1), (neighbour + 1).clip(0, length - 1), *weights


def _centre(length: int, crop: int) -> slice:
    start = round((length - crop) / 2)  # half rounds to even, as the reference does
    return slice(start, start + crop)


def crop_views(frames: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The views of resized frames, as slices of them: nothing is copied, so write to neither.

    Parameters
    ----------
    frames : ndarray, shape (T, H, W, 3)
        Short side :func:`short_side_for`, or as :func:`prepare_frame` returns them.

    Returns
    -------
    ndarray, shape (num_views, T, crop, crop, 3)
        One view: the centre, which may be oblong. More: from left to right, or from top to bottom in portrait, the first at the edge.
    """
    crop, count = preprocessing.crop_size, preprocessing.num_views
    if count == 1:
        height, width = preprocessing.crop_shape
        return frames[None, :, _centre(frames.shape[1], height), _centre(frames.shape[2], width)]
    long_axis = 1 if frames.shape[1] > frames.shape[2] else 2
    step = (frames.shape[long_axis] - crop) // (count - 1)
    shape = (count, len(frames), crop, crop, 3)
    strides = (step * frames.strides[long_axis], *frames.strides)
    return np.lib.stride_tricks.as_strided(frames, shape, strides, writeable=False)


def normalise(pixels: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Frames as pixels become the encoder's input, on the device where they are: send them there as uint8, a quarter of the bytes.

    Parameters
    ----------
    pixels : torch.Tensor, shape (..., T, H, W, 3), uint8

    Returns
    -------
    torch.Tensor, shape (..., 3, T, H, W), float32, contiguous
        ``(pixels / 255 - mean) / std`` per channel, or with a processor's `rescale` and `offset`, as one multiplication and one addition.
    """
    import torch

    of = preprocessing.processor or Processor(resize=(preprocessing.crop_size,))
    mean = tuple(of.offset + m for m in preprocessing.mean)
    scale, shift = _scale_and_shift(mean, preprocessing.std, of.rescale, pixels.device)
    channels_first = pixels.movedim(-1, -4).contiguous()  # as bytes: moving floats would take twice as long
    return channels_first.to(torch.float32).mul_(scale).add_(shift)


@lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], rescale: float, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a byte is multiplied by and what is added, (3, 1, 1, 1) each; made once a device, as a copy to it waits for all that it does."""
    import torch

    def per_channel(values: list[float]) -> torch.Tensor:
        with torch.inference_mode(False):  # ordinary tensors, since the cache outlives that mode
            return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None, None]

    return per_channel([1 / (rescale * s) for s in std]), per_channel([-m / s for m, s in zip(mean, std, strict=True)])
