"""A fitted probe and its encoder go in; a function from video files to class probabilities comes out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.cache.pooling import mean_of_clip
from vjepa_fer.errors import VideoError
from vjepa_fer.evaluation import FittedProbe
from vjepa_fer.features import JoinedWindows, join_windows
from vjepa_fer.predict.attention import Attention, token_shape
from vjepa_fer.predict.features import LevelEncoder, level_read
from vjepa_fer.predict.plan import Plan, default_memory, plan_video
from vjepa_fer.predict.timeline import NUM_KEY_FRAMES, Timeline
from vjepa_fer.predict.views import join_views, part_views, windows_of
from vjepa_fer.recipe import Recipe

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.video import ClipPixels, Window
    from vjepa_fer.video.streaming import MappedWindows


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
    notes : tuple of str
        What is odd about the file, in words that follow its name.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: np.ndarray
    decided: int
    num_frames: int
    num_windows: int
    shorter_than_window: bool
    notes: tuple[str, ...] = ()

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
            "notes": list(self.notes),
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
    memory_bytes : int
        What a prediction may take beside the encoder's weights; by default half of the machine's memory.
    accept_truncated, accept_resize : bool
        Of a film that breaks off take what is there; scale one whose size changes midway to its first size: each with a note. Else it is
        refused.
    """

    fitted: FittedProbe
    encoder: LoadedEncoder
    recipe: Recipe
    memory_bytes: int = field(default_factory=default_memory)
    accept_truncated: bool = False
    accept_resize: bool = False

    @property
    def departs(self) -> bool:
        """Videos are treated otherwise than the clips that the probe was fitted on."""
        return self.recipe != self.fitted.recipe

    def plan(self, path: str | os.PathLike[str], *, stride: int | None = None) -> Plan:
        """How many windows of a video will be encoded, and in what memory; with `stride`, by :meth:`timeline`. Nothing is decoded.

        Raises
        ------
        VideoError
            It cannot be read, or takes more than `memory_bytes`.
        """
        recipe, encode = self.recipe if stride is None else self._sliding(stride), self._encode
        row = self.fitted.row if stride is None else None
        return plan_video(
            path,
            recipe,
            encode.level,
            encode.rows,
            self.memory_bytes,
            row=row,
            accept_truncated=self.accept_truncated,
        )

    def __call__(self, path: str | os.PathLike[str]) -> Prediction:
        """Class probabilities of one video, decided as the run's clips were.

        Windows are decoded and encoded a few at a time; one vector each is kept, because the decision is made on all together.

        Raises
        ------
        VideoError
            It cannot be decoded; see its ``reason``. ``too_long`` where it takes more than `memory_bytes`.
        """
        found = self._map(path, self.recipe, self._encode, self.plan(path))
        return self._predict(path, _joined(found.results), found.windows, found.num_frames, found.notes)

    def look(self, path: str | os.PathLike[str]) -> tuple[Prediction, Attention]:
        """The prediction, and where the attentive probe behind it looked, from one pass through the encoder.

        All pixels are held, for they are what is shown.

        Raises
        ------
        ProbeError
            The probe is not attentive, or sees a clip as one vector.
        VideoError
            It cannot be decoded, or takes more than `memory_bytes`.
        """
        from vjepa_fer.video import read_windows

        shape, plan = token_shape(self.fitted, self.recipe), self.plan(path)
        left = max(
            self.memory_bytes - 2 * plan.bytes_kept, 0
        )  # weights are no more numbers than the tokens that they are of
        pixels = read_windows(
            path,
            self.recipe.sampling,
            self.recipe.preprocessing,
            max_bytes=left,
            accept_truncated=self.accept_truncated,
            accept_resize=self.accept_resize,
        )
        rows = _joined([self._encode(part) for part in _parts(pixels, plan.windows_at_once)])
        prediction = self._predict(path, rows, pixels.windows, pixels.num_frames, pixels.notes)
        features = self._features(rows, pixels.windows)
        weights = self.fitted.attention(features, level=self.fitted.level, recipe=self.fitted.recipe)
        if self.fitted.row == "view":
            weights = part_views(weights, windows_of(pixels.windows))
        return prediction, Attention.of(Path(path), pixels, weights.reshape(*weights.shape[:2], *shape))

    def attention(self, path: str | os.PathLike[str]) -> Attention:
        """As :meth:`look`, without the prediction."""
        return self.look(path)[1]

    def timeline(self, path: str | os.PathLike[str], *, stride: int = 8) -> Timeline:
        """Class probabilities of every window, one every `stride` frames (moments, of a recipe by time); memory does not grow with the video's length.

        A window is made as the recipe says; only where windows lie is another rule than the probe was fitted under.

        Raises
        ------
        VideoError
            It cannot be decoded, or a few windows take more than `memory_bytes`; or nothing says when its frames are shown.
        RecipeError
            `stride` is no whole number from 1, or beyond its bound.
        """
        recipe, plan = self._sliding(stride), self.plan(path, stride=stride)
        found = self._map(path, recipe, lambda pixels: self._decide_windows(self._encode(pixels)), plan, NUM_KEY_FRAMES)
        if not np.isfinite(found.seconds).all():
            raise VideoError(
                "unreadable", os.fspath(path), "nothing says when its frames are shown: it has no timeline"
            )
        (start, end), said = found.seconds.T, _joined(found.results)
        return Timeline(Path(path), self.fitted.classes, start, end, said, found.kept, found.kept_seconds)

    def _sliding(self, stride: int) -> Recipe:
        sampling = dataclasses.replace(self.recipe.sampling, mode="sliding", stride=stride)
        return dataclasses.replace(self.recipe, sampling=sampling)

    @cached_property
    def _encode(self) -> LevelEncoder:
        """From windows to vectors, wherever the windows lie; made once, for a GPU measures how many windows fit."""
        return LevelEncoder(self.encoder, self.recipe, level_read(self.fitted))

    def _map(
        self,
        path: str | os.PathLike[str],
        recipe: Recipe,
        work: Callable[[ClipPixels], np.ndarray],
        plan: Plan,
        num_kept: int = 0,
    ) -> MappedWindows[np.ndarray]:
        from vjepa_fer.video.streaming import map_windows

        return map_windows(
            path,
            recipe.sampling,
            recipe.preprocessing,
            work,
            at_once=plan.windows_at_once,
            num_kept=num_kept,
            max_bytes=self.memory_bytes,
            accept_truncated=self.accept_truncated,
            accept_resize=self.accept_resize,
        )

    def _predict(
        self,
        path: str | os.PathLike[str],
        rows: np.ndarray,
        windows: Sequence[Window],
        num_frames: int,
        notes: tuple[str, ...],
    ) -> Prediction:
        probabilities, decided = self._decide_clip(self._features(rows, windows))
        return Prediction(
            path=Path(path),
            classes=self.fitted.classes,
            probabilities=probabilities,
            decided=decided,
            num_frames=num_frames,
            num_windows=len(windows),
            shorter_than_window=windows[0].num_real_frames < self.recipe.sampling.frames_of_whole,
            notes=notes,
        )

    def _features(self, rows: np.ndarray, windows: Sequence[Window]) -> np.ndarray:
        """What the probe sees of a clip's window-views (R, dim): each of them, their mean (1, dim), or each view's tokens joined."""
        if self.fitted.row == "view":
            return join_views(self._tokens(rows), windows_of(windows))
        if self.fitted.row == "window":
            return rows
        return mean_of_clip(rows)[None]

    def _tokens(self, rows: np.ndarray) -> np.ndarray:
        """Window-views (R, dim) as tokens (R, num_tokens, width of one)."""
        return rows.reshape(len(rows), -1, self.recipe.encoder.embed_dim)

    def _decide_clip(self, features: np.ndarray) -> tuple[np.ndarray, int]:
        """Probabilities (num_classes,) of one row of features, or of the answers about several joined; and the class decided for."""
        if self.fitted.windowed:
            joined = self._join(features, num_clips=1)
            return joined.probabilities[0], int(joined.predicted[0])
        return self._decide(features)[0], int(self._votes(features)[0])

    def _decide_windows(self, rows: np.ndarray) -> np.ndarray:
        """Views of a window side by side (num_windows · num_views, dim) → (num_windows, num_classes)."""
        num_views = self.recipe.preprocessing.num_views
        if self.fitted.windowed:
            features = self._tokens(rows) if self.fitted.row == "view" else rows  # a view of one window alone
            return self._join(features, num_clips=len(rows) // num_views).probabilities
        return self._decide(rows.reshape(-1, num_views, rows.shape[1]).mean(axis=1))

    def _join(self, rows: np.ndarray, *, num_clips: int) -> JoinedWindows:
        clip = np.repeat(np.arange(num_clips), len(rows) // num_clips)
        return join_windows(self.fitted.rule, self._decide(rows), self._votes(rows), clip)

    def _decide(self, features: np.ndarray) -> np.ndarray:
        said = self.fitted.predict_proba(features, level=self.fitted.level, recipe=self.fitted.recipe)
        return np.asarray(said, dtype=np.float64)

    def _votes(self, features: np.ndarray) -> np.ndarray:
        return self.fitted.predict(features, level=self.fitted.level, recipe=self.fitted.recipe)


def _parts(pixels: ClipPixels, windows_at_once: int) -> Iterator[ClipPixels]:
    """The same pixels, for some windows after the other."""
    for start in range(0, len(pixels.windows), windows_at_once):
        part = slice(start, start + windows_at_once)
        own = {name: getattr(pixels, name)[part] for name in ("windows", "rows", "timestamps")}
        yield dataclasses.replace(pixels, **own)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """The parts one below the other; they themselves are let go."""
    whole = np.concatenate(parts)
    parts.clear()
    return whole
