"""Frames go in, what is left of them after coding and decoding comes out: ``jpeg``, ``h264``. The one module here that needs PyAV.

The pixels are libavcodec's, and may be others with another version of it: :func:`library` says which it is, and the recipe keeps that.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from vjepa_fer.extras import require_extra
from vjepa_fer.perturb.draws import Shot

JPEG = (12, 22, 34, 48, 69)  # MPEG's quantiser scale, 69 libavcodec's coarsest
H264 = (30, 36, 41, 46, 51)  # constant rate factor, 51 x264's coarsest
RATE = 25  # frames a second that the encoder is told
X264 = (
    "mbtree=0"  # whose fast code reads memory that nobody has written: the same frames gave other pixels now and then
)


def library(names: Collection[str]) -> str:
    """Which library does these codings, and how: ``PyAV 18.1.0, libavcodec 62.28.102``, for ``h264`` with ``, x264 mbtree=0``."""
    require_extra("extract", ("av",), "--perturb jpeg or h264")
    import av

    which = f"PyAV {av.__version__}, libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}"
    return f"{which}, x264 {X264}" if "h264" in names else which


def jpeg(frames: np.ndarray, severity: int, shot: Shot) -> np.ndarray:
    """Each frame as a JPEG picture."""
    quantiser = str(JPEG[severity - 1])
    options = {"qmin": quantiser, "qmax": quantiser, "threads": "1"}
    coded = [_coded("mjpeg", "yuvj420p", frame[None], options)[0] for frame in frames]
    return np.stack(coded) if coded else frames


def h264(frames: np.ndarray, severity: int) -> np.ndarray:
    """All frames as one film: what moves is told by what stood there before."""
    options = {"crf": str(H264[severity - 1]), "preset": "medium", "threads": "1", "x264-params": X264}
    return _coded("libx264", "yuv420p", frames, options) if len(frames) else frames


def _coded(codec: str, pixels: str, frames: np.ndarray, options: dict[str, str]) -> np.ndarray:
    """Frames of even sides, (T, H, W, 3) uint8, through an encoder and back; odd sides lose their last line again."""
    height, width = frames.shape[1:3]
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    film = _encode(codec, pixels, even, options)
    return np.stack([frame[:height, :width] for frame in _decode(film)])


def _encode(codec: str, pixels: str, frames: np.ndarray, options: dict[str, str]) -> io.BytesIO:
    import av

    film = io.BytesIO()
    with av.open(film, "w", format="matroska") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    film.seek(0)
    return film


def _decode(film: io.BytesIO) -> Iterator[np.ndarray]:
    import av

    with av.open(film, "r") as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
