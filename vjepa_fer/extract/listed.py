"""What is to be said of single clips comes in from any thread; it is listed in the cache at once, and said, the first few clips by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from vjepa_fer.cache import layout
from vjepa_fer.cache.failures import Failure, FailureList, read_failures, refresh_failed
from vjepa_fer.cache.notes import NoteList

Entry = TypeVar("Entry")

MOST_SAID = 20
"""Clips that are said one by one; thousands of lines would bury the first, and the list has all of them."""


class _Listed(Generic[Entry]):
    """Entries of one run by clip id; `tell` is called with a line for people, which begins with `head`."""

    def __init__(self, tell: Callable[[str], None], head: str, file: str) -> None:
        self._tell, self._head, self._file = tell, head, file
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def _put(self, clip_id: str, entry: Entry, said: str, write: Callable[[], None]) -> None:
        with self._lock:
            write()
            self._entries[clip_id] = entry
            count = len(self._entries)
        if count <= MOST_SAID:
            self._tell(f"{self._head}: {clip_id}: {said}")
        if count == MOST_SAID:
            self._tell(f"{self._head}: further clips are not named here; all will be in {self._file}")


class GivenUp(_Listed[Failure]):
    """Clips of one run that could not be done.

    Parameters
    ----------
    root : Path
        The cache folder.
    tell : callable
        Called with a line for people.
    """

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        super().__init__(tell, "failed", layout.FAILED_CSV)
        self._root, self._list = root, FailureList(root)

    def add(self, failure: Failure) -> None:
        """List a clip."""
        said = f"{failure.path}: {failure.message}"
        self._put(failure.clip_id, failure, said, lambda: self._list.add([failure]))

    def close(self, done: Callable[[], frozenset[str]]) -> None:
        """Put everything on disk, and bring ``failed.csv`` up to date: `done` gives the ids of the clips that are finished."""
        self._list.close()
        if self._entries or read_failures(self._root):
            refresh_failed(self._root, done)

    def among(self, clip_ids: Iterable[str], done: frozenset[str]) -> tuple[Failure, ...]:
        """The clips of these that some process has given up and none has done."""
        listed = read_failures(self._root)
        return tuple(listed[clip_id] for clip_id in clip_ids if clip_id in listed and clip_id not in done)


class Noted(_Listed[tuple[str, ...]]):
    """What is odd about the videos of clips that were done; parameters as of :class:`GivenUp`."""

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        super().__init__(tell, "note", layout.NOTES_CSV)
        self._list = NoteList(root)

    def add(self, clip_id: str, path: str, notes: Sequence[str]) -> None:
        """List what is odd about a clip's video, if anything is."""
        if notes:
            said = f"{path}: {'; '.join(notes)}"
            self._put(clip_id, tuple(notes), said, lambda: self._list.add(clip_id, path, notes))

    @property
    def notes(self) -> dict[str, tuple[str, ...]]:
        """By clip id."""
        return self._entries

    def close(self) -> None:
        """Put everything on disk."""
        self._list.close()
