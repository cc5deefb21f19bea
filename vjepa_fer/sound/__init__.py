"""Stage 1 of what is heard: a manifest goes in, and a cache comes out that holds numbers of each clip's sound, with their times.

In reading order: `reading` (from a file to samples), `heard` (what an extractor makes of them), `smile` (opensmile's), `speech` and `encoder` (a
speech encoder's), `extractors` (which of them a name means), `job` (all clips of a manifest), `plan` (what that would take).
"""

from __future__ import annotations

from vjepa_fer.sound.extractors import load_extractor
from vjepa_fer.sound.heard import Extractor, Heard
from vjepa_fer.sound.job import extract_sound
from vjepa_fer.sound.plan import SoundPlan, plan_sound
from vjepa_fer.sound.reading import Sound, read_sound

__all__ = [
    "Extractor",
    "Heard",
    "Sound",
    "SoundPlan",
    "extract_sound",
    "load_extractor",
    "plan_sound",
    "read_sound",
]
