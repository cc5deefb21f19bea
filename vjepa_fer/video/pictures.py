"""A folder of pictures goes in, its frames in order come out: a clip as many face corpora hand theirs out.

Order is that of the numbers in the names (``2.jpg`` before ``10.jpg``). Each picture is decoded by libav, as a video's frames are, and
becomes RGB in the same way: a folder of JPEGs gives the pixels of a motion-JPEG film made of them, bit for bit, and PNG, BMP and
lossless WebP give exactly what they hold. Pillow and OpenCV blend a JPEG's colours in between its pixels otherwise (libjpeg-turbo): their
brightness is the same within rounding, their colours at sharp edges are not.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vjepa_fer.doors import TooLargeError, read_bytes
from vjepa_fer.errors import MissingExtraError, VideoError

try:
    import av
except ImportError as error:
    raise MissingExtraError("extract", "PyAV", "decoding pictures") from error

from vjepa_fer.video.complaints import is_spoilt, listening  # imports PyAV

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")

LARGEST_FILE = 1 << 28
"""Bytes of a picture, at most."""

MOST_PIXELS = 1 << 26
"""Of a picture, at most: what declares more is refused before memory is taken for it."""

_CODECS = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG\r\n\x1a\n": "png", b"BM": "bmp", b"RIFF": "webp"}
_START_OF_SCAN, _END_OF_JPEG = b"\xff\xda", b"\xff\xd9"


def list_pictures(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures of a folder by the numbers in their names; hidden and other files are passed by.

    Raises
    ------
    VideoError
        ``missing`` or ``unreadable``: the folder; ``not_video``: no picture in it; ``unreadable``: two of one number, or a link that
        leads out of the folder.
    """
    folder = Path(folder)
    try:
        names = [name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    except FileNotFoundError as error:
        raise VideoError("missing", folder, "no such folder: check the manifest's path column") from error
    except OSError as error:
        raise VideoError("unreadable", folder, f"cannot be read: {error.strerror}") from error
    if not names:
        kinds = ", ".join(SUFFIXES)
        raise VideoError(
            "not_video", folder, f"a folder without pictures ({kinds}): name a video, or a folder of frames"
        )
    ordered = sorted(names, key=lambda name: (_order(name), name))
    for name, following in itertools.pairwise(ordered):
        if _order(name) == _order(following):
            message = f"{name} and {following} have one place in the order of its frames: remove or renumber one"
            raise VideoError("unreadable", folder, message)
    pictures = [folder / name for name in ordered]
    _refuse_ways_out(folder, pictures)
    return pictures


def _order(name: str) -> list[str | int]:
    """Texts and numbers in turns: two such lists can always be compared."""
    parts = re.split(r"([0-9]+)", os.path.splitext(name)[0].casefold())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)]


def _refuse_ways_out(folder: Path, pictures: list[Path]) -> None:
    home = os.path.realpath(folder)
    for picture in pictures:
        if picture.is_symlink() and os.path.dirname(os.path.realpath(picture)) != home:
            message = f"{picture.name} is a link out of the folder: put the picture itself there"
            raise VideoError("unreadable", folder, message)


def decode_pictures(pictures: list[Path]) -> Iterator[av.VideoFrame]:
    """Each picture as a frame, in turn.

    Raises
    ------
    VideoError
        ``truncated`` or ``corrupt_frames``: one is cut off or damaged; ``unreadable``: one is no picture, has another size than the first,
        or is too large. The folder is the video's path, and the message names the picture.
    """
    size: tuple[int, int] | None = None
    for picture in pictures:
        frame = _decode(picture, _read(picture))
        size = size or (frame.width, frame.height)
        if (frame.width, frame.height) != size:
            message = (
                f"{picture.name} is {frame.width}×{frame.height}, unlike {pictures[0].name}, which is {size[0]}×{size[1]}: "
                "the frames of a clip need one size"
            )
            raise VideoError("unreadable", picture.parent, message)
        yield frame


def _read(picture: Path) -> bytes:
    try:
        return read_bytes(picture, at_most=LARGEST_FILE)
    except TooLargeError as error:
        raise VideoError("unreadable", picture.parent, f"{picture.name} has {error}: is it a picture?") from error
    except OSError as error:
        message = f"{picture.name} cannot be read: {error.strerror}"
        raise VideoError("unreadable", picture.parent, message) from error


def _decode(picture: Path, data: bytes) -> av.VideoFrame:
    folder, name = picture.parent, picture.name
    if not data:
        raise VideoError("empty", folder, f"{name} is empty (0 bytes): fetch it again")
    if data.startswith(b"version https://git-lfs"):
        raise VideoError("lfs_pointer", folder, f"{name} is a Git LFS pointer: run 'git lfs pull' in its repository")
    codec = next((codec for start, codec in _CODECS.items() if data.startswith(start)), None)  # names may lie
    if codec is None:
        raise VideoError("unreadable", folder, f"{name} is no JPEG, PNG, BMP or WebP, whatever its name says")
    if codec == "mjpeg" and data.find(_END_OF_JPEG, data.find(_START_OF_SCAN)) < 0:
        raise VideoError("truncated", folder, f"{name} is cut off: fetch it again")
    frames = _decoded(codec, data)
    if len(frames) != 1 or frames[0].is_corrupt:
        few = f"{name} is damaged, cut off, or larger than {MOST_PIXELS:,} pixels: fetch it again"
        raise VideoError(
            "corrupt_frames", folder, few if len(frames) < 2 else f"{name} is an animation: name it as a video"
        )
    return frames[0]


def _decoded(codec: str, data: bytes) -> list[av.VideoFrame]:
    """None where anything about it is wrong."""
    decoder = av.CodecContext.create(codec, "r")
    decoder.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(MOST_PIXELS)}
    decoder.thread_count = 1  # worker processes share the cores
    try:
        with listening() as hear:
            frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]  # type: ignore[attr-defined]
            return [] if is_spoilt(hear.about_pictures()) else frames
    except (av.FFmpegError, ValueError, MemoryError):
        return []


def pictures_sha256(folder: str | os.PathLike[str]) -> str:
    """What ``sha256sum`` of all pictures, in the order of frames, has for a SHA-256 itself: each a line of digest and name.

    Raises
    ------
    VideoError
        As :func:`list_pictures`; or a picture cannot be read.
    """
    whole = hashlib.sha256()
    for picture in list_pictures(folder):
        whole.update(hashlib.sha256(_read(picture)).hexdigest().encode() + b"  " + os.fsencode(picture.name) + b"\n")
    return whole.hexdigest()
