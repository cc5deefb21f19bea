"""Finished clips go in, shards on disk come out, in a thread of its own: the device never waits for the disk until memory is full."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from vjepa_fer.cache import ShardWriter
from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.errors import CacheError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.threads import Worker
from vjepa_fer.recipe import AnyRecipe

WAITING_BYTES = 1 << 30
"""Rows that wait for the disk at most; beyond, :meth:`BackgroundWriter.put` waits."""

Report = Callable[[tuple[str, ...]], None]


class BackgroundWriter:
    """Collects clips and writes shards. A context manager: on leaving, also by an exception, the open shard is written.

    Parameters
    ----------
    shard_bytes, shard_seconds
        A shard is closed at this size, and at this age: what a kill may cost.
    report : callable, optional
        Called from the writer's thread with the ids of clips once they are safely on disk.
    is_ours : callable
        See :class:`~vjepa_fer.cache.ShardWriter`.

    Attributes
    ----------
    durable : set of str
        Ids of the clips that are safely on disk.
    """

    def __init__(
        self,
        root: Path,
        recipe: AnyRecipe,
        clock: StageClock,
        *,
        shard_bytes: int,
        shard_seconds: float,
        report: Report | None = None,
        is_ours: Callable[[str], bool] = lambda clip_id: True,
    ) -> None:
        self.durable: set[str] = set()
        self.rows = 0
        self._root, self._clock, self._seconds, self._report = root, clock, shard_seconds, report
        self._shards = ShardWriter(root, recipe, shard_bytes=shard_bytes, is_ours=is_ours)
        self._queue: queue.Queue[ClipRows | threading.Event | None] = queue.Queue()
        self._waiting = 0
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._thread = Worker(self._run)

    @property
    def bytes_written(self) -> int:
        """Bytes of the shards on disk."""
        return self._shards.bytes_written

    @property
    def writer_id(self) -> str:
        """The part of the shards' names that is this writer's own."""
        return self._shards.writer_id

    def __enter__(self) -> BackgroundWriter:
        self._thread.start()
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self._queue.put(None)
        self._thread.wait_surely()
        if self._error and error is not self._error:
            raise self._error

    def put(self, rows: ClipRows) -> None:
        """Hand over a clip.

        Raises
        ------
        CacheError
            An earlier clip could not be written: the disk is full, a level is not finite.
        """
        size = sum(array.nbytes for array in rows.levels.values())
        with self._clock.stage("wait for write"), self._changed:
            while self._waiting and self._waiting + size > WAITING_BYTES and not self._error:
                self._changed.wait()
            if self._error:
                raise self._error
            self._waiting += size
        self._queue.put(rows)

    def settle(self) -> set[str]:
        """Wait until all that was handed over is on disk; ids of the clips that were left out because they are another's by now.

        Raises
        ------
        CacheError
            As :meth:`put`.
        """
        settled = threading.Event()
        self._queue.put(settled)
        while not settled.wait(0.1):
            with self._changed:
                if self._error:
                    raise self._error
        lost, self._shards.lost = self._shards.lost, set()
        return lost

    def _run(self) -> None:
        try:
            closes_at: float | None = None  # when the open shard is due
            while (rows := self._next(closes_at)) is not None:
                is_open = isinstance(rows, ClipRows) and not self._add(rows)
                closes_at = (closes_at or time.monotonic() + self._seconds) if is_open else None
                if not isinstance(rows, ClipRows):
                    self._flush()
                if isinstance(rows, threading.Event):
                    rows.set()
            self._flush()
        except BaseException as error:
            with self._changed:
                self._error = self._explain(error)
                self._changed.notify_all()

    def _next(self, closes_at: float | None) -> ClipRows | threading.Event | tuple[()] | None:
        """The next clip; an event to set once all before it is on disk; () when the open shard is due first; None at the end."""
        try:
            return self._queue.get(timeout=None if closes_at is None else max(closes_at - time.monotonic(), 0))
        except queue.Empty:
            return ()

    def _add(self, rows: ClipRows) -> tuple[str, ...]:
        with self._clock.stage("write"):
            done = self._shards.add(rows)
        self.rows += len(rows)
        with self._changed:
            self._waiting -= sum(array.nbytes for array in rows.levels.values())
            self._changed.notify_all()
        return self._tell(done)

    def _flush(self) -> tuple[str, ...]:
        with self._clock.stage("write"):
            return self._tell(self._shards.flush())

    def _tell(self, done: tuple[str, ...]) -> tuple[str, ...]:
        self.durable.update(done)
        if done and self._report:
            self._report(done)
        return done

    def _explain(self, error: BaseException) -> BaseException:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return CacheError(
                f"{self._root}: the disk is full ({error.strerror}); the open shard is not kept, all before it is safe. "
                "Make room and run the same command again"
            )
        if isinstance(error, OSError):
            return CacheError(f"{self._root}: cannot be written ({error}); what was done before is safe")
        return error
