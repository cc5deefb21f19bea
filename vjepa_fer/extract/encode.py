"""Decoded clips go in, the rows that the cache stores come out; windows of different clips share batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vjepa_fer.cache import ClipRows
from vjepa_fer.encoder import LoadedEncoder
from vjepa_fer.extract.batches import Batcher, RowEncoder
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.lanes import Lanes
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import Recipe
from vjepa_fer.video import ClipPixels
from vjepa_fer.video.read_clip import ReadClip
from vjepa_fer.video.sampling import indices_of

Done = Callable[[Clip, ClipRows], None]


class _OpenClip:
    """A clip whose rows are on their way: what is known of it without its pixels, and the levels that have come."""

    def __init__(self, clip: Clip, source_sha256: str, pixels: ClipPixels, num_views: int, done: Done) -> None:
        self.clip, self.source_sha256, self.num_views, self.done = clip, source_sha256, num_views, done
        self.windows, self.timestamps = pixels.windows, pixels.timestamps
        self.missing = len(pixels.windows) * num_views
        self.levels: dict[str, np.ndarray] = {}

    def take(self, row: int, levels: dict[str, np.ndarray]) -> None:
        if not self.levels:
            count = len(self.windows) * self.num_views
            self.levels = {kind: np.empty((count, *a.shape), a.dtype) for kind, a in levels.items()}
        for kind, array in levels.items():
            self.levels[kind][row] = array
        self.missing -= 1
        if not self.missing:
            self.done(self.clip, self.as_rows())

    def as_rows(self) -> ClipRows:
        """Windows in order of time, the views of a window side by side."""
        windows, num_views = self.windows, self.num_views
        return ClipRows(
            clip_id=self.clip.clip_id,
            source_sha256=self.source_sha256,
            start_frame=np.repeat([w.start_frame for w in windows], num_views),
            view=np.tile(np.arange(num_views), len(windows)),
            multiplicity=np.repeat([w.multiplicity for w in windows], num_views),
            num_real_frames=np.repeat([w.num_real_frames for w in windows], num_views),
            frame_indices=np.repeat(indices_of(windows), num_views, axis=0),
            timestamps=np.repeat(self.timestamps, num_views, axis=0),
            levels=self.levels,
        )


@dataclass(eq=False)
class _Row:
    """A window-view of an open clip."""

    clip: _OpenClip
    number: int
    pixels: np.ndarray

    def finish(self, levels: dict[str, np.ndarray]) -> None:
        self.clip.take(self.number, levels)


def row_encoder(
    encoder: LoadedEncoder, recipe: Recipe, clock: StageClock, *, batch_size: int | None = None, share: int = 1
) -> RowEncoder:
    """The way that suits the encoder's device: batches, or on a CPU one window a core, whatever `batch_size`.

    `share` encoders of a job have the memory of a CPU between them.
    """
    if encoder.device.type == "cpu":
        return Lanes(encoder, recipe, clock, share=share)
    return Batcher(encoder, recipe, clock, size=batch_size)


def encode_clips(reads: Iterable[ReadClip[Clip]], rows: RowEncoder, num_views: int, done: Done) -> None:
    """Encode all windows and views of clips as they come, and hand over each clip once its last row is there.

    A clip's pixels are released as soon as they are copied into rows.
    """
    route = Route(rows, num_views, done)
    encode_together(((read, (route,)) for read in reads), (route,))


class Route:
    """The way of windows through one encoder.

    Parameters
    ----------
    rows : RowEncoder
    num_views : int
        Of a window.
    done : callable
        Is handed each clip once its last row is there.
    """

    def __init__(self, rows: RowEncoder, num_views: int, done: Done) -> None:
        self.rows, self.num_views, self.done = rows, num_views, done
        self._waiting: list[_Row] = []

    def begin(self, read: ReadClip[Clip]) -> _OpenClip:
        """Expect the windows of a clip."""
        assert read.pixels is not None
        return _OpenClip(read.clip, read.source_sha256, read.pixels, self.num_views, self.done)

    def take(self, clip: _OpenClip, window: int, views: np.ndarray) -> None:
        """All views of one window, (V, F, H, W, 3): they go off as soon as there are enough."""
        first = window * self.num_views
        self._waiting += [_Row(clip, first + view, pixels) for view, pixels in enumerate(views)]
        while len(self._waiting) >= self.rows.size:
            full, self._waiting = self._waiting[: self.rows.size], self._waiting[self.rows.size :]
            self.rows.run(full)

    def finish(self) -> None:
        """Encode what waits, and wait for everything."""
        self.rows.run(self._waiting)
        self.rows.land()


def encode_together(reads: Iterable[tuple[ReadClip[Clip], Sequence[Route]]], routes: Sequence[Route]) -> None:
    """:func:`encode_clips` for several encoders: each clip's windows go each of its routes, which are some of `routes`."""
    try:
        for read, ways in reads:
            assert read.pixels is not None
            open_clips = [(route, route.begin(read)) for route in ways]
            for window in range(len(read.pixels.windows)):
                views = read.pixels.window_pixels(window)
                for route, clip in open_clips:
                    route.take(clip, window, views)
            read.release()
        for route in routes:
            route.finish()
    finally:
        for route in routes:
            route.rows.close()
