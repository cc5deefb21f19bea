"""A clip goes in; when each of its frames is shown comes out, from its packets where they say it: nothing is decoded then."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.video.container import open_video, read_packets
from vjepa_fer.video.decoding import decode_video


def frame_seconds(path: str | os.PathLike[str]) -> np.ndarray:
    """When each frame is shown, float64 (num_frames,), in that order, in seconds on the file's own clock.

    Raises
    ------
    VideoError
        The video cannot be read; or ``unreadable``: nothing in it says when its frames are shown.
    """
    seconds = packet_seconds(path)
    if seconds is None:
        seconds = decode_video(path, choose=lambda num_frames: ()).timestamps
    if not np.isfinite(seconds).all():
        message = "nothing in it says when its frames are shown: sample it by frames (--frame-step), or re-encode it"
        raise VideoError("unreadable", os.fspath(path), message)
    return seconds


def packet_seconds(path: str | os.PathLike[str]) -> np.ndarray | None:
    """The same by the packets alone; None where some of them do not say it (AVI, raw H.264)."""
    path = Path(path)
    with open_video(path) as (container, stream):
        packets = [p for p in read_packets(path, container, stream) if p.size and not p.is_discard]
        times = [float(p.pts * p.time_base) for p in packets if p.pts is not None and p.time_base is not None]
    return np.sort(np.array(times)) if times and len(times) == len(packets) else None
