"""Clips whose names are spelled in several ways go in; the same with one spelling a name, and what was united, come out."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence

from vjepa_fer.manifest.rows import Clip, abridged
from vjepa_fer.manifest.spelling import one_spelling, shown

_ALONE = ("clip_id", "path")
"""Columns that say which file a clip is: two spellings are two files."""


def unified(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[str, ...]]:
    """The clips with each label, subject and further value in its most frequent spelling, and a note on every column that changed."""
    columns = dict.fromkeys(["label", "subject", *(name for clip in clips for name in clip.extra)])
    names = {column: one_spelling(clip.value(column) for clip in clips) for column in columns if column not in _ALONE}
    changed = {column: spelt for column, spelt in names.items() if spelt}
    notes = (note for column in changed for note in _notes(column, changed[column], clips))
    return tuple(_respelled(clip, changed) for clip in clips) if changed else tuple(clips), tuple(notes)


def _respelled(clip: Clip, changed: dict[str, dict[str, str]]) -> Clip:
    said = {column: spelt.get(clip.value(column), clip.value(column)) for column, spelt in changed.items()}
    own = {column: value for column, value in said.items() if column in ("label", "subject")}
    extra = {column: said.get(column, value) for column, value in clip.extra.items()}
    return dataclasses.replace(clip, **own, extra=extra)


def _notes(column: str, spelt: dict[str, str], clips: Sequence[Clip]) -> Iterator[str]:
    count = Counter(clip.value(column) for clip in clips)
    united = []
    for kept in dict.fromkeys(spelt.values()):
        names = [kept, *(name for name in spelt if spelt[name] == kept != name)]
        ours, *others = (f"{text} ({count[name]:,})" for name, text in zip(names, shown(names), strict=True))
        united.append(f"{' and '.join(others)} {'is' if len(others) == 1 else 'are'} {ours}")
    yield f"{column}, taken for one name: {abridged(united, 6)}"
