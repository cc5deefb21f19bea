"""A clip goes in; how many frames it has, and when each is shown, comes out, from its packets where they say it: nothing is decoded then."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.video.container import count_packets, open_video, read_packets
from vjepa_fer.video.decoding import decode_video, picture_seconds
from vjepa_fer.video.pictures import list_pictures


def count_frames(path: str | os.PathLike[str], *, accept_truncated: bool = False) -> int:
    """Frames of a video by its packets, as :func:`~vjepa_fer.video.container.count_packets`; or the pictures of a folder."""
    return len(list_pictures(path)) if os.path.isdir(path) else count_packets(path, accept_truncated=accept_truncated)


def frame_seconds(
    path: str | os.PathLike[str], picture_rate: float | None = None, *, accept_truncated: bool = False
) -> np.ndarray:
    """When each frame is shown, float64 (num_frames,), in that order, in seconds on the file's own clock.

    Parameters
    ----------
    picture_rate : float, optional
        How many pictures of a folder are a second.
    accept_truncated : bool
        Of a file that breaks off those of the frames before the break.

    Raises
    ------
    VideoError
        The video cannot be read; or ``unreadable``: nothing in it says when its frames are shown.
    """
    seconds = _of_packets(path, picture_rate, accept_truncated)
    if seconds is None and os.path.isdir(path):
        message = "pictures do not say when they are shown: a column fps in the manifest, or --picture-fps, says it"
        raise VideoError("unreadable", os.fspath(path), message)
    if seconds is None:
        seconds = decode_video(path, choose=lambda num_frames: (), accept_truncated=accept_truncated).timestamps
    if not np.isfinite(seconds).all():
        message = "nothing in it says when its frames are shown: sample it by frames (--frame-step), or re-encode it"
        raise VideoError("unreadable", os.fspath(path), message)
    return seconds


def _of_packets(path: str | os.PathLike[str], picture_rate: float | None, accept_truncated: bool) -> np.ndarray | None:
    """:func:`packet_seconds`; None, too, of a file that breaks off and is taken: which of its frames are whole, decoding says."""
    try:
        return packet_seconds(path, picture_rate)
    except VideoError as error:
        if not (accept_truncated and error.reason == "truncated"):
            raise
        return None


def packet_seconds(path: str | os.PathLike[str], picture_rate: float | None = None) -> np.ndarray | None:
    """The same without decoding; None where packets do not say it (AVI, raw H.264), or nobody does (pictures without a rate)."""
    if os.path.isdir(path):
        return None if picture_rate is None else picture_seconds(len(list_pictures(path)), picture_rate)
    path = Path(path)
    with open_video(path) as (container, stream):
        packets = [p for p in read_packets(path, container, stream) if p.size and not p.is_discard]
        times = [float(p.pts * p.time_base) for p in packets if p.pts is not None and p.time_base]
    return np.sort(np.array(times)) if times and len(times) == len(packets) else None
