"""Clips of a level with a time axis go in; a vector a clip comes out, of statistics over the clip's time, each clip read once.

What is no moment of the clip has no part in it: a frame that has no row (a gap, a face that was not found), and a time step of a
window that is all padding. All steps of all windows and views count alike. Figures are those of pandas over the same steps:
``std`` divides by n - 1, percentiles are interpolated; ``delta`` is the mean of absolute differences between steps that follow each
other directly: none is taken over a gap, or from a window to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.reading import ShardFile, StoredLevel, read_decoded
from vjepa_fer.cache.shard import ShardIndex
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import MOST_SHOWN, abridged
from vjepa_fer.recipe import Recipe, percentile_of


class Steps(NamedTuple):
    """A clip's steps in time that count.

    Attributes
    ----------
    values : ndarray of float16 or float32, shape (S, dim)
        `dim` is what a time step holds, the places of grid and tokens among it.
    follows : ndarray of bool, shape (S,)
        The step comes directly after the one before it.
    """

    values: np.ndarray
    follows: np.ndarray


_FEWEST = {"std": "two moments", "delta": "two moments that follow each other"}
"""What a statistic needs of a clip; the others are content with one moment."""


def statistics_of_clips(
    clips: Iterable[tuple[int, Steps]], clip_ids: Sequence[str], statistics: Sequence[str], root: Path
) -> np.ndarray:
    """Statistics over time of each clip, float32 (num_clips, num_statistics · dim), one after the other.

    Parameters
    ----------
    clips : iterable of (int, Steps)
        Each clip once, with its number among `clip_ids`, in any order; one is in memory at a time.
    clip_ids : sequence of str
    statistics : sequence of str
        Of :data:`vjepa_fer.recipe.STATISTICS`, or ``pN``.
    root : Path
        For messages.

    Raises
    ------
    CacheError
        Clips with too few moments for a statistic; they are named.
    """
    x, short = np.empty((0, 0), np.float32), dict[str, list[str]]()
    for number, steps in clips:
        if not x.size:
            x = np.empty((len(clip_ids), len(statistics) * steps.values.shape[1]), np.float32)
        for lacking in (name for name in statistics if not _is_enough(name, steps.follows)):
            short.setdefault(lacking, []).append(clip_ids[number])
        if not short:
            x[number] = np.concatenate([statistic_of(name, *steps) for name in statistics])
    for name, lacking_it in short.items():
        raise CacheError(
            f"{root}: {name} needs {_FEWEST[name]}, and {len(lacking_it):,} clips have not as many: "
            f"{abridged(lacking_it, MOST_SHOWN)}; leave {name} out, or the clips, by `cache subset --clips`"
        )
    return x


def statistic_of(name: str, values: np.ndarray, follows: np.ndarray) -> np.ndarray:
    """One statistic over steps (S, dim), float64 (dim,); `follows` bool (S,): the step comes directly after the one before it."""
    percentile = percentile_of(name)
    if percentile is not None:
        return np.percentile(values.astype(np.float64), percentile, axis=0)
    return _PLAIN[name](values.astype(np.float64), follows)


def _delta(values: np.ndarray, follows: np.ndarray) -> np.ndarray:
    return np.abs(np.diff(values, axis=0))[follows[1:]].mean(axis=0)


_PLAIN: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "mean": lambda values, _: values.mean(axis=0),
    "std": lambda values, _: values.std(axis=0, ddof=1),
    "min": lambda values, _: values.min(axis=0),
    "max": lambda values, _: values.max(axis=0),
    "delta": _delta,
}


def _is_enough(name: str, follows: np.ndarray) -> bool:
    return bool(follows.any()) if name == "delta" else name != "std" or len(follows) > 1


def read_steps(file: ShardFile, shard: ShardIndex, level: StoredLevel, rows: slice) -> Steps:
    """The steps of a clip, whose rows in a shard these are; `level` has a time axis.

    Raises
    ------
    CacheError
        A row is not what was written.
    """
    counted, follows = _time_of(shard, rows, level.dataset.row_shape[0])
    values = read_decoded(file, shard, level, rows)
    return Steps(values.reshape(*counted.shape, -1)[counted], follows)


def _time_of(shard: ShardIndex, rows: slice, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Which steps count, bool (R, T'); and of those whether they follow directly on the one before, bool (S,)."""
    recipe = shard.recipe
    if not isinstance(recipe, Recipe):
        position = shard.columns[layout.START_FRAME][rows]
        return np.ones((len(position), 1), bool), np.concatenate([[False], np.diff(position) == 1])
    real = -(-shard.columns[layout.NUM_REAL_FRAMES][rows] // recipe.encoder.tubelet_size)
    counted = np.arange(num_steps) < np.maximum(real, 1)[:, None]
    return counted, np.broadcast_to(np.arange(num_steps) > 0, counted.shape)[counted]
