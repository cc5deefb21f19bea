"""Features go in; BLAS works on them with one thread where they are few: to wait for a second takes longer than the work.

A small matrix product is over before another thread has woken, and where another process has the core it sleeps for whole time
slices: a fit of 1,440 clips × 35 features took ten times as long beside a busy process as with one thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

FEW = 1_000_000
"""Numbers in the features above which BLAS has the threads that it has."""


@contextmanager
def threads_for(X: Any) -> Iterator[None]:
    """Within, BLAS uses one thread if `X`, a matrix, is small; what else has threads keeps them."""
    if not isinstance(X, np.ndarray) or X.size > FEW:
        yield
        return
    with _controller(len(sys.modules)).limit(limits=1, user_api="blas"):
        yield


@lru_cache(maxsize=1)
def _controller(num_modules: int) -> ThreadpoolController:
    """Looking for the libraries takes milliseconds, so it is done again only after an import, which may have brought another BLAS."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
