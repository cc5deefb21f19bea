"""RAVDESS: the download's folder in, a manifest out; the seven two-digit fields of a file name say everything.

``01-01-03-02-01-02-24``: modality, vocal channel, emotion, intensity, statement, repetition, actor.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.official import completeness_notes, match_names, naming_notes, require_some
from vjepa_fer.manifest.rows import COLUMNS, Clip, Manifest
from vjepa_fer.manifest.walk import file_notes, look_through

Channel = Literal["speech", "song"]

RAVDESS_LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
"""In the order of the emotion code 01–08."""

MODALITIES = ("full-av", "video-only", "audio-only")
CHANNELS: tuple[str, ...] = get_args(Channel)
INTENSITIES = ("normal", "strong")
STATEMENTS = ("kids", "dogs")
FURTHER_COLUMNS = ("modality", "channel", "intensity", "statement", "repetition", "sex", "recording")

_RULE = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")
_NO_SONG = 18


def ravdess_manifest(
    root: str | os.PathLike[str], *, channels: Sequence[Channel] = ("speech",), modalities: Sequence[int] = (1,)
) -> Manifest:
    """The RAVDESS videos below a folder, in any layout (``Actor_XX``, one folder a zip, flat).

    Parameters
    ----------
    root
        Where the download was unpacked.
    channels
        ``speech`` (1,440 performances) and ``song`` (1,012; no actor 18, no disgust or surprised).
    modalities
        1 with sound, 2 video-only. Both show the same performances: the column ``recording`` names the twins.

    Returns
    -------
    Manifest
        Sorted by clip id, paths absolute; its notes say what is missing or odd.

    Raises
    ------
    ManifestError
        No folder, no such videos in it, one name twice, or a channel or modality that there is not.
    """
    expected = {clip.clip_id: clip for clip in ravdess_clips(channels=channels, modalities=modalities)}
    there = look_through(root).require_videos().for_manifest()
    found, others = match_names(there.videos, _RULE.fullmatch)
    chosen = {clip_id: ravdess_clip(clip_id, str(found[clip_id])) for clip_id in sorted(expected) if clip_id in found}
    asked = f"RAVDESS {' or '.join(channels)} videos of modality {' or '.join(map(str, modalities))} (named {_example(channels, modalities)})"
    require_some(chosen, there.folder, asked, [*found.values(), *others])
    notes = (
        *completeness_notes(chosen, {clip_id: clip.subject for clip_id, clip in expected.items()}, "Actor_"),
        *naming_notes(others, "as RAVDESS names them"),
        *there.unread,
        *file_notes([Path(clip.path) for clip in chosen.values()]),
    )
    return Manifest(clips=tuple(chosen.values()), columns=(*COLUMNS, *FURTHER_COLUMNS), notes=notes)


def ravdess_clips(*, channels: Sequence[Channel] = ("speech",), modalities: Sequence[int] = (1,)) -> Iterator[Clip]:
    """Every clip that the data set holds by its naming rule, sorted, with the path inside the official download."""
    _check_choices(channels, modalities)
    fields = itertools.product(sorted(modalities), (1, 2), range(1, 9), (1, 2), (1, 2), (1, 2), range(1, 25))
    for numbers in fields:
        if CHANNELS[numbers[1] - 1] in channels and _exists(*numbers):
            clip_id = "-".join(f"{number:02}" for number in numbers)
            yield ravdess_clip(clip_id, f"Actor_{clip_id[-2:]}/{clip_id}.mp4")


def _exists(
    modality: int, channel: int, emotion: int, intensity: int, statement: int, repetition: int, actor: int
) -> bool:
    if emotion == 1 and intensity == 2:  # neutral has no strong rendition
        return False
    return channel == 1 or (emotion <= 6 and actor != _NO_SONG)


def _check_choices(channels: Sequence[str], modalities: Sequence[int]) -> None:
    for channel in channels:
        if channel not in CHANNELS:
            raise ManifestError(not_one_of("RAVDESS channel", channel, CHANNELS))
    for modality in modalities:
        if modality not in (1, 2):
            listed = "1 (with sound), 2 (video-only); 3 is audio without video"
            raise ManifestError(not_one_of("RAVDESS modality", modality, (1, 2), listed=listed))
    if not channels or not modalities:
        raise ManifestError("no RAVDESS channel or no modality asked for; the usual are speech and 1")


def ravdess_clip(clip_id: str, path: str) -> Clip:
    """A clip from its name; the name must follow the naming rule."""
    modality, channel, emotion, intensity, statement, repetition, actor = map(int, clip_id.split("-"))
    further = (
        MODALITIES[modality - 1],
        CHANNELS[channel - 1],
        INTENSITIES[intensity - 1],
        STATEMENTS[statement - 1],
        str(repetition),
        "male" if actor % 2 else "female",
        clip_id.partition("-")[2],
    )
    extra = dict(zip(FURTHER_COLUMNS, further, strict=True))
    return Clip(clip_id, path, RAVDESS_LABELS[emotion - 1], f"{actor:02}", extra)


def _example(channels: Sequence[str], modalities: Sequence[int]) -> str:
    return f"{modalities[0]:02}-{CHANNELS.index(channels[0]) + 1:02}-03-01-01-01-01.mp4"
