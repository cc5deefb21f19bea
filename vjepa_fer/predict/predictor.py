"""A run folder goes in; a function from video files to class probabilities comes out."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.cache import Cache, ShardWriter, open_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cache.folder import create_cache
from vjepa_fer.errors import RecipeError, RunError
from vjepa_fer.extras import require_extra
from vjepa_fer.fitted import FittedProbe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.predict.timeline import Timeline
from vjepa_fer.recipe import Recipe, Sampling, Storage, require_same_recipe
from vjepa_fer.runs import load_fitted

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
    num_frames, num_windows : int
    shorter_than_window : bool
        The last frame was repeated to fill a window, as in extraction.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: np.ndarray
    num_frames: int
    num_windows: int
    shorter_than_window: bool

    @property
    def label(self) -> str:
        """The most probable class, the first of equals."""
        return self.classes[int(self.probabilities.argmax())]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return float(self.probabilities.max())

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
        Of the probe and of the encoder alike.
    """

    fitted: FittedProbe
    encoder: LoadedEncoder
    recipe: Recipe

    def __call__(self, path: str | os.PathLike[str]) -> Prediction:
        """Class probabilities of one video, decided as the run's clips were.

        Raises
        ------
        VideoError
            It cannot be decoded; see its ``reason``.
        """
        with self._read(path, self.recipe.sampling) as (cache, pixels):
            features = cache.features(self.fitted.level).X
        return Prediction(
            path=Path(path),
            classes=self.fitted.classes,
            probabilities=self._decide(features)[0],
            num_frames=pixels.num_frames,
            num_windows=len(pixels.windows),
            shorter_than_window=any(w.num_real_frames < len(w.frame_indices) for w in pixels.windows),
        )

    def timeline(self, path: str | os.PathLike[str], *, stride: int = 8) -> Timeline:
        """Class probabilities of every window, one every `stride` frames.

        A window is made as the recipe says; only where windows lie is another rule than the probe was fitted under.

        Raises
        ------
        VideoError
            It cannot be decoded, or its windows do not fit into memory.
        """
        sampling = dataclasses.replace(self.recipe.sampling, mode="sliding", stride=stride)
        with self._read(path, sampling) as (cache, pixels):
            rows, num_views = cache.window_features(self.fitted.level).X, self.recipe.preprocessing.num_views
        windows = rows.reshape(-1, num_views, rows.shape[1]).mean(axis=1)
        return Timeline.of(Path(path), pixels, self.fitted.classes, self._decide(windows))

    def _decide(self, features: np.ndarray) -> np.ndarray:
        said = self.fitted.predict_proba(features, level=self.fitted.level, recipe=self.recipe)
        return np.asarray(said, dtype=np.float64)

    @contextmanager
    def _read(self, path: str | os.PathLike[str], sampling: Sampling) -> Iterator[tuple[Cache, ClipPixels]]:
        """The video as a cache of one clip, rounded and pooled like the probe's own, for as long as the block runs."""
        from vjepa_fer.extract.encode import encode_clip
        from vjepa_fer.video.reading import read_clip

        level, storage = self.fitted.level, self.recipe.storage
        derived = storage.pooled_from != "output"
        stored = (
            Storage(levels=("tokens",), token_dtype=storage.pooled_from)  # type: ignore[arg-type]
            if derived
            else dataclasses.replace(storage, levels=(level,))
        )
        recipe = dataclasses.replace(self.recipe, sampling=sampling, storage=stored)
        pixels, sha256 = read_clip(path, sampling, recipe.preprocessing)
        clip = Clip("clip", str(path), "unknown", "unknown", {})
        rows = encode_clip(clip, sha256, pixels, self.encoder, recipe)
        with tempfile.TemporaryDirectory(prefix="vjepa-fer-predict-") as folder:
            root = Path(folder) / "cache"
            create_cache(root, recipe, Manifest(clips=(clip,)))
            writer = ShardWriter(root, recipe)
            writer.add(rows)
            writer.flush()
            pooled = Path(folder) / "pooled"
            yield (
                (pool_cache(root, pooled, (level,), token_dtype=storage.token_dtype) if derived else open_cache(root)),
                pixels,
            )


def load_predictor(run: str | os.PathLike[str], *, weights: str | Path | None = None, device: str = "cpu") -> Predictor:
    """Load the probe that ``probe --refit`` left in a run, and exactly the encoder that its features came from.

    Parameters
    ----------
    run : path
        A run folder.
    weights : str or Path, optional
        The encoder's weights file, by default the one that ``models fetch`` brought. Its hash must be the recipe's.
    device : str
        As torch spells it, or ``auto``.

    Raises
    ------
    RunError
        No run, no fitted probe in it, or one of features that another program made.
    RecipeMismatchError
        Other weights, or another encoder of this name; each differing field is named with both values.
    CheckpointError
        A weights file that is not this encoder's, or none that was fetched.
    """
    fitted = load_fitted(run)
    recipe = fitted.recipe
    if not isinstance(recipe, Recipe):
        raise RunError(
            f"{run}: its features were imported from {recipe.source}; a new video needs the program that made them, "
            "`cache import`, and the probe of `load_fitted`"
        )
    require_extra("extract", ("torch", "av"), "prediction on a video")
    from vjepa_fer.encoder import load_encoder, pick_device
    from vjepa_fer.extract import make_recipe

    spec = recipe.encoder
    if weights is None and spec.weights.startswith("random:"):
        weights = spec.weights
    try:
        encoder = load_encoder(
            spec.name,
            weights=weights,
            state_key=None if str(weights).startswith("random:") else spec.state_key,
            device=pick_device(device),
            precision=recipe.precision,
            resolution=recipe.preprocessing.crop_size,
        )
    except RecipeError as error:
        error.add_note(f"The probe of {run} reads features of {spec.name}, weights {spec.weights}.")
        raise
    num_views = recipe.preprocessing.num_views
    loaded = make_recipe(encoder, sampling=recipe.sampling, storage=recipe.storage, num_views=num_views)
    require_same_recipe(loaded, recipe, f"the encoder at hand for {run}")
    return Predictor(fitted, encoder, recipe)
