"""A list of clips goes in; those that are this process's to do come out, one by one, while others work on the same cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from vjepa_fer.cache import Cache, layout
from vjepa_fer.cache.folder import read_failures
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.extract.claims import Claims
from vjepa_fer.manifest import Clip

_CLOCK_TICK_NS = 2_000_000_000  # a folder's time may be that coarse


class DoneClips:
    """Ids of clips whose rows are on disk, kept up to date with what other processes write.

    Parameters
    ----------
    cache : Cache
        As it was when the job began.
    own_writer : str
        Names the shards that this process writes, which it need not read.
    """

    def __init__(self, cache: Cache, own_writer: str) -> None:
        self._folder = cache.root / layout.SHARDS
        self._done = set(cache.done)
        self._seen = {shard.path.name for shard in cache.shards}
        self._own = own_writer
        self._read_at = 0

    def __contains__(self, clip_id: str) -> bool:
        changed = self._folder.stat().st_mtime_ns
        if changed != self._read_at or time.time_ns() - changed < _CLOCK_TICK_NS:
            self._read_at = changed
            for name in sorted(set(self._names()) - self._seen):
                self._seen.add(name)
                self._done.update(read_shard_index(self._folder / name).clip_ids)
        return clip_id in self._done

    def _names(self) -> Iterable[str]:
        names = (path.name for path in self._folder.glob(f"*{layout.SHARD_SUFFIX}"))
        return [name for name in names if self._own not in name]


class ClipShare:
    """What one process takes of a list of clips.

    Attributes
    ----------
    taken : int
        Clips that were claimed and given out.
    held_elsewhere : list of Clip
        Clips that another live process has.
    found_done : set of str
        Ids of clips that another process had finished by the time they were asked for.
    """

    def __init__(self, root: Path, claims: Claims, done: DoneClips, *, retry_failed: bool) -> None:
        self._root, self._claims, self._done, self._retry = root, claims, done, retry_failed
        self.taken = 0
        self.held_elsewhere: list[Clip] = []
        self.found_done: set[str] = set()

    def claimed(self, clips: Iterable[Clip], stop: threading.Event) -> Iterator[Clip]:
        """Yield each clip that is free, claimed; until `stop` is set."""
        for clip in clips:
            if stop.is_set():
                return
            if not self._claims.take(clip.clip_id):
                self.held_elsewhere.append(clip)
            elif clip.clip_id in self._done:
                self.found_done.add(clip.clip_id)
            else:
                self.taken += 1
                yield clip

    def failed_meanwhile(self) -> set[str]:
        """Ids of clips that some process has given up."""
        return set() if self._retry else set(read_failures(self._root))
