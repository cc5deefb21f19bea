"""From a video file to the pixels of its windows: sampling (which frames) · decoding · transforms (which pixels) · reading (all of it)."""

from __future__ import annotations

from vjepa_fer.video.container import count_packets
from vjepa_fer.video.decoding import DecodedVideo, decode_video
from vjepa_fer.video.reading import ClipPixels, read_windows
from vjepa_fer.video.sampling import Window, sample_windows, window_span
from vjepa_fer.video.transforms import (
    crop_views,
    normalise,
    prepare_frame,
    resize_frame,
    resized_size,
    short_side_for,
)

__all__ = [
    "ClipPixels",
    "DecodedVideo",
    "Window",
    "count_packets",
    "crop_views",
    "decode_video",
    "normalise",
    "prepare_frame",
    "read_windows",
    "resize_frame",
    "resized_size",
    "sample_windows",
    "short_side_for",
    "window_span",
]
