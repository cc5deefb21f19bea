"""Made ``cache_v1/``, the tiny cache of format version 1 that every test run reads. Run once; a released version's is never remade."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from caches import small_manifest, small_recipe, token_volume
from vjepa_fer.cache import ClipRows, ShardWriter
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.recipe import Storage


def write_cache(root: Path, token_dtype: str) -> None:
    """Three clips of two windows in two shards; c3 has failed. The numbers are :func:`caches.token_volume`'s."""
    recipe = small_recipe(storage=Storage(levels=("mean", "frames", "grid:1", "tokens"), token_dtype=token_dtype))
    prepare_cache(root, recipe, small_manifest(4))
    writer = ShardWriter(root, recipe, shard_bytes=1500)
    for number in range(3):
        tokens = np.stack([token_volume(number, row) for row in range(2)])
        frames = tokens.mean((2, 3))
        indices = np.arange(4) + np.arange(2)[:, None]
        levels = {"tokens": tokens, "grid": frames[:, :, None, None], "frames": frames, "mean": frames.mean(1)}
        writer.add(
            ClipRows(
                clip_id=f"c{number}",
                source_sha256=f"{number}" * 64,
                start_frame=np.arange(2),
                view=np.zeros(2),
                multiplicity=np.array([1, 3]),
                num_real_frames=np.full(2, 4),
                frame_indices=indices,
                timestamps=indices / 25,
                levels=levels,
            )
        )
    writer.flush()
    write_failures(root, {"c3": Failure("c3", "/videos/c3.mp4", "truncated", "the file is cut off", "0" * 16)})


if __name__ == "__main__":
    write_cache(Path(__file__).parent / f"cache_v1_{sys.argv[1]}", sys.argv[1])
