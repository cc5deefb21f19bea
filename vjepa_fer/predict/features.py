"""Pixels of some windows go in; a cache of that one clip comes out, whose features are rounded and pooled as a run's own are."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_fer.cache import Cache, ShardWriter, open_cache
from vjepa_fer.cache.derive import pool_cache
from vjepa_fer.cache.folder import copied_cache
from vjepa_fer.disk import scratch_folder
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Recipe, Storage

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.video import ClipPixels

UNKNOWN_SHA256 = "0" * 64


@contextmanager
def cache_of_clip(
    pixels: ClipPixels, encoder: LoadedEncoder, recipe: Recipe, level: str, *, sha256: str = UNKNOWN_SHA256
) -> Iterator[Cache]:
    """Encode a clip and hold it as a cache of `recipe` with this one level, for as long as the block runs.

    Levels that the recipe pools from stored tokens go the same way here: tokens first, rounded, then pooled.
    """
    from vjepa_fer.extract.encode import encode_clip

    storage = recipe.storage
    derived = storage.pooled_from != "output"
    stored = (
        Storage(levels=("tokens",), token_dtype=storage.pooled_from)  # type: ignore[arg-type]
        if derived
        else dataclasses.replace(storage, levels=(level,))
    )
    recipe = dataclasses.replace(recipe, storage=stored)
    clip = Clip("clip", "", "unknown", "unknown", {})
    rows = encode_clip(clip, sha256, pixels, encoder, recipe)
    with scratch_folder() as folder:
        root, pooled = Path(folder) / "cache", Path(folder) / "pooled"
        with copied_cache(root, recipe, Manifest(clips=(clip,)), {}):
            writer = ShardWriter(root, recipe)
            writer.add(rows)
            writer.flush()
        yield pool_cache(root, pooled, (level,), token_dtype=storage.token_dtype) if derived else open_cache(root)
