"""A thread that can be waited for while signals arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker(threading.Thread):
    """A thread to `wait` for instead of `join`.

    CPython 3.11's ``join`` marks a running thread as ended when a signal's exception interrupts it. The interpreter then shuts
    down under the thread's feet, and PyTorch aborts the process.
    """

    def __init__(self, target: Callable[[], None]) -> None:
        super().__init__(target=target)
        self._over = threading.Event()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._over.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has ended, within `timeout` seconds. An exception from a signal passes through and changes nothing."""
        return self._over.wait(timeout)

    def wait_surely(self) -> None:
        """Wait to the end also when a signal arrives meanwhile; its exception is raised then."""
        try:
            self._over.wait()
        finally:
            self._over.wait()
