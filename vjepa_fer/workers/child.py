"""A program text goes in, and runs in a Python process of ours: safe from the current folder, and gone when this process is.

    this process ── a pipe that nobody writes to ──► child          it closes when this process ends, however it ends

A folder that somebody sent may hold a ``pickle.py``. An interpreter that is started with ``-c`` or ``-m`` looks there first; none of
ours does, and none that it starts.
"""

from __future__ import annotations

import os
import site
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

SAFE = {"PYTHONSAFEPATH": "1"}
"""The environment of a process whose own Python processes, whoever starts them, leave the current folder alone."""

_HOME = str(Path(__file__).parents[2])
_START = """\
import sys
sys.path[:] = {path!a}
from vjepa_fer.workers.parent import end_with_parent
end_with_parent({lifeline})
"""


class ChildDiedError(Exception):
    """A child is no more; `status` is its exit status, negative for a signal."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status

    def __str__(self) -> str:
        return f"signal {-self.status}" if self.status < 0 else f"exit status {self.status}"


class Child:
    """A Python process that runs `program`; end it when it is no longer needed.

    Parameters
    ----------
    program : str
        Python source. It imports what this process may import, but nothing by way of the current folder.
    folders : iterable of str
        Where it looks for modules besides, last of all.
    environment : mapping, optional
        Variables on top of this process's.
    pass_fds : tuple of int
        Descriptors that it inherits under the same numbers; none on Windows.
    stderr : int, optional
        As :class:`subprocess.Popen` takes it; by default this process's.

    Attributes
    ----------
    process : subprocess.Popen
    questions, answers : BinaryIO
        Its stdin and stdout.
    """

    def __init__(
        self,
        program: str,
        *,
        folders: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
        stderr: int | None = None,
    ) -> None:
        theirs, ours = os.pipe()
        self._lifeline = os.fdopen(ours, "wb", buffering=0)
        tied_to = os.getpid() if os.name == "nt" else theirs
        start = _START.format(path=_path(folders), lifeline=tied_to)
        try:
            self.process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", start + program],
                env={**os.environ, **SAFE, **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                **_alone((*pass_fds, theirs)),
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            os.close(theirs)
        self.questions, self.answers = cast(BinaryIO, self.process.stdin), cast(BinaryIO, self.process.stdout)

    def answer(self, seconds: float) -> bytes:
        """The next line that it answers; after so many seconds without one it is killed.

        Raises
        ------
        ChildDiedError
            It ended, or closed its pipe.
        TimeoutError
            It was killed.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.kill()

        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        line = self.answers.readline()
        timer.cancel()
        if not line.endswith(b"\n"):
            raise TimeoutError if late.is_set() else self.died()
        return line

    def died(self) -> ChildDiedError:
        """The error to raise when it has closed its pipes: it has ended, or is made to after a few seconds."""
        try:
            return ChildDiedError(self.process.wait(5))
        except subprocess.TimeoutExpired:
            self.kill()
            return ChildDiedError(self.process.wait())

    def kill(self) -> None:
        """End it now, whatever it is at; from any thread."""
        self.process.kill()

    def end(self) -> None:
        """Kill, wait, close; more than once does no harm."""
        self.kill()
        self.process.wait()
        self._lifeline.close()
        for pipe in (self.questions, self.answers, self.process.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def run_program(program: str, *, timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    """Run a short program as a :class:`Child` to its end.

    Returns
    -------
    subprocess.CompletedProcess
        With what it printed, as text.

    Raises
    ------
    subprocess.TimeoutExpired
        It was killed.
    """
    child = Child(program, stderr=subprocess.PIPE)
    try:
        printed = child.process.communicate(timeout=timeout_seconds)
        return subprocess.CompletedProcess(
            child.process.args, child.process.returncode, *(text.decode("utf-8", "replace") for text in printed)
        )
    finally:
        child.end()


def _flags() -> list[str]:
    """Safe, and as this interpreter was started."""
    return ["-P", *["-s"] * (not site.ENABLE_USER_SITE), *["-E"] * sys.flags.ignore_environment]


def _path(folders: Iterable[str]) -> list[str]:
    """Where this process finds modules, without the empty name that stands for the current folder, wherever that is by now."""
    known = [entry for entry in sys.path if isinstance(entry, str) and os.path.isabs(entry)]
    return list(dict.fromkeys([*known, *folders, _HOME]))


def _alone(descriptors: tuple[int, ...]) -> dict[str, Any]:
    """Options of Popen: Ctrl-C is for this process to answer, and on Windows nothing is inherited."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True, "pass_fds": descriptors}
