"""The processes of `drill.py`, as those who disturb them see them: started, waited for, stopped, and what they logged."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill_work import do, parsed

WORK = str(Path(__file__).with_name("drill_work.py"))


@dataclass(frozen=True)
class Study:
    """What is to be done, and what an undisturbed process made of it."""

    folder: Path

    def target(self, kind: str, name: str) -> Path:
        return self.folder / f"{kind}-{name}"

    def whole(self, kind: str) -> Path:
        return self.target(kind, "undisturbed")


class Forked:
    """A child of this process, with the methods of :class:`subprocess.Popen` that are used here."""

    def __init__(self, work: Callable[[], int], said: int) -> None:
        self._status: int | None = None
        self.pid = os.fork()
        if not self.pid:
            status = 1
            try:
                os.dup2(said, 1)
                os.dup2(said, 2)
                status = work()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        if self._status is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self._status = os.waitstatus_to_exitcode(ended[1])
        return self._status

    def wait(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.pid} does not end")
            time.sleep(0.02)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Processes:
    """Processes that do one work together, and the log of what they did."""

    def __init__(self, kind: str, study: Study, target: Path, *, seconds: float = 0.15) -> None:
        self.kind, self.study, self.target, self.seconds = kind, study, target, seconds
        self.log = study.folder / f"{target.name}.log"
        self.log.touch()
        self.said = study.folder / f"{target.name}.said"
        self.all: list[subprocess.Popen[bytes] | Forked] = []

    def command(self, *more: str) -> list[str]:
        words = ["--work", self.kind, "--folder", self.study.folder, "--target", self.target, "--journal", self.log]
        return [*map(str, words), "--seconds", str(self.seconds), *more]

    def start(self, *more: str, by: Sequence[str] = ()) -> None:
        """A process of its own, forked, since all that it imports is here already; or by another program."""
        with self.said.open("ab") as said:
            if by:
                line = [*by, WORK, *self.command(*more)]
                self.all.append(subprocess.Popen(line, stdout=said, stderr=said))
            else:
                self.all.append(Forked(lambda: do(parsed(self.command(*more))), said.fileno()))

    def lines(self, word: str) -> list[str]:
        return [line.partition(" ")[2] for line in self.log.read_text().splitlines() if line.startswith(f"{word} ")]

    def wait_for(self, steps: int, workers: int = 1, *, others: bool = False) -> None:
        """Until so many steps have been begun, by so many processes; by `others`, which are not ours, too."""
        end = time.monotonic() + 400
        while len(self.lines("step")) < steps or len(set(self.lines("pid"))) < workers:
            if time.monotonic() > end or (not others and all(one.poll() is not None for one in self.all)):
                raise RuntimeError(f"they do not get on: {self.said.read_text()[-2000:]}")
            time.sleep(0.02)

    def statuses(self) -> list[int]:
        return [one.wait(300) for one in self.all]

    def three(self) -> None:
        for _ in range(3):
            self.start()
        self.wait_for(8, 3)
