"""A clip comes in, and what became of it goes out: its pixels, or why there are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from vjepa_fer.errors import VideoError
from vjepa_fer.video.arena import Arena
from vjepa_fer.video.reading import ClipPixels


class HasPath(Protocol):
    """Anything with the path of a video and a name for it: a manifest's clip."""

    @property
    def path(self) -> str: ...
    @property
    def clip_id(self) -> str: ...


C = TypeVar("C", bound=HasPath)


@dataclass(eq=False)
class ReadClip(Generic[C]):
    """What became of one clip: its pixels, or the error; `release` when the pixels are no longer needed.

    `look` is the place of the look that it is for, where there are several; `is_last` of the clip's.
    """

    clip: C
    pixels: ClipPixels | None = None
    source_sha256: str = ""
    error: VideoError | None = None
    busy_seconds: float = 0.0
    look: int = 0
    is_last: bool = True
    _region: tuple[Arena, int] | None = None

    def release(self) -> None:
        """Give the pixels' memory to the next clip."""
        self.pixels = None
        if self._region:
            arena, offset = self._region
            self._region = None
            arena.release(offset)


def no_rate(clip: HasPath) -> None:
    """That a clip has none of its own: a video says when its frames are shown."""
