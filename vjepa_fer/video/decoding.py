"""A video file comes in, its frames go out: decoded once and in order, each prepared as it arrives, all counted.

Peak memory is one decoded frame and the prepared frames that were asked for, whatever the length of the film.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from vjepa_fer.errors import VideoError
from vjepa_fer.video.container import count_packets, open_video, read_packets
from vjepa_fer.video.others import Decoder, FirstFrame, frames_of_other
from vjepa_fer.video.pictures import decode_pictures, list_pictures

MAX_BYTES = 4 << 30
"""Prepared frames of one clip that are held at most: 9,700 frames of 384 × 384 pixels, or five minutes."""

_MAX_PIXELS = 1 << 26  # of one frame: twice an 8K film's
_MAX_ASPECT = 20

Prepare = Callable[[np.ndarray], np.ndarray]
"""What is done to each frame (H, W, 3) uint8 RGB as it arrives; all results must have one shape."""

_Turn = tuple[bool, bool, bool]


@dataclass(frozen=True, eq=False)
class DecodedVideo:
    """The chosen frames of a video.

    Attributes
    ----------
    frames : ndarray, shape (K, ...), uint8
        The chosen frames, prepared.
    frame_numbers : ndarray, shape (K,), int64
        Which ones they are, rising.
    timestamps : ndarray, shape (N,), float64
        Of every frame of the video, chosen or not, in seconds on the file's own clock: uneven where the frame rate is.
    height, width : int
        Of a frame as it is shown (rotation applied), before it was prepared.
    """

    frames: np.ndarray
    frame_numbers: np.ndarray
    timestamps: np.ndarray
    height: int
    width: int

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.frame_numbers) or self.frames.dtype != np.uint8:
            raise ValueError(f"{self.frames.shape = }, {self.frames.dtype = }, {self.frame_numbers.shape = }")

    def __repr__(self) -> str:
        return f"DecodedVideo(frames {self.frames.shape} of {self.num_frames}, {self.width}x{self.height})"

    @property
    def num_frames(self) -> int:
        """Frames of the video, counted by decoding them."""
        return len(self.timestamps)


def decode_video(
    path: str | os.PathLike[str],
    prepare: Prepare = np.asarray,
    *,
    choose: Callable[[int], Collection[int]] = range,
    max_bytes: int = MAX_BYTES,
    decoder: Decoder = "pyav",
    picture_rate: float | None = None,
) -> DecodedVideo:
    """Decode a video, or a folder of pictures, from its first frame to its last and keep the prepared form of those that are chosen.

    The frames are counted first by their packets (:func:`~vjepa_fer.video.container.count_packets`), because what is
    chosen depends on how many there are. Should decoding then find another number, it is done once more with that.

    Parameters
    ----------
    choose : callable
        From the number of frames to the numbers of those to keep; all by default.
    max_bytes : int
        Refuse rather than hold more than this.
    decoder : {"pyav", "decord", "torchcodec"}
        Which library; the pixels are the same. Pictures are always PyAV's.
    picture_rate : float, optional
        How many pictures of a folder are a second; their times are NaN without.

    Raises
    ------
    VideoError
        Nothing is returned of a video that has a fault: see its `reason`.
    """
    path = Path(path)
    if os.path.isdir(path):
        return _decode_pictures(path, prepare, choose, max_bytes, picture_rate)
    expected = count_packets(path)
    for _ in range(2):
        wanted = sorted(set(choose(expected))) if expected else []
        video = _decode_with(decoder, path, prepare, np.array(wanted, np.int64), max_bytes)
        if video.num_frames == expected:
            return video
        expected = video.num_frames
    raise VideoError("changed", path, "had another number of frames each time it was read: is it still being written?")


def _decode_pictures(
    folder: Path,
    prepare: Prepare,
    choose: Callable[[int], Collection[int]],
    max_bytes: int,
    rate: float | None,
) -> DecodedVideo:
    pictures = list_pictures(folder)
    kept = _Kept(folder, prepare, np.array(sorted(set(choose(len(pictures)))), np.int64), max_bytes)
    for number, frame in enumerate(decode_pictures(pictures)):
        kept.take(number, frame)
    return kept.as_video(picture_seconds(len(pictures), rate))


def picture_seconds(count: int, rate: float | None) -> np.ndarray:
    """When pictures are shown, float64 (count,), at so many a second; NaN where nobody knows."""
    return np.arange(count) / (np.nan if rate is None else rate)


def _decode_with(decoder: Decoder, path: Path, prepare: Prepare, wanted: np.ndarray, max_bytes: int) -> DecodedVideo:
    if decoder == "pyav" or not len(wanted):
        return _decode_once(path, prepare, wanted, max_bytes)
    frames, times, height, width = frames_of_other(decoder, path, prepare, wanted, max_bytes, _first_frame(path))
    return DecodedVideo(frames, wanted, times, height, width)


def _first_frame(path: Path) -> FirstFrame:
    kept = _Kept(path, np.asarray, np.zeros(1, np.int64), MAX_BYTES)
    with open_video(path) as (container, stream):
        frames = (f for packet in read_packets(path, container, stream) for f in _decode_packet(packet))
        first = next((frame for frame in frames if frame is not None), None)
        if first is None:
            raise VideoError("no_frames", path, "its video stream holds no frame that can be decoded: fetch it again")
        kept.take(0, first)
        return FirstFrame(kept.frames[0], sum(_turn_of(first)) % 2 == 1)


def _decode_once(path: Path, prepare: Prepare, wanted: np.ndarray, max_bytes: int) -> DecodedVideo:
    kept = _Kept(path, prepare, wanted, max_bytes)
    times: list[float | None] = []
    damaged: list[int] = []  # frame numbers
    with open_video(path) as (container, stream):
        for packet in read_packets(path, container, stream):
            for frame in _decode_packet(packet):
                if frame is None or frame.is_corrupt:
                    damaged.append(len(times))
                if frame is not None:
                    kept.take(len(times), frame)
                    times.append(frame.time)
        rate = stream.average_rate or stream.guessed_rate
    _check_whole(path, damaged, len(times))
    return kept.as_video(_seconds(times, float(rate or 0)))


def _decode_packet(packet: av.Packet) -> Sequence[av.VideoFrame | None]:
    try:
        return packet.decode()
    except av.FFmpegError:
        return [None]


def _check_whole(path: Path, damaged: list[int], num_frames: int) -> None:
    if not num_frames:
        raise VideoError("no_frames", path, "its video stream holds no frame that can be decoded: fetch the file again")
    if damaged and damaged[0] >= num_frames - 1:
        message = f"its last frame (number {num_frames - 1}) is incomplete: was the file cut off? Fetch it again"
        raise VideoError("truncated", path, message)
    if damaged:
        message = f"{len(damaged)} of {num_frames} frames are damaged, the first is number {damaged[0]}: fetch it again"
        raise VideoError("corrupt_frames", path, message)


def _seconds(times: list[float | None], frames_per_second: float) -> np.ndarray:
    """Timestamps (N,); a stream without any (raw H.264) gets those of its nominal frame rate, NaN if it has none."""
    if None in times:
        return np.arange(len(times)) / (frames_per_second or np.nan)
    return np.array(times, np.float64)


class _Kept:
    """The frames that were asked for, prepared, in one array that is allocated when the first of them arrives."""

    def __init__(self, path: Path, prepare: Prepare, wanted: np.ndarray, max_bytes: int) -> None:
        self.path, self.prepare, self.wanted, self.max_bytes = path, prepare, wanted, max_bytes
        self.reformatter = VideoReformatter()
        self.frames = np.empty((0,), np.uint8)
        self.count = 0
        self.layout: tuple[int, int, _Turn] | None = None

    def take(self, number: int, frame: av.VideoFrame) -> None:
        """Look at frame `number` of the video; keep it if it was asked for."""
        layout = frame.height, frame.width, _turn_of(frame)
        if self.layout is None:
            self._check_size(frame.height, frame.width)
            self.layout = layout
        if layout != self.layout:
            message = (
                f"frame {number} is {frame.width}×{frame.height}, unlike those before it: re-encode it to one size"
            )
            raise VideoError("unreadable", self.path, message)
        if self.count < len(self.wanted) and self.wanted[self.count] == number:
            self._keep(self.prepare(_upright(self._rgb(frame), layout[2])))

    def _rgb(self, frame: av.VideoFrame) -> np.ndarray:
        # one thread: worker processes share the cores, and starting threads for a frame costs more than it gains
        try:
            return self.reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except av.FFmpegError as error:
            message = f"its pixel format {frame.format.name} cannot be converted to RGB: re-encode it to H.264"
            raise VideoError("unreadable", self.path, message) from error

    def _keep(self, pixels: np.ndarray) -> None:
        if not self.count:
            self._check_room(pixels.nbytes)
            self.frames = np.empty((len(self.wanted), *pixels.shape), np.uint8)
        self.frames[self.count] = pixels
        self.count += 1

    def _check_size(self, height: int, width: int) -> None:
        if height * width > _MAX_PIXELS or max(height, width) > _MAX_ASPECT * min(height, width):
            message = f"its frames of {width}×{height} pixels are beyond any film's: is this the right file?"
            raise VideoError("unreadable", self.path, message)

    def _check_room(self, frame_bytes: int) -> None:
        total = frame_bytes * len(self.wanted)
        if total > self.max_bytes:
            message = (
                f"{len(self.wanted):,} of its frames are asked for, {total / 1e9:.1f} GB of pixels; at most "
                f"{self.max_bytes / 1e9:.1f} GB are held: sample fewer (a larger stride, segments) or cut the film up"
            )
            raise VideoError("too_long", self.path, message)

    def as_video(self, timestamps: np.ndarray) -> DecodedVideo:
        assert self.layout is not None
        height, width, (transposed, *_) = self.layout
        shown = (width, height) if transposed else (height, width)
        return DecodedVideo(self.frames[: self.count], self.wanted[: self.count], timestamps, *shown)


def _turn_of(frame: av.VideoFrame) -> _Turn:
    """How the file says that a frame is to be turned before it is shown: transposed, then flipped in height, in width.

    Mirrored ones (front cameras) included; in between, the nearest quarter turn.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()  # shown x = a x + c y, shown y = b x + d y
    if abs(b) > abs(a):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def _upright(rgb: np.ndarray, turn: _Turn) -> np.ndarray:
    """A decoded frame (H, W, 3) as it is shown; a view of it."""
    transposed, flipped_rows, flipped_columns = turn
    shown = rgb.transpose(1, 0, 2) if transposed else rgb
    return shown[:: -1 if flipped_rows else 1, :: -1 if flipped_columns else 1]
