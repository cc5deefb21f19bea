"""Texts and tables that commands read go in, broken in many ways; what the commands make of them comes out, as JSON.

    python benchmarks/fuzz_inputs.py --inputs 10000 --out benchmarks/fuzz_inputs.json

Every input is one file of a sound folder (a manifest, a corpus' list, a feature table, a cache, a run, folds, a table to judge …), changed by
structure (values of other types, keys and columns gone or doubled, nesting, numbers beyond all bounds, half Unicode pairs) or by bytes (bits,
ends, encodings, NUL, quotation marks, bombs); half of those that carry digests get right ones, as somebody who means harm would give
them. Then the command runs, as typed. It must end in success or with an error of ours. Anything else is a fault: a traceback, more than
thirty seconds of CPU for a command ("hang"), a dead interpreter, or more than a gigabyte of memory.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import typer
import typer.main
from fuzz_breaking import break_bytes, break_text, pick
from fuzz_commands import MOST_SECONDS, command_line
from fuzz_seeds import write_seeds
from fuzz_targets import TARGETS, Target, find

MOST_MEMORY_MB = 1000
LARGEST_INPUT = 16_000_000


def one_input(number: int, name: str, seeds: Path) -> tuple[str, str]:
    """Break one file of a copy of the seeds, and run its commands: the way, and the end."""
    target, rng = TARGETS[name], np.random.default_rng([20, number])
    work = seeds.parent / "work"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(seeds, work, ignore=lambda folder, names: _unneeded(target, Path(folder), seeds, names))
    os.chdir(work)
    os.environ["VJEPA_FER_HOME"] = str(work / "home")
    path = find(target, work)
    way, broken = break_text(path.read_bytes(), rng, target.structure)
    broken, commands = broken[:LARGEST_INPUT], target.commands
    if target.packed and rng.random() < 0.1:
        packed = gzip.compress(broken * (1 if len(broken) > 10**5 else int(pick(rng, (1, 1, 2000)))), 1)
        path = path.with_name(path.name + ".gz")
        path.write_bytes(break_bytes(packed, rng)[1] if rng.random() < 0.5 else packed)
        way, commands = "gz " + way, tuple(line.replace(target.file, path.name) for line in commands)
    elif target.seal and rng.random() < 0.7:
        target.seal(path, broken)
        way = "sealed " + way
    else:
        path.write_bytes(broken)
    ends = []
    for line in commands:
        end = command_line(line.replace("OUT", "out").split())
        if end.startswith("FAULT"):
            return way, f"{end} in `{line}`"
        ends.append(end)
    return way, "done" if set(ends) == {"done"} else "refused"


def _unneeded(target: Target, folder: Path, seeds: Path, names: list[str]) -> list[str]:
    """Folders of the seeds that no command of a target names."""
    said = " ".join([target.file, *target.commands])
    if folder != seeds:
        return []
    return [name for name in names if (seeds / name).is_dir() and name not in said.replace("/", " ").split()]


def work(first: int, count: int, only: str | None, seeds: Path) -> None:
    """Run `count` inputs; the number of each goes to stdout before it starts and its end after, so that a crash has a name."""
    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not (seeds / "manifest.csv").exists():
        os.environ["VJEPA_FER_HOME"] = str(seeds / "home")
        write_seeds(seeds)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    typer.main.get_command = functools.cache(typer.main.get_command)  # which takes longer than most commands
    names = [name for name in TARGETS if not only or only in name]
    for number in range(first, first + count):
        name = names[number % len(names)]
        print(json.dumps([number, name, "", None, 0]), file=out, flush=True)
        signal.alarm(10 * MOST_SECONDS)
        before = time.process_time()
        way, end = one_input(number, name, seeds)
        seconds = time.process_time() - before
        signal.alarm(0)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        if peak > MOST_MEMORY_MB:
            end = f"FAULT {peak} MB of memory"
        print(json.dumps([number, name, way, end, peak, round(seconds, 3)]), file=out, flush=True)
        if peak > MOST_MEMORY_MB:
            return


def run_range(first: int, inputs: int, only: str | None) -> list[list[Any]]:
    """Number, target, way, end, MB and seconds of each input, in processes of 250; a dead one is a fault of the input that it was at."""
    found: list[list[Any]] = []
    number = first
    with tempfile.TemporaryDirectory() as folder:
        while number < first + inputs:
            count = min(250, first + inputs - number)
            command = [sys.executable, __file__, "--work", str(number), str(count), "--seeds", f"{folder}/seeds"]
            command += ["--only", only] if only else []
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            if not lines:
                raise SystemExit(f"the worker did not start:\n{done.stderr}")
            found += [line for line in lines if line[3] is not None]
            if done.returncode != 0:
                code = done.returncode
                how = (
                    "hang" if code in (-signal.SIGPROF, -signal.SIGALRM) else f"ended with {code}: {done.stderr[-300:]}"
                )
                found.append([*lines[-1][:2], "?", f"FAULT {how}", 0, 0])
            number = found[-1][0] + 1
            print(f"{number - first:,} of {inputs:,}", *(line for line in found if "FAULT" in line[3]), file=sys.stderr)
    return found


def fuzz(first: int, inputs: int, only: str | None, jobs: int) -> dict[str, Any]:
    """All inputs, and what became of them."""
    started, step = time.perf_counter(), -(-inputs // jobs)
    parts = [(begin, min(step, first + inputs - begin)) for begin in range(first, first + inputs, step)]
    with ThreadPoolExecutor(jobs) as threads:
        found = [line for part in threads.map(lambda part: run_range(*part, only), parts) for line in part]
    kinds = ["FAULT" if line[3].startswith("FAULT") else line[3] for line in found]
    of_target: dict[str, Counter[str]] = {}
    for line, kind in zip(found, kinds, strict=True):
        of_target.setdefault(line[1], Counter())[kind] += 1
    slowest = max(found, key=lambda line: line[5])
    return {
        "benchmark": "fuzz_inputs",
        "inputs": inputs,
        "first": first,
        "ends": Counter(kinds),
        "peak_memory_mb": max(line[4] for line in found),
        "slowest": {"input": slowest[:3], "cpu_seconds": slowest[5]},
        "targets": of_target,
        "ways": dict(sorted(Counter(line[2] for line in found).items())),
        "faults": [line[:4] for line, kind in zip(found, kinds, strict=True) if kind == "FAULT"],
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"numpy": np.__version__, "python": platform.python_version()},
    }


def main() -> None:
    """Run, print, and end with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input: each is drawn by its own")
    parser.add_argument("--jobs", type=int, default=1, help="side by side")
    parser.add_argument("--only", help="targets whose name holds this")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work, options.only, options.seeds)
        return
    result = fuzz(options.first, options.inputs, options.only, options.jobs)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")
    sys.exit(1 if result["faults"] else 0)


if __name__ == "__main__":
    main()
