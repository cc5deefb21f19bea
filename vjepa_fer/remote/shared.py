"""The clips that are asked for go in; which of them are this process's, and which are done, comes out, agreed with others at one address.

Clips are claimed in blocks, of the order in which they were asked for: a large one first, small ones towards the end, so that all are through at
about the same time. What a process finished becomes visible by an entry of the `log`, which is made only while no clip of it is
done: of two that did the same clip, one of which had stood still for an hour, the first one's counts and the other leaves it out.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from vjepa_fer.disk import new_owner
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.contents import CONTENTS, Contents, Entry
from vjepa_fer.remote.hearts import Hearts
from vjepa_fer.remote.log import LogEntry, Said, read_said
from vjepa_fer.remote.stores import create_bytes, send_bytes
from vjepa_fer.remote.writing import refuse_sole_writer

MOST_AT_ONCE = 64
"""Clips of a block."""

SHARES = 4
"""A block is this part of what each of the writers would have left to do."""

SILENT_SECONDS = 15.0
"""For which a store is not asked for clips after it did not answer."""

_JITTER_SECONDS = 0.05


class Shared:
    """One process's share of what several write to one address. A context manager; any thread may ask.

    Parameters
    ----------
    address : str
    clip_ids : sequence of str
        In the order in which they are to be done.

    Attributes
    ----------
    said : Said
        What the log has come to, as far as it was read.

    Raises
    ------
    RemoteError
        On entering: nothing can be written there, or a process that must be alone writes there. Later: it does not answer.
    """

    def __init__(self, address: str, clip_ids: Sequence[str]) -> None:
        self.address, self.owner, self.said = address, new_owner(), Said(Contents({}, 0))
        self._ids, self._number = clip_ids, {clip_id: number for number, clip_id in enumerate(clip_ids)}
        self._hearts, self._lock = Hearts(address, self.owner), threading.RLock()
        self._silent_until = 0.0

    def __enter__(self) -> Shared:
        create_bytes(f"{self.address}/{CONTENTS}", Contents({}, 0).text().encode())
        self._hearts.begin()
        try:
            self.said = read_said(self.address) or self.said
            self._say(lambda: LogEntry(self.owner))
            refuse_sole_writer(
                self.address
            )  # it looks for hearts once it has said that it writes: one of us two sees the other
            self.show()  # from now on whoever reads looks at the log
        except BaseException:
            with contextlib.suppress(RemoteError):
                self._leave()
            raise
        return self

    def __exit__(self, _kind: object = None, error: BaseException | None = None, _traceback: object = None) -> None:
        with contextlib.suppress(*[RemoteError] if error is not None else []):  # which says more
            self._leave()

    def _leave(self) -> None:
        try:
            self._say(lambda: LogEntry(self.owner, gone=(self.owner, *self._gone())))
            self.show()
        finally:
            self._hearts.end()

    def refresh(self) -> None:
        """Hear what others have said since."""
        with self._lock:
            for _ in self.said.follow(self.address):
                pass

    def know_done(self, clip_ids: Iterable[str]) -> None:
        """Take clips for done that a reader found in the folder."""
        with self._lock:
            self.said.done.update(clip_ids)

    def is_done(self, clip_id: str) -> bool:
        """Whether a clip is visible, as far as is known."""
        return clip_id in self.said.done

    @property
    def done(self) -> frozenset[str]:
        """Ids of all clips that :meth:`is_done`."""
        with self._lock:
            return frozenset(self.said.done)

    def holds(self, clip_id: str) -> bool:
        """Whether a clip is this process's to do, as far as is known; what counts is :meth:`publish`."""
        return self.said.holders.get(clip_id) == self.owner

    def take(self, clip_id: str) -> bool:
        """Claim a clip, and some that come after it; False when it is done, when another live process has it, or while the store is silent."""
        with self._lock:
            if time.monotonic() >= self._silent_until:
                try:
                    self._say(lambda: self._claim(clip_id))
                except RemoteError:  # hours of work need not end with it; if it lasts, who sends shards says so
                    self._silent_until = time.monotonic() + SILENT_SECONDS
            return self.holds(clip_id)

    def is_alone(self) -> bool:
        """Whether no other live process writes there."""
        with self._lock:
            return not (self.said.writers - {self.owner, *self._gone()})

    def publish(self, files: Mapping[str, Entry], done: Sequence[str]) -> frozenset[str]:
        """Make files visible that were sent, and with them these clips.

        Returns
        -------
        frozenset of str
            Those of the clips that another process has made visible meanwhile: nothing of `files` is then. Empty when all is well.
        """
        twice = frozenset[str]()

        def entry() -> LogEntry | None:
            nonlocal twice
            twice = frozenset(self.said.done.intersection(done))
            return None if twice else LogEntry(self.owner, done=tuple(done), files=files)

        self._say(entry)
        return twice

    def show(self) -> None:
        """Have ``contents.json`` say all, for those who do not follow the log; again, if another has said more meanwhile."""
        while True:
            with self._lock:
                through, contents = self.said.through, self.said.contents()
            send_bytes(f"{self.address}/{CONTENTS}", contents.text().encode())
            self.refresh()
            if self.said.through == through:
                return

    def _claim(self, clip_id: str) -> LogEntry | None:
        """What is to be said so that a clip is ours; None if nothing can be."""
        holder = self.said.holders.get(clip_id)
        if holder == self.owner or clip_id in self.said.done or (holder is not None and self._hearts.lives(holder)):
            return None
        gone = self._gone()
        free = self._free_from(clip_id, gone)
        count = len(free) // (SHARES * max(len(self.said.writers) - len(gone), 1))
        return LogEntry(self.owner, takes=tuple(free[: min(max(count, 1), MOST_AT_ONCE)]), gone=gone)

    def _gone(self) -> tuple[str, ...]:
        """Who is dead of those that write there."""
        return tuple(sorted(owner for owner in self.said.writers if not self._hearts.lives(owner)))

    def _free_from(self, clip_id: str, gone: Sequence[str]) -> list[str]:
        held = {one for one, owner in self.said.holders.items() if owner not in gone} | self.said.done
        return [one for one in self._ids[self._number[clip_id] :] if one not in held]

    def _say(self, make: Callable[[], LogEntry | None]) -> None:
        """Add to the log what `make` gives, asked anew whenever another was first; nothing, when it gives None."""
        with self._lock:
            while (entry := make()) is not None:
                if self.said.add(self.address, entry):
                    for owner in {*entry.gone} - {self.owner}:
                        self._hearts.forget(owner)
                    return
                time.sleep(random.uniform(0, _JITTER_SECONDS))
