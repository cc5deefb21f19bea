"""Extractions started in the same second on one cache do every clip once; ``benchmarks/soak_stampede.py`` with fewer processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "soak_stampede.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX")
def test_processes_started_at_once_on_a_cache_that_is_half_done_do_every_clip_once():
    words = ["--processes", "4", "--clips", "10", "--kinds", "half"]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (told,) = json.loads(done.stdout)["rounds"]
    assert (told["processes"], told["clips"], told["decoded"], told["faults"]) == (4, 10, 10, [])
