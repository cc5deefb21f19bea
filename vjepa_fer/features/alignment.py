"""Cached clips of several streams with a time axis go in; one sequence of moments a clip comes out, a column block a stream.

The first stream's moments lead. Each takes of every other stream the moment that is nearest in time, of two as near the earlier, if it is
near enough; a moment without one drops out, and is counted.

::

    vjepa    0.02      0.09      0.15      0.22          a step of two frames, in the middle of them
    au       0.00 0.03 0.07 0.10                0.23     a face was lost in between
    rows     a  0.00   b  0.10    –        d  0.23       within half a step of the slower stream, 0.03 s here

When a moment is follows from what a cache holds: of imported features and of sound the time of the row; of an encoder's steps the mean time of the
frames that the step was made of, whose times are kept frame by frame. Padding is no moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.cache import Cache, CachedClip
from vjepa_fer.cache.over_time import Steps
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import ImportedRecipe, Recipe, SoundRecipe, parse_level

ROUNDING = 1e-9
"""Of a second or frame, by which a distance may exceed the tolerance or another one: times are sums of floats."""


class Moments(NamedTuple):
    """When a stream's steps of a clip are.

    Attributes
    ----------
    time : ndarray of float64, shape (S,)
        By the stream's clock.
    row : ndarray of int64, shape (S,)
        Which of all steps of the clip these are, padding counted; ``values.reshape(-1, dim)[row]`` are theirs.
    follows : ndarray of bool, shape (S,)
        The step comes directly after the one before it.
    """

    time: np.ndarray
    row: np.ndarray
    follows: np.ndarray

    @property
    def step(self) -> float:
        """The usual time from a step to the next; 0 where no step follows another."""
        steps = np.diff(self.time)[self.follows[1:]]
        return float(np.median(steps)) if len(steps) else 0.0


class Matched(NamedTuple):
    """Which moment of each stream stands in each row: ``rows`` int64 (num_streams, S), ``follows`` bool (S,), and how many were lost."""

    rows: np.ndarray
    follows: np.ndarray
    num_lost: int
    tolerance: float


@dataclass(frozen=True, eq=False)
class Alignment:
    """What became of the moments of all clips.

    Attributes
    ----------
    level : str
    num_moments : int
        Of the first stream.
    num_lost : int
        Those to which another stream has none that is near enough.
    tolerance : tuple of float
        The smallest and the largest of all clips.
    unit : {"s", "frames"}
    """

    level: str
    num_moments: int
    num_lost: int
    tolerance: tuple[float, float]
    unit: str

    def __str__(self) -> str:
        low, high = self.tolerance
        near = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
        share = 100 * self.num_lost / self.num_moments
        return (
            f"{self.level} aligned by time, within {near} {self.unit}: {self.num_lost:,} of {self.num_moments:,} moments ({share:.1f} %) "
            "have no partner in every other stream and drop out"
        )


@dataclass(frozen=True, eq=False)
class AlignedClip:
    """One clip of all streams, a row a moment; what :class:`vjepa_fer.features.TokenStream` needs of a cached clip."""

    parts: tuple[CachedClip, ...]
    matched: Matched

    is_over_time = True

    @property
    def clip(self) -> Clip:
        """Its row of the manifest."""
        return self.parts[0].clip

    def __len__(self) -> int:
        return self.matched.rows.shape[1]

    @property
    def start_frame(self) -> np.ndarray:
        """Each moment's place among the others, int64 (S,)."""
        return np.arange(len(self))

    @property
    def view(self) -> np.ndarray:
        """All moments are one sequence."""
        return np.zeros(len(self), np.int64)

    @property
    def multiplicity(self) -> np.ndarray:
        """Each stands there once."""
        return np.ones(len(self), np.int64)

    def level(self, level: str) -> np.ndarray:
        """The streams side by side, float32 (S, 1, sum of the streams' dims)."""
        blocks = []
        for part, rows in zip(self.parts, self.matched.rows, strict=True):
            values = part.level(level)
            blocks.append(values.reshape(values.shape[0] * values.shape[1], -1)[rows])
        return np.concatenate(blocks, axis=1)[:, None]

    def steps(self, level: str) -> Steps:
        """The same as steps in time."""
        return Steps(self.level(level)[:, 0], self.matched.follows)


def align_clips(
    streams: Mapping[str, Cache], clips: Sequence[Clip], level: str, *, tolerance: float | None = None
) -> tuple[list[AlignedClip], Alignment]:
    """Bring the moments of several streams together, clip by clip; no features are read.

    Parameters
    ----------
    streams : mapping of str to Cache
        Two or more; the first leads.
    clips : sequence of Clip
        That all have.
    level : str
        ``frames``, or another that has a row a time step in each.
    tolerance : float, optional
        Seconds, or frames where the streams' clocks count these; by default half a step of the slower stream, clip by clip.

    Raises
    ------
    CacheError
        A stream without times, clocks that cannot be compared, a stream behind the first that has several moments at one time, or clips
        of which no moment is left; they are named.
    """
    unit = _common_unit(streams, level)
    found, empty = [], []
    for clip in clips:
        parts = {name: cache[clip.clip_id] for name, cache in streams.items()}
        moments = {name: _moments_of(parts[name], streams[name], name) for name in streams}
        matched = match_moments(moments, tolerance=tolerance, where=f"clip {clip.clip_id}")
        found.append(AlignedClip(tuple(parts.values()), matched))
        empty += [clip.clip_id] if not matched.rows.shape[1] else []
    _refuse_empty(empty, streams)
    near = [one.matched.tolerance for one in found]
    lost = sum(one.matched.num_lost for one in found)
    whole = lost + sum(map(len, found))
    return found, Alignment(level, whole, lost, (min(near), max(near)), unit)


def match_moments(moments: Mapping[str, Moments], *, tolerance: float | None, where: str) -> Matched:
    """Match one clip's moments to those of the first stream.

    >>> au, vj = (
    ...     Moments(np.array(t), np.arange(len(t)), np.arange(len(t)) > 0) for t in ([0.0, 0.1, 0.2], [0.02, 0.11])
    ... )
    >>> match_moments({"au": au, "vjepa": vj}, tolerance=0.05, where="clip a").rows.tolist()
    [[0, 1], [0, 1]]
    """
    (_, first), *others = moments.items()
    near = max(one.step for one in moments.values()) / 2 if tolerance is None else tolerance
    kept, rows = np.ones(len(first.time), bool), [first.row]
    for name, other in others:
        place = _nearest(first.time, other, f"{where} of {name}")
        kept &= np.abs(other.time[place] - first.time) <= near + ROUNDING
        rows.append(other.row[place])
    follows = first.follows & np.concatenate([[False], kept[:-1]])
    return Matched(np.stack(rows)[:, kept], follows[kept], int((~kept).sum()), near)


def _nearest(time: np.ndarray, other: Moments, where: str) -> np.ndarray:
    """Place in `other` of the moment nearest to each time, of two as near the earlier."""
    again = np.flatnonzero(np.diff(other.time) <= 0)
    if len(again):
        raise CacheError(
            f"{where}: a moment at {other.time[again[0] + 1]:.4g} comes after one at {other.time[again[0]]:.4g}, as where windows overlap or "
            "have several views, so which one is meant cannot be told; name this stream first, and the others are matched to it"
        )
    after = np.clip(np.searchsorted(other.time, time), 1, max(len(other.time) - 1, 1))
    before = after - 1
    after = np.minimum(after, len(other.time) - 1)
    return np.where(other.time[after] - time < time - other.time[before] - ROUNDING, after, before)


def _common_unit(streams: Mapping[str, Cache], level: str) -> str:
    """What all streams count time in."""
    clocks = {name: _clock_of(cache, name, level) for name, cache in streams.items()}
    if len(set(clocks.values())) > 1:
        said = ", ".join(f"{name} counts {clock}" for name, clock in clocks.items())
        raise CacheError(
            f"{said}: how long a frame is nobody says, so their moments cannot be matched; import the frames with --fps, which gives them seconds"
        )
    return "s" if "seconds" in clocks.values() else "frames"


def _clock_of(cache: Cache, name: str, level: str) -> str:
    recipe = cache.recipe
    if isinstance(recipe, Recipe):
        kind = parse_level(cache.stored_level(level))[0]
        if kind != "frames":
            raise CacheError(f"{name}: {level} has no row a time step; streams are aligned at level frames")
        return "seconds"
    if recipe.clock == "none":
        what, again = _made_again(recipe)
        raise CacheError(f"{name} ({what}) has one vector a clip and no times to align; {again}, or leave --align out")
    return recipe.clock


def _made_again(recipe: ImportedRecipe | SoundRecipe) -> tuple[str, str]:
    """What a stream is, and how it is made with times."""
    if isinstance(recipe, ImportedRecipe):
        return recipe.source, "import it frame by frame (`cache import --level frames`)"
    return (
        recipe.title,
        "take its moments (`extract-audio --features egemaps-lld`, or a speech encoder's --level frames)",
    )


def _moments_of(clip: CachedClip, cache: Cache, name: str) -> Moments:
    recipe: Any = cache.recipe
    if not isinstance(recipe, Recipe):
        follows = np.concatenate([[False], np.diff(clip.start_frame) == 1])
        return Moments(clip.timestamps[:, 0], np.arange(len(clip)), follows)
    moments = _moments_of_windows(clip, recipe.encoder.tubelet_size)
    if not np.isfinite(moments.time).all():
        raise CacheError(
            f"clip {clip.clip.clip_id} of {name}: nothing said when its frames are shown, so its steps have no times; extract it with "
            "--picture-fps, or leave --align out"
        )
    return moments


def _moments_of_windows(clip: CachedClip, tubelet: int) -> Moments:
    """A step is when its frames are on average, those that are padding left out; windows in the order of time."""
    order = np.lexsort((clip.view, clip.start_frame))
    num_steps = clip.timestamps.shape[1] // tubelet
    real = np.arange(num_steps * tubelet) < np.maximum(clip.num_real_frames, 1)[:, None]
    real = real.reshape(len(clip), num_steps, tubelet)
    seconds = clip.timestamps[:, : num_steps * tubelet].reshape(real.shape)
    num_real = real.sum(axis=2)
    time = np.where(real, seconds, 0).sum(axis=2) / np.maximum(num_real, 1)
    counted, row = num_real[order] > 0, np.arange(real.shape[0] * num_steps).reshape(-1, num_steps)[order]
    follows = np.broadcast_to(np.arange(num_steps) > 0, counted.shape)[counted]
    return Moments(time[order][counted], row[counted], follows)


def _refuse_empty(clips: Sequence[str], streams: Mapping[str, Cache]) -> None:
    if clips:
        names = ", ".join(clips[:3]) + (" …" if len(clips) > 3 else "")
        raise CacheError(
            f"{len(clips):,} clips have no moment that {' and '.join(streams)} share within the tolerance: {names}; widen it (--align frames:SECONDS), "
            "leave the clips out (`cache subset`), or look whether both count from the start of the same video"
        )
