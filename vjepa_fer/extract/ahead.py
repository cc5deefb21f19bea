"""Clips go in whose videos lie elsewhere; they come out with a copy here, brought ahead of the decoders, and no more than the room allows."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.disk import scratch_folder
from vjepa_fer.errors import RemoteError, VideoError
from vjepa_fer.manifest import Clip, picture_rate
from vjepa_fer.remote import Stretch, bring, find_source, must_be_brought, name_here
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.video.read_clip import ReadClip

ROOM = 8 << 30
"""Bytes of copies on the disk at once."""

_AT_ONCE = 4


@dataclass(frozen=True, eq=False)
class BroughtClip:
    """A clip whose `path` is a file here, of `size` bytes in `folder`; or why there is none."""

    clip: Clip
    path: str
    folder: Path | None = None
    size: int = 0
    error: VideoError | None = None

    @property
    def clip_id(self) -> str:
        """The clip's: what is drawn for it is drawn by its id, wherever its video lies."""
        return self.clip.clip_id


class Ahead:
    """Brings the videos of `clips` in a few threads. Iterate over it, from any threads; give back what was read; close it.

    Parameters
    ----------
    clips : iterable of Clip
        May be endless and slow to come.
    room : int
        Bytes of copies at once. A file that is larger is refused.
    """

    def __init__(self, clips: Iterable[Clip], room: int = ROOM) -> None:
        self._clips, self._room, self._used, self._closed = iter(clips), room, 0, False
        self._next, self._changed = threading.Lock(), threading.Condition()
        self._ready: queue.Queue[BroughtClip | BaseException | None] = queue.Queue(maxsize=_AT_ONCE)
        self._scratch = scratch_folder()
        self._serving = _AT_ONCE
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(_AT_ONCE)]

    def __enter__(self) -> Ahead:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[BroughtClip]:
        while (one := self._ready.get()) is not None:
            if isinstance(one, BaseException):
                raise one
            yield one
        self._ready.put(None)

    def close(self) -> None:
        """End the threads, whatever they are at, and remove all copies."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        while any(thread.is_alive() for thread in self._threads):
            try:
                self._ready.get(timeout=0.05)  # one may be waiting to hand over
            except queue.Empty:
                continue
        self._ready.put(None)
        self._scratch.cleanup()

    def give_back(self, one: BroughtClip) -> None:
        """Remove the copy of a clip that was read."""
        if one.folder is not None:
            shutil.rmtree(one.folder, ignore_errors=True)
        with self._changed:
            self._used -= one.size
            self._changed.notify_all()

    @staticmethod
    def rate(one: BroughtClip) -> float | None:
        """For :class:`~vjepa_fer.video.pool.DecodePool`: pictures a second; raises why a clip could not be brought."""
        if one.error is not None:
            raise one.error
        return picture_rate(one.clip)

    def _serve(self) -> None:
        try:
            while (clip := self._claimed()) is not None:
                self._ready.put(self._brought(clip))
        except BaseException as error:
            self._ready.put(error)
        finally:
            with self._changed:
                self._serving -= 1
                last = self._serving == 0
            if last:
                self._ready.put(None)

    def _claimed(self) -> Clip | None:
        with self._next:
            return None if self._closed else next(self._clips, None)

    def _brought(self, clip: Clip) -> BroughtClip:
        if not must_be_brought(clip.path):
            return BroughtClip(clip, clip.path)
        size = 0
        try:
            source = find_source(clip.path)
            size = self._reserve(source, clip)
            folder = Path(self._scratch.name, f"{id(clip):x}-{threading.get_ident():x}")
            folder.mkdir()
            copy = folder / name_here(clip.path)
            bring(source, copy)
            return BroughtClip(clip, str(copy), folder, size)
        except VideoError as error:
            return BroughtClip(clip, clip.path, error=error)
        except FileNotFoundError as error:
            return BroughtClip(
                clip, clip.path, size=size, error=VideoError("missing", clip.path, f"not there: {error.strerror}")
            )
        except RemoteError as error:
            message = f"cannot be brought: {error}"
            return BroughtClip(clip, clip.path, size=size, error=VideoError("unreadable", clip.path, message))

    def _reserve(self, source: Stretch, clip: Clip) -> int:
        """Wait until there is room for it."""
        if source.size > self._room:
            message = f"has {source.size:,} bytes, more than the {self._room:,} of copies that are kept at once"
            raise VideoError("too_long", clip.path, message)
        with self._changed:
            while self._used + source.size > self._room and not self._closed:
                self._changed.wait()
            self._used += source.size
        return source.size


class Returned:
    """What was read of clips that were brought, under their own paths; each copy goes once its last look was read."""

    def __init__(self, ahead: Ahead, reads: Iterable[ReadClip[BroughtClip]]) -> None:
        self._ahead, self._reads = ahead, reads

    def __iter__(self) -> Iterator[ReadClip[Clip]]:
        for read in self._reads:
            one = read.clip
            if read.is_last:
                self._ahead.give_back(one)
            if read.error is not None:
                read.error = VideoError(read.error.reason, one.clip.path, read.error.message)
            read.clip = one.clip  # type: ignore[assignment]
            yield read  # type: ignore[misc]

    def close(self) -> None:
        """End what reads, whatever it is at."""
        if isinstance(self._reads, DecodePool):
            self._ahead.close()
            self._reads.close()
