"""What is asked of an extraction goes in as values, and what it did comes out as one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vjepa_fer.cache.failures import Failure
from vjepa_fer.cache.writer import DEFAULT_SHARD_BYTES
from vjepa_fer.encoder import LoadedEncoder
from vjepa_fer.extract.ahead import ROOM
from vjepa_fer.extract.clock import Profile
from vjepa_fer.extract.sharing import Nobody, Others
from vjepa_fer.recipe import Recipe
from vjepa_fer.video.others import Decoder
from vjepa_fer.video.pool_settings import DEFAULT_TIMEOUT_SECONDS


@dataclass(frozen=True)
class ExtractSettings:
    """What may change how fast an extraction runs, never what it writes.

    Attributes
    ----------
    batch_size : int, optional
        Window-views that go through a GPU together; by default as many as fit. A CPU takes one a core.
    shard_bytes, shard_seconds
        Size and age at which a shard is closed: a kill costs at most the open one.
    retry_failed : bool
        Try the clips of ``failed.csv`` again.
    workers : int, optional
        Processes that decode ahead; by default as the cores allow. 0 decodes a clip when the encoder asks for it, in a process
        besides (on Windows in this one, without `clip_timeout`).
    clip_timeout : float
        Seconds after which a clip that is still not decoded is given up.
    memory_bytes : int, optional
        Of shared memory for decoded clips; by default an eighth of the machine's, up to 8 GB.
    decoder : {"pyav", "decord", "torchcodec"}
        The library that decodes; the pixels are the same. One beside PyAV is held to PyAV's frames, which takes the time of both.
    accept_truncated : bool
        Of a file that breaks off take what is there, with a note; by default it is listed as ``truncated``.
    accept_resize : bool
        Where the size of a film changes midway, scale all its frames to the first one's, with a note; by default it is listed.
    min_frames : int
        A clip of fewer is listed as ``too_short``; by default one that is shorter than a window repeats its last frame.
    compile_blocks : bool, optional
        On CUDA, have torch compile the encoder first, for batches of this job's shape. By default where the encoding is long enough
        to pay for it (:mod:`vjepa_fer.extract.compiling`), and without an end of the job if it fails.
    wait_seconds : float
        How long to wait at the end for clips that other processes are at, while none of them gets done; a clip whose process
        dies is taken over.
    scratch_bytes : int
        Of copies of videos that lie elsewhere; they are brought ahead, and go as soon as they are decoded.
    """

    batch_size: int | None = None
    shard_bytes: int = DEFAULT_SHARD_BYTES
    shard_seconds: float = 120.0
    retry_failed: bool = False
    workers: int | None = None
    clip_timeout: float = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int | None = None
    compile_blocks: bool | None = None
    decoder: Decoder = "pyav"
    accept_truncated: bool = False
    accept_resize: bool = False
    min_frames: int = 1
    wait_seconds: float = 600.0
    scratch_bytes: int = ROOM


@dataclass(frozen=True)
class ExtractSummary:
    """What one call of :func:`extract_manifest` did.

    Attributes
    ----------
    written : int
        Clips that this call put into the cache.
    skipped : int
        Clips that were there already, or that another process put there meanwhile.
    failures : tuple of Failure
        Clips of the manifest that could not be done, now or (not tried again) before.
    rows, bytes_written : int
        Rows and bytes of this call.
    shorter : int
        Clips of this call that were shorter than a window, whose last frame was repeated.
    elsewhere : tuple of str
        Ids of clips that another process was still at when the waiting for it ended.
    profile : Profile
        Where the time went.
    notes : mapping
        What is odd about the videos of clips of this call, by clip id: it is in the cache's ``notes.csv``.
    """

    written: int
    skipped: int
    failures: tuple[Failure, ...]
    rows: int
    bytes_written: int
    shorter: int
    elsewhere: tuple[str, ...]
    profile: Profile
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Target:
    """A cache, and what fills it.

    Attributes
    ----------
    cache : path
        The cache folder.
    encoders : sequence of LoadedEncoder
        As `recipe` says; each of several, on a device of its own, takes what it can.
    recipe : Recipe
    others : Others
        Who fills the same cache elsewhere; by default nobody.
    rows : int, optional
        Window-views that are still to be encoded, as :attr:`Plan.rows` has it; by default a few clips are looked at if the number is needed.
    """

    cache: str | os.PathLike[str]
    encoders: Sequence[LoadedEncoder]
    recipe: Recipe
    others: Others = field(default_factory=Nobody)
    rows: int | None = None
