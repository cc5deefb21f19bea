"""A block of code goes in; while it runs, no thread looks for unreachable cycles, and afterwards all is as it was.

h5py has one lock. Whoever reads a file elsewhere through it holds that lock and waits for the thread that asks the network; if this one came upon
an unreachable object of h5py's just then, it would wait for the lock, and both for ever.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.RLock()
_blocks = 0
_was_on = False


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Have the collector of cycles rest, in all threads, until the last such block ends; objects without cycles go as always."""
    global _blocks, _was_on
    with _lock:
        if not _blocks:
            _was_on = gc.isenabled()
            gc.disable()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _was_on:
                gc.enable()
