"""A cache folder goes in, facts about it come out: what it holds, what is missing, what failed."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.reader import Cache, CachePath, open_cache
from vjepa_fer.recipe import Recipe, flat_recipe


def cache_info(root: CachePath) -> dict[str, Any]:
    """Facts for people and machines: ``cache info --json`` prints this dictionary."""
    cache = open_cache(root)
    failures = cache.failures
    rows = sum(len(shard) for shard in cache.shards)
    levels = [(name, layout.level_dataset(cache.recipe, name)) for name in cache.recipe.storage.levels]
    missing = [c.clip_id for c in cache.manifest.clips if c.clip_id not in cache.done and c.clip_id not in failures]
    return {
        "schema": "vjepa-fer/cache-info/1",
        "cache": str(cache.root),
        "fingerprint": cache.fingerprint,
        "clips_asked": len(cache.manifest.clips),
        "clips_done": len(cache),
        "clips_failed": len(failures),
        "missing": missing,
        "failed": [asdict(failure) for failure in failures.values()],
        "rows": rows,
        "shards": len(cache.shards),
        "labels": dict(sorted(Counter(clip.label for clip in cache.clips).items())),
        "subjects": dict(sorted(Counter(clip.subject for clip in cache.clips).items())),
        "level_bytes": {dataset.path.split("/")[1]: rows * dataset.row_bytes for _, dataset in levels},
        "levels": [
            {"level": name, "shape": list(d.row_shape), "dtype": d.dtype.name, "bytes": rows * d.row_bytes}
            for name, d in levels
        ],
        **_window_facts(cache),
        "disk_bytes": sum(shard.path.stat().st_size for shard in cache.shards),
        "recipe": {name: value for name, value in flat_recipe(cache.recipe).items() if name != "columns"},
    }


def _window_facts(cache: Cache) -> dict[str, Any]:
    """How many clips are shorter than a window, and what the others' windows span, from first frame to last: least and most seconds."""
    if not isinstance(cache.recipe, Recipe) or not len(cache):
        return {"shorter_than_window": 0, "window_seconds": None}
    shorter, least, most = 0, math.inf, -math.inf
    for clip in cache:
        if clip.num_real_frames[0] < cache.recipe.sampling.frames_of_whole:
            shorter += 1
            continue
        spans = clip.timestamps[:, -1] - clip.timestamps[:, 0]
        least, most = (
            min(least, np.min(spans)),
            max(most, np.max(spans)),
        )  # NaN, of clips without times, is never less or more
    return {"shorter_than_window": shorter, "window_seconds": [float(least), float(most)] if least <= most else None}
