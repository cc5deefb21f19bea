"""The frames of a film go in as they are decoded; those that were asked for come out as pixels: turned, scaled to one size, bounded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import atan2, degrees
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.video.colour import UPRIGHT, ConversionError, ToRGB, Turn, turned_size
from vjepa_fer.video.looks import notes_on_looks, pixel_aspect, squared
from vjepa_fer.video.others import digest

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_BYTES = 4 << 30
"""Prepared frames of one clip that are held at most: 9,700 frames of 384 × 384 pixels, or five minutes."""

_MAX_PIXELS = 1 << 26  # of one frame: twice an 8K film's
_MAX_ASPECT = 20
_MOST_SIZES_SAID = 5

Prepare = Callable[[np.ndarray], np.ndarray]
"""What is done to each frame (H, W, 3) uint8 RGB as it arrives; all results must have one shape."""


class TurnsDifferError(Exception):
    """Frames of one film say differently how they are to be turned."""


@dataclass(frozen=True)
class Display:
    """What is done so that frames have the size at which they are shown, all the same."""

    accept_resize: bool = False
    square_pixels: bool = False


class FrameStore:
    """Prepared frames in one array, which is allocated when the first of them arrives.

    Attributes
    ----------
    frames : ndarray (room, ...), uint8
    count : int
        How many are there.
    """

    def __init__(self, path: str | os.PathLike[str], room: int, max_bytes: int) -> None:
        self.path, self.room, self.max_bytes = os.fspath(path), room, max_bytes
        self.frames = np.empty((0,), np.uint8)
        self.count = 0

    def keep(self, pixels: np.ndarray) -> None:
        """Take the next frame."""
        if not self.count:
            self.check_room(pixels.nbytes)
            self.frames = np.empty((self.room, *pixels.shape), np.uint8)
        self.frames[self.count] = pixels
        self.count += 1

    def check_room(self, frame_bytes: int) -> int:
        """Bytes of all frames; :class:`VideoError` where they are too many."""
        total = frame_bytes * self.room
        if total > self.max_bytes:
            message = (
                f"{self.room:,} of its frames are asked for, {total / 1e9:.1f} GB of pixels; at most "
                f"{self.max_bytes / 1e9:.1f} GB are held: sample fewer (a larger stride, segments) or cut the film up"
            )
            raise VideoError("too_long", self.path, message)
        return total


class KeptFrames:
    """The frames that were asked for, prepared, in one array that is allocated when the first of them arrives."""

    def __init__(
        self,
        path: Path,
        prepare: Prepare,
        wanted: np.ndarray,
        max_bytes: int,
        turn: Turn | None = None,
        display: Display = Display(),
    ) -> None:
        self.path, self.prepare, self.wanted = path, prepare, wanted
        self.store = FrameStore(path, len(wanted), max_bytes)
        self.display, self.aspect = display, Fraction(1)
        self.notes: list[str] = []
        self.resized = Counter[tuple[int, int]]()  # frames of sizes that the first has not
        self.turn, self.turns = turn, Counter[Turn]()  # of all frames; how many ask for each
        self._believes_frames = turn is None
        self._first: av.VideoFrame | None = None  # waits for the second to confirm how it is turned
        self.digested: set[int] = set()
        self.digests: dict[int, str] = {}
        self.to_rgb = ToRGB()
        self.size: tuple[int, int] | None = None

    def meet(self, container: InputContainer, stream: VideoStream) -> None:
        """Learn of the opened film how it is to be shown."""
        square = self.display.square_pixels
        self.notes += notes_on_looks(self.path, container, stream, square_pixels=square)
        self.aspect = pixel_aspect(stream) if square else Fraction(1)

    def take(self, number: int, frame: av.VideoFrame) -> None:
        """Look at frame `number` of the video; keep it if it was asked for."""
        self._check_size(number, frame)
        turn = turn_of(frame)
        self.notes += [] if number else _about_askew(frame)
        self.turns[turn] += 1
        if self._believes_frames and len(self.turns) > 1:
            raise TurnsDifferError
        if self.turn is None and self._first is None:
            self._first = frame
            return
        self.finish()
        self._look_at(number, frame)

    def finish(self) -> None:
        """Look at the first frame, if that has not been done."""
        if self._first is not None:
            first, self._first = self._first, None
            self.turn = turn_of(first)
            self._look_at(0, first)

    def _look_at(self, number: int, frame: av.VideoFrame) -> None:
        count = self.store.count
        wanted = count < len(self.wanted) and self.wanted[count] == number
        if not (wanted or number in self.digested):
            return
        assert self.turn is not None
        rgb = self._rgb(frame, self.turn)
        if number in self.digested:
            self.digests[number] = digest(rgb)
        if wanted:
            self.store.keep(self.prepare(rgb))

    def _rgb(self, frame: av.VideoFrame, turn: Turn) -> np.ndarray:
        try:
            return self.to_rgb(frame, turn, self.shown_size())
        except ConversionError as error:
            raise VideoError("unreadable", self.path, str(error)) from error

    def shown_size(self) -> tuple[int, int]:
        """Height and width of all frames as they are shown."""
        assert self.size is not None
        assert self.turn is not None
        size = squared(turned_size(self.size, self.turn), 1 / self.aspect if self.turn[0] else self.aspect)
        self._check_bounds(size)
        return size

    def _check_size(self, number: int, frame: av.VideoFrame) -> None:
        size = frame.height, frame.width
        if size == self.size:
            return
        self._check_bounds(size)
        if self.size is None:
            self.size = size
        elif self.display.accept_resize:
            self.resized[size] += 1
        else:
            message = (
                f"frame {number} is {frame.width}×{frame.height}, unlike those before it: re-encode it to one size, or "
                "--accept-resize scales all to the first"
            )
            raise VideoError("unreadable", self.path, message)

    def _check_bounds(self, size: tuple[int, int]) -> None:
        height, width = size
        if height * width > _MAX_PIXELS or max(size) > _MAX_ASPECT * min(size):
            message = f"its frames of {width}×{height} pixels are beyond any film's: is this the right file?"
            raise VideoError("unreadable", self.path, message)

    def about_sizes(self) -> list[str]:
        if not self.resized or self.size is None:
            return []
        others = ", ".join(f"{width}×{height}" for height, width in sorted(self.resized)[:_MOST_SIZES_SAID])
        count, (height, width) = self.resized.total(), self.size
        return [
            f"its size changes midway: {count:,} of its frames ({others}) are scaled to the first one's {width}×{height}"
        ]

    def about_turns(self) -> list[str]:
        odd = sum(self.turns.values()) - self.turns[self.turn or UPRIGHT]
        if not odd:
            return []
        return [f"the display matrix of {odd:,} of its frames differs from that of the others, and is not believed"]


def turn_of(frame: av.VideoFrame) -> Turn:
    """How the file says that a frame is to be turned before it is shown: transposed, then flipped in height, in width.

    Mirrored ones (front cameras) included; in between, the nearest quarter turn.
    """
    a, b, c, d = _display_matrix(frame)
    if abs(b) > abs(a):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def _about_askew(frame: av.VideoFrame) -> list[str]:
    """A note on a turn that is no quarter; the ffmpeg program leaves out one of less than a degree, too."""
    a, b, c, d = _display_matrix(frame)
    off = [abs((degrees(atan2(y, x)) + 45) % 90 - 45) for x, y in ((a, b), (c, d))]
    if max(off) <= 1:
        return []
    turn = degrees(atan2(b, a))
    return [f"it asks to be turned by {turn:.0f}°, or skewed: its frames are turned by quarters alone, to the nearest"]


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """a, b, c, d: what is stored at x, y is shown at a x + c y, b x + d y."""
    try:
        data: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        _take_any_side_data()
        data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    return a, b, c, d


def _take_any_side_data() -> None:
    """Have PyAV read frames with kinds of side data that it has no name for (FFmpeg 8's EXIF, in most photographs) as well."""
    from av.sidedata.sidedata import Type

    def unnamed(kind: Any, value: int) -> Any:
        member = object.__new__(kind)
        member._name_, member._value_ = f"UNNAMED_{value}", value
        return member

    Type._missing_ = classmethod(unnamed)  # type: ignore[assignment]
