"""A function and its tasks go in; results come out as they are done, from plain processes that may die one by one.

A process that dies (memory, a crash inside a library) takes its task with it and nothing else: the task is tried once more in a
fresh process, and reported as lost if it kills that one too. An exception is no death: it is raised here, as it would be without
processes. Processes are spawned, which is what macOS and Windows do, so a script that uses them needs its
``if __name__ == "__main__":``.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, NamedTuple

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
MOST_TRIES = 2


@dataclass(frozen=True)
class Lost:
    """What stands for the result of a task whose processes died; `exitcode` is negative for a signal (-9: killed)."""

    exitcode: int | None

    def __str__(self) -> str:
        killed = " (killed; often too little memory: fewer --jobs need less)" if self.exitcode == -9 else ""
        return f"its process died {MOST_TRIES} times, exit code {self.exitcode}{killed}"


class Done(NamedTuple):
    """A task by its position, and its result or :class:`Lost`."""

    number: int
    result: Any


def run_tasks(function: Callable[[Any], Any], tasks: Sequence[Any], *, jobs: int = 1) -> Iterator[Done]:
    """Yield each task's result as it is done, in any order.

    Parameters
    ----------
    function : callable
        Of one task. With several jobs it and the tasks are pickled; it should carry paths, not large arrays.
    tasks : sequence
    jobs : int
        Processes at once; 1 works in this process.
    """
    if jobs == 1 or len(tasks) < 2:
        for number, task in enumerate(tasks):
            yield Done(number, function(task))
        return
    crew = _Crew(function, tasks, min(jobs, len(tasks)))
    try:
        yield from crew.work()
    finally:
        crew.dismiss()


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: connection.Connection
    number: int


class _Crew:
    """Processes with at most one task each."""

    def __init__(self, function: Callable[[Any], Any], tasks: Sequence[Any], size: int) -> None:
        self.function, self.tasks, self.size = function, tasks, size
        self.waiting = deque(range(len(tasks)))
        self.tries = [0] * len(tasks)
        self.workers: list[_Worker] = []

    def work(self) -> Iterator[Done]:
        for _ in range(self.size):
            self._hire()
        while self.workers:
            ready = connection.wait([worker.pipe for worker in self.workers])
            for worker in [worker for worker in self.workers if worker.pipe in ready]:
                done = self._hear(worker)
                if done is not None:
                    yield done

    def _hear(self, worker: _Worker) -> Done | None:
        """A result, an exception to raise, or the silence of a process that is no more."""
        try:
            good, value = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if not good:
            raise value
        done = Done(worker.number, value)
        if self.waiting:
            self._give(worker)
        else:
            self._release(worker)
        return done

    def _bury(self, worker: _Worker) -> Done | None:
        self._release(worker)
        lost = self.tries[worker.number] >= MOST_TRIES
        if not lost:
            self.waiting.append(worker.number)
        if self.waiting:
            self._hire()
        return Done(worker.number, Lost(worker.process.exitcode)) if lost else None

    def _hire(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self.function), daemon=True)
        with _few_threads(self.size):
            process.start()
        theirs.close()  # now the pipe ends when the process does
        worker = _Worker(process, ours, -1)
        self.workers.append(worker)
        self._give(worker)

    def _give(self, worker: _Worker) -> None:
        worker.number = self.waiting.popleft()
        self.tries[worker.number] += 1
        with suppress(OSError):  # it may have died meanwhile: its silence is heard next
            worker.pipe.send(self.tasks[worker.number])

    def _release(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        worker.pipe.close()
        worker.process.join()

    def dismiss(self) -> None:
        """End whoever still works: nobody waits for the results any more."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in list(self.workers):
            self._release(worker)


def _serve(pipe: connection.Connection, function: Callable[[Any], Any]) -> None:
    """A worker's life: tasks in, ``(True, result)`` or ``(False, exception)`` out, until the pipe closes."""
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer = (True, function(task))
        except Exception as error:  # sent home and raised there
            answer = (False, error)
        pipe.send(answer)


@contextmanager
def _few_threads(num_processes: int) -> Iterator[None]:
    """Children start with their share of the cores; numerical libraries read this once, when they are imported."""
    share = str(max(1, (os.cpu_count() or 1) // num_processes))
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update({name: share for name, value in before.items() if value is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
