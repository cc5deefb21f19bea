"""Windows of many clips go in, pooled levels come out of a CPU: one window a core, each by itself on one thread.

How a matrix product is cut up, and so its last bits, follows from its number of rows and of threads: the same window in another
batch, or on a machine with other cores free, would come out a rounding apart. One window on one thread is the same arithmetic
wherever it runs. It is also the faster way: cores that never wait for one another measured a sixth less CPU time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import torch

from vjepa_fer.encoder import LoadedEncoder, require_compiling
from vjepa_fer.extract.batches import Row, Tell, is_out_of_memory, nobody, too_small
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.levels import encode_levels
from vjepa_fer.recipe import Recipe
from vjepa_fer.video import normalise
from vjepa_fer.workers import num_cores, total_memory

_AHEAD = 2  # windows in memory for each core: one on its way, one that waits for the core
_ACTIVATIONS = (
    16  # numbers that a layer holds at once for each number of its tokens: queries to values, four times in the MLP
)


class Lanes:
    """Runs windows on the cores of a CPU; :class:`~vjepa_fer.extract.batches.Batcher` is its like for other devices.

    Attributes
    ----------
    size : int
        1: every window goes off as soon as it is there.
    at_once : int
        Windows that are encoded side by side: torch's number of threads, or as many as a quota or the memory allows.
    """

    size = 1

    def __init__(self, encoder: LoadedEncoder, recipe: Recipe, clock: StageClock, *, share: int = 1) -> None:
        self.encoder, self.recipe, self.clock = encoder, recipe, clock
        self.at_once = min(_threads.count(), num_cores(), _windows_that_fit(recipe, share))
        self._flying: deque[tuple[Row, Future[dict[str, np.ndarray]]]] = deque()
        self._open = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def run(self, rows: Sequence[Row]) -> None:
        """Send rows off; those that are still on their way are finished by later calls or by :meth:`land`."""
        for row in rows:
            while len(self._flying) >= _AHEAD * self.at_once:
                self._land_one()
            self._flying.append((row, self._running().submit(self._encode, row.pixels)))

    def land(self) -> None:
        """Finish all rows that are on their way."""
        while self._flying:
            self._land_one()

    def close(self) -> None:
        """Let go of the threads; what is on its way is given up."""
        self._flying.clear()
        self._pool = None
        self._open.close()

    def compile(self, tell: Tell = nobody) -> None:
        """Nothing to compile here: what torch makes for a CPU has a number of threads built in."""
        require_compiling(self.encoder)

    def _running(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._open.enter_context(_threads.one_each())
            self._pool = ThreadPoolExecutor(self.at_once, "encode")
            self._open.callback(self._pool.shutdown, cancel_futures=True)
        return self._pool

    def _encode(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        started = time.perf_counter()
        window = normalise(torch.from_numpy(pixels)[None], self.recipe.preprocessing)
        levels = encode_levels(self.encoder, window, self.recipe)
        self.clock.add("encode", (time.perf_counter() - started) / self.at_once)
        return {key: tensor[0].numpy() for key, tensor in levels.items()}

    def _land_one(self) -> None:
        row, future = self._flying.popleft()
        try:
            levels = future.result()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            levels = self._encode_alone(row)
        row.finish(levels)

    def _encode_alone(self, row: Row) -> dict[str, np.ndarray]:
        """Once more when nothing else is on its way; from now on with half the lanes."""
        others = list(self._flying)
        for _, future in others:
            future.exception()  # wait for it
        self.close()
        self._flying.extend(others)
        self.at_once = max(self.at_once // 2, 1)
        try:
            return self._running().submit(self._encode, row.pixels).result()
        except Exception as error:
            if is_out_of_memory(error):
                raise too_small(self.encoder) from error
            raise


def _windows_that_fit(recipe: Recipe, share: int) -> int:
    """Into half the memory, or one of so many shares of it, by a layer's activations in float32."""
    steps, height, width = recipe.token_grid
    a_window = steps * height * width * recipe.encoder.embed_dim * 4 * _ACTIVATIONS
    return max(int(total_memory() // (2 * share) // a_window), 1)


class _Threads:
    """torch's number of threads, which is the process's: set to one as long as somebody has lanes, and then as it was."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, 0

    def count(self) -> int:
        """As it was before any lanes."""
        with self._lock:
            return self._before if self._users else torch.get_num_threads()

    @contextmanager
    def one_each(self) -> Iterator[None]:
        """Threads that begin within the block run torch's operations by themselves."""
        with self._lock:
            if not self._users:
                self._before = torch.get_num_threads()
                torch.set_num_threads(1)
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    torch.set_num_threads(self._before)


_threads = _Threads()
