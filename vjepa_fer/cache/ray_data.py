"""A cache and a level go in; a dataset of ``ray.data`` comes out, whose rows are read by Ray's workers, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vjepa_fer.extras import require_extra


def ray_dataset(cache: Any, level: str, *, clips_per_block: int) -> Any:
    """See :meth:`vjepa_fer.cache.Cache.to_ray_dataset`."""
    require_extra("ray", ("ray", "pyarrow", "pandas"), "to_ray_dataset()")
    import ray.data

    def read(batch: Mapping[str, np.ndarray]) -> dict[str, Any]:  # a function: Ray copies objects whenever it plans
        return rows_of(cache, level, batch["id"])

    numbers = ray.data.range(len(cache), override_num_blocks=max(-(-len(cache) // clips_per_block), 1))
    return numbers.map_batches(read, batch_size=clips_per_block, batch_format="numpy")


def rows_of(cache: Any, level: str, numbers: np.ndarray) -> dict[str, Any]:
    """A row for each window-view of the clips of these numbers."""
    clips = [cache[int(number)] for number in numbers]
    counts = [len(clip) for clip in clips]
    named = {name: [getattr(clip.clip, name) for clip in clips] for name in ("clip_id", "label", "subject")}
    return {
        "x": np.concatenate([clip.level(level, dtype="stored") for clip in clips]),
        "multiplicity": np.concatenate([clip.multiplicity for clip in clips]).astype(np.int64),
        **{name: np.repeat(np.array(values, dtype=object), counts) for name, values in named.items()},
    }
