"""Clips come in, their pixels go out, decoded in this process when they are asked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from vjepa_fer.errors import VideoError
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video.kept import MAX_BYTES
from vjepa_fer.video.others import Decoder
from vjepa_fer.video.read_clip import HasPath, ReadClip, no_rate
from vjepa_fer.video.together import Look, Reading, read_together

C = TypeVar("C", bound=HasPath)


def read_in_line(
    clips: Iterable[C],
    sampling: Sampling,
    preprocessing: Preprocessing,
    *,
    decoder: Decoder = "pyav",
    accept_truncated: bool = False,
    accept_resize: bool = False,
    rate_of: Callable[[C], float | None] = no_rate,
    others: Sequence[Look] = (),
    looks_of: Callable[[C], Sequence[int]] | None = None,
) -> Iterator[ReadClip[C]]:
    """The same results as from a :class:`~vjepa_fer.video.pool.DecodePool`, decoded in this process, one by one as they are asked for.

    For want of a better way on Windows, and where nothing can be lost: another library than PyAV has a process of its own even so.
    """
    looks = [Look(sampling, preprocessing), *others]
    for clip in clips:
        started, left = time.perf_counter(), list(looks_of(clip) if looks_of else range(len(looks)))
        asked = list(left)
        try:
            how = Reading(MAX_BYTES, decoder, accept_truncated, accept_resize, rate_of(clip), clip.clip_id)
        except VideoError as error:
            yield from (ReadClip(clip, error=error, look=one, is_last=one == left[-1]) for one in left)
            continue
        for place, found, sha256 in read_together(clip.path, [looks[one] for one in asked], how):
            left.remove(asked[place])
            result: ReadClip[C] = ReadClip(clip, source_sha256=sha256)
            if isinstance(found, VideoError):
                result.error = found
            else:
                result.pixels = found
            result.busy_seconds, result.look, result.is_last = time.perf_counter() - started, asked[place], not left
            yield result
            started = time.perf_counter()
