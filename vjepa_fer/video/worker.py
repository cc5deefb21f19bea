"""A decode worker, a process of its own: lines of JSON with paths come in, pixels go out into shared memory. No torch in here.

What is said on the two pipes, one object a line::

    parent  {"sampling": …, "preprocessing": …, "memory": descriptor, "capacity": bytes, "decoder": …,
            "accept_truncated": …, "accept_resize": …}                                                  once
    worker  {"ready": true}
    parent  {"path": …, "clip_id": …, "max_bytes": …, "picture_rate": …}                        for each clip
    worker  {"size": bytes, "shape": …, "windows": shape, "num_frames": …, "sha256": …, "notes": […], "busy": seconds}
            or  {"reason": …, "message": …, "busy": seconds}
    parent  {"offset": bytes}
    worker  {"done": true}
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from typing import Any, BinaryIO

import numpy as np

from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.arena import padded
from vjepa_fer.video.reading import ClipPixels, read_clip
from vjepa_fer.video.sampling import as_table
from vjepa_fer.workers.parent import own_the_answers


def main() -> None:
    """Serve clips until the parent closes the pipe or is gone."""
    try:
        _serve(own_the_answers())
    except BrokenPipeError:
        os._exit(1)  # the parent was killed: there is nobody to tell


def _serve(answers: BinaryIO) -> None:
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return  # the parent was killed meanwhile
    first = json.loads(line)
    sampling, preprocessing = Sampling(**first["sampling"]), Preprocessing(**first["preprocessing"])
    memory = mmap.mmap(first["memory"], first["capacity"])
    _say(answers, ready=True)
    for line in sys.stdin:
        task = json.loads(line)
        started = time.perf_counter()
        try:
            pixels, sha256 = read_clip(
                task["path"],
                sampling,
                preprocessing,
                max_bytes=task["max_bytes"],
                decoder=first["decoder"],
                accept_truncated=first["accept_truncated"],
                accept_resize=first["accept_resize"],
                picture_rate=task["picture_rate"],
                clip_id=task["clip_id"],
            )
        except VideoError as error:
            _say(answers, reason=error.reason, message=error.message, busy=time.perf_counter() - started)
        except Exception as error:  # one strange file must not end the worker
            message = f"{type(error).__name__}: {error}"
            _say(answers, reason="unreadable", message=message, busy=time.perf_counter() - started)
        else:
            _hand_over(answers, memory, pixels, sha256, started)


def _say(answers: BinaryIO, **values: Any) -> None:
    answers.write(json.dumps(values).encode() + b"\n")
    answers.flush()


def _hand_over(answers: BinaryIO, memory: mmap.mmap, pixels: ClipPixels, sha256: str, started: float) -> None:
    times, windows = pixels.timestamps, as_table(pixels.windows)
    size = padded(pixels.frames.nbytes) + times.nbytes + windows.nbytes
    facts: dict[str, Any] = {"shape": pixels.frames.shape, "windows": times.shape, "num_frames": pixels.num_frames}
    facts |= {"sha256": sha256, "notes": pixels.notes}
    _say(answers, size=size, busy=time.perf_counter() - started, **facts)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit(0)
    offset = json.loads(answer)["offset"]
    after = offset + padded(pixels.frames.nbytes)
    for array, place in ((pixels.frames, offset), (times, after), (windows, after + times.nbytes)):
        np.frombuffer(memory, array.dtype, array.size, place)[:] = array.ravel()
    _say(answers, done=True)
