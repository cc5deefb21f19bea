"""What `drill.py` does to processes, one thing at a time, and with which status each of them must end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drill_crew import WORK, Processes
from drill_disks import MissingError, keep, mounted, need, run
from drill_work import SILENT_SECONDS

STALL_SECONDS = 10.0


def killed(crew: Processes) -> None:
    crew.three()
    crew.all[0].kill()


def slept(crew: Processes) -> None:
    crew.three()
    crew.all[0].send_signal(signal.SIGSTOP)
    time.sleep(3 * SILENT_SECONDS)
    crew.all[0].send_signal(signal.SIGCONT)


def clocks(crew: Processes) -> None:
    for shift in ("3600", "-3600", "0"):
        crew.start("--clock", shift)
    crew.wait_for(8, 3)


def clocks_killed(crew: Processes) -> None:
    clocks(crew)
    crew.all[0].kill()


def quota(crew: Processes) -> None:
    crew.start("--limit", "700")
    crew.start()
    crew.start()


def full(crew: Processes) -> None:
    with mounted(crew.target, "-t", "tmpfs", "-o", "size=80k,mode=755", "tmpfs"):
        crew.three()
        crew.statuses()
        run("mount", "-o", "remount,size=64m", str(crew.target))
        crew.start()
        crew.statuses()
        keep(crew.target)


def stalled(crew: Processes) -> None:
    need(shutil.which("bindfs") is not None, "bindfs of Debian")
    behind = crew.target.with_name(f"{crew.target.name}-behind")
    behind.mkdir()
    crew.target.mkdir()
    server = subprocess.Popen(["bindfs", "-f", str(behind), str(crew.target)])
    try:
        while not os.path.ismount(crew.target):
            time.sleep(0.05)
        crew.three()
        server.send_signal(signal.SIGSTOP)
        time.sleep(STALL_SECONDS)
        server.send_signal(signal.SIGCONT)
        crew.statuses()
        keep(crew.target)
    finally:
        server.send_signal(signal.SIGCONT)
        run("umount", "-l", str(crew.target))
        server.wait(30)
        keep(crew.target, back=True)


def ray_worker(crew: Processes) -> None:
    with nodes(1) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)
        crew.statuses()


def ray_driver(crew: Processes) -> None:
    with nodes(1) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        crew.all[0].kill()
        end = time.monotonic() + 120
        while any(Path(f"/proc/{pid}").exists() for pid in crew.lines("pid")):
            need(time.monotonic() < end, "actors that go with their driver")
            time.sleep(0.1)
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.statuses()


def ray_raylet(crew: Processes) -> None:
    with nodes(2) as cluster:
        crew.start("--address", cluster.address, by=[sys.executable])
        crew.wait_for(6, 2)
        cluster.other.kill_raylet()
        crew.statuses()


ARRAY = """#!/bin/bash
#SBATCH --array=0-3
#SBATCH --cpus-per-task=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={said}
#SBATCH --chdir={folder}
{line}
status=$?
echo "task $SLURM_ARRAY_TASK_ID: status $status"
if [ $status -gt 128 ]; then
    echo "task $SLURM_ARRAY_TASK_ID goes back into the queue"
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
    sleep 60
fi
"""


def slurm(crew: Processes) -> None:
    need(shutil.which("sbatch") is not None and is_quiet("sinfo"), "a Slurm that runs: benchmarks/slurm_one_node.sh")
    script, line = (
        crew.study.folder / f"{crew.target.name}.sbatch",
        shlex.join([sys.executable, WORK, *crew.command()]),
    )
    script.write_text(ARRAY.format(said=crew.said, folder=crew.study.folder, line=line))
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=True)
    job = done.stdout.strip()
    crew.wait_for(8, 4, others=True)
    os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)
    end = time.monotonic() + 400
    while subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False).stdout.strip():
        need(time.monotonic() < end, f"that job {job} ends: {crew.said.read_text()[-500:]}")
        time.sleep(1)
    need("goes back into the queue" in crew.said.read_text(), "that the killed task is requeued")


def torchrun(crew: Processes) -> None:
    by = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=1"]
    crew.start(by=by)
    crew.wait_for(6, 2)
    os.kill(int(crew.lines("pid")[0]), signal.SIGKILL)


@contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A Ray cluster on this machine; its last node is `other`."""
    try:
        from ray.cluster_utils import Cluster
    except ImportError:
        raise MissingError("the extra [ray]") from None
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray makes its workers nicer than everything else on the machine
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3 - count, "include_dashboard": False})
    try:
        if count > 1:
            cluster.other = cluster.add_node(num_cpus=1)
        yield cluster
    finally:
        cluster.shutdown()


def is_quiet(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0


SCENARIOS: dict[str, Callable[[Processes], None]] = {
    "killed": killed,
    "slept": slept,
    "clocks": clocks,
    "clocks-killed": clocks_killed,
    "quota": quota,
    "full": full,
    "stalled": stalled,
    "ray-worker": ray_worker,
    "ray-driver": ray_driver,
    "ray-raylet": ray_raylet,
    "slurm": slurm,
    "torchrun": torchrun,
}
RIGHT: dict[str, list[set[int]]] = {
    "killed": [{-signal.SIGKILL}, {0}, {0}],
    "clocks-killed": [{-signal.SIGKILL}, {0}, {0}],
    "quota": [{1}, {0}, {0}],
    "full": [{1}, {1}, {1}, {0}],
    "ray-worker": [{0}],
    "ray-driver": [{-signal.SIGKILL}, {0}],
    "ray-raylet": [{0}],
}
"""Exit statuses that are right; elsewhere all are 0."""
