"""A name goes in; whether this process may do what it stands for comes out. Processes that share a folder agree without talking.

    claims/OWNER.alive       touched every few seconds by its owner; holds what the owner says of itself, and the keys that it is in the
                             middle of
    claims/KEY.0             made with O_EXCL by whoever takes the name; holds the owner's name
    claims/KEY.1             made with O_EXCL by whoever takes it over once the owner of KEY.0 is dead; and so on

Making a file that must not exist is the one step that no two processes can both succeed in, on a network disk too. Nothing
is ever renamed or taken away from a live owner. The claims of a process go when it ends; a killed one's stay and count for
nothing, but that what they were in the middle of is remembered until a process ends in order: who takes it next
can know how many have died of it.

Whether an owner lives is asked of the disk's clock, which stamped both hearts, and of how long this process has seen the other's
heart stand still: no two machines' clocks are ever compared, so one that is a day ahead holds nothing up. A process that stood still
itself for so long may have lost what it had; it asks :meth:`Claims.holds` before it writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

from vjepa_fer.disk import is_gone, make_own_folder, new_owner, remove_files
from vjepa_fer.disk.whose import OWNER
from vjepa_fer.doors import TooLargeError, read_bytes

CLAIMS = "claims"
HEARTBEAT_SECONDS = 10.0
DEAD_AFTER_SECONDS = 90.0
LARGEST_OWNER = 5000
MOST_AT_ONCE = 100
"""Names that a heart holds: of more, the newest."""
MOST_DEATHS = 3
"""Processes that may die in the middle of one thing: it is tried again twice, and then given up."""

_CLAIM = re.compile(r"[0-9a-f]{32}\.\d{1,6}")
_ALIVE = re.compile(rf"({OWNER.pattern})\.alive")


class Claims:
    """The claims of one process in a folder that it shares. A context manager: on leaving, they are given up.

    Parameters
    ----------
    root : Path
    says : str
        What this process tells the others of itself, in up to 1,000 bytes.

    Raises
    ------
    VjepaFerError
        The folder of claims is a link.
    """

    def __init__(self, root: Path, says: str = "") -> None:
        self._folder = root / CLAIMS
        self._owner = new_owner()
        self._says = says
        self._held: dict[str, int] = {}  # name → generation
        self._at: dict[str, None] = {}  # keys of what this process is in the middle of, in their order
        self._heart = threading.Lock()
        self._seen: dict[Path, tuple[int, float]] = {}  # what last changed when, by our own watch
        self._ended = threading.Event()

    def __enter__(self) -> Claims:
        self._appear()
        self.sweep()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        for name in list(self._held):
            self.give_up(name)
        with contextlib.suppress(OSError):  # an absent disk is said by who writes there
            self.sweep(of_deaths=True)
        self._alive(self._owner).unlink(missing_ok=True)

    def _appear(self) -> None:
        while True:
            make_own_folder(self._folder)
            with contextlib.suppress(FileNotFoundError):  # whoever was last here has just taken the folder away
                self.say(self._says)
                return

    def say(self, text: str) -> None:
        """Tell the others something else of this process."""
        with self._heart:
            self._says = text
            self._write_heart()

    def begin(self, name: str) -> None:
        """Note, for the case that this process dies of it, that it is in the middle of something; any thread may."""
        self._note(lambda: self._at.update({_key(name): None}))

    def end(self, name: str) -> None:
        """That is over."""
        self._note(lambda: self._at.pop(_key(name), None))

    def deaths(self, name: str) -> int:
        """How many processes have died in the middle of something that this one holds."""
        lower = (_read_owner(self._claim(name, number)) for number in range(self._held.get(name, 0)))
        return sum(owner is not None and _key(name) in _at(self._alive(owner)) for owner in lower)

    def _note(self, change: Callable[[], object]) -> None:
        with self._heart, contextlib.suppress(OSError):  # a full or absent disk is said by who writes there
            change()
            self._write_heart()

    def _write_heart(self) -> None:
        """In place and its first line first: whoever reads it meanwhile hears what this process says of itself."""
        data = "\n".join([self._says, *list(self._at)[-MOST_AT_ONCE:]]).encode()
        descriptor = os.open(self._alive(self._owner), os.O_CREAT | os.O_WRONLY, 0o666)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(data)
            file.truncate()

    def heard(self) -> dict[str, str]:
        """What every other live process says of itself, by its name."""
        others = [owner for owner in self._owners(os.listdir(self._folder)) if owner != self._owner]
        return {owner: _read(self._alive(owner)).split("\n")[0] for owner in others if self._is_alive(owner)}

    def take(self, name: str) -> bool:
        """Claim a name, also one that was lost while this process stood still; False when a live process has it."""
        if self.holds(name):
            return True
        self.give_up(name)
        generation = 0
        while True:
            path = self._claim(name, generation)
            if self._make(path):
                self._held[name] = generation
                above = self._claim(name, generation + 1)
                if (
                    self._state(above) == "dead"
                ):  # what it was built on went, and then its owner: it would hold everybody up
                    above.unlink(missing_ok=True)
                if self.holds(name):
                    return True
                self.give_up(name)  # somebody swept, or took over, what we had built on: its turn comes again
                return False
            state = self._state(path)
            if state == "held":
                return False
            generation += state == "dead"  # a claim that is gone by now is asked for once more

    def holds(self, name: str) -> bool:
        """Whether the name is still this process's: it may have stood still for so long that another took over.

        One that took over, finished and is gone leaves no claim: whoever asks here looks for the finished work next.
        """
        if (generation := self._held.get(name)) is None:
            return False
        return (
            _read_owner(self._claim(name, generation)) == self._owner
            and not self._claim(name, generation + 1).exists()
            and all(self._state(self._claim(name, lower)) == "dead" for lower in range(generation))
        )

    def give_up(self, name: str) -> None:
        """Take away what this process still has of a name."""
        if (generation := self._held.pop(name, None)) is not None:
            path = self._claim(name, generation)
            if _read_owner(path) == self._owner:
                path.unlink(missing_ok=True)

    def _claim(self, name: str, generation: int) -> Path:
        return self._folder / f"{_key(name)}.{generation}"

    def _alive(self, owner: str) -> Path:
        return self._folder / f"{owner}.alive"

    def _make(self, path: Path) -> bool:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except FileNotFoundError:  # this process stood still, and the others took it for dead and the folder away
            self._appear()
            return self._make(path)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(self._owner.encode())
        return True

    def _state(self, path: Path) -> Literal["held", "dead", "gone"]:
        owner = _read_owner(path)
        if owner is not None:
            return "held" if self._is_alive(owner) else "dead"
        try:
            return "held" if self._is_fresh(path) else "dead"  # its owner is just writing the name
        except FileNotFoundError:
            return "gone"

    def _is_alive(self, owner: str) -> bool:
        if owner == self._owner:
            return True
        try:
            return not is_gone(owner) and self._is_fresh(self._alive(owner))
        except FileNotFoundError:
            return False

    def _is_fresh(self, path: Path) -> bool:
        """Whether `path` was touched a short while ago, by the disk's clock, and has not stood still since by our own."""
        changed = path.stat().st_mtime_ns
        if self._own_beat() - changed >= DEAD_AFTER_SECONDS * 1e9:
            return False
        now = time.monotonic()
        if self._seen.get(path, (None, 0.0))[0] != changed:
            self._seen[path] = changed, now
        return now - self._seen[path][1] < DEAD_AFTER_SECONDS

    def _own_beat(self) -> int:
        """When this process's heart beat last, by the disk's clock, in ns; it beats now if it was swept as a dead one's."""
        heart = self._alive(self._owner)
        try:
            return heart.stat().st_mtime_ns
        except FileNotFoundError:
            self.say(self._says)
            return heart.stat().st_mtime_ns

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            with contextlib.suppress(OSError):  # a full or absent disk is said by who writes there
                self._own_beat()
                os.utime(self._alive(self._owner))

    @staticmethod
    def _owners(names: Iterable[str]) -> Iterator[str]:
        """Whose hearts are among the names of files."""
        return (match[1] for name in names if (match := _ALIVE.fullmatch(name)))

    def sweep(self, *, of_deaths: bool = False) -> None:
        """Take away what the dead left, when nobody else is there who might have built on it; what they died of, only if it is said."""
        before = set(os.listdir(self._folder))
        others = [owner for owner in self._owners(before) if owner != self._owner]
        if any(map(self._is_alive, others)):
            return
        died_at = {} if of_deaths else {owner: _at(self._alive(owner)) for owner in others}
        kept = set().union(*died_at.values())
        remove_files(
            self._folder,
            _CLAIM,
            lambda name: name in before and name[:32] not in kept and self._state(self._folder / name) == "dead",
        )
        remove_files(
            self._folder,
            _ALIVE,
            lambda name: name in before and self._owner not in name and not died_at.get(name.removesuffix(".alive")),
        )


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _read_owner(path: Path) -> str | None:
    """Who made a claim; None while it is being made, or when it is gone."""
    owner = _read(path)
    return owner if OWNER.fullmatch(owner) else None


def _at(heart: Path) -> set[str]:
    """Keys of what the owner of a heart is, or was, in the middle of."""
    return set(_read(heart).split("\n")[1:])


def _read(path: Path) -> str:
    """A small text; empty where there is none that is small."""
    try:
        return read_bytes(path, at_most=LARGEST_OWNER).decode("utf-8", "replace")
    except (OSError, TooLargeError):
        return ""
