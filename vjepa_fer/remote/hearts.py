"""The name of a process that writes to an address goes in; whether it still lives comes out. It says so itself, every few seconds.

::

    writers/OWNER.json    made by whoever writes, replaced with every beat of its heart, and taken away when it is through

A store's clock is nobody's: another process is dead when this one has seen its heart stand still for long by its own watch, when its
heart is gone, or when it was one of this machine and no longer runs.
"""

from __future__ import annotations

import contextlib
import threading
import time

from vjepa_fer.disk import is_gone
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.stores import read_whole, remove_file, send_bytes

WRITERS = "writers"
HEARTBEAT_SECONDS = 15.0
DEAD_AFTER_SECONDS = 120.0
_LARGEST = 1 << 12


class Hearts:
    """The hearts of a folder elsewhere, of which one is this process's.

    Parameters
    ----------
    address : str
        Of the folder.
    owner : str
        This process.
    """

    def __init__(self, address: str, owner: str) -> None:
        self._address, self._owner = address, owner
        self._seen: dict[str, tuple[bytes, float]] = {}  # the beat, and when it was first seen by our own watch
        self._looked: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def begin(self) -> None:
        """Have this process's heart beat.

        Raises
        ------
        RemoteError
            Nothing can be written there.
        """
        send_bytes(self.place(self._owner), b"0")
        self._thread.start()

    def end(self) -> None:
        """Stop it."""
        self._ended.set()
        self._thread.join()
        self.forget(self._owner)

    def lives(self, owner: str) -> bool:
        """Whether a process may still be writing; the store is asked once a beat at most."""
        if owner == self._owner:
            return True
        if is_gone(owner):
            return False
        now = time.monotonic()
        if owner not in self._looked or now - self._looked[owner] >= HEARTBEAT_SECONDS:
            self._looked[owner] = now
            beat = self._beat_of(owner)
            if beat not in (b"", self._seen.get(owner, (b"", 0.0))[0]):
                self._seen[owner] = beat, now
            elif not beat:
                self._seen.pop(owner, None)
        return owner in self._seen and now - self._seen[owner][1] < DEAD_AFTER_SECONDS

    def forget(self, owner: str) -> None:
        """Take away the heart of one that is dead or has left; who was not dead makes its own anew with its next beat."""
        remove_file(self.place(owner))

    def place(self, owner: str) -> str:
        """Where a process's heart is."""
        return f"{self._address}/{WRITERS}/{owner}.json"

    def _beat_of(self, owner: str) -> bytes:
        try:
            return read_whole(self.place(owner), _LARGEST)
        except FileNotFoundError:
            return b""

    def _run(self) -> None:
        count = 0
        while not self._ended.wait(HEARTBEAT_SECONDS):
            count += 1
            with contextlib.suppress(RemoteError):  # a store that does not answer is said by who sends shards there
                send_bytes(self.place(self._owner), str(count).encode())
