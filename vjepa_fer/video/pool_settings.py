"""The machine's cores and memory go in; how many processes decode ahead, and in how much memory, comes out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from vjepa_fer.video.others import Decoder
from vjepa_fer.workers import num_cores, total_memory

DEFAULT_TIMEOUT_SECONDS = 300.0


def default_workers() -> int:
    """Decode processes for the cores this process may use: two stay free for the encoder and the writer, one decodes at least.

    A 720p clip takes about a second of a core, so a fast GPU wants dozens; beyond 32 the disk or the GPU is the limit. None
    on Windows, where processes cannot inherit the shared memory: 0, which is decoding in line.
    """
    if os.name == "nt":
        return 0
    return max(1, min(num_cores() - 2, 32))


def default_memory() -> int:
    """Bytes of shared memory for decoded clips: an eighth of the machine's, between 256 MB and 8 GB."""
    return max(256 << 20, min(total_memory() // 8, 8 << 30))


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """How clips are decoded ahead; nothing here changes a pixel.

    Attributes
    ----------
    workers : int
        Processes that decode ahead; 0 for one that decodes a clip when it is asked for, for each thread that iterates.
    timeout_seconds : float
        A clip that decodes for longer is given up.
    memory_bytes : int
        Of shared memory. Each worker holds one clip besides.
    decoder : {"pyav", "decord", "torchcodec"}
    accept_truncated, accept_resize : bool
        As :func:`~vjepa_fer.video.decode_video` takes them.
    """

    workers: int = field(default_factory=default_workers)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    memory_bytes: int = field(default_factory=default_memory)
    decoder: Decoder = "pyav"
    accept_truncated: bool = False
    accept_resize: bool = False
