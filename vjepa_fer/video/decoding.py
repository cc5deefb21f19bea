"""A video file comes in, its frames go out: decoded once and in order, each prepared as it arrives, all counted.

Peak memory is one decoded frame and the prepared frames that were asked for, whatever the length of the film.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.video.clock import rising_seconds
from vjepa_fer.video.colour import Turn
from vjepa_fer.video.complaints import is_spoilt, listening
from vjepa_fer.video.container import examine_packets, open_video, read_packets, truncated
from vjepa_fer.video.joints import is_damaged
from vjepa_fer.video.kept import MAX_BYTES, Display, KeptFrames, Prepare, TurnsDifferError
from vjepa_fer.video.others import Decoder, disagreement
from vjepa_fer.video.pictures import decode_pictures, list_pictures

_MOST_REORDERED = 16  # pictures between a packet's place in the file and its place in the film


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
        Of a frame before it was prepared: rotation applied; pixels that are not square, and a crop that the container asks
        for, left as they are stored, unless they were to be made square (`notes` names both).
    notes : tuple of str
        What is odd about the file, or not all of it, in words that follow its name.
    """

    frames: np.ndarray
    frame_numbers: np.ndarray
    timestamps: np.ndarray
    height: int
    width: int
    notes: tuple[str, ...] = ()

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
    accept_truncated: bool = False,
    accept_resize: bool = False,
    square_pixels: bool = False,
    picture_rate: float | None = None,
) -> DecodedVideo:
    """Decode a video, or a folder of pictures, from its first frame to its last and keep the prepared form of those that are chosen.

    The frames are counted first by their packets (:func:`~vjepa_fer.video.container.examine_packets`), because what is
    chosen depends on how many there are. Should decoding then find another number, it is done once more with that.

    Parameters
    ----------
    choose : callable
        From the number of frames to the numbers of those to keep; all by default.
    max_bytes : int
        Refuse rather than hold more than this.
    decoder : {"pyav", "decord", "torchcodec"}
        The library that decodes; the frames are the same. Where another than PyAV has other frames, or none, PyAV's are returned
        and a note says so; it has to be held to all that PyAV decodes, so it takes the time of both.
        Pictures are always PyAV's.
    accept_truncated : bool
        Of a file that breaks off take the frames before the break, with a note.
    accept_resize : bool
        Where the size changes midway, as browsers record, scale all frames to the first one's (bicubic), with a note.
    square_pixels : bool
        Where pixels are wider or narrower than high, scale the width until they are square (bicubic).
    picture_rate : float, optional
        How many pictures of a folder are a second; their times are NaN without.

    Raises
    ------
    VideoError
        Nothing is returned of a video that has a fault: see its `reason`.
    """
    path, started = Path(path), time.perf_counter()
    display = Display(accept_resize, square_pixels)
    if os.path.isdir(path):
        return _decode_pictures(path, prepare, choose, max_bytes, picture_rate)
    film = _Film(path, accept_truncated)
    notes = film.examine()
    kept, once = film.decode(
        lambda wanted: KeptFrames(path, prepare, wanted, max_bytes, film.turn, display), choose, decoder != "pyav"
    )
    seconds, clock = rising_seconds(once.pts, once.dts, once.frames_per_second)
    notes += [*kept.notes, *kept.about_sizes(), *kept.about_turns(), *film.about_start(), *film.about_break(), clock]
    if decoder != "pyav":
        limit = max(60.0, 10 * (time.perf_counter() - started))
        differs = disagreement(decoder, path, film.num_frames, kept.digests, seconds=limit)
        notes.append(f"{differs}: PyAV's frames are taken" if differs else "")
    return _as_video(kept, seconds, tuple(note for note in notes if note))


def _decode_pictures(
    folder: Path,
    prepare: Prepare,
    choose: Callable[[int], Collection[int]],
    max_bytes: int,
    rate: float | None,
) -> DecodedVideo:
    pictures = list_pictures(folder)
    kept = KeptFrames(folder, prepare, np.array(sorted(set(choose(len(pictures)))), np.int64), max_bytes)
    for number, frame in enumerate(decode_pictures(pictures)):
        try:
            kept.take(number, frame)
        except TurnsDifferError as error:
            message = (
                f"{pictures[number].name} is to be turned otherwise than those before it (EXIF): turn them all alike"
            )
            raise VideoError("unreadable", folder, message) from error
    kept.finish()
    return _as_video(kept, picture_seconds(len(pictures), rate), ())


def _as_video(kept: KeptFrames, timestamps: np.ndarray, notes: tuple[str, ...]) -> DecodedVideo:
    shown = kept.shown_size()
    store = kept.store
    return DecodedVideo(store.frames[: store.count], kept.wanted[: store.count], timestamps, *shown, notes)


def picture_seconds(count: int, rate: float | None) -> np.ndarray:
    """When pictures are shown, float64 (count,), at so many a second; NaN where nobody knows."""
    return np.arange(count) / (np.nan if rate is None else rate)


class _Film:
    """What is known of a film, from its packets and then from every time that it is decoded, until the two agree."""

    def __init__(self, path: Path, accept_truncated: bool) -> None:
        self.path, self.accept_truncated = path, accept_truncated
        self.num_frames = 0
        self.until = 1 << 62  # frames before the place where the file breaks off
        self.turn: Turn | None = None  # that most frames ask for, where they differ
        self._break: VideoError | None = None
        self._num_packets = self._num_early = 0

    def examine(self) -> list[str]:
        """Count packets; return what is odd about the file."""
        found = examine_packets(self.path)
        self.num_frames, self._num_packets, self._num_early = found.num_frames, found.num_frames, found.num_early
        self._accept(found.fault)
        return list(found.notes)

    def decode(
        self, keep: Callable[[np.ndarray], KeptFrames], choose: Callable[[int], Collection[int]], compares: bool
    ) -> tuple[KeptFrames, _Pass]:
        """Decode the film until it is as was thought before; `compares`: with digests of the first, the last and all chosen."""
        corrections = 0
        while corrections < 2:
            wanted = np.array(sorted(set(choose(self.num_frames))) if self.num_frames else [], np.int64)
            kept = keep(wanted)
            kept.digested = {0, self.num_frames - 1, *wanted.tolist()} if compares else set()
            try:
                once = _decode_once(self.path, kept, self.until, self.accept_truncated)
            except TurnsDifferError:
                self.turn = self._most_frequent_turn()
                continue
            expected, breaks = self.num_frames, self._learn(once)
            if self.num_frames == expected:
                return kept, once
            corrections += not breaks
        raise VideoError(
            "changed", self.path, "had another number of frames each time it was read: is it still being written?"
        )

    def _most_frequent_turn(self) -> Turn:
        kept = KeptFrames(self.path, np.asarray, np.zeros(0, np.int64), MAX_BYTES, (False, False, False))
        _decode_once(self.path, kept, self.until, self.accept_truncated)
        return max(kept.turns, key=kept.turns.__getitem__)

    def _learn(self, once: _Pass) -> bool:
        """Take the number of frames from a pass; return whether it has shown where the file breaks off."""
        fault = once.fault(self.path, cut_off=self._break is not None)
        self.num_frames = once.intact
        self._accept(fault)
        if self._break is not None:
            self.num_frames = self.until = once.complete
        return fault is not None

    def _accept(self, fault: VideoError | None) -> None:
        """Raise a fault that one cannot live with."""
        if fault is None:
            return
        if not (self.accept_truncated and fault.reason == "truncated" and self.num_frames):
            raise fault
        self._break = self._break or fault

    def about_start(self) -> list[str]:
        """Of a film that was cut out of a longer one, pictures may refer to others that are not there."""
        missing = min(self._num_packets - self.num_frames, self._num_early)
        if missing <= 0 or self._break is not None:
            return []
        of_all = f"{missing:,} of {self._num_packets:,} pictures"
        return [f"begins between key frames: what cannot be decoded there is left out ({of_all})"]

    def about_break(self) -> list[str]:
        if self._break is None:
            return []
        what = self._break.message.split(": fetch")[0]
        return [f"truncated: {what}; the {self.num_frames:,} frames before the break are taken"]


@dataclass
class _Pass:
    """What was met on the way through a film.

    Attributes
    ----------
    pts, dts : list
        Seconds of each frame, as far as the file has them.
    damaged : list of int
        Frame numbers.
    complaint : str
        libav's about the bytes of the last picture.
    emptied : int
        Frames that had come when the packets ended and the decoder was asked for what it still had.
    frames_per_second : float
        Nominal; 0 if there is none.
    """

    pts: list[float | None] = field(default_factory=list)
    dts: list[float | None] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    complaint: str = ""
    emptied: int = 0
    frames_per_second: float = 0.0

    @property
    def intact(self) -> int:
        """Frames before the first that is damaged."""
        return min([len(self.pts), *self.damaged])

    @property
    def complete(self) -> int:
        """Of a file that is cut off those before the first that is damaged or may be missing.

        With its last packets a picture may be lost that is shown before another that is there. Those that came out of
        the decoder by themselves have all before them; those that were left in it have if they follow as closely as usual.
        """
        number = min(self.emptied, self.intact)
        while number < self.intact and self._follows(number):
            number += 1
        return number

    def _follows(self, number: int) -> bool:
        times = self.pts[max(number - 2, 0) : number + 1]
        if len(times) < 3 or None in times:
            return False
        before, now = np.diff(np.array(times, np.float64))
        return bool(0 < now < 1.5 * before)

    def fault(self, path: Path, cut_off: bool) -> VideoError | None:
        """Of a file that is known to be cut off, the last packet may belong to a picture that is shown before others."""
        number, last = self.intact, len(self.pts) - 1
        if last < 0:
            message = "its video stream holds no frame that can be decoded: fetch the file again"
            return VideoError("no_frames", path, message)
        if not self.damaged:
            return None
        if number >= last - _MOST_REORDERED * (cut_off or self.complaint != ""):
            said = f" (libav: {self.complaint})" if self.complaint else ""
            return truncated(path, f"its last frame (number {number}) is incomplete{said}")
        message = f"{len(self.damaged)} of {last + 1} frames are damaged, the first is number {number}: fetch it again"
        return VideoError("corrupt_frames", path, message)


def _decode_once(path: Path, kept: KeptFrames, until: int, accept_truncated: bool) -> _Pass:
    """Send the frames of a film to `kept`, no more than the first `until`."""
    once = _Pass()

    def take(frames: Sequence[av.VideoFrame | None]) -> None:
        for frame in frames:
            number = len(once.pts)
            if number >= until:
                return
            if frame is None or frame.is_corrupt:
                once.damaged.append(number)
            if frame is not None:
                kept.take(number, frame)
                once.pts.append(frame.time)
                once.dts.append(_seconds(frame.dts, frame.time_base))

    with listening() as hear, open_video(path) as (container, stream):
        kept.meet(container, stream)
        once.frames_per_second = float(stream.average_rate or stream.guessed_rate or 0)
        try:
            for packet in read_packets(path, container, stream):
                hear.about_pictures()
                if packet.size and is_damaged(path, packet):
                    once.damaged += [len(once.pts)] * (len(once.pts) < until)
                once.emptied = len(once.pts)
                take(_decode_packet(packet))
                said = hear.about_pictures()
                once.damaged += [max(len(once.pts) - 1, 0)] * is_spoilt(said)
                once.complaint = said or ("" if packet.size else once.complaint)
        except VideoError as error:
            if not (accept_truncated and error.reason == "truncated"):
                raise
            once.emptied = len(once.pts)
            take(stream.codec_context.decode(None))
        kept.finish()
    if once.complaint and len(once.pts) < until:
        once.damaged += [max(len(once.pts) - 1, 0)]
    return once


def _seconds(ticks: int | None, tick: Fraction | None) -> float | None:
    return float(ticks * tick) if ticks is not None and tick else None


def _decode_packet(packet: av.Packet) -> Sequence[av.VideoFrame | None]:
    if not packet.size and packet.dts is not None:
        return []  # the picture before stays (Theora, AVI); one without a time asks the decoder for what it still has
    try:
        return packet.decode()
    except av.FFmpegError:
        return [None]
