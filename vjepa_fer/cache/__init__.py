"""The file on disk that the two stages share: `ClipRows` go in through `ShardWriter`, a `Cache` comes out of `open_cache`."""

from __future__ import annotations

from vjepa_fer.cache.pooling import Features, WindowFeatures
from vjepa_fer.cache.reader import Cache, CachedClip, open_cache
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.cache.torch_data import join_clips, pad_clips
from vjepa_fer.cache.writer import ShardWriter

__all__ = [
    "Cache",
    "CachedClip",
    "ClipRows",
    "Features",
    "ShardWriter",
    "WindowFeatures",
    "join_clips",
    "open_cache",
    "pad_clips",
]
