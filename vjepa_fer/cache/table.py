"""The finished clips of a cache go in; one object that is a sequence of clips and a table of their columns comes out."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np

from vjepa_fer.doors import Column, Sheet, card, frame_of, nearest
from vjepa_fer.manifest import COLUMNS, MOST_SHOWN, Clip, abridged

FIRST, MOST_COLUMNS = 5, 8
"""Rows and columns that a notebook shows."""


class ClipTable(tuple[Clip, ...]):
    """Clips in order, and a table: ``clips[0]`` is a clip, ``clips["label"]`` a column.

    Where pandas is installed it has a DataFrame's methods as well: ``clips.groupby("label").size()``, ``clips.head()``. pandas
    is loaded at the first of them. What a tuple has itself (`len`, iteration, ``index``, ``count``) stays the tuple's.

    Attributes
    ----------
    columns : tuple of str
        ``clip_id, path, label, subject`` and any further column of the manifest.
    """

    columns: tuple[str, ...]

    def __new__(cls, clips: Iterable[Clip], columns: Iterable[str]) -> ClipTable:
        made = super().__new__(cls, clips)
        made.columns = tuple(columns)
        return made

    def __repr__(self) -> str:
        return f"ClipTable({len(self):,} clips: {self[0].clip_id!r:.120}, …)" if self else "ClipTable(no clips)"

    def _repr_html_(self) -> str:
        columns = tuple(Column((name,), name) for name in self.columns[:MOST_COLUMNS])
        rows = tuple(tuple(clip.value(column.head) for column in columns) for clip in self[:FIRST])
        more = f"; columns: {abridged(self.columns, MOST_SHOWN)}" if len(self.columns) > MOST_COLUMNS else ""
        return card("Clips", f"{len(self):,} clips{more}", sheet=Sheet(columns, rows))

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipTable, (tuple(self), self.columns)

    def __getitem__(self, index: Any) -> Any:
        """A clip by number, several by slice, or a column by name: ndarray of str, shape (num_clips,)."""
        if not isinstance(index, str):
            return super().__getitem__(index)
        if index not in self.columns:
            raise KeyError(
                f"no column {index!r}; the columns are {', '.join(self.columns)}{nearest(index, self.columns)}"
            )
        read = attrgetter(index) if index in COLUMNS else methodcaller("value", index)
        return np.array(list(map(read, self)), dtype=str)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what Python, numpy and notebooks look for on any object must not load pandas
            raise AttributeError(name)
        try:
            return getattr(self.to_frame(), name)
        except ImportError as error:
            raise AttributeError(f"clips have no {name!r}; with pandas installed they have a DataFrame's") from error

    @cached_property
    def by_id(self) -> dict[str, Clip]:
        """The clips by their ids."""
        return {clip.clip_id: clip for clip in self}

    def records(self) -> list[dict[str, str]]:
        """One dictionary a clip, column by column."""
        return [{name: clip.value(name) for name in self.columns} for clip in self]

    def to_frame(self) -> Any:
        """A pandas DataFrame, one row a clip; all columns are text.

        Raises
        ------
        MissingExtraError
            pandas is not installed.
        """
        return frame_of(self.columns, [list(record.values()) for record in self.records()])

    to_pandas = to_frame
