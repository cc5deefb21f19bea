"""What a piece of work says of itself goes in, from its process; how far it is comes out in another, and the word to stop goes back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class StoppedError(BaseException):
    """Raised in the midst of a work that shall stop; like Ctrl-C, it is no error of the work's own."""


@dataclass(frozen=True)
class State:
    """How far one process is.

    Attributes
    ----------
    pid : int
        Another one after the process died and was started anew.
    done, total : int
        Steps, as its work counts them.
    kept : int
        Of `done` those that outlast the process.
    log : str
        The file of its machine that holds what it said, where the system tells.
    """

    pid: int
    done: int = 0
    total: int = 0
    kept: int = 0
    log: str = ""


@dataclass(frozen=True)
class Ended:
    """How the work of one worker ended.

    Attributes
    ----------
    value : object
        What the work returned.
    refused : tuple of str
        Lines of an error of ours: something the user can do something about.
    broken : str
        The traceback of any other exception, or how its process died for the last time.
    is_stopped : bool
        It was told to stop, and did.
    """

    value: Any = None
    refused: tuple[str, ...] = ()
    broken: str = ""
    is_stopped: bool = False

    @property
    def is_good(self) -> bool:
        """Whether there is a value."""
        return not (self.refused or self.broken or self.is_stopped)


class Desk:
    """What lies between a work and whoever had it started; the two are in different threads."""

    def __init__(self) -> None:
        self._done = self._total = self._kept = 0
        self._is_to_stop = False

    def reach(self, done: int, total: int = 0) -> None:
        """Say how far the work is.

        Raises
        ------
        StoppedError
            It shall stop.
        """
        self._done, self._total = done, total
        if self._is_to_stop:
            raise StoppedError

    def keep(self, more: int) -> None:
        """So many further steps will outlast this process."""
        self._kept += more

    def stop(self) -> None:
        """Have the work stop the next time that it says how far it is."""
        self._is_to_stop = True

    def state(self) -> State:
        """As of now."""
        return State(os.getpid(), self._done, self._total, self._kept, _own_log())


Work = Callable[[Desk], Any]
"""Can be pickled, and may be done by any number of processes at once, and again by one that has died of it."""


def _own_log() -> str:
    try:
        return os.readlink("/proc/self/fd/2")
    except OSError:
        return ""
