"""Processes of this program: a function and its tasks go in, results come out; or a program text goes in and runs in a process of its own.

In reading order: `cores` (how many there are to share, and threads on them), `memory`, `child` (a Python process that imports nothing from the current folder, as
its parent sees it), `parent` (the same two from within the child: it ends when its parent does), `letters` (objects as bytes that a
child understands), `tasks` (a crew of children at work), `serving` (one of the crew).
"""

from vjepa_fer.workers.child import SAFE, Child, ChildDiedError, run_program
from vjepa_fer.workers.cores import few_threads, limit_threads, num_cores, use_at_most
from vjepa_fer.workers.memory import total_memory
from vjepa_fer.workers.tasks import MOST_TRIES, Done, Lost, Passed, Wanted, run_tasks

__all__ = [
    "MOST_TRIES",
    "SAFE",
    "Child",
    "ChildDiedError",
    "Done",
    "Lost",
    "Passed",
    "Wanted",
    "few_threads",
    "limit_threads",
    "num_cores",
    "run_program",
    "run_tasks",
    "total_memory",
    "use_at_most",
]
