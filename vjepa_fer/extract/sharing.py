"""A list of clips goes in; those that are this process's to do come out, one by one, while others work on the same cache.

Processes that see one folder agree by `claims` in it. Those that only send to the same address have :class:`Others` besides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from vjepa_fer.cache import Cache, layout
from vjepa_fer.cache.failures import read_turns
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.claims import Claims
from vjepa_fer.manifest import Clip

_CLOCK_TICK_SECONDS = 2.0  # a folder's time may be that coarse


class Others(Protocol):
    """Processes that see no folder of this one's, and fill the same cache elsewhere. Any thread may ask."""

    def take(self, clip_id: str) -> bool:
        """Claim a clip; False when another has it, or it is done."""

    def holds(self, clip_id: str) -> bool:
        """Whether a clip that was taken is still this process's."""

    def is_done(self, clip_id: str) -> bool:
        """Whether a clip is in the cache elsewhere."""

    @property
    def done(self) -> frozenset[str]:
        """Ids of all that :meth:`is_done`."""


class Nobody:
    """The :class:`Others` of a process that has none."""

    done: frozenset[str] = frozenset()

    def take(self, _clip_id: str) -> bool:
        return True

    def holds(self, _clip_id: str) -> bool:
        return True

    def is_done(self, _clip_id: str) -> bool:
        return False


NOBODY = Nobody()


class DoneClips:
    """Ids of clips whose rows are on disk, kept up to date with what other processes write; any thread may ask.

    Parameters
    ----------
    cache : Cache
        As it was when the job began.
    own_writer : str
        Names the shards that this process writes, which it need not read.
    others : Others
    """

    def __init__(self, cache: Cache, own_writer: str, others: Others = NOBODY) -> None:
        self._others = others
        self._folder = cache.root / layout.SHARDS
        self._done = set(cache.done)
        self._seen = {shard.path.name for shard in cache.shards}
        self._own = own_writer
        self._lock = threading.Lock()
        self._changed, self._changed_at = 0, 0.0  # the folder's time, and when we first saw it by our own watch

    def __contains__(self, clip_id: str) -> bool:
        if self._others.is_done(clip_id):
            return True
        changed = self._folder.stat().st_mtime_ns
        with self._lock:
            if changed != self._changed:
                self._changed, self._changed_at = changed, time.monotonic()
            if time.monotonic() - self._changed_at < _CLOCK_TICK_SECONDS:
                self._read()
            return clip_id in self._done

    def ids(self) -> frozenset[str]:
        """All of them, as of now."""
        with self._lock:
            self._read()
            return frozenset(self._done) | self._others.done

    def _read(self) -> None:
        for name in sorted(set(self._names()) - self._seen):
            self._done.update(read_shard_index(self._folder / name).clip_ids)
            self._seen.add(name)

    def _names(self) -> Iterable[str]:
        names = (path.name for path in self._folder.glob(f"*{layout.SHARD_SUFFIX}"))
        return [name for name in names if self._own not in name]


class Patience:
    """How long to wait for other processes: as long as they get on.

    Parameters
    ----------
    seconds : float
        Without any clip getting done, after which :meth:`wait` says no.
    """

    POLL_SECONDS = 1.0

    def __init__(self, seconds: float) -> None:
        self._seconds, self._left, self._since = seconds, -1, 0.0

    def wait(self, num_left: int, tell: Callable[[int], None]) -> bool:
        """Wait a moment for `num_left` clips; `tell` is called with that number when the waiting begins."""
        if self._left < 0:
            tell(num_left)
        if num_left != self._left:
            self._left, self._since = num_left, time.monotonic()
        if time.monotonic() - self._since >= self._seconds:
            return False
        time.sleep(self.POLL_SECONDS)
        return True


class ClipShare:
    """What one process takes of a list of clips.

    Parameters
    ----------
    root : Path
        The cache folder.
    claims : Claims
    done : DoneClips
    turns : mapping of str to int
        The failures that were listed when the job began, as :func:`~vjepa_fer.cache.failures.read_turns` gives them.
    others : Others

    Attributes
    ----------
    taken : int
        Clips that were claimed and given out.
    held_elsewhere : list of Clip
        Clips that another live process has.
    suspects : list of Clip
        Clips that are claimed, and that a process has died in the middle of: they are done when nothing else is.
    found_done : set of str
        Ids of clips that another process had finished by the time they were asked for.
    """

    def __init__(
        self, root: Path, claims: Claims, done: DoneClips, turns: Mapping[str, int], others: Others = NOBODY
    ) -> None:
        self._root, self._claims, self._done, self._turns, self._others = root, claims, done, turns, others
        self.taken = 0
        self.held_elsewhere: list[Clip] = []
        self.suspects: list[Clip] = []
        self.found_done: set[str] = set()

    def take(self, clip: Clip) -> bool:
        """Claim a clip; whether it is ours to do now, among others."""
        is_ours = self._claims.take(clip.clip_id) and self._others.take(clip.clip_id)
        if (
            clip.clip_id in self._done
        ):  # looked at last: whoever had it may have finished it and be gone, or wait for us
            self.found_done.add(clip.clip_id)
            return False
        if not is_ours:
            self.held_elsewhere.append(clip)
            return False
        self.taken += 1
        if self._claims.deaths(clip.clip_id):
            self.suspects.append(clip)
            return False
        return True

    def failed_meanwhile(self) -> set[str]:
        """Ids of clips that some process has given up since the job began."""
        return {clip_id for clip_id, turn in read_turns(self._root).items() if turn > self._turns.get(clip_id, -1)}
