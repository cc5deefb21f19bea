"""Where the rows of clips are, and a level, go in; its numbers come out, read shard by shard, so that each file is opened once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.over_time import Steps, read_steps
from vjepa_fer.cache.pooling import WindowFeatures
from vjepa_fer.cache.reading import StoredLevel, read_into, shard_bytes
from vjepa_fer.cache.shard import ShardIndex


class Place(NamedTuple):
    """Where a clip's rows are: which of the cache's shards, and which of its rows."""

    shard_number: int
    rows: slice


def find_places(shards: Sequence[ShardIndex]) -> dict[str, Place]:
    """Clip id → its rows. Two processes may have done one clip twice, equally; the first shard by name counts."""
    places: dict[str, Place] = {}
    for number, shard in enumerate(shards):
        for clip_id, rows in shard.clip_runs:
            places.setdefault(clip_id, Place(number, rows))
    return places


def read_windows(shards: Sequence[ShardIndex], places: Sequence[Place], level: StoredLevel) -> WindowFeatures:
    """All rows of the clips that are there, in their order, flattened to float32."""
    counts = np.array([p.rows.stop - p.rows.start for p in places])
    x = np.empty((int(counts.sum()), math.prod(level.dataset.row_shape)), np.float32)
    multiplicity = np.empty(len(x), np.int32)
    shard_of = np.repeat([p.shard_number for p in places], counts)
    starts = np.array([p.rows.start for p in places])
    source = np.arange(len(x)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    order = np.argsort(shard_of, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(shard_of[order])) + 1):
        shard = shards[shard_of[rows[0]]]
        _read_runs(shard, level, source, rows, x)
        multiplicity[rows] = shard.columns[layout.MULTIPLICITY][source[rows]]
    return WindowFeatures(x, np.repeat(np.arange(len(places)), counts), multiplicity)


def _read_runs(shard: ShardIndex, level: StoredLevel, source: np.ndarray, rows: np.ndarray, x: np.ndarray) -> None:
    """Into `rows` of `x` what is in rows `source` of the shard; neighbouring rows are one read."""
    with shard_bytes(shard) as file:
        for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
            read_into(file, shard, level, source[run], x[run[0] : run[-1] + 1])


def read_steps_of_clips(
    shards: Sequence[ShardIndex], places: Sequence[Place], level: StoredLevel
) -> Iterator[tuple[int, Steps]]:
    """Number of each clip and its steps in time; each clip is read once."""
    own: dict[int, list[int]] = {}
    for number, place in enumerate(places):
        own.setdefault(place.shard_number, []).append(number)
    for shard_number, numbers in own.items():
        shard = shards[shard_number]
        with shard_bytes(shard) as file:
            for number in numbers:
                yield number, read_steps(file, shard, level, places[number].rows)
