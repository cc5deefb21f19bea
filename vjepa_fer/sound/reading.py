"""A file goes in; the samples of its first sound track come out, at the rate that is asked for and in one channel, or an error says why not.

A film without a sound track is an error of its own, ``no_audio``. A track on which nothing is heard is a sound like any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from vjepa_fer.errors import VideoError
from vjepa_fer.video.complaints import listening
from vjepa_fer.video.container import not_opened, open_container, read_head
from vjepa_fer.video.extent import is_cut_off

MOST_SECONDS = 3600
"""Of one clip: longer ones are no clips, and would fill the memory."""

GAP_SECONDS = 0.1
"""By which a track's clock and its samples may differ before it is said."""


@dataclass(frozen=True, eq=False)
class Sound:
    """What is heard in a clip.

    Attributes
    ----------
    samples : ndarray of float32, shape (N,)
        From -1 to 1; resampling may go a little beyond.
    rate : int
        Samples a second.
    start_seconds : float
        When the first one is heard, on the file's own clock, which its pictures' times are on too.
    path : str
    notes : tuple of str
        What is odd about the track.
    """

    samples: np.ndarray = field(repr=False)
    rate: int
    start_seconds: float
    path: str
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


@contextmanager
def open_sound(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, AudioStream]]:
    """Open a film or a sound file: its container and its first sound track, closed again at the end.

    Raises
    ------
    VideoError
        With the reason ``no_audio``, ``not_audio``, ``missing``, ``empty``, ``lfs_pointer``, ``truncated`` or ``unreadable``.
    """
    path = Path(path)
    if path.is_dir():
        raise VideoError("no_audio", path, "a folder of pictures has no sound: name the film that they were taken from")
    head = read_head(path)
    try:
        container = open_container(path)
    except (av.FFmpegError, OSError) as error:
        raise _not_sound(not_opened(path, head, error), path) from error
    with container:
        yield container, _first_track(path, container)


def _not_sound(error: VideoError, path: Path) -> VideoError:
    if error.reason != "not_video":
        return error
    return VideoError("not_audio", path, error.message.replace("not a video file", "no film and no sound file"))


def _first_track(path: Path, container: InputContainer) -> AudioStream:
    tracks = container.streams.audio
    if not tracks:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        message = f"holds no sound track, only {kinds}: take the file that has one, or leave the clip out"
        raise VideoError("no_audio", path, message)
    if tracks[0].codec_context is None:
        raise VideoError("unreadable", path, "PyAV has no decoder for its sound: convert it to WAV or AAC")
    tracks[0].codec_context.thread_count = 1
    return tracks[0]


def track_seconds(path: str | os.PathLike[str]) -> float:
    """How long the sound track says that it is, in seconds, without decoding it; 0.0 where nothing says.

    Raises
    ------
    VideoError
        As :func:`open_sound`.
    """
    with listening(), open_sound(path) as (container, stream):
        return _declared(container, stream)


def _declared(container: InputContainer, stream: AudioStream) -> float:
    return _counted(stream) or (container.duration or 0) / av.time_base


def _counted(stream: AudioStream) -> float:
    """Seconds that the track itself declares; 0.0 of one that does not."""
    return float((stream.duration or 0) * (stream.time_base or 0))


def read_sound(path: str | os.PathLike[str], rate: int) -> Sound:
    """Decode a clip's first sound track, bring it to `rate` and average its channels.

    Parameters
    ----------
    rate : int
        Samples a second. A track of this rate is taken as it is.

    Raises
    ------
    VideoError
        As :func:`open_sound`; or ``truncated``, ``corrupt_frames`` or ``too_long``.
    """
    path = Path(path)
    with listening() as hear, open_sound(path) as (container, stream):
        track = _Track(path, rate)
        for frame in _frames(path, container, stream):
            track.add(frame)
        _require_whole(path, container, stream, track, hear.about_the_container()[0])
        track.finish()
        notes = (*_about_several(container), *track.notes)
    return Sound(track.samples(), rate, track.start or 0.0, os.fspath(path), notes)


def _frames(path: Path, container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    decoded = 0.0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise VideoError("corrupt_frames", path, f"its sound is damaged at {decoded:.2f} s: fetch it again")
            decoded += frame.samples / frame.sample_rate
            yield frame
    except av.FFmpegError as error:
        message = f"its sound cannot be decoded after {decoded:.2f} s ({error.strerror}): fetch it again"
        raise VideoError("corrupt_frames", path, message) from error


class _Track:
    """The samples of a track, as they come."""

    def __init__(self, path: Path, rate: int) -> None:
        self._path, self._rate = path, rate
        self._resampler: av.AudioResampler | None = None
        self._parts: list[np.ndarray] = []
        self.start: float | None = None
        self.seconds, self._gaps, self.channels = 0.0, 0.0, 0

    def add(self, frame: av.AudioFrame) -> None:
        if self.start is None:
            self.start, self.channels = frame.time or 0.0, frame.layout.nb_channels
            self._resampler = av.AudioResampler(format="fltp", layout=frame.layout, rate=self._rate)
        if frame.time is not None:
            self._gaps = max(self._gaps, abs(frame.time - self.start - self.seconds))
        self.seconds += frame.samples / frame.sample_rate
        if self.seconds > MOST_SECONDS:
            message = f"is longer than {MOST_SECONDS:,} s of sound: cut it into clips"
            raise VideoError("too_long", self._path, message)
        self._take(frame)

    def _take(self, frame: av.AudioFrame | None) -> None:
        assert self._resampler is not None
        try:
            resampled = self._resampler.resample(frame)
        except ValueError as error:  # it was made for the first frame
            message = f"its sound changes its rate or its channels at {self.seconds:.2f} s: convert it to one of each"
            raise VideoError("corrupt_frames", self._path, message) from error
        self._parts += [part.to_ndarray().mean(axis=0, dtype=np.float64) for part in resampled]

    def finish(self) -> None:
        """Have the last samples, which a resampler holds back."""
        if self._resampler is None:
            raise VideoError("no_audio", self._path, "its sound track holds no samples: take the file that has some")
        self._take(None)

    def samples(self) -> np.ndarray:
        return np.concatenate(self._parts).astype(np.float32)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about its clock."""
        if self._gaps <= GAP_SECONDS:
            return ()
        return (
            f"its sound has gaps, or overlaps, of up to {self._gaps:.2f} s by its clock; samples are taken one after the other, so that times "
            "behind one are off by as much",
        )


def _require_whole(path: Path, container: InputContainer, stream: AudioStream, track: _Track, complaint: str) -> None:
    """Refuse a file that breaks off: its container says so by its bytes, or a header that counts samples has more of them."""
    declared = _counted(stream)
    missing = declared - track.seconds
    is_short = container.format.name.split(",")[0] in _COUNTED and missing > max(0.3, 0.1 * declared)
    try:
        is_cut = is_cut_off(path, container.format.name)
    except OSError as error:
        raise VideoError("unreadable", path, f"cannot be read: {error.strerror}") from error
    if is_cut or is_short or (complaint and missing > 0):
        said = f" (libav: {complaint})" if complaint else ""
        of = f" of the {declared:.2f} s that its header declares" if is_short else ""
        raise VideoError("truncated", path, f"its sound breaks off at {track.seconds:.2f} s{of}{said}: fetch it again")


_COUNTED = ("wav", "w64", "aiff", "au", "flac", "mov")
"""Containers whose header counts the samples."""


def _about_several(container: InputContainer) -> tuple[str, ...]:
    count = len(container.streams.audio)
    return () if count < 2 else (f"holds {count} sound tracks: the first is taken, as the recipe says",)
