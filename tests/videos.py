"""Real video files for tests: small ones written with PyAV, others cut and re-encoded with the ffmpeg program."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


def drawn_frame(number: int, *, height: int = 48, width: int = 64) -> np.ndarray:
    """A picture (height, width, 3) uint8 whose average grey says its number (below 60), with a bright corner."""
    frame = np.full((height, width, 3), 16 + 4 * number, np.uint8)
    frame[: height // 4, : width // 4] = (255, 64, 0)
    return frame


def frame_number(rgb: np.ndarray) -> int:
    """Which :func:`drawn_frame` a decoded, uncropped picture shows."""
    height, width = rgb.shape[:2]
    return round((float(rgb[height // 2 :, width // 2 :].mean()) - 16) / 4)


def write_video(
    path: Path,
    num_frames: int = 30,
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "mpeg4",
    rate: int = 30,
    seconds: Sequence[float] | None = None,
) -> Path:
    """Write `num_frames` drawn frames of `size` (height, width); `seconds` are their times when the rate is uneven."""
    height, width = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 2_000_000
        stream.codec_context.time_base = Fraction(1, 30 if seconds is None else 1000)
        container.start_encoding()  # a header even when no frame follows
        for number in range(num_frames):
            frame = av.VideoFrame.from_ndarray(drawn_frame(number, height=height, width=width), format="rgb24")
            frame.pts = number * 30 // rate if seconds is None else round(1000 * seconds[number])
            frame.time_base = stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path) -> Path:
    """Half a second of silence, and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def keep_start(path: Path, share: float) -> Path:
    """Cut a file off, as a broken download does: `share` of its bytes stay."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def set_display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Tell players of an MP4 to show its pixel (x, y) at (a x + c y, b x + d y), as a phone does that was held askew."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes of times, duration, layer, volume
    data[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def run_ffmpeg(*arguments: str | Path) -> bytes:
    """Run the ffmpeg program and return what it prints; the test is skipped where there is none."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-nostdin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def ffmpeg_frames(path: Path, height: int, width: int) -> np.ndarray:
    """All frames (N, height, width, 3) uint8 as the ffmpeg program decodes them."""
    raw = run_ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)


def encode(source: Path | str, path: Path, *output: str) -> Path:
    """Re-encode with ffmpeg: a file, or with a ``lavfi:`` prefix one of its test pictures."""
    name = str(source)
    given = ["-f", "lavfi", "-i", name.removeprefix("lavfi:")] if name.startswith("lavfi:") else ["-i", name]
    run_ffmpeg(*given, *output, path)
    return path


_RATE = "fps=30000/1001"  # as a filter: -r alone duplicates no frames where a container allows uneven rates
RAVDESS_LIKE = (
    f"-ss 10 -t 3.67 -vf {_RATE},scale=1280:720 -c:v libx264 -preset veryfast -b:v 3700k -pix_fmt yuv420p -an".split()
)
"""Turns a film into a clip of RAVDESS's size, rate and codec: 110 frames."""

CREMA_D_LIKE = f"-ss 20 -t 2.53 -vf {_RATE},scale=480:360 -c:v flv1 -q:v 5 -an".split()
"""Into one of CREMA-D's: 76 frames."""
