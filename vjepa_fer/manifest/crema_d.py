"""CREMA-D: the download's folder in, a manifest out; what the clips are is known from the shipped official list."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from vjepa_fer.manifest.official import completeness_notes, match_names, naming_notes, require_some
from vjepa_fer.manifest.rows import Manifest
from vjepa_fer.manifest.shipped import FILE_COLUMNS, crema_d_official, without_columns
from vjepa_fer.manifest.walk import file_notes, look_through

LABELS = ("anger", "disgust", "fear", "happy", "neutral", "sad")


def crema_d_clips() -> Manifest:
    """All 7,442 clips, with paths inside the official repository: a manifest for imported features.

    The label is the intended emotion. Further columns: intensity (low, medium, high, unspecified), sentence, age, sex,
    race and ethnicity of the actor, the crowd's votes as counts (``face_anger`` … seen without sound, ``av_anger`` …
    seen and heard), and ``damaged``: what is wrong with the five clips that are, otherwise "".
    """
    return without_columns(crema_d_official(), FILE_COLUMNS)


def crema_d_manifest(root: str | os.PathLike[str]) -> Manifest:
    """The CREMA-D videos below a folder, in any layout (the repository's ``VideoFlash/*.flv``, converted copies, flat).

    Returns
    -------
    Manifest
        Columns of :func:`crema_d_clips`, sorted by clip id, paths absolute; its notes say what is missing or odd.

    Raises
    ------
    ManifestError
        No folder, no such videos in it, or one name twice (an original beside its converted copy).
    """
    official = crema_d_clips()
    expected = {clip.clip_id: clip for clip in official}
    there = look_through(root).require_videos().for_manifest()
    found, others = match_names(there.videos, expected.__contains__)
    require_some(found, there.folder, "CREMA-D videos (VideoFlash/1001_DFA_ANG_XX.flv and so on)", others)
    clips = {name: dataclasses.replace(expected[name], path=str(video)) for name, video in sorted(found.items())}
    notes = (
        *completeness_notes(clips, {clip.clip_id: clip.subject for clip in official}, "actor "),
        *naming_notes(others, "as in CREMA-D's official list"),
        *there.unread,
        *file_notes([Path(clip.path) for clip in clips.values()]),
    )
    return dataclasses.replace(official, clips=tuple(clips.values()), notes=notes)
