"""A clip id goes in; whether this process may do it comes out. Processes that share a cache agree without talking.

    claims/OWNER.alive       touched every few seconds by its owner
    claims/KEY.0             made with O_EXCL by whoever takes the clip; holds the owner's name
    claims/KEY.1             made with O_EXCL by whoever takes it over once the owner of KEY.0 is dead; and so on

Making a file that must not exist is the one step that no two processes can both succeed in, on a network disk too. Nothing
is ever renamed or taken away from a live owner. The claims of a process go when it ends; a killed one's stay and count for
nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import threading
import uuid
from pathlib import Path
from typing import Literal

CLAIMS = "claims"
HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 90.0


class Claims:
    """The claims of one process on the clips of a cache folder. A context manager: on leaving, they are given up."""

    def __init__(self, root: Path) -> None:
        self._folder = root / CLAIMS
        self._owner = f"{_machine()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        self._held: list[Path] = []
        self._ended = threading.Event()

    def __enter__(self) -> Claims:
        self._folder.mkdir(exist_ok=True)
        self._alive(self._owner).touch()
        self._sweep()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for path in [*self._held, self._alive(self._owner)]:
            path.unlink(missing_ok=True)

    def take(self, clip_id: str) -> bool:
        """Claim a clip; False when a live process has it."""
        key = hashlib.sha256(clip_id.encode()).hexdigest()[:32]
        generation = 0
        while True:
            path = self._folder / f"{key}.{generation}"
            if self._make(path):
                return True
            state = self._state(path)
            if state == "held":
                return False
            generation += state == "dead"  # a claim that is gone by now is asked for once more

    def _state(self, path: Path) -> Literal["held", "dead", "gone"]:
        owner = _read_owner(path)
        if owner != "?":
            return "held" if self._is_alive(owner) else "dead"
        try:
            return "held" if self._silence(path) < DEAD_AFTER_SECONDS else "dead"  # its owner is just writing the name
        except FileNotFoundError:
            return "gone"

    def _make(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(self._owner)
        self._held.append(path)
        return True

    def _is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return True
        try:
            return self._silence(self._alive(owner)) < DEAD_AFTER_SECONDS and not _is_gone(owner)
        except FileNotFoundError:
            return False

    def _silence(self, path: Path) -> float:
        """Seconds since `path` was written, by the clock of the disk that both files are on."""
        return self._alive(self._owner).stat().st_mtime - path.stat().st_mtime

    def _alive(self, owner: str) -> Path:
        return self._folder / f"{owner}.alive"

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            try:
                self._alive(self._owner).touch()
            except OSError:
                continue  # a full or absent disk is said by who writes shards

    def _sweep(self) -> None:
        """Take away what the dead left, when nobody else is there who might have built on it."""
        owners = {p.name.removesuffix(".alive") for p in self._folder.glob("*.alive")} - {self._owner}
        if any(self._is_alive(owner) for owner in owners):
            return
        for path in list(self._folder.iterdir()):
            if self._owner not in path.name and _read_owner(path) != self._owner:
                path.unlink(missing_ok=True)


def _read_owner(path: Path) -> str:
    """Who made a claim; a name that nobody has, while it is being made or when it is gone."""
    try:
        owner = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "?"
    return owner if re.fullmatch(r"[\w-]{1,64}\.\d+\.[0-9a-f]{8}", owner) else "?"


def _is_gone(owner: str) -> bool:
    """A process of this machine that no longer runs: nobody need wait for its heart to have stopped for long."""
    machine, pid, _ = owner.rsplit(".", 2)
    if machine != _machine() or os.name == "nt":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    """This host, and which of its process tables: two containers may share a name."""
    try:
        table = re.sub(r"\D", "", os.readlink("/proc/self/ns/pid"))
    except OSError:
        table = ""
    return re.sub(r"[^\w]", "-", f"{socket.gethostname()[:40]}-{table}")
