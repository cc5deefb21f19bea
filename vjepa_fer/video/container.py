"""A path comes in, an open video stream goes out, or a VideoError that says what the file is instead.

What is opened is a regular local file in a container that holds video. libav would also follow playlists to other files
and addresses, draw text files as pictures and show an album's cover: none of these is a clip.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import MissingExtraError, VideoError, VideoReason

try:
    import av
except ImportError as error:
    raise MissingExtraError("extract", "PyAV", "decoding video") from error

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

_CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,flv,live_flv,matroska,webm,avi,mpegts,mpeg,mpegvideo,asf,ogg,rm,mxf,nut,dv,gif,ivf,"
    "h264,hevc,m4v,av1,obu,mjpeg,"
    "wav,w64,mp3,aac,flac,ac3,amr,aiff,au"  # only to say "audio, no picture"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}

_DECLARES_DURATION = {"mov", "flv", "matroska", "avi"}  # in a header; elsewhere libav guesses it from the file's end

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
    head = _read_head(path)
    try:
        # an absolute path, because libav would take "a:b.mp4" for the protocol a
        container = av.open(os.path.abspath(path), options=dict(_OPTIONS), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise _not_opened(path, head, error) from error
    with container:
        yield container, _moving_pictures(path, container)


def _read_head(path: Path) -> bytes:
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


def _not_opened(path: Path, head: bytes, error: Exception) -> VideoError:
    if isinstance(error, (OSError, MemoryError)):
        return VideoError("unreadable", path, f"cannot be read: {getattr(error, 'strerror', error)}")
    container = "an MP4" if head[4:8] in (b"ftyp", b"moov", b"mdat") else None
    container = container or next((name for start, name in _SIGNATURES.items() if head.startswith(start)), None)
    if container:
        message = f"begins like {container} file, but its index is missing or damaged: cut off? Fetch it again"
        return VideoError("truncated", path, message)
    text = head[:40].decode("utf-8", "replace")
    is_text = all(letter.isprintable() or letter.isspace() for letter in text) and "\ufffd" not in text[:-1]
    looks = f"text, beginning {text!r}" if is_text else "of no format that holds video"
    return VideoError("not_video", path, f"not a video file: {looks}")


def _moving_pictures(path: Path, container: InputContainer) -> VideoStream:
    pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not pictures:
        kinds = sorted({"a cover picture" if s.type == "video" else s.type for s in container.streams})
        message = f"holds no video, only {', '.join(kinds) or 'empty tracks'}: name the file with the moving picture"
        raise VideoError("no_video_stream", path, message)
    stream = pictures[0]
    if stream.codec_context is None:
        raise VideoError("unreadable", path, "PyAV has no decoder for its video codec: re-encode it to H.264")
    stream.codec_context.thread_count = 1  # worker processes share the cores; damage then shows alike everywhere
    return stream


def count_packets(path: str | os.PathLike[str]) -> int:
    """How many frames a video should have: its packets are counted without decoding them, no header is believed.

    The whole file is read (milliseconds a clip), so that one that breaks off is noticed here: its last packet is
    incomplete, or what there is ends well before the duration that the header declares.

    Raises
    ------
    VideoError
        As :func:`open_video`; or ``truncated``; or ``corrupt_frames``, when the container marks a packet as damaged.
    """
    path = Path(path)
    count, end, incomplete = 0, 0.0, False  # pictures; seconds until the last packet of any stream ends; is it cut?
    starts: list[float] = []  # of the pictures, in seconds
    damaged: list[int] = []  # pictures that the container marks
    with open_video(path) as (container, stream):
        for packet in read_packets(path, container):
            if not packet.size:
                continue
            incomplete = packet.is_corrupt
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index == stream.index and not packet.is_discard:
                starts += [] if packet.pts is None else [float(packet.pts * packet.time_base)]
                damaged += [count] if packet.is_corrupt else []
                count += 1
        declared = _declared_seconds(container)
    if incomplete:
        raise VideoError("truncated", path, f"breaks off after frame {count} at {end:.2f} s: fetch the file again")
    if damaged:
        raise VideoError("corrupt_frames", path, f"its frame {damaged[0]} is damaged in the file: fetch it again")
    if _breaks_off(declared, end, starts):
        message = f"ends at {end:.2f} s of the {declared:.2f} s that its header declares: fetch the file again"
        raise VideoError("truncated", path, message)
    return count


def read_packets(path: Path, container: InputContainer, *streams: VideoStream) -> Iterator[av.Packet]:
    """Packets of `streams` (of all without any) as they lie in the file; a last, empty one tells decoders to finish.

    Raises
    ------
    VideoError
        ``truncated``, when the container cannot be read on; ``unreadable``, when the disk cannot.
    """
    try:
        yield from container.demux(*streams)
    except av.FFmpegError as error:
        reason: VideoReason = "unreadable" if isinstance(error, OSError) else "truncated"
        raise VideoError(reason, path, f"cannot be read to its end ({error.strerror}): fetch it again") from error


def _declared_seconds(container: InputContainer) -> float:
    """Duration in the header, 0 when there is none (CREMA-D's 1064_TIE_SAD_XX) or libav made it up."""
    declares = container.format.name.split(",")[0] in _DECLARES_DURATION
    return (container.duration or 0) / av.time_base if declares else 0.0


def _breaks_off(declared: float, end: float, starts: list[float]) -> bool:
    """More is missing than headers are wrong by: 0.3 s, a tenth, and two of the longest pauses between frames (their
    last frame may stay as long, and not every container says so)."""
    starts = sorted(starts)
    pause = max((b - a for a, b in itertools.pairwise(starts)), default=0.0)
    return declared - end > max(0.3, 0.1 * declared, 2 * pause)
