"""Memory to decode into, and how to decode, come in; a process that does it goes out, and what is said on the two pipes to it.

``worker`` is the other end.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from vjepa_fer.errors import VjepaFerError
from vjepa_fer.video.arena import Arena
from vjepa_fer.video.pool_settings import PoolSettings
from vjepa_fer.video.together import Look
from vjepa_fer.workers import Child, ChildDiedError

WORKER_PROGRAM = "from vjepa_fer.video.worker import main; main()"


class TimedOutError(Exception):
    """A worker was killed because it took too long."""


class DecodeProcess:
    """A process and the two pipes to it."""

    def __init__(self, arena: Arena, looks: Sequence[Look], settings: PoolSettings) -> None:
        self._child = Child(WORKER_PROGRAM, pass_fds=(arena.descriptor,))
        self._first = {
            "looks": [{name: dataclasses.asdict(part) for name, part in look._asdict().items()} for look in looks],
            "memory": arena.descriptor,
            "capacity": arena.capacity,
            "decoder": settings.decoder,
            "accept_truncated": settings.accept_truncated,
            "accept_resize": settings.accept_resize,
        }
        self.process, self.kill, self.end = self._child.process, self._child.kill, self._child.end

    def wait_until_ready(self) -> None:
        """Say what it is to do; an error where it does not answer."""
        try:
            self.send(**self._first)
            self.receive(120)
        except (ChildDiedError, TimedOutError) as death:
            self.end()
            how = str(death) or "no answer"
            raise VjepaFerError(f"decode workers cannot start ({how}); --workers 0 starts one and no more") from None

    def send(self, **values: Any) -> None:
        """One object; :class:`ChildDiedError` where nobody reads it."""
        try:
            self._child.questions.write(json.dumps(values).encode() + b"\n")
            self._child.questions.flush()
        except (BrokenPipeError, ValueError):
            raise self._child.died() from None

    def receive(self, seconds: float) -> dict[str, Any]:
        """One object; :class:`TimedOutError` where none came in time, and the process is killed."""
        try:
            return json.loads(self._child.answer(seconds))
        except TimeoutError:
            raise TimedOutError from None
