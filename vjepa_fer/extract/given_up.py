"""Clips that could not be done come in from any thread; they are listed in the cache at once, and said, the first few by name."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from vjepa_fer.cache.failures import Failure, FailureList, read_failures, refresh_failed

MOST_SAID = 20
"""Failures that are said one by one; thousands of lines would bury the first, and the list has all of them."""


class GivenUp:
    """The failures of one run.

    Parameters
    ----------
    root : Path
        The cache folder.
    tell : callable
        Called with a line for people.
    """

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        self._root, self._tell = root, tell
        self._list = FailureList(root)
        self._lock = threading.Lock()
        self.failures: dict[str, Failure] = {}

    def add(self, failure: Failure) -> None:
        """List a clip."""
        with self._lock:
            self._list.add([failure])
            self.failures[failure.clip_id] = failure
            count = len(self.failures)
        if count <= MOST_SAID:
            self._tell(f"failed: {failure.clip_id}: {failure.path}: {failure.message}")
        if count == MOST_SAID:
            self._tell("failed: further clips are not named here; all will be in failed.csv")

    def close(self, done: Callable[[], frozenset[str]]) -> None:
        """Put everything on disk, and bring ``failed.csv`` up to date: `done` gives the ids of the clips that are finished."""
        self._list.close()
        if self.failures or read_failures(self._root):
            refresh_failed(self._root, done)

    def among(self, clip_ids: Iterable[str], done: frozenset[str]) -> tuple[Failure, ...]:
        """The clips of these that some process has given up and none has done."""
        listed = read_failures(self._root)
        return tuple(listed[clip_id] for clip_id in clip_ids if clip_id in listed and clip_id not in done)
