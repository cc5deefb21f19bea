"""A decode worker, a process of its own: lines of JSON with paths come in, pixels go out into shared memory. No torch in here.

What is said on the two pipes, one object a line::

    parent  {"looks": [{"sampling": …, "preprocessing": …}, …], "memory": descriptor, "capacity": bytes, "decoder": …,
            "accept_truncated": …, "accept_resize": …}                                                  once
    worker  {"ready": true}
    parent  {"path": …, "clip_id": …, "max_bytes": …, "picture_rate": …, "looks": [places, …]}    for each clip
    worker  {"look": place, "size": bytes, "shape": …, "windows": shape, "num_frames": …, "sha256": …, "notes": […],
            "busy": seconds}                                                              for each of the looks
            or  {"look": place, "reason": …, "message": …, "busy": seconds}
    parent  {"offset": bytes}  or, where there is no room for so much, {"offset": null}, and no answer
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
from vjepa_fer.video.reading import ClipPixels
from vjepa_fer.video.sampling import as_table
from vjepa_fer.video.together import Look, Reading, read_together
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
    looks = [Look(Sampling(**one["sampling"]), Preprocessing(**one["preprocessing"])) for one in first["looks"]]
    accepts = {name: first[name] for name in ("decoder", "accept_truncated", "accept_resize")}
    memory = mmap.mmap(first["memory"], first["capacity"])
    _say(answers, ready=True)
    for line in sys.stdin:
        task = json.loads(line)
        told = {name: task[name] for name in ("max_bytes", "picture_rate", "clip_id")}
        how = Reading(**told, **accepts)
        _read(answers, memory, task["path"], {number: looks[number] for number in task["looks"]}, how)


def _read(answers: BinaryIO, memory: mmap.mmap, path: str, looks: dict[int, Look], how: Reading) -> None:
    """Give out what becomes of each look, as it comes."""
    left, started = list(looks), time.perf_counter()
    try:
        for place, found, sha256 in read_together(path, list(looks.values()), how):
            number = list(looks)[place]
            left.remove(number)
            busy = time.perf_counter() - started
            if isinstance(found, VideoError):
                _say(answers, look=number, reason=found.reason, message=found.message, busy=busy)
            else:
                _hand_over(answers, memory, found, look=number, sha256=sha256, busy=busy)
            started = time.perf_counter()
    except Exception as error:  # one strange file must not end the worker
        for number in left:
            message = f"{type(error).__name__}: {error}"
            _say(answers, look=number, reason="unreadable", message=message, busy=time.perf_counter() - started)


def _say(answers: BinaryIO, **values: Any) -> None:
    answers.write(json.dumps(values).encode() + b"\n")
    answers.flush()


def _hand_over(answers: BinaryIO, memory: mmap.mmap, pixels: ClipPixels, **known: Any) -> None:
    times, windows = pixels.timestamps, as_table(pixels.windows)
    size = padded(pixels.frames.nbytes) + times.nbytes + windows.nbytes
    facts: dict[str, Any] = {"shape": pixels.frames.shape, "windows": times.shape, "num_frames": pixels.num_frames}
    _say(answers, size=size, notes=pixels.notes, **facts, **known)
    answer = sys.stdin.readline()
    if not answer:
        sys.exit(0)
    offset = json.loads(answer)["offset"]
    if offset is None:  # there is no room for so much
        return
    after = offset + padded(pixels.frames.nbytes)
    for array, place in ((pixels.frames, offset), (times, after), (windows, after + times.nbytes)):
        np.frombuffer(memory, array.dtype, array.size, place)[:] = array.ravel()
    _say(answers, done=True)
