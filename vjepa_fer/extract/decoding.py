"""Claimed clips go in; they come out as they are decoded, ahead of the encoder, brought here first where their videos lie elsewhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from vjepa_fer.extract.ahead import Ahead, Returned
from vjepa_fer.extract.settings import ExtractSettings
from vjepa_fer.manifest import Clip, picture_rate
from vjepa_fer.video.in_line import read_in_line
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.video.pool_settings import PoolSettings, default_memory
from vjepa_fer.video.read_clip import HasPath, ReadClip
from vjepa_fer.video.together import Look

C = TypeVar("C", bound=HasPath)


@dataclass(frozen=True, eq=False)
class Decoding:
    """How the clips of a job are decoded.

    Attributes
    ----------
    looks : list of Look
        All that somebody wants.
    looks_of : callable
        Clip → the places of the looks that are wanted of it.
    workers : int
    settings : ExtractSettings
    """

    looks: list[Look]
    looks_of: Callable[[Clip], list[int]]
    workers: int
    settings: ExtractSettings

    @contextmanager
    def reads(self, clips: Iterator[Clip], *, brought: bool) -> Iterator[Iterable[ReadClip[Clip]]]:
        """What is read of `clips`, for several threads to iterate over; with `brought` the videos of some are elsewhere."""
        if not brought:
            with self._pool(clips, picture_rate, self.looks_of) as reads:
                yield reads
            return
        with (
            Ahead(clips, self.settings.scratch_bytes) as ahead,
            self._pool(ahead, ahead.rate, lambda one: self.looks_of(one.clip)) as copies,
        ):
            yield Returned(ahead, copies)

    @contextmanager
    def _pool(
        self, clips: Iterable[C], rate_of: Callable[[C], float | None], looks_of: Callable[[C], list[int]]
    ) -> Iterator[Iterable[ReadClip[C]]]:
        first, *others = self.looks
        if not self.workers and os.name == "nt":
            yield _InTurns(
                read_in_line(
                    clips,
                    *first,
                    decoder=self.settings.decoder,
                    accept_truncated=self.settings.accept_truncated,
                    accept_resize=self.settings.accept_resize,
                    rate_of=rate_of,
                    others=others,
                    looks_of=looks_of,
                )
            )
            return
        with DecodePool(clips, *first, self._settings(), rate_of=rate_of, others=others, looks_of=looks_of) as pool:
            yield pool

    def _settings(self) -> PoolSettings:
        own = self.settings
        return PoolSettings(
            workers=self.workers,
            timeout_seconds=own.clip_timeout,
            memory_bytes=own.memory_bytes or default_memory(),
            decoder=own.decoder,
            accept_truncated=own.accept_truncated,
            accept_resize=own.accept_resize,
        )


def stop_reading(reads: Iterable[ReadClip[Clip]]) -> None:
    """End what decodes, whatever it is at; what is decoded in line ends by itself."""
    if isinstance(reads, DecodePool | Returned):
        reads.close()


class _InTurns(Generic[C]):
    """An iterable that several threads may ask in turns."""

    def __init__(self, items: Iterator[ReadClip[C]]) -> None:
        self._items, self._lock = items, threading.Lock()

    def __iter__(self) -> Iterator[ReadClip[C]]:
        while True:
            with self._lock:
                item = next(self._items, None)
            if item is None:
                return
            yield item
