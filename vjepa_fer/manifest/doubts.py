"""The clips of a manifest go in; what is odd about their labels and subjects, though it may be right, comes out in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from vjepa_fer.manifest.label_names import common_names
from vjepa_fer.manifest.rows import Clip, abridged
from vjepa_fer.manifest.spelling import canonical

FEWEST_CLIPS = 20
"""In a manifest with fewer, a class of one clip is nothing odd."""


NOT_PERSONS = frozenset(
    {
        *("m", "f", "male", "female", "man", "woman", "men", "women", "boy", "girl", "masculine", "feminine", "other"),
        *("train", "training", "val", "valid", "validation", "dev", "test", "testing"),
    }
)
"""What stands in a column of sexes, or of parts of a split, as :func:`canonical` has it."""

NOBODY = frozenset({"unknown", "unk", "anonymous", "unidentified", "other", "others", "n.n.", "unbekannt"})


def doubts_of(clips: Sequence[Clip]) -> Iterator[str]:
    """Two words for one class, which count as two; classes of a single clip, as a slip or a stray row makes them; subjects that are no persons."""
    yield from _of_labels(clips)
    yield from _of_subjects(clips)


def _of_subjects(clips: Sequence[Clip]) -> Iterator[str]:
    count = Counter(clip.subject for clip in clips)
    if len(count) < len(clips) and all(canonical(subject) in NOT_PERSONS for subject in count):
        yield f"subjects are {abridged(sorted(count))}: a sex or a part of a split, and no person? Folds keep the clips of each together"
    for subject in count:
        if len(count) > 1 < count[subject] and canonical(subject) in NOBODY:
            yield f"{count[subject]:,} clips of subject {subject} count as one person's"


def _of_labels(clips: Sequence[Clip]) -> Iterator[str]:
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
