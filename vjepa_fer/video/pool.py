"""Clips come in, their pixels go out as processes finish decoding them: ahead of the encoder, within a stated memory.

    clips → worker processes, one clip each ─ pixels → arena (shared memory, capped) → whoever iterates

No library decodes in the process that iterates, for it holds the results of other clips, and a library may end its process.

Each worker is looked after by one thread here. A clip that takes too long is killed with its worker, a worker that dies gets
its clip once more in a fresh process; both are results like any other, and the rest goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from vjepa_fer.errors import VideoError, VjepaFerError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.arena import Arena, ArenaClosedError, padded
from vjepa_fer.video.kept import MAX_BYTES
from vjepa_fer.video.others import Decoder
from vjepa_fer.video.reading import ClipPixels, assemble_clip, read_clip
from vjepa_fer.video.sampling import from_table
from vjepa_fer.workers import Child, ChildDiedError, num_cores

WORKER_PROGRAM = "from vjepa_fer.video.worker import main; main()"
DEFAULT_TIMEOUT_SECONDS = 300.0

_READY_AHEAD = 4  # clips a worker: more would only take clips away from another process that shares the job


class HasPath(Protocol):
    """Anything with the path of a video and a name for it: a manifest's clip."""

    @property
    def path(self) -> str: ...
    @property
    def clip_id(self) -> str: ...


C = TypeVar("C", bound=HasPath)


@dataclass(eq=False)
class ReadClip(Generic[C]):
    """What became of one clip: its pixels, or the error; `release` when the pixels are no longer needed."""

    clip: C
    pixels: ClipPixels | None = None
    source_sha256: str = ""
    error: VideoError | None = None
    busy_seconds: float = 0.0
    _region: tuple[Arena, int] | None = None

    def release(self) -> None:
        """Give the pixels' memory to the next clip."""
        self.pixels = None
        if self._region:
            arena, offset = self._region
            self._region = None
            arena.release(offset)


def default_workers() -> int:
    """Decode processes for the cores this process may use: two stay free for the encoder and the writer, one decodes at least.

    A 720p clip takes about a second of a core, so a fast GPU wants dozens; beyond 32 the disk or the GPU is the limit. None
    on Windows, where processes cannot inherit the shared memory: 0, which is decoding in line.
    """
    if os.name == "nt":
        return 0
    return max(1, min(num_cores() - 2, 32))


def default_memory() -> int:
    """Bytes of shared memory for decoded clips: an eighth of the machine's, between 256 MB and 8 GB."""
    return max(256 << 20, min(total_memory() // 8, 8 << 30))


def total_memory() -> int:
    """Bytes of the machine's memory; 8 GB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def no_rate(clip: HasPath) -> None:
    """That a clip has none of its own: a video says when its frames are shown."""


def read_in_line(
    clips: Iterable[C],
    sampling: Sampling,
    preprocessing: Preprocessing,
    *,
    decoder: Decoder = "pyav",
    accept_truncated: bool = False,
    accept_resize: bool = False,
    rate_of: Callable[[C], float | None] = no_rate,
) -> Iterator[ReadClip[C]]:
    """The same results as from a :class:`DecodePool`, decoded in this process, one by one as they are asked for.

    For want of a better way on Windows, and where nothing can be lost: another library than PyAV has a process of its own even so.
    """
    for clip in clips:
        started = time.perf_counter()
        try:
            pixels, sha256 = read_clip(
                clip.path,
                sampling,
                preprocessing,
                decoder=decoder,
                accept_truncated=accept_truncated,
                accept_resize=accept_resize,
                picture_rate=rate_of(clip),
                clip_id=clip.clip_id,
            )
            result = ReadClip(clip, pixels, sha256)
        except VideoError as error:
            result = ReadClip(clip, error=error)
        result.busy_seconds = time.perf_counter() - started
        yield result


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """How clips are decoded ahead; nothing here changes a pixel.

    Attributes
    ----------
    workers : int
        Processes that decode ahead; 0 for one that decodes a clip when it is asked for, for each thread that iterates.
    timeout_seconds : float
        A clip that decodes for longer is given up.
    memory_bytes : int
        Of shared memory. Each worker holds one clip besides.
    decoder : {"pyav", "decord", "torchcodec"}
    accept_truncated, accept_resize : bool
        As :func:`~vjepa_fer.video.decode_video` takes them.
    """

    workers: int = field(default_factory=default_workers)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int = field(default_factory=default_memory)
    decoder: Decoder = "pyav"
    accept_truncated: bool = False
    accept_resize: bool = False


class DecodePool(Generic[C]):
    """Worker processes that decode `clips`, which may be endless and slow to come. Iterate over it, from any threads; close it.

    Results come as they are ready, in no order; every clip comes once. `rate_of` says how many pictures of a folder are a second; a
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
    ) -> None:
        self.settings = settings or PoolSettings()
        if os.name == "nt":
            raise VjepaFerError("Windows has no decode workers, for want of shared memory to inherit: use --workers 0")
        self.sampling, self.preprocessing = sampling, preprocessing
        self.arena = Arena(self.settings.memory_bytes)
        self._clips, self._rate_of = iter(clips), rate_of
        self._lock = threading.Lock()
        self._results: queue.Queue[ReadClip[C] | BaseException | None] = queue.Queue()
        self._room = threading.Semaphore(_READY_AHEAD * self.settings.workers)
        self._closed = False
        self._serving = self.settings.workers
        self._workers: set[_Worker] = set()
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
            self._room.release()
            yield result
        self._results.put(None)

    def _one_by_one(self) -> Iterator[ReadClip[C]]:
        worker = None
        try:
            while (clip := self._next_clip()) is not None:
                worker, result = self._read(worker, clip)
                yield result
        except ArenaClosedError:
            pass
        finally:
            if worker:
                self._end(worker)

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
        worker = None
        try:
            while self._room.acquire() and (clip := self._next_clip()) is not None:
                worker, result = self._read(worker, clip)
                self._results.put(result)
        except ArenaClosedError:
            pass
        except BaseException as error:
            if not self._closed:
                self._results.put(error)
        finally:
            if worker:
                self._end(worker)
            with self._lock:
                self._serving -= 1
                last = self._serving == 0
            if last:
                self._results.put(None)

    def _next_clip(self) -> C | None:
        with self._lock:
            return None if self._closed else next(self._clips, None)

    def _read(self, worker: _Worker | None, clip: C) -> tuple[_Worker | None, ReadClip[C]]:
        """One clip's result, and the worker if it lives on. A worker that dies gets one successor."""
        for _ in range(2):
            worker = worker or self._start()
            try:
                return worker, self._ask(worker, clip)
            except BaseException as death:
                self._end(worker)
                worker = None
                if not isinstance(death, ChildDiedError | _TimedOutError):
                    raise
                if self._closed:
                    raise ArenaClosedError from None
                if isinstance(death, _TimedOutError):
                    message = f"not decoded within {self.settings.timeout_seconds:g} s; its worker was killed"
                    return None, ReadClip(clip, error=VideoError("timeout", clip.path, message))
                how = str(death)
        message = f"the process that decoded it died, twice ({how}): is the file damaged?"
        return None, ReadClip(clip, error=VideoError("worker_died", clip.path, message))

    def _start(self) -> _Worker:
        worker = _Worker(self.arena, self.sampling, self.preprocessing, self.settings)
        with self._lock:
            self._workers.add(worker)
            closed = self._closed
        if closed:
            worker.kill()
        worker.wait_until_ready()
        return worker

    def _end(self, worker: _Worker) -> None:
        with self._lock:
            self._workers.discard(worker)
        worker.end()

    def _ask(self, worker: _Worker, clip: C) -> ReadClip[C]:
        seconds = self.settings.timeout_seconds
        limit = min(self.arena.capacity * 9 // 10, MAX_BYTES)
        try:
            rate = self._rate_of(clip)
        except VideoError as error:
            return ReadClip(clip, error=error)
        worker.send(path=os.fspath(clip.path), clip_id=clip.clip_id, max_bytes=limit, picture_rate=rate)
        reply = worker.receive(seconds)
        busy = reply["busy"]
        if "reason" in reply:
            return ReadClip(clip, error=VideoError(reply["reason"], clip.path, reply["message"]), busy_seconds=busy)
        if reply["size"] > self.arena.capacity:
            message = f"needs {reply['size'] / 1e9:.1f} GB of pixels and times at once: raise --memory"
            return ReadClip(clip, error=VideoError("too_long", clip.path, message), busy_seconds=busy)
        offset = self.arena.allocate(reply["size"])
        try:
            worker.send(offset=offset)
            worker.receive(seconds)
        except BaseException:
            self._end(worker)  # first: it may still be writing there
            self.arena.release(offset)
            raise
        pixels = self._pixels(offset, reply)
        return ReadClip(clip, pixels, reply["sha256"], busy_seconds=busy, _region=(self.arena, offset))

    def _pixels(self, offset: int, reply: dict[str, Any]) -> ClipPixels:
        frames = self.arena.view(offset, tuple(reply["shape"]), np.uint8)
        num_windows, num_frames = reply["windows"]
        after = offset + padded(frames.nbytes)
        times = self.arena.view(after, (num_windows, num_frames), np.float64).copy()
        windows = from_table(self.arena.view(after + times.nbytes, (num_windows, num_frames + 2), np.int64))
        count, notes = reply["num_frames"], reply["notes"]
        return assemble_clip(frames, windows, times, count, self.preprocessing, notes=notes)


class _TimedOutError(Exception):
    """A worker was killed because it took too long."""


class _Worker:
    """A process and the two pipes to it."""

    def __init__(self, arena: Arena, sampling: Sampling, preprocessing: Preprocessing, settings: PoolSettings) -> None:
        self._child = Child(WORKER_PROGRAM, pass_fds=(arena.descriptor,))
        self._first = {
            "sampling": dataclasses.asdict(sampling),
            "preprocessing": dataclasses.asdict(preprocessing),
            "memory": arena.descriptor,
            "capacity": arena.capacity,
            "decoder": settings.decoder,
            "accept_truncated": settings.accept_truncated,
            "accept_resize": settings.accept_resize,
        }
        self.process, self.kill, self.end = self._child.process, self._child.kill, self._child.end

    def wait_until_ready(self) -> None:
        try:
            self.send(**self._first)
            self.receive(120)
        except (ChildDiedError, _TimedOutError) as death:
            self.end()
            how = str(death) or "no answer"
            raise VjepaFerError(f"decode workers cannot start ({how}); --workers 0 starts one and no more") from None

    def send(self, **values: Any) -> None:
        try:
            self._child.questions.write(json.dumps(values).encode() + b"\n")
            self._child.questions.flush()
        except (BrokenPipeError, ValueError):
            raise self._child.died() from None

    def receive(self, seconds: float) -> dict[str, Any]:
        try:
            return json.loads(self._child.answer(seconds))
        except TimeoutError:
            raise _TimedOutError from None
