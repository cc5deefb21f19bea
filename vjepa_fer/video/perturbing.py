"""Decoded frames go in one by one; the frames that windows need come out, perturbed as the recipe says and only then resized.

A perturbation of time asks for other frames than those that are shown, some of them several times: only they are decoded. What has to see
all frames at once (H.264) holds them in their full size until the last has come.
"""

from __future__ import annotations

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.perturb.steps import face_of, needs_film, on_film, on_picture, steps_of, trace
from vjepa_fer.recipe import Perturbation
from vjepa_fer.video.prepare import Preparer


class Perturbing(Preparer):
    """A :class:`~vjepa_fer.video.prepare.Preparer` that perturbs each frame, or square round its face, before it resizes it.

    Parameters
    ----------
    plain : Preparer
        Of the same film without.
    asked : Perturbation
    clip_id : str
        Whose draws it gets.
    max_bytes : int
        Of all frames that are held at once.
    """

    def __init__(self, plain: Preparer, asked: Perturbation, clip_id: str, max_bytes: int) -> None:
        super().__init__(plain.path, plain.preprocessing, plain.squares)
        self.steps, self.face = steps_of(asked, clip_id), face_of(plain.preprocessing)
        self.at_once, self.max_bytes = needs_film(self.steps), max_bytes

    def begin(self, numbers: np.ndarray, num_frames: int) -> list[int]:
        """Get ready for the frames that are shown at `numbers`, (K,) ascending; those to decode come back."""
        self.traced = trace(self.steps, numbers, num_frames)
        sources = np.unique(self.traced.sources)
        self._coming = iter(sources.tolist())
        self._frames, self._pictures = np.empty(0, np.uint8), dict[int, np.ndarray]()
        return super().begin(sources, num_frames)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Take the next decoded frame; nothing of it stays with the decoder."""
        picture = self.cut(rgb)
        for place in np.flatnonzero(self.traced.sources == next(self._coming)).tolist():
            if self.at_once:
                self._check_room(picture)
                self._pictures[place] = picture
            else:
                self._keep(place, self.resize(on_picture(self.steps, picture, self._places_of(place), self.face)))
        return np.zeros(1, np.uint8)

    def result(self, frames: np.ndarray) -> np.ndarray:
        """All frames that are needed, (K, H, W, 3)."""
        if self.at_once:
            pictures = [self._pictures.pop(place) for place in range(len(self.traced.sources))]
            for place, one in enumerate(on_film(self.steps, pictures, self.traced.places, self.face)):
                self._keep(place, self.resize(one))
        return self._frames

    def _places_of(self, place: int) -> np.ndarray:
        return self.traced.places[:, place]

    def _keep(self, place: int, pixels: np.ndarray) -> None:
        if not self._frames.size:
            self._check_room(pixels)
            self._frames = np.empty((len(self.traced.sources), *pixels.shape), np.uint8)
        self._frames[place] = pixels

    def _check_room(self, one: np.ndarray) -> None:
        count = len(self.traced.sources)
        if count * one.nbytes > self.max_bytes:
            message = (
                f"{count:,} of its frames are perturbed, {count * one.nbytes / 1e9:.1f} GB of pixels; at most "
                f"{self.max_bytes / 1e9:.1f} GB are held: sample fewer (a larger stride, segments) or cut the film up"
            )
            raise VideoError("too_long", self.path, message)
