"""Promises of vjepa_fer.workers.cores: one count of cores, which knows affinity and what control groups give, and threads that follow it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vjepa_fer.workers import cores, few_threads, limit_threads, num_cores

ROOT = Path(__file__).parents[2]
V2 = "41 31 0:38 / {groups} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "32 31 0:29 / {groups} rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.setattr(cores, "_ours", {})
    for name in cores._THREADS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of so many cores to run on, with such files about control groups."""

    def make(allowed, cgroup, mountinfo, groups=None):
        for name, text in (groups or {}).items():
            file = tmp_path / "groups" / name.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        (tmp_path / "cgroup").write_text(cgroup)
        (tmp_path / "mountinfo").write_text(mountinfo.format(groups=tmp_path / "groups"))
        monkeypatch.setattr(cores, "_PROC", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)

    return make


def test_affinity_alone_counts_where_no_group_says_anything(machine):
    machine(4, "", "")
    assert num_cores() == 4


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, 8),
        ({"a/b": "max 100000"}, 8),
        ({"a/b": "400000 100000"}, 4),
        ({"a/b": "max 100000", "a": "250000 100000"}, 2),
        ({"a/b": "300000 100000", "": "100000 50000"}, 2),
        ({"a/b": "5000 100000"}, 1),
        ({"a/b": "6400000 100000"}, 8),
        ({"a/b": "nonsense"}, 8),
        ({"a/b": "100000 0"}, 8),
        ({"other": "100000 100000"}, 8),
    ],
)
def test_a_quota_of_version_2_counts_as_fewer_cores(machine, quotas, expected):
    machine(8, "1:name=systemd:/old\n0::/a/b\n", V2, {f"{group}/cpu.max": text for group, text in quotas.items()})
    assert num_cores() == expected


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({}, 128),
        ({"a/b": (-1, 100000)}, 128),
        ({"a/b": (400000, 100000)}, 4),
        ({"a/b": (-1, 100000), "a": (250000, 100000)}, 2),
        ({"": (200000, 50000), "a/b": (-1, 50000)}, 4),
        ({"a/b": (5000, 100000)}, 1),
        ({"a/b": ("", "")}, 128),
        ({"other": (100000, 100000)}, 128),
    ],
)
def test_a_quota_of_version_1_counts_as_fewer_cores(machine, quotas, expected):
    files = {}
    for group, (quota, period) in quotas.items():
        files |= {f"{group}/cpu.cfs_quota_us": quota, f"{group}/cpu.cfs_period_us": period}
    machine(128, "4:memory:/elsewhere\n3:cpu,cpuacct:/a/b\n0::/\n", V1, files)
    assert num_cores() == expected


def test_in_a_container_the_group_lies_at_the_root_of_what_it_sees(machine):
    """Docker with version 1: ``/proc/self/cgroup`` has the host's path, and only the container's own folder is mounted."""
    files = {"cpu.cfs_quota_us": 300000, "cpu.cfs_period_us": 100000}
    machine(64, "5:cpu,cpuacct:/docker/abc\n", V1.replace(" / ", " /docker/abc ", 1), files)
    assert num_cores() == 3


@pytest.mark.parametrize("own", ["/../../elsewhere", "/not/here", "/"])
def test_a_path_that_is_not_to_be_seen_leaves_the_root(machine, own):
    machine(64, f"0::{own}\n", V2, {"cpu.max": "700000 100000"})
    assert num_cores() == 7


def test_where_both_versions_stand_the_one_that_limits_the_cores_counts(machine, tmp_path):
    """A hybrid machine: the controller ``cpu`` is of version 1, and the tree of version 2 has no files about it."""
    files = {"cpu/job/cpu.cfs_quota_us": 200000, "cpu/job/cpu.cfs_period_us": 100000, "unified/job/cgroup.procs": ""}
    mounts = V1.replace("{groups}", "{groups}/cpu") + V2.replace("{groups}", "{groups}/unified")
    machine(16, "3:cpu:/job\n1:name=systemd:/job\n0::/job\n", mounts, files)
    assert num_cores() == 2


def test_a_mount_point_with_a_blank_is_found(machine, tmp_path):
    machine(16, "0::/\n", V2.replace("{groups}", r"{groups}/with\040blank"), {"with blank/cpu.max": "100000 100000"})
    assert num_cores() == 1


@pytest.mark.parametrize("damaged", ["", "\n", "x", "a b - c d", "1 2 3 4 5 6 - cgroup2", "\udcff"])
def test_files_that_say_nothing_limit_nothing(machine, damaged, tmp_path):
    machine(4, "0::/\nnonsense\n", "")
    (tmp_path / "mountinfo").write_bytes(damaged.encode(errors="surrogateescape"))
    assert num_cores() == 4


def test_a_system_without_groups_or_affinity_counts_its_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_PROC", tmp_path / "absent")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cores() == 1


@pytest.mark.parametrize("jobs", [1, 2, 3, 4, 9])
def test_jobs_share_the_cores_that_they_have_and_not_those_of_the_machine(machine, jobs):
    """Four of 128 cores: four jobs have a thread each, not 32."""
    machine(128, "3:cpu,cpuacct:/\n", V1, {"cpu.cfs_quota_us": 400000, "cpu.cfs_period_us": 100000})
    assert set(few_threads(jobs).values()) == {str(max(1, 4 // jobs))}
    assert set(few_threads(jobs)) == set(cores._THREADS)


def test_a_quota_limits_the_threads_of_this_process_and_its_children_share_them(machine, monkeypatch):
    machine(128, "0::/\n", V2, {"cpu.max": "400000 100000"})
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    limit_threads()
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("4", "7")
    assert few_threads(4)["OMP_NUM_THREADS"] == "1"
    assert "MKL_NUM_THREADS" not in few_threads(4)


def test_without_a_quota_the_libraries_count_by_themselves(machine):
    machine(8, "0::/\n", V2, {"cpu.max": "max 100000"})
    limit_threads()
    assert "OMP_NUM_THREADS" not in os.environ


def test_the_program_limits_its_threads_before_a_numerical_library_is_there():
    code = (
        "import sys; from vjepa_fer.cli import main\n"
        "def look(): print([name for name in ('numpy', 'scipy', 'sklearn', 'torch') if name in sys.modules])\n"
        "main.limit_threads = look; sys.argv = ['vjepa-fer', '--version']; main.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "[]"


COUNTS = {"cpu_count", "process_cpu_count", "sched_getaffinity"}


@pytest.mark.parametrize("room", ["vjepa_fer", "cli", "benchmarks", "docs"])
def test_nobody_else_counts_cores(room):
    for path in (ROOT / room).rglob("*.py"):
        named = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert path.name == "cores.py" or not named & COUNTS, f"{path}: ask vjepa_fer.workers.num_cores"
