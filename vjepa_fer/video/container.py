"""A path comes in, an open video stream goes out, or a VideoError that says what the file is instead.

What is opened is a regular local file in a container that holds video. libav would also follow playlists to other files
and addresses, draw text files as pictures and show an album's cover: none of these is a clip.
"""

from __future__ import annotations

import errno
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import MissingExtraError, VideoError, VideoReason
from vjepa_fer.video.extent import is_cut_off

try:
    import av
except ImportError as error:
    raise MissingExtraError("extract", "PyAV", "decoding video") from error

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vjepa_fer.video.complaints import listening  # imports PyAV
from vjepa_fer.video.joints import is_damaged

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,flv,live_flv,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,ogg,rm,mxf,nut,dv,gif,apng,yuv4mpegpipe,ivf,"
    "h264,hevc,m4v,av1,obu,mjpeg,"
    "wav,w64,mp3,aac,flac,ac3,amr,aiff,au"  # only to say "audio, no picture"
)
OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}

_DECLARES_DURATION = {  # and where; elsewhere libav guesses it from the file's end
    "mov": "duration in mvhd, tkhd or mdhd",
    "flv": "duration in onMetaData",
    "matroska": "Duration",
    "avi": "dwTotalFrames in avih, dwLength in strh, or idx1",
    "mxf": "Duration",
}

_MANY_PACKETS = 100  # of one film before a second picture of another: that is no film
_LAST_PACKETS = (
    4  # of elementary pictures, that may share the last packet of their container: all are marked if it is cut
)

_COUNTED = ("mov,mp4", "avi")  # whose headers say how many pictures there are: if all are, no lengths matter

_PARTS_SHOWN = ("gif", "dv")  # of a picture that is cut off libav shows what there is, and says nothing

_SIGNATURES = {b"FLV": "an FLV", b"\x1aE\xdf\xa3": "a Matroska or WebM", b"RIFF": "an AVI", b"OggS": "an Ogg"}


@contextmanager
def open_video(path: str | os.PathLike[str]) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a video file: its container and its first stream of moving pictures, closed again at the end.

    Raises
    ------
    VideoError
        With the reason ``missing``, ``empty``, ``lfs_pointer``, ``not_video``, ``no_video_stream``, ``truncated`` (an
        MP4 that was cut before its index) or ``unreadable`` (a folder, no permission, a codec that PyAV lacks).
    """
    path = Path(path)
    head = read_head(path)
    try:
        container = open_container(path)
    except (av.FFmpegError, OSError) as error:
        raise not_opened(path, head, error) from error
    with container:
        films = _films(container)
        if len(films) > 1:
            stills = _stills(path, [film.index for film in films])
            films = [film for film in films if film.index not in stills] or films
        yield container, _moving_pictures(path, container, films)


def open_container(path: Path) -> InputContainer:
    """What PyAV makes of a file, or raises. What the file says of itself may be in any encoding: it is passed over."""
    # an absolute path, because libav would take "a:b.mp4" for the protocol a
    return av.open(os.path.abspath(path), options=dict(OPTIONS), **_any_text())


@cache
def _any_text() -> dict[str, Any]:
    """PyAV 19 reads any; before it, a title in Latin-1 was an error."""
    return {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}


def read_head(path: Path) -> bytes:
    """The first 1,024 bytes of a regular file that has some."""
    try:
        with open(open_regular(path), "rb") as file:
            head = file.read(1024)
    except (FileNotFoundError, NotADirectoryError) as error:
        hint = " (a link to a file that is gone)" if path.is_symlink() else ""
        raise VideoError("missing", path, f"no such file{hint}: check the manifest's path column") from error
    except (OSError, ValueError) as error:
        hint = ": name the video itself" if getattr(error, "errno", None) == errno.EINVAL else ""
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}{hint}"
        raise VideoError("unreadable", path, reason) from error
    if not head:
        raise VideoError("empty", path, "the file is empty (0 bytes): fetch it again")
    if head.startswith(b"version https://git-lfs.github.com/spec/"):
        raise VideoError("lfs_pointer", path, _about_pointer(head))
    return head


def _about_pointer(head: bytes) -> str:
    size = re.search(rb"\nsize (\d{1,15})\n", head)
    video = f"the video of {int(size[1]):,} bytes" if size else "the video"
    return (
        f"this is a Git LFS pointer, a few lines of text that stand for {video}: run 'git lfs pull' in its repository"
    )


def not_opened(path: Path, head: bytes, error: Exception) -> VideoError:
    """Why libav would not open a file that begins with `head`: its `error`, or what the file is instead."""
    if isinstance(error, (OSError, MemoryError)) and not _is_cut_off(path, "matroska"):
        return VideoError("unreadable", path, f"cannot be read: {getattr(error, 'strerror', error)}")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return VideoError("not_video", path, "a WebP animation, which PyAV cannot decode: convert it to H.264")
    container = "an MP4" if head[4:8] in (b"ftyp", b"moov", b"mdat") else None
    container = container or next((name for start, name in _SIGNATURES.items() if head.startswith(start)), None)
    if container:
        message = f"begins like {container} file, but its index is missing or damaged: cut off? Fetch it again"
        return VideoError("truncated", path, message)
    text = head[:40].decode("utf-8", "replace")
    is_text = all(letter.isprintable() or letter.isspace() for letter in text) and "\ufffd" not in text[:-1]
    looks = f"text, beginning {text!r}" if is_text else "of no format that holds video"
    return VideoError("not_video", path, f"not a video file: {looks}")


def _moving_pictures(path: Path, container: InputContainer, pictures: list[VideoStream]) -> VideoStream:
    usable = pictures and all(film.codec_context for film in pictures)
    if not usable and _is_cut_off(path, container.format.name):
        raise VideoError("truncated", path, "breaks off in its index: fetch the file again")
    if not pictures:
        kinds = sorted({"a cover picture" if s.type == "video" else s.type for s in container.streams})
        message = f"holds no video, only {', '.join(kinds) or 'empty tracks'}: name the file with the moving picture"
        raise VideoError("no_video_stream", path, message)
    best = container.streams.best("video")  # of several, by default flag, by packets found so far, by bit rate
    stream = next((s for s in pictures if best is not None and s.index == best.index), pictures[0])
    if stream.codec_context is None:
        raise VideoError("unreadable", path, "PyAV has no decoder for its video codec: re-encode it to H.264")
    stream.codec_context.thread_count = 1  # worker processes share the cores; damage then shows alike everywhere
    return stream


def _stills(path: Path, films: list[int]) -> set[int]:
    """Which of several video streams show a single picture: libav's best may be one, if it is flagged as the default."""
    counts = Counter[int]()
    with suppress(av.FFmpegError, IndexError), av.open(os.path.abspath(path), options=dict(OPTIONS)) as container:
        for packet in container.demux(video=tuple(range(len(container.streams.video)))):
            counts[packet.stream_index] += packet.size > 0
            if all(counts[film] > 1 for film in films) or max(counts.values()) > _MANY_PACKETS:
                break
    return {film for film in films if counts[film] <= 1}


def _films(container: InputContainer) -> list[VideoStream]:
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


@dataclass(frozen=True)
class Examined:
    """What a video's packets tell, before any is decoded.

    Attributes
    ----------
    num_frames : int
        How many it should have.
    fault : VideoError, optional
        ``truncated`` or ``corrupt_frames``.
    notes : tuple of str
        What is odd about the file and does no harm.
    num_early : int
        Of `num_frames` those that are shown before the first key frame, and may refer to pictures that are not in the file.
    """

    num_frames: int
    fault: VideoError | None
    notes: tuple[str, ...]
    num_early: int = 0


def count_packets(path: str | os.PathLike[str], *, accept_truncated: bool = False) -> int:
    """How many frames a video should have: its packets are counted without decoding them, no header is believed.

    Parameters
    ----------
    accept_truncated : bool
        Count what is there of a file that breaks off.

    Raises
    ------
    VideoError
        As :func:`open_video`; or ``truncated``; or ``corrupt_frames``, when the container marks a packet as damaged.
    """
    found = examine_packets(path)
    if found.fault is not None and not (accept_truncated and found.fault.reason == "truncated"):
        raise found.fault
    return found.num_frames


def examine_packets(path: str | os.PathLike[str]) -> Examined:
    """Read a video's packets, all of them (milliseconds a clip), without decoding any.

    A file that breaks off is noticed here: its last packet is incomplete, libav or the container's own lengths say that there
    should be more, or what there is ends well before the duration that the header declares.

    Raises
    ------
    VideoError
        As :func:`open_video`.
    """
    path = Path(path)
    broken = None
    with listening() as hear, open_video(path) as (container, stream):
        tally = _Tally(path, stream)
        try:
            for packet in read_packets(path, container):
                tally.add(packet)
                tally.hear(*hear.about_the_container())
        except VideoError as error:
            if error.reason != "truncated":
                raise
            broken = error
        tally.hear(*hear.about_the_container())
        declared, num_frames = _declared_seconds(container), stream.frames
        notes = _about_several(_films(container), stream)
        complete = container.format.name.startswith(_COUNTED) and 0 < num_frames <= tally.count
        cut = False if complete else _is_cut_off(path, container.format.name)
    fault = broken or tally.fault(path, cut, declared)
    if fault is None and tally.falls_short(declared):
        notes += (_about_lie(container, declared, num_frames, tally),)
    return Examined(tally.count, fault, notes, tally.count_early())


def _is_cut_off(path: Path, container: str) -> bool | None:
    try:
        return is_cut_off(path, container)
    except OSError as error:
        raise VideoError("unreadable", path, f"cannot be read: {error.strerror}") from error


class _Tally:
    """What was seen of the packets of a film."""

    def __init__(self, path: Path, stream: VideoStream) -> None:
        self._path, self._index = path, stream.index
        self.count = 0  # pictures
        self.begin, self.end = math.inf, 0.0  # seconds of the packets of any stream
        self._incomplete = False  # the last packet
        self._complaint = self._lost = ""
        self._starts: list[float] = []  # of the pictures, in seconds
        self._first_key: float | None = None  # when the first key frame is shown
        self._damaged: list[int] = []  # pictures that the container marks

    def add(self, packet: av.Packet) -> None:
        if not packet.size:
            return
        self._incomplete = is_damaged(self._path, packet)
        if packet.pts is not None:
            self.begin = min(self.begin, float(packet.pts * packet.time_base))
            self.end = max(self.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == self._index and not packet.is_discard:
            if packet.pts is not None:
                self._starts.append(float(packet.pts * packet.time_base))
                self._first_key = (
                    self._starts[-1] if packet.is_keyframe and self._first_key is None else self._first_key
                )
            self._damaged += [self.count] * self._incomplete
            self.count += 1

    def hear(self, ends: str, lost: str) -> None:
        """Remember the first complaints that the file ends too early, and that packets in its middle are lost."""
        self._complaint = self._complaint or ends
        if lost and not self._lost:
            self._lost = f"is damaged after frame {self.count} at {self.end:.2f} s (libav: {lost}): fetch it again"

    def fault(self, path: Path, cut: bool | None, declared: float) -> VideoError | None:
        """Why the film cannot be taken for whole; `cut` and `declared` are what the container says of its bytes and seconds."""
        complaint = self._complaint
        said = f" (libav: {complaint})" if complaint else ""
        breaks_off = self._incomplete or (complaint and not self.reaches(declared))
        if self.falls_short(declared) and (breaks_off or cut is not False):
            return truncated(path, f"ends at {self.end:.2f} s of the {declared:.2f} s that its header declares{said}")
        if breaks_off:
            return truncated(path, f"breaks off after frame {self.count} at {self.end:.2f} s{said}")
        if self._damaged and self._damaged[0] >= self.count - _LAST_PACKETS:
            return truncated(path, f"breaks off in frame {self._damaged[0]} at {self.end:.2f} s")
        if self._damaged:
            message = f"its frame {self._damaged[0]} is damaged in the file: fetch it again"
            return VideoError("corrupt_frames", path, message)
        if cut:
            message = (
                f"breaks off after frame {self.count} at {self.end:.2f} s, in the middle of a part of its container"
            )
            return truncated(path, message)
        return VideoError("corrupt_frames", path, self._lost) if self._lost else None

    def count_early(self) -> int:
        """Pictures that are shown before the first key frame."""
        return sum(start < self._first_key for start in self._starts) if self._first_key is not None else 0

    def falls_short(self, declared: float) -> bool:
        """More is missing than headers are wrong by: 0.3 s, a tenth, and two of the longest pauses between frames (their
        last frame may stay as long, and not every container says so)."""
        return declared - self._length(declared) > max(0.3, 0.1 * declared, 2 * self._pause())

    def reaches(self, declared: float) -> bool:
        """Whether not even half a frame is missing of what the header declares."""
        return bool(declared) and declared - self._length(declared) < self._pause() / 2

    def _length(self, declared: float) -> float:
        """Seconds from 0, or on a clock that began to count long before the film from its first packet."""
        return self.end - self.begin if declared < self.begin < math.inf else self.end

    def _pause(self) -> float:
        starts = sorted(self._starts)
        return max((b - a for a, b in itertools.pairwise(starts)), default=0.0)


def truncated(path: Path, message: str) -> VideoError:
    """The error of a file that breaks off as `message` says."""
    return VideoError(
        "truncated", path, f"{message}: fetch the file again, or extract --accept-truncated takes what is there"
    )


def _about_several(films: list[VideoStream], taken: VideoStream) -> tuple[str, ...]:
    if len(films) < 2:
        return ()
    others = ", ".join(f"{s.index} ({_kind(s)})" for s in films if s.index != taken.index)
    return (f"holds {len(films)} films: that of stream {taken.index} ({_kind(taken)}) is taken, not of {others}",)


def _kind(stream: VideoStream) -> str:
    context = stream.codec_context
    return "no decoder" if context is None else f"{context.name} {context.width}×{context.height}"


def _about_lie(container: InputContainer, seconds: float, frames: int, tally: _Tally) -> str:
    field = _DECLARES_DURATION[container.format.name.split(",")[0]]
    declared = f"{seconds:.2f} s" + f" and {frames:,} frames" * (frames > tally.count)
    return (
        f"its header ({field}) declares {declared}, but nothing is missing at its end: it has {tally.count:,} frames until "
        f"{tally.end:.2f} s, and these are taken"
    )


def read_packets(path: Path, container: InputContainer, *streams: VideoStream) -> Iterator[av.Packet]:
    """Packets of `streams` (of all without any) as they lie in the file; a last, empty one tells decoders to finish.

    Raises
    ------
    VideoError
        ``truncated``, when the container cannot be read on; ``unreadable``, when the disk cannot.
    """
    packets = container.demux(*streams)
    if container.format.name in _PARTS_SHOWN and _is_cut_off(path, container.format.name):
        packets = _without_last(packets)
    try:
        yield from packets
    except IndexError:  # all is read; PyAV looks for the object of a stream that came up midway, which it has not
        return
    except av.FFmpegError as error:
        reason: VideoReason = "unreadable" if isinstance(error, OSError) else "truncated"
        raise VideoError(reason, path, f"cannot be read to its end ({error.strerror}): fetch it again") from error


def _without_last(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """All but the last that is not empty."""
    held = None
    for packet in packets:
        if packet.size:
            if held is not None:
                yield held
            held = packet
        else:
            yield packet


def _declared_seconds(container: InputContainer) -> float:
    """Duration in the header, 0 when there is none (CREMA-D's 1064_TIE_SAD_XX) or libav made it up."""
    declares = container.format.name.split(",")[0] in _DECLARES_DURATION
    return (container.duration or 0) / av.time_base if declares else 0.0
