"""What extraction hands to the writer: one clip and the rows that its windows and views became, checked at the door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.int8 import quantise
from vjepa_fer.cache.sums import finite_rows
from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import AnyRecipe


@dataclass(frozen=True, eq=False)
class ClipRows:
    """All rows of one clip; R = windows × views, F = frames a window.

    Attributes
    ----------
    clip_id : str
    source_sha256 : str
        Of the video file's bytes, 64 hex digits; empty for imported features.
    start_frame, view, multiplicity, num_real_frames : ndarray of int32, shape (R,)
        Where the window starts; which spatial crop; how many of the rule's windows this row stands for (identical windows
        are encoded once); how many of its frames are real, not padding.
    frame_indices : ndarray of int32, shape (R, F)
    timestamps : ndarray of float64, shape (R, F)
        Seconds.
    levels : mapping from kind to ndarray, shape (R, …)
        ``mean``, ``frames``, ``grid``, ``tokens``, as the recipe stores them; after another layer than the last, ``mean@5``.
    """

    clip_id: str
    source_sha256: str
    start_frame: np.ndarray
    view: np.ndarray
    multiplicity: np.ndarray
    num_real_frames: np.ndarray
    frame_indices: np.ndarray
    timestamps: np.ndarray
    levels: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        width = len(self.clip_id.encode())
        if not 0 < width <= layout.MAX_CLIP_ID_BYTES:
            raise CacheError(
                f"clip id {self.clip_id[:40]!r}… has {width} bytes; 1 to {layout.MAX_CLIP_ID_BYTES} are allowed"
            )
        if len(self) == 0:
            raise CacheError(f"clip {self.clip_id}: no rows to store")

    def __len__(self) -> int:
        return len(self.start_frame)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{kind} {array.shape}" for kind, array in self.levels.items())
        return f"ClipRows({self.clip_id!r}, {len(self)} rows, {shapes})"

    def columns(self, recipe: AnyRecipe) -> dict[str, np.ndarray]:
        """Dataset path → array of shape (R, …) in the dtype on disk.

        Raises
        ------
        CacheError
            A level is missing, of another shape than the recipe says, or not finite after rounding.
        """
        columns = {
            layout.CLIP_ID: np.full(len(self), self.clip_id.encode()),
            layout.SOURCE_SHA256: np.full(len(self), self.source_sha256.encode()),
            layout.START_FRAME: self.start_frame,
            layout.VIEW: self.view,
            layout.MULTIPLICITY: self.multiplicity,
            layout.NUM_REAL_FRAMES: self.num_real_frames,
            layout.FRAME_INDICES: self.frame_indices,
            layout.TIMESTAMPS: self.timestamps,
        }
        columns |= self._levels(recipe)
        return {d.path: self._checked(d, columns.get(d.path)) for d in layout.shard_datasets(recipe)}

    def _levels(self, recipe: AnyRecipe) -> dict[str, np.ndarray]:
        columns = {f"levels/{key}": array for key, array in self.levels.items()}
        for level in recipe.storage.levels:
            scale, path = layout.scale_dataset(recipe, level), layout.level_path(level)
            if scale is not None and path in columns:
                columns[path], columns[scale.path] = quantise(columns[path])
        return columns

    def _checked(self, dataset: layout.Dataset, array: np.ndarray | None) -> np.ndarray:
        want = (len(self), *dataset.row_shape)
        have = "nothing" if array is None else array.shape
        if array is None or array.shape != want:
            raise CacheError(f"clip {self.clip_id}: {dataset.path} should have shape {want}, has {have}")
        if dataset.path == layout.CLIP_ID:
            return array
        with np.errstate(over="ignore"):  # an overflow in rounding is caught by the check below, with the clip's name
            array = np.ascontiguousarray(array, dtype=dataset.dtype)
        if dataset.path.startswith(("levels/", "scales/")) and not finite_rows(array).all():
            raise CacheError(
                f"clip {self.clip_id}: {dataset.path} holds NaN or infinity as {dataset.dtype}; "
                "try another --precision, or --token-dtype float32"
            )
        return array
