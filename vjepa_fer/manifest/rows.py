"""What a clip is and what a manifest is: checked values in, and nothing unchecked past this door."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vjepa_fer.disk import is_url
from vjepa_fer.doors import Column, Sheet, card, frame_of, not_one_of
from vjepa_fer.errors import ManifestError, RemoteError
from vjepa_fer.manifest.spelling import (
    refuse_marked,
    refuse_measurements,
    refuse_missing,
    refuse_parted_otherwise,
    refuse_spelled_twice,
)
from vjepa_fer.remote import check_source, must_be_brought

COLUMNS = ("clip_id", "path", "label", "subject")
"""The columns that vjepa-fer itself reads; a manifest may carry any further ones."""

LONGEST_LIST, LONGEST_OF_MANY = 3000, 100
"""Characters that a message spends on names: of a few they may be long paths, of many they are cut, for none may hide what it says."""

MOST_SHOWN = 50
"""Columns and classes that a message lists: nobody reads more, and a line of megabytes hides what it says."""

FIRST, MOST_COLUMNS = 5, 8
"""Rows and columns of a manifest that a notebook shows."""

_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# control characters, and the surrogates that stand for file names which are not valid Unicode; marks of direction belong to
# Arabic and Hebrew names, and are shown for what they are


@dataclass(frozen=True)
class Clip:
    """One video file of a data set: the thing that has a label, a subject and a fold.

    Attributes
    ----------
    clip_id : str
        Unique in its manifest. No path separators and no control characters, so that it may name a file or a table row.
    path : str
        Of the video, absolute or relative to the manifest's folder; or its address (``s3://bucket/clip.mp4``), or a member of an
        archive (``shards-{000..099}.tar::clip.mp4``); "" in a manifest for imported features.
    label, subject : str
        Never empty.
    extra : mapping of str to str
        Further columns (intensity, sentence, age …); an absent one reads as "".

    Raises
    ------
    ManifestError
        A value is empty or has characters that it must not have.
    """

    clip_id: str
    path: str
    label: str
    subject: str
    extra: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        named = self.clip_id.strip() and self.label.strip() and self.subject.strip()
        if not named or _FORBIDDEN.search(self.clip_id + self.path + self.label + self.subject):
            for column in COLUMNS:  # now it may take time: which one is it?
                _check_value(column, getattr(self, column))
        if "/" in self.clip_id or "\\" in self.clip_id or self.clip_id in (".", ".."):
            raise ManifestError(
                f"clip_id {self.clip_id!r} is a path; use a plain name, such as the file's without suffix"
            )
        if must_be_brought(self.path):
            _check_source(self.path)
        if not self.extra.keys().isdisjoint(COLUMNS):
            clash = sorted(set(self.extra) & set(COLUMNS))
            raise ManifestError(f"clip {self.clip_id!r}: {', '.join(clash)} cannot be a further column as well")

    def value(self, column: str) -> str:
        """The value in `column`, one of :data:`COLUMNS` or a further one; "" where this clip has none."""
        return getattr(self, column) if column in COLUMNS else self.extra.get(column, "")


def _check_source(path: str) -> None:
    """An address is written into caches and logs: one with a secret in it never gets that far."""
    try:
        check_source(path)
    except RemoteError as error:
        raise ManifestError(str(error)) from error


def may_be_written(value: str) -> bool:
    """Whether a manifest may hold `value`: no control character, and nothing but Unicode."""
    return not _FORBIDDEN.search(value)


def _check_value(column: str, value: str) -> None:
    if column != "path" and not value.strip():
        raise ManifestError(f"{column} is empty; every clip needs one")
    if _FORBIDDEN.search(value):
        raise ManifestError(
            f"{column} {value!r} holds a control character (line break, tab, NUL …) or is not Unicode; rename it"
        )


@dataclass(frozen=True)
class Manifest:
    """The clips of a study, in order, each with its label and subject.

    Attributes
    ----------
    clips : tuple of Clip
        At least one; no clip_id twice.
    columns : tuple of str
        Every column in file order. Columns that only some clip carries are added at the end.
    source : pathlib.Path or None
        The file it was read from. Relative paths start at its folder (at the working directory when there is no file).
    notes : tuple of str
        What a reader wants the person to know ("1,380 of 1,440 videos found"); not stored in the file.

    Raises
    ------
    ManifestError
        No clips, a clip_id twice, labels or subjects that differ only in spelling or are words for missing data, or labels that
        are measurements.
    """

    clips: tuple[Clip, ...]
    columns: tuple[str, ...] = ()
    source: Path | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clips", tuple(self.clips))
        further = [name for clip in self.clips for name in clip.extra]
        object.__setattr__(self, "columns", tuple(dict.fromkeys([*(self.columns or COLUMNS), *further])))
        where = f"{self.source}: " if self.source else ""
        if not self.clips:
            raise ManifestError(f"{where}no clips in the manifest; it needs at least one row below its header")
        _check_unique([clip.clip_id for clip in self.clips], where)
        check_names(dict.fromkeys(self.labels, ""), dict.fromkeys(self.subjects, ""), where)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that occur, sorted: the class order of everything downstream."""
        return tuple(sorted({clip.label for clip in self.clips}))

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects that occur, sorted."""
        return tuple(sorted({clip.subject for clip in self.clips}))

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __repr__(self) -> str:
        source = f", source={str(self.source)!r}" if self.source else ""
        return f"Manifest({self._in_words}{source})"

    @property
    def _in_words(self) -> str:
        return f"{len(self):,} clips, {len(self.subjects):,} subjects, {len(self.labels):,} labels"

    def _repr_html_(self) -> str:
        counts = dict(sorted(Counter(clip.label for clip in self.clips).items()))
        columns = tuple(Column((name,), name) for name in self.columns[:MOST_COLUMNS])
        rows = tuple(tuple(clip.value(column.head) for column in columns) for clip in self.clips[:FIRST])
        more = [f"columns: {abridged(self.columns, MOST_SHOWN)}"] if len(self.columns) > MOST_COLUMNS else []
        about = f"{self._in_words}{f', from {self.source}' if self.source else ''}"
        first = f"the first {len(rows)} of {len(self):,}" if len(self) > len(rows) else "all of them"
        return card(
            "Manifest",
            about,
            bars=counts,
            bars_of="clips of each label",
            sheet=Sheet(columns, rows),
            notes=[first, *more, *self.notes],
        )

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a clip with all its columns, as text.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame_of(self.columns, [[clip.value(name) for name in self.columns] for clip in self.clips])

    def resolve(self, clip: Clip) -> Path:
        """Absolute path of the clip's video; a relative one starts at the manifest file's folder.

        Raises
        ------
        ManifestError
            The clip has no path: the manifest was made for imported features.
        """
        if not clip.path:
            raise ManifestError(
                f"clip {clip.clip_id!r} has no path: this manifest was made for imported features, not for videos"
            )
        return Path(self._absolute_path(clip))

    def absolute(self, clip: Clip) -> Clip:
        """The same clip with an absolute path; a clip without a path stays as it is."""
        return dataclasses.replace(clip, path=self._absolute_path(clip)) if clip.path else clip

    def _absolute_path(self, clip: Clip) -> str:
        """As text: a corpus has many clips, and a Path takes longer to make than to look up."""
        if is_url(clip.path):
            return clip.path
        folder = os.path.dirname(self.source) if self.source else ""
        return os.path.abspath(os.path.join(folder, clip.path))

    def where(self, clips: Iterable[Clip]) -> Manifest:
        """The same manifest with only these clips (any subset of its own)."""
        return dataclasses.replace(self, clips=tuple(clips))


def _check_unique(clip_ids: Sequence[str], where: str) -> None:
    clip_id, count = Counter(clip_ids).most_common(1)[0]
    if count > 1:
        raise ManifestError(f"{where}clip_id {clip_id!r} is there {count} times; every clip needs its own")


def check_names(labels: Mapping[str, str], subjects: Mapping[str, str], where: str) -> None:
    """Refuse labels and subjects, each with the place where it stands, from which no right figure can come; see :class:`Manifest`."""
    for kind, names in (("label", labels), ("subject", subjects)):
        refuse_missing(kind, names, where)
        refuse_spelled_twice(f"{kind}s", names, where)
        refuse_parted_otherwise(f"{kind}s", names, where)
        refuse_marked(f"{kind}s", names, where)
    refuse_measurements(tuple(labels), where)


def check_label(label: str, known: Sequence[str]) -> None:
    """Raise :class:`ManifestError` unless `label` is one of `known`; the message suggests the nearest one.

    >>> check_label("hapy", ["angry", "happy", "sad"])
    Traceback (most recent call last):
    vjepa_fer.errors.ManifestError: label 'hapy' is not one of angry, happy, sad; did you mean 'happy'?
    """
    if label not in known:
        raise ManifestError(not_one_of("label", label, known, listed=abridged(known, MOST_SHOWN)))


def abridged(names: Iterable[str], limit: int = 3) -> str:
    """The first few names, the longest cut off, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    longest = max(LONGEST_LIST // limit, LONGEST_OF_MANY)
    shown = (name if len(name) <= longest else f"{name[:longest]}…" for name in names[:limit])
    return ", ".join(shown) + rest
