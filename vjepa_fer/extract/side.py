"""One cache that an extraction of videos fills: how it looks at clips, and the way of their windows through the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vjepa_fer.cache.rows import ClipRows
from vjepa_fer.doors import Bar
from vjepa_fer.errors import VideoError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.encode import Route, row_encoder
from vjepa_fer.extract.settings import ExtractSettings, Target
from vjepa_fer.extract.taking import Taking
from vjepa_fer.extract.writing import Report
from vjepa_fer.manifest import Clip
from vjepa_fer.recipe import Recipe
from vjepa_fer.video.read_clip import ReadClip
from vjepa_fer.video.together import Look


class Side(Taking[Recipe]):
    """A cache of videos within a job.

    Parameters
    ----------
    target : Target
    clips, settings, clock, bar, report
        As :class:`~vjepa_fer.extract.taking.Taking` takes them.
    share : int
        Caches that the job fills at once.

    Attributes
    ----------
    devices : list of RowEncoder
        The encoder on each device.
    """

    def __init__(
        self,
        target: Target,
        clips: Sequence[Clip],
        settings: ExtractSettings,
        clock: StageClock,
        bar: Bar,
        report: Report | None,
        *,
        share: int,
    ) -> None:
        super().__init__(Path(target.cache), target.recipe, clips, settings, clock, bar, report, target.others)
        self.look = Look(self.recipe.sampling, self.recipe.preprocessing)
        self.devices = [
            row_encoder(each, self.recipe, clock, batch_size=settings.batch_size, share=share)
            for each in target.encoders
        ]

    def route(self, device: int, count: Callable[[], None]) -> Route:
        """The way of windows through the encoder on one of the devices; `count` is called with each clip that is through."""

        def finish(clip: Clip, rows: ClipRows) -> None:
            is_short = bool(rows.num_real_frames[0] < self.recipe.sampling.frames_of_whole)
            self.keep(clip, rows, is_short=is_short)
            count()

        return Route(self.devices[device], self.recipe.preprocessing.num_views, finish)

    def accepts(self, read: ReadClip[Clip]) -> bool:
        """Whether a clip has pixels to encode, which is begun; what is odd about it is noted, and one that has none is listed."""
        error, clip = read.error or self._too_short(read), read.clip
        if error is None:
            assert read.pixels is not None
            self.begin(clip, read.pixels.notes)
            return True
        self.fail(clip, error)
        return False

    def _too_short(self, read: ReadClip[Clip]) -> VideoError | None:
        count, least = read.pixels.num_frames if read.pixels else 0, self.settings.min_frames
        if count >= least:
            return None
        return VideoError("too_short", read.clip.path, f"has {count} frames, fewer than the {least} of --min-frames")
