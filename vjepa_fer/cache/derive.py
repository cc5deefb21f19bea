"""A cache with tokens goes in, a small one with pooled levels comes out: no video, no encoder, no GPU."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vjepa_fer.cache.anonymous import Anonymiser
from vjepa_fer.cache.copying import checked_clips, clips_there, source_of
from vjepa_fer.cache.folder import copied_cache
from vjepa_fer.cache.int8 import dequantise
from vjepa_fer.cache.notes import notes_on
from vjepa_fer.cache.reader import Cache, open_cache
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.errors import CacheError
from vjepa_fer.recipe import Recipe, TokenDtype, level_key, parse_level


def pool_cache(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    levels: Sequence[str] = ("mean", "frames", "grid:4"),
    *,
    token_dtype: TokenDtype | None = None,
    anonymiser: Anonymiser | None = None,
) -> Cache:
    """Pool the stored tokens of every finished clip to smaller levels, in a new cache.

    The numbers are those that extract would have written, but for the rounding of the stored tokens: a pooled value differs
    by at most half a unit in the last place of the largest token in its cell (float16: 2⁻¹¹ of it; int8: half a step), and
    by float32 summation order when the tokens are float32. So the recipe says ``pooled_from`` with the tokens' dtype, and
    has another fingerprint than extract's.

    Parameters
    ----------
    root : path
        A cache that stores ``tokens``.
    out : path
        A new folder.
    levels : sequence of str
        Of mean, frames, grid:G; ``mean@5`` from the tokens of layer 5.
    token_dtype : {"float16", "float32", "int8"}, optional
        Of the level grid; by default as the tokens.
    anonymiser : Anonymiser, optional

    Raises
    ------
    CacheError
        No tokens are stored, a clip is damaged, or `out` exists.
    RecipeError
        Levels that do not exist or do not fit the token grid.
    """
    cache = open_cache(root)
    for level in levels:
        cache.stored_level(_tokens_for(level))
    recipe = pooled_recipe(cache, levels, token_dtype)
    manifest, failures, notes = cache.manifest, cache.failures, notes_on(cache.roots, cache.done)
    if anonymiser:
        manifest, failures, notes = anonymiser.manifest(manifest), anonymiser.failures(failures), ()
    with copied_cache(out, recipe, manifest, failures, notes=notes, source=source_of(cache)) as folder:
        _pool_clips(cache, folder, recipe, anonymiser)
    return open_cache(out)


def _pool_clips(cache: Cache, out: Path, recipe: Recipe, anonymiser: Anonymiser | None) -> None:
    writer, there = ShardWriter(out, recipe), clips_there(out, recipe)
    own: dict[int, list[str]] = {}
    for clip_id in cache.places.keys() - there:
        own.setdefault(cache.places[clip_id].shard_number, []).append(clip_id)
    for number, clip_ids in sorted(own.items()):
        for clip_id, columns in checked_clips(cache.shards[number], clip_ids):
            writer.add(_pooled_rows(clip_id, anonymiser.columns(columns) if anonymiser else columns, recipe))
    writer.flush()


def pooled_recipe(cache: Cache, levels: Sequence[str], token_dtype: TokenDtype | None = None) -> Recipe:
    """The recipe of `levels` pooled from the cache's tokens."""
    recipe = cache.recipe
    if not isinstance(recipe, Recipe) or any(parse_level(level)[0] in ("cls", "tokens") for level in levels):
        raise CacheError(f"{cache.root}: tokens are pooled to mean, frames or grid:G; asked for {', '.join(levels)}")
    stored = recipe.storage.token_dtype
    storage = dataclasses.replace(
        recipe.storage, levels=tuple(levels), token_dtype=token_dtype or stored, pooled_from=stored
    )
    return dataclasses.replace(recipe, storage=storage)


def _tokens_for(level: str) -> str:
    """The stored level that `level` is pooled from: of the same layer."""
    return "tokens" + "".join(level.partition("@")[1:])


def _pooled_rows(clip_id: str, columns: dict[str, np.ndarray], recipe: Recipe) -> ClipRows:
    index = {name.removeprefix("index/"): array for name, array in columns.items() if name.startswith("index/")}
    del index["clip_id"]
    source = bytes(index.pop("source_sha256")[0]).decode()
    levels = {level_key(level): pool_volume(_tokens(columns, level), level) for level in recipe.storage.levels}
    return ClipRows(clip_id=clip_id, source_sha256=source, levels=levels, **index)


def _tokens(columns: dict[str, np.ndarray], level: str) -> np.ndarray:
    name = _tokens_for(level)
    tokens, scale = columns[f"levels/{name}"], columns.get(f"scales/{name}")
    return (tokens if scale is None else dequantise(tokens, scale)).astype(np.float32)


def pool_volume(volume: np.ndarray, level: str) -> np.ndarray:
    """Tokens float32 (R, T', H', W', D) to a level: mean (R, D), frames (R, T', D), grid:G (R, T', G, G, D)."""
    kind, side = parse_level(level)
    return _POOLERS[kind](volume, side or 0)


def _pool_grid(volume: np.ndarray, side: int) -> np.ndarray:
    """Cell g of G along n tokens covers floor(g·n/G) up to ceil((g+1)·n/G), as torch's adaptive_avg_pool2d."""
    rows, columns = ([slice(g * n // side, -(-(g + 1) * n // side)) for g in range(side)] for n in volume.shape[2:4])
    cells = [[volume[:, :, r, c].mean(axis=(2, 3)) for c in columns] for r in rows]  # each (R, T', D)
    return np.stack([np.stack(line, axis=2) for line in cells], axis=2)


_POOLERS = {
    "mean": lambda volume, _: volume.mean(axis=(1, 2, 3)),
    "frames": lambda volume, _: volume.mean(axis=(2, 3)),
    "grid": _pool_grid,
}
