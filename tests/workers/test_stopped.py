"""However a command is stopped, its processes end with it, and what it left in the temporary folder goes at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from test_cli_probe import make_cache
from test_evaluate import faces

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by their environment")

VJEPA_FER = str(Path(sys.executable).with_name("vjepa-fer"))
ENDLESS = ["--probe", "lightgbm", "--param", "n_estimators=10000000", "--folds", "loso", "--jobs", "2"]
QUICK = ["--probe", "centroid", "--folds", "loso"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_cache(tmp_path_factory.mktemp("faces"), faces())


class Family:
    """A process and all that it starts, known by a variable that they inherit."""

    def __init__(self, command, folder):
        self.mark = f"VJEPA_FER_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        environment = {**os.environ, name: value, "TMPDIR": str(folder)}
        self.parent = subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)

    def pids(self):
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._has_mark(path)]

    def _has_mark(self, path):
        try:
            return self.mark.encode() in path.read_bytes().split(b"\0")
        except OSError:  # gone, or somebody else's
            return False

    def stop(self, number):
        self.parent.send_signal(number)
        said = self.parent.communicate(timeout=60)[1]
        assert "Traceback" not in said, said
        return self.parent.returncode


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path):
    """Start a command, and wait until it has so many processes beside itself and something to show for them."""
    families = []
    # all that a job in the background starts would take no notice of Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def start(command, *, others, ready=lambda: True):
        families.append(family := Family(command, tmp_path))
        wait_for(lambda: len(family.pids()) > others and ready(), 120)
        return family

    yield start
    signal.signal(signal.SIGINT, before)
    for pid in [pid for family in families for pid in family.pids()]:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def sweep(cache, start, tmp_path):
    """A sweep at work."""
    words = [VJEPA_FER, "probe", str(cache), *ENDLESS]
    return start(words, others=2, ready=lambda: list(tmp_path.glob("*/features.npy")))


def test_killed_a_sweep_leaves_no_process_and_the_next_one_sweeps_its_folder(sweep, cache, tmp_path):
    assert sweep.stop(signal.SIGKILL) == -9
    wait_for(lambda: not sweep.pids(), 10)
    assert len(list(tmp_path.iterdir())) == 1
    subprocess.run([VJEPA_FER, "probe", cache, *QUICK], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_politely_a_sweep_leaves_nothing_at_all(sweep, tmp_path, number, status):
    assert sweep.stop(number) == status
    assert (sweep.pids(), list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_package_that_hangs_holds_up_nobody_who_stops_the_doctor(start, tmp_path, monkeypatch, number, status):
    there = str(tmp_path / "at-0")
    (tmp_path / "h5py.py").write_text(f"open({there!r}, 'w').close()\nimport time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    family = start([VJEPA_FER, "doctor", "."], others=1, ready=lambda: (tmp_path / "at-0").exists())
    assert family.stop(number) == status
    wait_for(lambda: not family.pids(), 10)


# whatever the processes are at

HELPERS = """
import ctypes, pathlib, time

def hold_the_lock(task, **_):
    pathlib.Path(f"at-{task}").touch()
    ctypes.PyDLL(None).sleep(600)  # as a library that never lets go of Python's lock

def multiply(task):
    import numpy as np
    pathlib.Path(f"at-{task}").touch()
    square = np.ones((1000, 1000))
    while True:
        square @ square

def read_together(path, *_, **__):
    hold_the_lock(path)
"""
TASKS = """
import helpers
from vjepa_fer.workers import run_tasks
list(run_tasks(helpers.{function}, range(2), jobs=2))
"""
PROGRAM = """
from vjepa_fer.workers import run_program
run_program("import helpers; helpers.hold_the_lock(0)", timeout_seconds=600)
"""
DECODE = """
import types
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import decode_process
from vjepa_fer.video.pool import DecodePool
from vjepa_fer.video.pool_settings import PoolSettings
decode_process.WORKER_PROGRAM = "import helpers; from vjepa_fer.video import worker; worker.read_together = helpers.read_together; worker.main()"
clips = [types.SimpleNamespace(path="0", clip_id="0")]
with DecodePool(clips, Sampling(), Preprocessing(), PoolSettings(workers=1)) as decoding:
    list(decoding)
"""


@pytest.mark.parametrize(
    ("script", "others"),
    [
        (TASKS.format(function="hold_the_lock"), 2),
        (TASKS.format(function="multiply"), 2),
        (PROGRAM, 1),
        (DECODE, 1),
    ],
)
def test_killed_a_parent_takes_its_processes_along_whatever_they_are_at(script, others, start, tmp_path):
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    family = start(command, others=others, ready=lambda: len(list(tmp_path.glob("at-*"))) == others)
    assert family.stop(signal.SIGKILL) == -9
    wait_for(lambda: not family.pids(), 10)


def test_a_process_follows_its_parent_where_the_kernel_does_not_help():
    program = "import time; from vjepa_fer.workers import parent; parent._let_the_kernel_kill = lambda lifeline: None\n"
    program += "parent.end_with_parent(0); print(1, flush=True); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"1\n"
    child.stdin.close()
    assert child.wait(10) == 1
    child.stdout.close()
