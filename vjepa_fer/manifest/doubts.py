"""The clips of a manifest go in; what is odd about their labels, though it may be right, comes out in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from vjepa_fer.manifest.label_names import common_names
from vjepa_fer.manifest.rows import Clip, abridged

FEWEST_CLIPS = 20
"""In a manifest with fewer, a class of one clip is nothing odd."""


def doubts_of(clips: Sequence[Clip]) -> Iterator[str]:
    """Two words for one class, which count as two; and classes of a single clip, as a slip or a stray row makes them."""
    count = Counter(clip.label for clip in clips)
    words: dict[str, list[str]] = {}
    for label, name in common_names(count).items():
        words.setdefault(name, []).append(label)
    for name, labels in words.items():
        if len(labels) > 1:
            said = " and ".join(f"{label} ({count[label]:,})" for label in labels)
            yield f"labels {said} are words for one class, {name}, and count as {len(labels)}; where they are one, write one word"
    single = [f"{clip.label} ({clip.clip_id})" for clip in clips if count[clip.label] == 1]
    if single and len(clips) >= FEWEST_CLIPS:
        yield f"labels of one clip only: {abridged(single)}; is each of them a class?"
