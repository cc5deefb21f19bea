"""A manifest and the recipe of a sound go in; how many clips are to be done, how long they are and what they take on the disk come out."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.failures import read_failures
from vjepa_fer.cache.folder import refuse_other_cache
from vjepa_fer.errors import RemoteError, VideoError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import SoundRecipe
from vjepa_fer.remote import brought
from vjepa_fer.sound.reading import track_seconds

SMILE_HOP_SECONDS = 0.01
"""opensmile's, from a moment to the next."""


@dataclass(frozen=True)
class SoundPlan:
    """What it would take to do what a cache lacks.

    Attributes
    ----------
    clips : int
        To be done, those of `unreadable` too.
    seconds : float
        Of their sound, by what their headers say.
    rows : int
        About so many moments; one a clip of one vector a clip.
    needed_bytes, free_bytes : int
        About so many on the disk, and those that it has.
    unreadable : dict of str to int
        Why clips cannot be read → how many; they would be listed.
    """

    clips: int
    seconds: float
    rows: int
    needed_bytes: int
    free_bytes: int
    unreadable: dict[str, int]

    @property
    def fits(self) -> bool:
        """Whether the disk has the room."""
        return self.needed_bytes <= self.free_bytes


def plan_sound(manifest: Manifest, cache: Path, recipe: SoundRecipe, *, retry_failed: bool = False) -> SoundPlan:
    """Look at the header of every clip that is to be done; nothing is decoded, and nothing written.

    Raises
    ------
    RecipeMismatchError, CacheError
        The folder is the cache of another recipe, or something else.
    """
    clips = _left(manifest, cache, recipe, retry_failed)
    told = [_seconds(clip) for clip in clips]
    lengths = [one for one in told if isinstance(one, float)]
    rows = sum(_rows(recipe, seconds) for seconds in lengths)
    row_bytes = sum(dataset.row_bytes for dataset in layout.shard_datasets(recipe))
    return SoundPlan(
        clips=len(clips),
        seconds=sum(lengths),
        rows=rows,
        needed_bytes=rows * row_bytes,
        free_bytes=shutil.disk_usage(next(p for p in (cache.absolute(), *cache.absolute().parents) if p.exists())).free,
        unreadable=dict(Counter(one for one in told if isinstance(one, str))),
    )


def _left(manifest: Manifest, cache: Path, recipe: SoundRecipe, retry_failed: bool) -> list[Clip]:
    clips = [manifest.absolute(clip) for clip in manifest.clips]
    if not refuse_other_cache(cache, recipe):
        return clips
    over = set(open_cache(cache).done) | (set() if retry_failed else set(read_failures(cache)))
    return [clip for clip in clips if clip.clip_id not in over]


def _seconds(clip: Clip) -> float | str:
    """How long a clip's sound is; or the reason for which it cannot be read."""
    try:
        with brought(clip.path) as path:
            return track_seconds(path)
    except VideoError as error:
        return error.reason
    except FileNotFoundError:
        return "missing"
    except RemoteError:
        return "unreadable"


def _rows(recipe: SoundRecipe, seconds: float) -> int:
    return round(seconds / (recipe.hop_seconds or SMILE_HOP_SECONDS)) if recipe.is_over_time else 1
