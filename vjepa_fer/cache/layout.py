"""Every name, shape and dtype on disk: a recipe goes in, what a shard must hold comes out. ``FORMAT.md`` says it in prose."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from vjepa_fer.recipe import SMALL, AnyRecipe, Recipe, level_key, parse_level

SHARD_FORMAT = "vjepa-fer/shard"
CACHE_FORMAT = "vjepa-fer/cache"
FORMAT_VERSION = 1

CACHE_VERSION = 2
"""Of the folder; that of a shard is :data:`FORMAT_VERSION`."""

CACHE_JSON = "cache.json"
MANIFEST_CSV, MANIFEST_PIECES = "manifest.csv", "manifest"
FAILED_CSV, FAILED_PIECES = "failed.csv", "failed"
NOTES_CSV, NOTES_PIECES = "notes.csv", "notes"
COPYING_JSON = "copying.json"
SHARDS = "shards"
SHARD_SUFFIX = ".h5"
DAMAGED_SUFFIX = ".damaged"

INDEX_NPZ = "index.npz"

_TOKEN_DTYPES = {"float16": "<f2", "float32": "<f4", "int8": "i1"}

MAX_CLIP_ID_BYTES = 1024
"""A clip id longer than this is refused: the column is of fixed width, so one absurd id would blow up every row."""

CLIP_ID = "index/clip_id"
SOURCE_SHA256 = "index/source_sha256"
START_FRAME = "index/start_frame"
VIEW = "index/view"
MULTIPLICITY = "index/multiplicity"
NUM_REAL_FRAMES = "index/num_real_frames"
FRAME_INDICES = "index/frame_indices"
TIMESTAMPS = "index/timestamps"
CHECKSUMS = "checksums"


@dataclass(frozen=True)
class Dataset:
    """One dataset of a shard: its path, the shape of one row, and its dtype (``S`` without a width: fixed-width bytes)."""

    path: str
    row_shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def is_large(self) -> bool:
        """Whether a row is stored as a chunk of its own, so that one window is one contiguous read."""
        return self.path.startswith(("levels/grid", "levels/tokens"))

    @functools.cached_property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.row_shape) * self.dtype.itemsize


def level_path(level: str) -> str:
    """``"grid:4"`` → ``"levels/grid"``, ``"grid:4@5"`` → ``"levels/grid@5"``."""
    return f"levels/{level_key(level)}"


def level_dataset(recipe: AnyRecipe, level: str) -> Dataset:
    """Shape and dtype of one stored level: mean (D), frames (T', D), cls (T' or 1, S, D), grid (T', G, G, D), tokens (T', H', W', D)."""
    if not isinstance(recipe, Recipe):
        one = (1,) if recipe.is_over_time else ()
        return Dataset(level_path(level), (*one, recipe.dim), np.dtype("<f4"))
    shape = recipe.level_shape(level)
    dtype = "<f4" if parse_level(level)[0] in SMALL else _TOKEN_DTYPES[recipe.storage.token_dtype]
    return Dataset(level_path(level), shape, np.dtype(dtype))


def scale_dataset(recipe: AnyRecipe, level: str) -> Dataset | None:
    """Step and middle of each channel (2, D) of an int8 level; None for a level that is not int8."""
    dataset = level_dataset(recipe, level)
    if dataset.dtype != np.int8:
        return None
    return Dataset(dataset.path.replace("levels/", "scales/"), (2, dataset.row_shape[-1]), np.dtype("<f4"))


@functools.lru_cache(maxsize=8)
def index_datasets(recipe: AnyRecipe) -> tuple[Dataset, ...]:
    """The datasets that say what each row is; F frames a window (of imported features and of sound 1 a moment, 0 of a vector a clip)."""
    num_frames = recipe.sampling.frames_per_window if isinstance(recipe, Recipe) else int(recipe.is_over_time)
    i32 = np.dtype("<i4")
    return (
        Dataset(CLIP_ID, (), np.dtype("S")),
        Dataset(SOURCE_SHA256, (), np.dtype("S64")),
        Dataset(START_FRAME, (), i32),
        Dataset(VIEW, (), i32),
        Dataset(MULTIPLICITY, (), i32),
        Dataset(NUM_REAL_FRAMES, (), i32),
        Dataset(FRAME_INDICES, (num_frames,), i32),
        Dataset(TIMESTAMPS, (num_frames,), np.dtype("<f8")),
    )


@functools.lru_cache(maxsize=8)
def level_datasets(recipe: AnyRecipe) -> tuple[Dataset, ...]:
    """The datasets of the recipe's levels, in canonical order."""
    return tuple(level_dataset(recipe, level) for level in recipe.storage.levels)


@functools.lru_cache(maxsize=8)
def stored_datasets(recipe: AnyRecipe) -> tuple[Dataset, ...]:
    """The datasets of the recipe's levels, and of the scales of those that are int8."""
    scales = (scale_dataset(recipe, level) for level in recipe.storage.levels)
    return level_datasets(recipe) + tuple(s for s in scales if s is not None)


@functools.lru_cache(maxsize=8)
def shard_datasets(recipe: AnyRecipe) -> tuple[Dataset, ...]:
    """All that a shard of this recipe holds, apart from the checksums."""
    return index_datasets(recipe) + stored_datasets(recipe)
