"""What an extractor makes of a sound, as a value; it becomes the rows of a clip in a cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.recipe import SoundRecipe
from vjepa_fer.sound.reading import Sound


@dataclass(frozen=True, eq=False)
class Heard:
    """The numbers of one sound.

    Attributes
    ----------
    levels : mapping of str to ndarray of float32, shape (T, D)
        By the level's name, all of the same T; of one vector a clip T is 1.
    seconds : ndarray of float64, shape (T,)
        When what each moment hears begins, from the sound's first sample.
    """

    levels: Mapping[str, np.ndarray]
    seconds: np.ndarray


class Extractor(Protocol):
    """Makes numbers of sounds.

    Attributes
    ----------
    recipe : SoundRecipe
    at_once : int
        Sounds to give it at a time. What it makes of one does not depend on the others, but for rounding.
    """

    recipe: SoundRecipe
    at_once: int

    def check(self, sound: Sound) -> None:
        """Raise :class:`~vjepa_fer.errors.VideoError` for a sound that it can make nothing of."""

    def hear(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What it makes of each."""


def rows_of(clip_id: str, sha256: str, sound: Sound, heard: Heard, *, is_over_time: bool) -> ClipRows:
    """The rows of a clip: one a moment, each with its time on the file's own clock; or one of all."""
    num = len(heard.seconds)
    zeros, ones = np.zeros(num, np.int32), np.ones(num, np.int32)
    width = int(is_over_time)
    levels = {name: values[:, None] if is_over_time else values for name, values in heard.levels.items()}
    return ClipRows(
        clip_id=clip_id,
        source_sha256=sha256,
        start_frame=np.arange(num, dtype=np.int32),
        view=zeros,
        multiplicity=ones,
        num_real_frames=ones,
        frame_indices=np.arange(num, dtype=np.int32)[:, None][:, :width],
        timestamps=(sound.start_seconds + heard.seconds)[:, None][:, :width],
        levels=levels,
    )
