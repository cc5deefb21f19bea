"""Pixels of some windows go in; the vectors of one level come out, rounded and pooled as those of the probe's own cache are.

Nothing is written: what a cache would store, and give back, is computed by the cache's own arithmetic, a few windows at a time.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np

from vjepa_fer.cache.derive import pool_volume
from vjepa_fer.cache.int8 import dequantise
from vjepa_fer.cache.reading import StoredLevel
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.errors import ProbeError
from vjepa_fer.evaluation import FittedProbe
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import Recipe, Storage, level_key, shown, split_statistics

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.video import ClipPixels

_CLIP = Clip("clip", "", "unknown", "unknown", {})


def level_read(fitted: FittedProbe) -> str:
    """The level that a probe reads, by the name under which its recipe stores it.

    Raises
    ------
    ProbeError
        The recipe stores no such level, or one of other numbers than the probe takes; or the probe reads statistics of one.
    """
    recipe, probe = fitted.recipe, fitted.probe.probe
    assert isinstance(recipe, Recipe)
    if split_statistics(fitted.level)[1]:
        raise ProbeError(
            f"the probe reads {shown(fitted.level)}, statistics over time, which predict takes of no video yet: fit one on a level itself, "
            "without --pool, with --refit"
        )
    level = recipe.storage.find(fitted.level)
    if level is None:
        stored = ", ".join(recipe.storage.levels)
        raise ProbeError(
            f"the probe reads level {shown(fitted.level)}, but its recipe stores {stored}; fit again with --refit"
        )
    shape = recipe.level_shape(level)
    width = math.prod(shape)
    if probe.n_features_in_ % width if fitted.row == "view" else probe.n_features_in_ != width:
        raise ProbeError(
            f"the probe takes {probe.n_features_in_:,} numbers, but level {level} of its recipe has {width:,} "
            f"{shape}; fit again with --refit"
        )
    return level


class LevelEncoder:
    """From :class:`~vjepa_fer.video.ClipPixels` to the vectors of `level`, float32 (num_windows · num_views, dim).

    Levels that the recipe pools from stored tokens go the same way here: tokens first, rounded, then pooled.

    Attributes
    ----------
    rows : RowEncoder
        What encodes, for as long as this lives.
    """

    def __init__(self, encoder: LoadedEncoder, recipe: Recipe, level: str) -> None:
        from vjepa_fer.extract.clock import StageClock
        from vjepa_fer.extract.encode import row_encoder

        self.level, self.recipe = level, _with_storage(recipe, dataclasses.replace(recipe.storage, levels=(level,)))
        self.made = self.recipe if recipe.storage.pooled_from == "output" else _of_tokens(recipe, level)
        self.rows = row_encoder(encoder, self.made, StageClock())

    def __call__(self, pixels: ClipPixels) -> np.ndarray:
        """Encode these windows."""
        from vjepa_fer.extract.encode import encode_clips
        from vjepa_fer.video.read_clip import ReadClip

        done: list[ClipRows] = []
        encode_clips(
            [ReadClip(_CLIP, pixels)], self.rows, self.recipe.preprocessing.num_views, lambda _, r: done.append(r)
        )
        (made,) = done
        if self.made is not self.recipe:
            tokens = _read_back(made, self.made, self.made.storage.levels[0])
            made = dataclasses.replace(made, levels={level_key(self.level): pool_volume(tokens, self.level)})
        return _read_back(made, self.recipe, self.level).reshape(len(made), -1)


def _with_storage(recipe: Recipe, storage: Storage) -> Recipe:
    return dataclasses.replace(recipe, storage=storage)


def _of_tokens(recipe: Recipe, level: str) -> Recipe:
    """The recipe of the tokens, of the same layer, that `level` was pooled from."""
    tokens = "tokens" + "".join(level.partition("@")[1:])
    return _with_storage(recipe, Storage(levels=(tokens,), token_dtype=recipe.storage.pooled_from))  # type: ignore[arg-type]


def _read_back(rows: ClipRows, recipe: Recipe, level: str) -> np.ndarray:
    """The level as a cache would give it after storing it: float32 (R, …)."""
    columns, stored = rows.columns(recipe), StoredLevel.of(recipe, level)
    values = columns[stored.dataset.path]
    if stored.scale is not None:
        values = dequantise(values, columns[stored.scale.path])
    return values.astype(np.float32, copy=False)
