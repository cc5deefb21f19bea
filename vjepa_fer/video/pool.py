"""Clips come in, their pixels go out as processes finish decoding them: ahead of the encoder, within a stated memory.

    clips → worker processes, one clip each ─ pixels → arena (shared memory, capped) → whoever iterates

No library decodes in the process that iterates, for it holds the results of other clips, and a library may end its process.

Each worker is looked after by one thread here. A clip that takes too long is killed with its worker, a worker that dies gets
its clip once more in a fresh process; both are results like any other, and the rest goes on.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from vjepa_fer.errors import VideoError, VjepaFerError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.arena import Arena, ArenaClosedError, padded
from vjepa_fer.video.decode_process import DecodeProcess, TimedOutError
from vjepa_fer.video.kept import MAX_BYTES
from vjepa_fer.video.pool_settings import PoolSettings
from vjepa_fer.video.read_clip import HasPath, ReadClip, no_rate
from vjepa_fer.video.reading import ClipPixels, assemble_clip
from vjepa_fer.video.sampling import from_table
from vjepa_fer.video.together import Look
from vjepa_fer.workers import ChildDiedError

_READY_AHEAD = 4  # clips a worker: more would only take clips away from another process that shares the job
C = TypeVar("C", bound=HasPath)


class DecodePool(Generic[C]):
    """Worker processes that decode `clips`, which may be endless and slow to come. Iterate over it, from any threads; close it.

    Results come as they are ready, in no order; every clip comes once for each look at it: `sampling` and `preprocessing`, and after
    these `others`, all of them or the places that `looks_of` gives. `rate_of` says how many pictures of a folder are a second; a
    :class:`VideoError` that it raises is the clip's.

    Raises
    ------
    VjepaFerError
        On Windows; or while iterating: no worker can be started.
    """

    def __init__(
        self,
        clips: Iterable[C],
        sampling: Sampling,
        preprocessing: Preprocessing,
        settings: PoolSettings | None = None,
        *,
        rate_of: Callable[[C], float | None] = no_rate,
        others: Sequence[Look] = (),
        looks_of: Callable[[C], Sequence[int]] | None = None,
    ) -> None:
        self.settings = settings or PoolSettings()
        if os.name == "nt":
            raise VjepaFerError("Windows has no decode workers, for want of shared memory to inherit: use --workers 0")
        self.looks = (Look(sampling, preprocessing), *others)
        self._looks_of = looks_of or (lambda clip: range(len(self.looks)))
        self.arena = Arena(self.settings.memory_bytes)
        self._clips, self._rate_of = iter(clips), rate_of
        self._lock = threading.Lock()
        self._results: queue.Queue[ReadClip[C] | BaseException | None] = queue.Queue()
        self._room = threading.Semaphore(_READY_AHEAD * self.settings.workers)
        self._closed = False
        self._serving = self.settings.workers
        self._workers: set[DecodeProcess] = set()
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self.settings.workers)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> DecodePool[C]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[ReadClip[C]]:
        if not self.settings.workers:
            yield from self._one_by_one()
            return
        while (result := self._results.get()) is not None:
            if isinstance(result, BaseException):
                self._results.put(result)  # for the other threads that iterate
                raise result
            if result.is_last:
                self._room.release()
            yield result
        self._results.put(None)

    def _one_by_one(self) -> Iterator[ReadClip[C]]:
        seat = _Seat()
        try:
            while (clip := self._next_clip()) is not None:
                yield from self._read(seat, clip)
        except ArenaClosedError:
            pass
        finally:
            self._leave(seat)

    def close(self) -> None:
        """End the workers, whatever they are at."""
        with self._lock:
            self._closed = True
            workers = list(self._workers)
        for worker in workers:
            worker.kill()
        self.arena.close()
        for _ in self._threads:
            self._room.release()
        for thread in self._threads:
            thread.join()
        self._results.put(None)

    def _serve(self) -> None:
        seat = _Seat()
        try:
            while self._room.acquire() and (clip := self._next_clip()) is not None:
                for result in self._read(seat, clip):
                    self._results.put(result)
        except ArenaClosedError:
            pass
        except BaseException as error:
            if not self._closed:
                self._results.put(error)
        finally:
            self._leave(seat)
            with self._lock:
                self._serving -= 1
                last = self._serving == 0
            if last:
                self._results.put(None)

    def _next_clip(self) -> C | None:
        with self._lock:
            return None if self._closed else next(self._clips, None)

    def _read(self, seat: _Seat, clip: C) -> Iterator[ReadClip[C]]:
        """One clip's results. A worker that dies gets one successor, which does what is left."""
        left = list(self._looks_of(clip))
        for _ in range(2):
            seat.worker = seat.worker or self._start()
            try:
                yield from self._ask(seat.worker, clip, left)
                return
            except BaseException as death:
                self._leave(seat)
                if not isinstance(death, ChildDiedError | TimedOutError):
                    raise
                if self._closed:
                    raise ArenaClosedError from None
                if isinstance(death, TimedOutError):
                    message = f"not decoded within {self.settings.timeout_seconds:g} s; its worker was killed"
                    yield from _each_failed(clip, left, VideoError("timeout", clip.path, message))
                    return
                how = str(death)
        message = f"the process that decoded it died, twice ({how}): is the file damaged?"
        yield from _each_failed(clip, left, VideoError("worker_died", clip.path, message))

    def _start(self) -> DecodeProcess:
        worker = DecodeProcess(self.arena, self.looks, self.settings)
        with self._lock:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            worker.kill()
        worker.wait_until_ready()
        return worker

    def _leave(self, seat: _Seat) -> None:
        if seat.worker is not None:
            self._end(seat.worker)
            seat.worker = None

    def _end(self, worker: DecodeProcess) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.end()

    def _ask(self, worker: DecodeProcess, clip: C, left: list[int]) -> Iterator[ReadClip[C]]:
        """The result of each look in `left`, which is taken out of it."""
        limit = min(self.arena.capacity * 9 // 10, MAX_BYTES)
        try:
            rate = self._rate_of(clip)
        except VideoError as error:
            yield from _each_failed(clip, left, error)
            return
        worker.send(path=os.fspath(clip.path), clip_id=clip.clip_id, max_bytes=limit, picture_rate=rate, looks=left)
        while left:
            reply = worker.receive(self.settings.timeout_seconds * len(left))
            result = self._answered(worker, clip, reply)
            left.remove(reply["look"])
            result.look, result.busy_seconds, result.is_last = reply["look"], reply["busy"], not left
            yield result

    def _answered(self, worker: DecodeProcess, clip: C, reply: dict[str, Any]) -> ReadClip[C]:
        if "reason" in reply:
            return ReadClip(clip, error=VideoError(reply["reason"], clip.path, reply["message"]))
        if reply["size"] > self.arena.capacity:
            message = f"needs {reply['size'] / 1e9:.1f} GB of pixels and times at once: raise --memory"
            worker.send(offset=None)
            return ReadClip(clip, error=VideoError("too_long", clip.path, message))
        offset = self.arena.allocate(reply["size"])
        try:
            worker.send(offset=offset)
            worker.receive(self.settings.timeout_seconds)
        except BaseException:
            self._end(worker)  # first: it may still be writing there
            self.arena.release(offset)
            raise
        pixels = self._pixels(offset, reply)
        return ReadClip(clip, pixels, reply["sha256"], _region=(self.arena, offset))

    def _pixels(self, offset: int, reply: dict[str, Any]) -> ClipPixels:
        frames = self.arena.view(offset, tuple(reply["shape"]), np.uint8)
        num_windows, num_frames = reply["windows"]
        after = offset + padded(frames.nbytes)
        times = self.arena.view(after, (num_windows, num_frames), np.float64).copy()
        windows = from_table(self.arena.view(after + times.nbytes, (num_windows, num_frames + 2), np.int64))
        count, notes = reply["num_frames"], reply["notes"]
        preprocessing = self.looks[reply["look"]].preprocessing
        return assemble_clip(frames, windows, times, count, preprocessing, notes=notes)


def _each_failed(clip: C, left: list[int], error: VideoError) -> Iterator[ReadClip[C]]:
    """The same error for every look that is left."""
    while left:
        look = left.pop(0)
        yield ReadClip(clip, error=error, look=look, is_last=not left)


@dataclass(eq=False)
class _Seat:
    """Where a worker sits, and its successor after it."""

    worker: DecodeProcess | None = None
