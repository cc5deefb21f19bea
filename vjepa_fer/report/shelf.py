"""Run folders and caches are asked for, again and again; each is read once, and whoever asks next gets what was read.

A report of twenty runs of one sweep shows for each of them the other nineteen, and the same features in the plane.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from vjepa_fer.cache import Cache, open_cache
from vjepa_fer.disk import AnyPath
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.experiment import Plan
from vjepa_fer.remote import place_of
from vjepa_fer.runs import Run, read_plan, read_run

Value = TypeVar("Value")


class Shelf:
    """What was read for one report, by where it lies; an error is raised again to whoever asks again.

    Attributes
    ----------
    progress : callable
        Called with a word before something is read or computed for the first time.
    """

    def __init__(self, progress: Callable[[str], None] = lambda word: None) -> None:
        self._kept: dict[Hashable, Any] = {}
        self.progress = progress

    def run(self, path: str | os.PathLike[str]) -> Run:
        """See :func:`vjepa_fer.runs.read_run`."""
        place = Path(path).resolve()
        return self.once(("run", place), lambda: read_run(path), word=place.name)

    def plan(self, path: str | os.PathLike[str]) -> tuple[Mapping[str, Any], Plan]:
        """See :func:`vjepa_fer.runs.read_plan`."""
        place = Path(path).resolve()
        kept = self._kept.get(("run", place))
        if isinstance(kept, Run):
            return kept.settings, kept.evaluation.cell
        return self.once(("plan", place), lambda: read_plan(path))

    def cache(self, path: AnyPath) -> Cache:
        """See :func:`vjepa_fer.cache.open_cache`."""
        return self.once(("cache", place_of(path).resolve()), lambda: open_cache(path), word=str(path))

    def once(self, key: Hashable, make: Callable[[], Value], *, word: str = "") -> Value:
        """What `make` gave, or raised, the first time that it was asked for under this key."""
        if key not in self._kept:
            if word:
                self.progress(word)
            try:
                self._kept[key] = make()
            except (VjepaFerError, OSError) as error:
                self._kept[key] = error
        kept = self._kept[key]
        if isinstance(kept, Exception):
            raise kept
        return kept
