"""decord or torchcodec beside PyAV: what PyAV decodes from the first frame to the last is the truth, and they are held to it.

Both seek by what containers say of key frames and times, and of a film that begins between key frames, or has an edit list, one of them
makes other frames under the same numbers, or repeats some. So a library's answer counts for a film when it sees as many frames, and the
first, the last and all that are asked for are PyAV's, bit for bit. The price: the film is decoded twice.

The library runs in a process of its own, which it may take down with it.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vjepa_fer.errors import MissingExtraError, VjepaFerError
from vjepa_fer.workers import Child, ChildDiedError, run_program
from vjepa_fer.workers.parent import own_the_answers

Decoder = Literal["pyav", "decord", "torchcodec"]

GetFrames = Callable[[list[int]], np.ndarray]
"""From frame numbers to frames (K, H, W, 3) uint8 RGB."""

_AT_A_TIME = 8  # full-size frames that are held

_EXTRA_WITH = {"decord": "extract", "torchcodec": "torchcodec"}

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
        raise MissingExtraError(_EXTRA_WITH[decoder], decoder, f"--decoder {decoder}")
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


def digest(rgb: np.ndarray) -> str:
    """What tells one frame (H, W, 3) uint8 from all others."""
    pixels = hashlib.blake2b(np.ascontiguousarray(rgb).data, digest_size=16).hexdigest()
    return f"{rgb.shape[1]}x{rgb.shape[0]} {pixels}"


def disagreement(decoder: Decoder, path: Path, num_frames: int, digests: Mapping[int, str], *, seconds: float) -> str:
    """What a library makes of a video that PyAV does not; "" where they agree.

    Parameters
    ----------
    num_frames : int
        Of the video.
    digests : mapping
        Of some of its frames, by number.
    seconds : float
        After which its process is killed.
    """
    numbers = sorted(digests)
    try:
        with _lock:
            answer = _process(decoder).ask({"path": os.path.abspath(path), "numbers": numbers}, seconds)
    except TimeoutError:
        return f"{decoder} did not decode it within {seconds:.0f} s"
    except ChildDiedError as death:
        return f"the process of {decoder} died of it ({death})"
    if "fault" in answer:
        return f"{decoder} cannot decode it ({answer['fault']})"
    if answer["count"] != num_frames:
        return f"{decoder} sees {answer['count']} frames of {num_frames}"
    wrong = [n for n, theirs in zip(numbers, answer["digests"], strict=True) if theirs != digests[n]]
    if not wrong:
        return ""
    return f"{decoder} shows other pixels in {len(wrong)} of {len(numbers)} frames, the first is number {wrong[0]}"


class _Process:
    """A library at work in a process of its own; a new one after it died."""

    def __init__(self, decoder: Decoder) -> None:
        self._program = f"from vjepa_fer.video.others import serve; serve({decoder!r})"
        self._child: Child | None = None
        atexit.register(self.end)

    def end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        child = self._child = self._child or Child(self._program, stderr=subprocess.DEVNULL)
        try:
            child.questions.write(json.dumps(question).encode() + b"\n")
            child.questions.flush()
            return json.loads(child.answer(seconds))
        except BaseException as error:
            death = child.died() if isinstance(error, BrokenPipeError) else error
            self.end()
            raise death from None


_lock = threading.Lock()
_process = functools.cache(_Process)  # one a library, for all clips


def serve(decoder: str) -> None:
    """In its process: questions come in, a line of JSON each, answers go out, until the parent is gone."""
    answers = own_the_answers()
    for line in sys.stdin:
        question = json.loads(line)
        try:
            answer = _seen(decoder, question["path"], question["numbers"])
        except Exception as error:  # decord's own derive from nothing else
            answer = {"fault": " ".join(str(error).split())[:200]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _seen(decoder: str, path: str, numbers: list[int]) -> dict[str, Any]:
    count, get = _OPEN[decoder](path)
    if numbers and numbers[-1] >= count:
        return {"count": count}
    batches = (get(numbers[start : start + _AT_A_TIME]) for start in range(0, len(numbers), _AT_A_TIME))
    return {"count": count, "digests": [digest(frame) for batch in batches for frame in batch]}


def _open_decord(path: str) -> tuple[int, GetFrames]:
    import decord

    reader = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    return len(reader), lambda numbers: reader.get_batch(numbers).asnumpy()


def _open_torchcodec(path: str) -> tuple[int, GetFrames]:
    from torchcodec.decoders import VideoDecoder  # type: ignore[import-not-found,unused-ignore]

    reader: Any = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
    return len(reader), lambda numbers: reader.get_frames_at(numbers).data.numpy()


_OPEN: dict[str, Callable[[str], tuple[int, GetFrames]]] = {"decord": _open_decord, "torchcodec": _open_torchcodec}
