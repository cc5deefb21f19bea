"""Corpora whose paths say label and subject: one declarative rule each; a folder in, a manifest out."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.folder import NO_SUBJECTS
from vjepa_fer.manifest.official import naming_notes, require_some
from vjepa_fer.manifest.rows import COLUMNS, Clip, Manifest
from vjepa_fer.manifest.walk import file_notes, look_through


@dataclass(frozen=True)
class PathRule:
    """How a corpus names its videos.

    Attributes
    ----------
    title : str
        What people call the corpus.
    pattern : str
        Regular expression for the end of a video's path, without suffix and with ``/`` on every system. Its named groups
        become columns; ``label`` must be among them.
    clip_id : str
        Of the groups, as spelled in the path: names alone are often not unique.
    num_clips : int
        In the whole corpus.
    words : mapping
        Group → code → word, where the path's spelling is a code. Everything else is only put in lower case.
    pictures : bool
        Its clips are handed out as folders of pictures; a video that someone made of one counts before the folder.
    recording : str
        Groups that name one performance, where several videos show the same; "" when each video is one.
    example : str
        A typical path, for messages.
    """

    title: str
    pattern: str
    clip_id: str
    num_clips: int
    example: str
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    recording: str = ""
    pictures: bool = False

    def clip(self, video: Path) -> Clip | None:
        """The clip that `video` is by this rule, or None."""
        match = re.search(rf"(?:^|/)(?:{self.pattern})$", video.with_suffix("").as_posix())
        if match is None:
            return None
        spelled = {name: value or "" for name, value in match.groupdict().items()}
        clip_id = self.clip_id.format(**spelled)
        values = {"subject": clip_id} | {name: self._word(name, value) for name, value in spelled.items()}
        extra = {name: value for name, value in values.items() if name not in COLUMNS}
        if self.recording:
            extra["recording"] = self.recording.format(**spelled)
        return Clip(clip_id, str(video), values["label"], values["subject"], extra)

    def _word(self, group: str, spelled: str) -> str:
        if group in self.words:
            return self.words[group][spelled]
        return spelled if group == "subject" else spelled.lower()

    @property
    def knows_subjects(self) -> bool:
        """Whether the paths tell who is in a video."""
        return "(?P<subject>" in self.pattern


_SEVEN = "Angry|Disgust|Fear|Happy|Neutral|Sad|Surprise"

NAMED: dict[str, PathRule] = {
    "afew": PathRule(
        "AFEW",
        rf"(?P<split>Train|Val)_AFEW/(?P<label>{_SEVEN})/(?P<name>[^/]+)",
        "{split}_{label}_{name}",
        773 + 383,  # the 653 test clips have no public label
        "Train_AFEW/Happy/000149120.avi",
        words={"split": {"Train": "train", "Val": "validation"}},
    ),
    "caer": PathRule(
        "CAER",
        r"(?P<split>train|validation|test)/(?P<label>Anger|Disgust|Fear|Happy|Neutral|Sad|Surprise)/(?P<number>\d{4})",
        "{split}_{label}_{number}",  # every folder starts again at 0001
        13201,
        "CAER/train/Anger/0001.avi",
    ),
    "enterface05": PathRule(
        "eNTERFACE'05",
        # The subject is the folder's: the files of subject 3 are named s_3_…, those of subject 11 s12_…; subject 6 was
        # never cut into sentences and is left out by everyone.
        r"subject[ _-]?(?P<subject>(?!6/)\d+)/(?P<label>anger|disgust|fear|happiness|sadness|surprise)"
        r"/sentence[ _-]?(?P<sentence>\d)/s_?\d+_(?:an|di|fe|ha|sa|su)_\d",
        "subject{subject}_{label}_{sentence}",
        1287,
        "subject 1/anger/sentence 1/s1_an_1.avi",
    ),
    "mead": PathRule(
        "MEAD",
        r"(?P<subject>[MW]\d{3})/video/(?P<view>front|left_30|left_60|right_30|right_60|top|down)"
        r"/(?P<label>angry|contempt|disgusted|fear|happy|neutral|sad|surprised)"
        r"/level_(?P<intensity>(?<=neutral/level_)1|(?<!neutral/level_)[123])/(?P<number>\d{3})",
        "{subject}_{view}_{label}_{intensity}_{number}",
        0,  # parts of it are in circulation; there is no count to hold a download against
        "M003/video/front/angry/level_1/001.mp4",
        recording="{subject}_{label}_{intensity}_{number}",  # seven cameras, one performance
    ),
    "oulu-casia": PathRule(
        "Oulu-CASIA",
        r"OriginalImg/(?P<camera>VL|NI)/(?P<lighting>Strong|Weak|Dark)/(?P<subject>P\d{3})"
        r"/(?P<label>Anger|Disgust|Fear|Happiness|Sadness|Surprise)",
        "{subject}_{camera}_{lighting}_{label}",
        0,  # most studies hold the 480 sequences of VL/Strong only
        "OriginalImg/VL/Strong/P001/Anger",
        recording="{subject}_{lighting}_{label}",  # both cameras, visible light and near infrared, filmed at once
        pictures=True,
    ),
    "savee": PathRule(
        "SAVEE",
        r"(?P<subject>DC|JE|JK|KL)[_/](?P<label>sa|su|a|d|f|h|n)(?P<number>\d\d)",
        "{subject}_{label}{number}",
        480,
        "AudioVisualClip/DC/a01.avi",
        words={
            "label": {
                "a": "anger",
                "d": "disgust",
                "f": "fear",
                "h": "happiness",
                "n": "neutral",
                "sa": "sadness",
                "su": "surprise",
            }
        },
    ),
}


def named_manifest(rule: PathRule, root: str | os.PathLike[str]) -> Manifest:
    """The videos below a folder whose paths follow `rule`, sorted by clip id.

    Raises
    ------
    ManifestError
        No folder, no such videos in it, or two videos that would have one clip id.
    """
    found = look_through(root)
    found = (found.require_clips() if rule.pictures else found.require_videos()).for_manifest()
    folder, others = found.folder, []
    clips: dict[str, Clip] = {}
    for video in [*found.videos, *(found.pictures if rule.pictures else ())]:
        clip = rule.clip(video)
        if clip is None:
            others.append(video)
        elif rule.pictures and clip.clip_id in clips and video.is_dir():
            continue
        elif clips.setdefault(clip.clip_id, clip) is not clip:
            raise ManifestError(
                f"{clip.clip_id} is there twice: {clips[clip.clip_id].path} and {video}; name the folder that holds one of them"
            )
    require_some(clips, folder, f"{rule.title} videos (such as {rule.example})", others)
    short = f"{len(clips):,} of {rule.num_clips:,} videos found" if len(clips) < rule.num_clips else ""
    notes = (
        *([short] if short else []),
        *naming_notes(others, f"as {rule.title} names them"),
        *([] if rule.knows_subjects else [NO_SUBJECTS]),
        *found.unread,
        *file_notes([Path(clip.path) for clip in clips.values()]),
    )
    return Manifest(clips=tuple(clips[clip_id] for clip_id in sorted(clips)), notes=notes)
