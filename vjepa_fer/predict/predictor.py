"""A fitted probe and its encoder go in; a function from video files to class probabilities comes out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.cache import Cache
from vjepa_fer.decisions import Joined, join_windows
from vjepa_fer.fitted import FittedProbe
from vjepa_fer.predict.attention import Attention, token_shape
from vjepa_fer.predict.features import cache_of_clip
from vjepa_fer.predict.timeline import NUM_KEY_FRAMES, Timeline
from vjepa_fer.recipe import Recipe

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.video import ClipPixels


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a probe says about one video.

    Attributes
    ----------
    path : Path
    classes : tuple of str
    probabilities : ndarray of float64, shape (num_classes,)
    decided : int
        The number of the class decided for, as the run's clips were decided.
    num_frames, num_windows : int
    shorter_than_window : bool
        The last frame was repeated to fill a window, as in extraction.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: np.ndarray
    decided: int
    num_frames: int
    num_windows: int
    shorter_than_window: bool

    @property
    def label(self) -> str:
        """The class decided for."""
        return self.classes[self.decided]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probabilities[self.decided])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        said = dict(zip(self.classes, map(float, self.probabilities), strict=True))
        return {
            "path": str(self.path),
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": said,
            "num_frames": self.num_frames,
            "num_windows": self.num_windows,
            "shorter_than_window": self.shorter_than_window,
        }


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted probe with the encoder that its features came from: call it with a video file.

    Attributes
    ----------
    fitted : FittedProbe
    encoder : LoadedEncoder
    recipe : Recipe
        What is done to a video: the probe's own recipe, but for a face crop that was asked for or declined by name.
    """

    fitted: FittedProbe
    encoder: LoadedEncoder
    recipe: Recipe

    @property
    def departs(self) -> bool:
        """Videos are treated otherwise than the clips that the probe was fitted on."""
        return self.recipe != self.fitted.recipe

    def __call__(self, path: str | os.PathLike[str]) -> Prediction:
        """Class probabilities of one video, decided as the run's clips were.

        Raises
        ------
        VideoError
            It cannot be decoded; see its ``reason``.
        """
        with self._read(path) as (cache, pixels):
            return self._predict(path, cache, pixels)

    def look(self, path: str | os.PathLike[str]) -> tuple[Prediction, Attention]:
        """The prediction, and where the attentive probe behind it looked, from one pass through the encoder.

        Raises
        ------
        ProbeError
            The probe is not attentive, or sees a clip as one vector.
        VideoError
            It cannot be decoded.
        """
        shape = token_shape(self.fitted, self.recipe)
        with self._read(path) as (cache, pixels):
            prediction = self._predict(path, cache, pixels)
            features = self._windows(cache) if self.fitted.windowed else cache.features(self.fitted.level).X
        weights = self.fitted.attention(features, level=self.fitted.level, recipe=self.fitted.recipe)
        return prediction, Attention.of(Path(path), pixels, weights.reshape(*weights.shape[:2], *shape))

    def attention(self, path: str | os.PathLike[str]) -> Attention:
        """As :meth:`look`, without the prediction."""
        return self.look(path)[1]

    def _predict(self, path: str | os.PathLike[str], cache: Cache, pixels: ClipPixels) -> Prediction:
        probabilities, decided = self._decide_clip(cache)
        return Prediction(
            path=Path(path),
            classes=self.fitted.classes,
            probabilities=probabilities,
            decided=decided,
            num_frames=pixels.num_frames,
            num_windows=len(pixels.windows),
            shorter_than_window=any(w.num_real_frames < len(w.frame_indices) for w in pixels.windows),
        )

    def timeline(self, path: str | os.PathLike[str], *, stride: int = 8) -> Timeline:
        """Class probabilities of every window, one every `stride` frames; memory does not grow with the video's length.

        A window is made as the recipe says; only where windows lie is another rule than the probe was fitted under.

        Raises
        ------
        VideoError
            It cannot be decoded.
        """
        from vjepa_fer.video.streaming import map_windows

        sampling = dataclasses.replace(self.recipe.sampling, mode="sliding", stride=stride)
        recipe = dataclasses.replace(self.recipe, sampling=sampling)

        def decide(pixels: ClipPixels) -> np.ndarray:
            with cache_of_clip(pixels, self.encoder, recipe, self.fitted.level) as cache:
                rows = cache.window_features(self.fitted.level).X
            return self._decide_windows(rows)

        found = map_windows(path, sampling, recipe.preprocessing, decide, num_kept=NUM_KEY_FRAMES)
        start, end = found.timestamps[:, 0], found.timestamps[:, -1]
        said = np.concatenate(found.results)
        return Timeline(Path(path), self.fitted.classes, start, end, said, found.kept, found.kept_seconds)

    def _windows(self, cache: Cache) -> np.ndarray:
        return cache.window_features(self.fitted.level).X

    def _decide_clip(self, cache: Cache) -> tuple[np.ndarray, int]:
        """Probabilities (num_classes,) of one row of features, or of the answers about windows joined; and the class decided for."""
        if self.fitted.windowed:
            joined = self._join(self._windows(cache), num_clips=1)
            return joined.probabilities[0], int(joined.predicted[0])
        features = cache.features(self.fitted.level).X
        return self._decide(features)[0], int(self._votes(features)[0])

    def _decide_windows(self, rows: np.ndarray) -> np.ndarray:
        """Views of a window side by side (num_windows · num_views, dim) → (num_windows, num_classes)."""
        num_views = self.recipe.preprocessing.num_views
        if self.fitted.windowed:
            return self._join(rows, num_clips=len(rows) // num_views).probabilities
        return self._decide(rows.reshape(-1, num_views, rows.shape[1]).mean(axis=1))

    def _join(self, rows: np.ndarray, *, num_clips: int) -> Joined:
        clip = np.repeat(np.arange(num_clips), len(rows) // num_clips)
        return join_windows(self.fitted.decision, self._decide(rows), self._votes(rows), clip)

    def _decide(self, features: np.ndarray) -> np.ndarray:
        said = self.fitted.predict_proba(features, level=self.fitted.level, recipe=self.fitted.recipe)
        return np.asarray(said, dtype=np.float64)

    def _votes(self, features: np.ndarray) -> np.ndarray:
        return self.fitted.predict(features, level=self.fitted.level, recipe=self.fitted.recipe)

    @contextmanager
    def _read(self, path: str | os.PathLike[str]) -> Iterator[tuple[Cache, ClipPixels]]:
        """The video as a cache of one clip, rounded and pooled like the probe's own, for as long as the block runs."""
        from vjepa_fer.video.reading import read_clip

        pixels, sha256 = read_clip(path, self.recipe.sampling, self.recipe.preprocessing)
        with cache_of_clip(pixels, self.encoder, self.recipe, self.fitted.level, sha256=sha256) as cache:
            yield cache, pixels
