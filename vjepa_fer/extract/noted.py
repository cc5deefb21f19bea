"""Notes on clips that were done come in from any thread; they are listed in the cache, and said, the first few by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from vjepa_fer.cache.notes import NoteList

MOST_SAID = 20


class Noted:
    """The notes of one run.

    Parameters
    ----------
    root : Path
        The cache folder.
    tell : callable
        Called with a line for people.
    """

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        self._list, self._tell = NoteList(root), tell
        self._lock = threading.Lock()
        self.notes: dict[str, tuple[str, ...]] = {}

    def add(self, clip_id: str, path: str, notes: Sequence[str]) -> None:
        """List what is odd about a clip's video, if anything is."""
        if not notes:
            return
        with self._lock:
            self._list.add(clip_id, path, notes)
            self.notes[clip_id] = tuple(notes)
            count = len(self.notes)
        if count <= MOST_SAID:
            self._tell(f"note: {clip_id}: {path}: {'; '.join(notes)}")
        if count == MOST_SAID:
            self._tell("note: further clips are not named here; all will be in notes.csv")

    def close(self) -> None:
        """Put everything on disk."""
        self._list.close()
