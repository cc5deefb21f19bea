"""A function and its tasks go in; results come out as they are done, from plain processes that may die one by one.

A process that dies (memory, a crash inside a library) takes its task with it and nothing else: the task is tried once more in a
fresh process, and reported as lost if it kills that one too. An exception is no death: it is raised here, as it would be without
processes. A script that defines the function itself needs its ``if __name__ == "__main__":``, since each process reads it once more.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from vjepa_fer.workers.child import Child, ChildDiedError
from vjepa_fer.workers.cores import few_threads
from vjepa_fer.workers.letters import Letter, receive, send, write_letter

MOST_TRIES = 2
PROGRAM = "from vjepa_fer.workers.serving import main; main()"


@dataclass(frozen=True)
class Lost:
    """What stands for the result of a task whose processes died; `exitcode` is negative for a signal (-9: killed)."""

    exitcode: int | None

    def __str__(self) -> str:
        killed = " (killed; often too little memory: fewer --jobs need less)" if self.exitcode == -9 else ""
        return f"its process died {MOST_TRIES} times, exit code {self.exitcode}{killed}"


@dataclass(frozen=True)
class Passed:
    """What stands for the result of a task that was not wanted any more when its turn came."""


class Done(NamedTuple):
    """A task by its position, and its result, :class:`Lost` or :class:`Passed`."""

    number: int
    result: Any


Wanted = Callable[[int], bool]
"""Asked with a task's position just before it is begun, by any thread; False passes it over."""


def run_tasks(
    function: Callable[[Any], Any], tasks: Sequence[Any], *, jobs: int = 1, wanted: Wanted = lambda number: True
) -> Generator[Done, None, None]:
    """Yield each task's result as it is done, in any order.

    Parameters
    ----------
    function : callable
        Of one task. With several jobs it and the tasks are pickled; it should carry paths, not large arrays.
    tasks : sequence
    jobs : int
        Processes at once; 1 works in this process.
    wanted : callable
        See :data:`Wanted`.

    Raises
    ------
    VjepaFerError
        No other process could find the function: it is a lambda, or was typed into a session.
    """
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield Done(number, function(task) if wanted(number) else Passed())
        return
    crew = _Crew(write_letter(function), tasks, min(jobs, len(tasks)), wanted)
    try:
        yield from crew.work()
    finally:
        crew.dismiss()


class _Crew:
    """Threads that look after one process each, which has at most one task."""

    def __init__(self, letter: Letter, tasks: Sequence[Any], size: int, wanted: Wanted) -> None:
        self._letter, self._tasks, self._wanted = letter, tasks, wanted
        self._environment = few_threads(size)
        self._waiting = deque(range(len(tasks)))
        self._tries = [0] * len(tasks)
        self._heard: queue.SimpleQueue[Done | BaseException] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._children: set[Child] = set()
        self._dismissed = False
        self._threads = [threading.Thread(target=self._look_after_one, daemon=True) for _ in range(size)]

    def work(self) -> Iterator[Done]:
        for thread in self._threads:
            thread.start()
        for _ in self._tasks:
            heard = self._next_heard()
            if isinstance(heard, BaseException):
                raise heard
            yield heard

    def dismiss(self) -> None:
        """End whoever still works: nobody waits for the results any more."""
        with self._lock:
            self._dismissed = True
            for child in self._children:
                child.kill()
        for thread in self._threads:
            thread.join()

    def _next_heard(self) -> Done | BaseException:
        while True:
            try:
                return self._heard.get(timeout=1)  # on Windows, Ctrl-C is noticed between two waits only
            except queue.Empty:
                pass

    def _look_after_one(self) -> None:
        child = None
        try:
            while (number := self._take()) is not None:
                if not self._wanted(number):
                    self._heard.put(Done(number, Passed()))
                    continue
                child = child or self._hire()
                try:
                    self._heard.put(self._ask(child, number))
                except ChildDiedError as death:
                    self._let_go(child)
                    child = None
                    self._mourn(number, death)
        except BaseException as error:
            self._heard.put(error)
        finally:
            if child:
                self._let_go(child)

    def _take(self) -> int | None:
        with self._lock:
            return None if self._dismissed or not self._waiting else self._waiting.popleft()

    def _hire(self) -> Child:
        with self._lock:
            child = Child(PROGRAM, folders=self._letter.folders, environment=self._environment)
            self._children.add(child)
            if self._dismissed:
                child.kill()
        self._tell(child, self._letter)
        return child

    def _ask(self, child: Child, number: int) -> Done | BaseException:
        """A result, or an exception to raise.

        Raises
        ------
        ChildDiedError
            Instead of an answer.
        """
        self._tries[number] += 1
        self._tell(child, self._tasks[number])
        try:
            good, value = receive(child.answers)
        except (EOFError, OSError):
            raise child.died() from None
        return Done(number, value) if good else value

    def _tell(self, child: Child, value: Any) -> None:
        with suppress(OSError):  # it may have died meanwhile: its silence is heard next
            send(child.questions, value)

    def _mourn(self, number: int, death: ChildDiedError) -> None:
        if self._tries[number] >= MOST_TRIES:
            self._heard.put(Done(number, Lost(death.status)))
        else:
            with self._lock:
                self._waiting.append(number)

    def _let_go(self, child: Child) -> None:
        with self._lock:
            self._children.discard(child)
        child.end()
