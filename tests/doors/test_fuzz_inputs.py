"""No broken text or table, whichever command reads it, ends in a traceback, a hang or a full memory: a slice of the 10,000 of the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FUZZER = BENCHMARKS / "fuzz_inputs.py"


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory and time as Linux does")
def test_no_broken_input_out_of_a_hundred_ends_a_command_otherwise_than_by_an_error_of_ours():
    command = [sys.executable, str(FUZZER), "--inputs", "105", "--first", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    assert result["faults"] == []
    assert sum(result["ends"].values()) == 105
    assert min(result["ends"][end] for end in ("done", "refused")) > 10
    assert result["peak_memory_mb"] < 1000


def test_the_whole_was_run_and_found_nothing():
    result = json.loads((BENCHMARKS / "fuzz_inputs.json").read_text())
    assert result["inputs"] >= 10_000
    assert result["faults"] == []
    assert result["peak_memory_mb"] < 1000
    assert sum(result["ends"].values()) == result["inputs"]


def test_bad_input_takes_time_in_proportion():
    result = json.loads((BENCHMARKS / "bench_bad_input.json").read_text())
    assert result["rounds"] >= 5
    assert {
        name: case["ratio"]["median"] for name, case in result["cpu_seconds"].items() if case["ratio"]["median"] > 7
    } == {}
