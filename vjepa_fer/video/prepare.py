"""Decoded frames of one video go in; each comes out as the encoder takes it: whole, or the square round its face, resized."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing
from vjepa_fer.video.transforms import prepare_frame, resize_as_told


class Preparer:
    """What is done to each needed frame of one video, in order: resized whole, or cut to the square round its face first.

    Parameters
    ----------
    squares : ndarray, shape (num_frames, 3), int64, optional
        Left, top and side in every frame of the video.
    """

    def __init__(self, path: str, preprocessing: Preprocessing, squares: np.ndarray | None) -> None:
        self.path, self.preprocessing, self.squares = path, preprocessing, squares
        self._places: Iterator[list[int]] = iter(())

    def begin(self, numbers: np.ndarray, num_frames: int) -> list[int]:
        """Get ready for frames of these numbers, (K,) ascending, of a video of `num_frames`; those to decode come back."""
        if self.squares is not None:
            self._places = iter(self.squares[np.minimum(numbers, len(self.squares) - 1)].tolist())
        return numbers.tolist()

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """The next frame (H, W, 3) uint8, prepared."""
        return self.resize(self.cut(rgb))

    def cut(self, rgb: np.ndarray) -> np.ndarray:
        """The next frame, or the square round its face."""
        if self.squares is None:
            return rgb
        left, top, side = next(self._places)
        return rgb[top : top + side, left : left + side]

    def resize(self, picture: np.ndarray) -> np.ndarray:
        """What was cut, as large as the encoder takes it."""
        if self.squares is None:
            return prepare_frame(picture, self.preprocessing)
        crop = self.preprocessing.crop_size
        whole = slice(0, crop)
        return resize_as_told(picture, (crop, crop), whole, whole, self.preprocessing)

    def result(self, frames: np.ndarray) -> np.ndarray:
        """What was prepared, (K, H, W, 3), once the decoder is done and holds these."""
        return frames

    def check(self, num_frames: int) -> None:
        """Raise :class:`VideoError` unless the video still has as many frames as when faces were looked for."""
        if self.squares is not None and len(self.squares) != num_frames:
            raise VideoError("changed", self.path, "had another number of frames the second time: is it being written?")
