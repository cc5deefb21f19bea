"""Decoding with decord or torchcodec instead of PyAV: the same frames come out, or the file is refused by name.

Which frames a video has, when they are shown and whether one is damaged in the file is still asked of its packets, through PyAV.
A library that counts other frames (decord repeats the last one on files with an edit list), or shows the first one otherwise (neither
knows mirrored files), is not used for that file. Neither library tells of damage that only shows while decoding; PyAV does.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vjepa_fer.errors import MissingExtraError, VideoError, VjepaFerError
from vjepa_fer.video.container import open_video, read_packets
from vjepa_fer.workers import run_program

Decoder = Literal["pyav", "decord", "torchcodec"]

GetFrames = Callable[[list[int]], np.ndarray]
"""From frame numbers to frames (K, H, W, 3) uint8 RGB."""

_AT_A_TIME = 8  # full-size frames that are held before they are prepared


_TRIAL = """
import sys
from vjepa_fer.video.others import _OPEN
try:
    _OPEN[{decoder!r}]({path!r})[1]([0, 1])
except BaseException as error:
    sys.exit(str(error).splitlines()[0] if str(error) else type(error).__name__)
"""
_TRIAL_VIDEO = Path(__file__).parents[1] / "one_second.mp4"
_TRIAL_SECONDS = 600  # a loaded machine takes minutes to read a GPU build from its disk


def require_decoder(decoder: Decoder) -> None:
    """Have the library decode the bundled second of video, in a process of its own: before a job lists every clip as broken.

    Raises
    ------
    MissingExtraError
        It is not installed.
    VjepaFerError
        It is, and does not work: torchcodec wants a torch and an FFmpeg that match.
    """
    if decoder == "pyav":
        return
    if importlib.util.find_spec(decoder) is None:
        raise MissingExtraError("extract", decoder, f"--decoder {decoder}")
    trial = _TRIAL.format(decoder=decoder, path=str(_TRIAL_VIDEO))
    try:
        done = run_program(trial, timeout_seconds=_TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        fault = f"hung for {_TRIAL_SECONDS} s"
    else:
        if not done.returncode:
            return
        fault = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise VjepaFerError(f"{decoder} is installed but cannot decode here ({fault}): use --decoder pyav, or see `doctor`")


@dataclass(frozen=True, eq=False)
class FirstFrame:
    """What PyAV makes of a video's first frame: its pixels (H, W, 3) as shown, and whether they are mirrored for that."""

    pixels: np.ndarray
    mirrored: bool


def frames_of_other(
    decoder: Decoder,
    path: Path,
    prepare: Callable[[np.ndarray], np.ndarray],
    wanted: np.ndarray,
    max_bytes: int,
    first: FirstFrame,
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """The frames `wanted` of a video, prepared (K, …); timestamps (N,) of all; height and width as shown.

    Raises
    ------
    VideoError
        The library cannot read the file, or sees other frames in it than there are.
    """
    times = _packet_times(path)
    try:
        count, get = _OPEN[decoder](str(path))
        _check_count(decoder, path, count, len(times))
        _check_first(decoder, path, get([0])[0], first)
        kept: list[np.ndarray] = []
        height = width = 0
        for start in range(0, len(wanted), _AT_A_TIME):
            batch = get(wanted[start : start + _AT_A_TIME].tolist())
            height, width = batch.shape[1:3]
            kept += [prepare(frame) for frame in batch]
            if kept[0].nbytes * len(wanted) > max_bytes:
                raise VideoError("too_long", path, f"{len(wanted):,} of its frames are asked for, more than are held")
    except VideoError:
        raise
    except Exception as error:  # decord's own derive from nothing else
        message = f"{decoder} cannot decode it ({' '.join(str(error).split())[:200]}): use --decoder pyav"
        raise VideoError("unreadable", path, message) from error
    return np.stack(kept), times, height, width


def _packet_times(path: Path) -> np.ndarray:
    """When each frame is shown, in seconds, in that order."""
    with open_video(path) as (container, stream):
        packets = [p for p in read_packets(path, container, stream) if p.size and not p.is_discard]
        times = [float(p.pts * p.time_base) for p in packets if p.pts is not None and p.time_base is not None]
    if len(times) < len(packets):
        raise VideoError("unreadable", path, "its frames have no times of their own: use --decoder pyav")
    return np.sort(times)


def _check_count(decoder: str, path: Path, count: int, expected: int) -> None:
    if count != expected:
        message = f"{decoder} sees {count} frames where the file has {expected} (an edit list?): use --decoder pyav"
        raise VideoError("unreadable", path, message)


def _check_first(decoder: str, path: Path, pixels: np.ndarray, first: FirstFrame) -> None:
    if first.mirrored or not np.array_equal(pixels, first.pixels):  # a black one would hide that it is not mirrored
        what = "would not be mirrored as it should" if first.mirrored else "has other pixels in its first frame"
        raise VideoError("unreadable", path, f"decoded by {decoder}, it {what}: use --decoder pyav")


def _open_decord(path: str) -> tuple[int, GetFrames]:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return len(reader), lambda numbers: reader.get_batch(numbers).asnumpy()


def _open_torchcodec(path: str) -> tuple[int, GetFrames]:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found,unused-ignore]

    reader: Any = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return len(reader), lambda numbers: reader.get_frames_at(numbers).data.numpy()


_OPEN: dict[str, Callable[[str], tuple[int, GetFrames]]] = {"decord": _open_decord, "torchcodec": _open_torchcodec}
