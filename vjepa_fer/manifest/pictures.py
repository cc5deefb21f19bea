"""Clips that are folders of pictures: how many of theirs are a second comes from the column ``fps``, or from whoever knows it."""

from __future__ import annotations

import dataclasses
import os

from vjepa_fer.doors import as_number
from vjepa_fer.errors import ManifestError, VideoError
from vjepa_fer.manifest.rows import Clip, Manifest

RATE = "fps"
"""The column that says it; of videos, which say it themselves, it means nothing here."""

SLOWEST, FASTEST = 0.001, 1000.0


def is_pictures(clip: Clip) -> bool:
    """Whether the clip is a folder of pictures."""
    return bool(clip.path) and os.path.isdir(clip.path)


def picture_rate(clip: Clip) -> float | None:
    """Pictures a second of a clip that is a folder of them; None of a video, and where nobody says it.

    Raises
    ------
    VideoError
        The column holds something else.
    """
    text = clip.value(RATE).strip()
    if not text or not is_pictures(clip):
        return None
    rate = as_number(text)
    if not SLOWEST <= rate <= FASTEST:
        message = (
            f"its fps {text!r} in the manifest is not a number of pictures a second from {SLOWEST:g} to {FASTEST:,.0f}"
        )
        raise VideoError("unreadable", clip.path, message)
    return rate


def with_picture_rate(manifest: Manifest, rate: float) -> Manifest:
    """The manifest with this rate in the column ``fps`` of those folders of pictures that have none.

    Raises
    ------
    ManifestError
        The rate is out of range.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise ManifestError(f"{rate:g} pictures a second are not from {SLOWEST:g} to {FASTEST:,.0f}")
    clips = [_rated(manifest, clip, f"{rate:g}") for clip in manifest]
    return dataclasses.replace(manifest, clips=tuple(clips))


def _rated(manifest: Manifest, clip: Clip, rate: str) -> Clip:
    if clip.value(RATE).strip() or not clip.path or not is_pictures(manifest.absolute(clip)):
        return clip
    return dataclasses.replace(clip, extra={**clip.extra, RATE: rate})


def about_pictures(manifest: Manifest, rate: float | None) -> Manifest:
    """The manifest with `rate` where one is given, and a note about its folders of pictures where it has some."""
    rated = manifest if rate is None else with_picture_rate(manifest, rate)
    pictures = sum(map(is_pictures, rated))
    if not pictures:
        return rated
    times = (
        f"{rate:g} a second"
        if rate
        else "how many are a second is not known; --picture-fps says it, for --fps of extract"
    )
    note = f"{pictures:,} of {len(rated):,} clips are folders of pictures: {times}"
    return dataclasses.replace(rated, notes=(*rated.notes, note))
