"""In a child: its parent's end comes in, and is its own; its answers go out on a pipe that nothing else is written to."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import BinaryIO


def end_with_parent(lifeline: int) -> None:
    """End this process as soon as its parent has ended, whatever it is at then.

    Parameters
    ----------
    lifeline : int
        Descriptor of a pipe that the parent holds the other end of, and never writes to; on Windows the parent's process number.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel that is none: the thread has to do
            _let_the_kernel_kill(lifeline)
    threading.Thread(target=_follow, args=(lifeline,), daemon=True, name="end with parent").start()


def own_the_answers() -> BinaryIO:
    """Keep the pipe to the parent, stdout, for ourselves: whatever a library prints goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


if sys.platform == "win32":
    import _winapi

    def _follow(parent: int) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            _winapi.WaitForSingleObject(_winapi.OpenProcess(_winapi.SYNCHRONIZE, False, parent), _winapi.INFINITE)
        os._exit(1)

else:

    def _follow(lifeline: int) -> None:
        os.read(lifeline, 1)  # b"", once nobody can write any more
        os._exit(1)


if sys.platform == "linux":
    import fcntl
    import signal

    def _let_the_kernel_kill(lifeline: int) -> None:
        """Have the kernel send SIGKILL when the pipe closes: a thread must wait for a library that holds Python's lock.

        Unlike ``PR_SET_PDEATHSIG`` it is not about the thread of the parent that started us, which may end long before.
        """
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, os.O_ASYNC)
