"""How long does the first opening of 1,000 shards take, and what does a copy cost whose files have other times?

Each reading is a process of its own that opens one cache and says what that took. Two versions of this package take turns on the same
files: this one, and the one in --before, a checkout of an older commit (`git worktree add /tmp/before COMMIT`). Before each reading the cache
is as that version's own extraction leaves it: with `index.npz` now, without it then. The files' pages are dropped from the system's memory
(`posix_fadvise`), which a virtual disk may hold in memory of its own: seconds by the clock are at best what a local disk takes.

    python benchmarks/bench_open.py --before /tmp/before > benchmarks/bench_open.json
"""

# ruff: noqa: I001  (measured pins threads before numpy loads its BLAS)

from __future__ import annotations

from measured import machine

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from bench_cache import token_recipe, write_cache

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.index import remember_shards
from vjepa_fer.disk import write_durably

OPEN = """
import json, sys, time
import vjepa_fer
from vjepa_fer.cache import open_cache
assert vjepa_fer.__file__.startswith(sys.argv[3]), vjepa_fer.__file__
wall, cpu = time.perf_counter(), time.process_time()
cache = open_cache(sys.argv[1])
opened = time.perf_counter() - wall, time.process_time() - cpu
assert len(cache) == int(sys.argv[2])
wall, cpu = time.perf_counter(), time.process_time()
total = float(cache.features("tokens").X[:, 0].sum())
read = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"open": opened, "read all": read, "sum": total}))
"""


def make_cache(root: Path, num_shards: int) -> None:
    """Clips of 200 KB, one a shard, and the index that a job leaves."""
    arrays = np.random.default_rng(0).standard_normal((num_shards, 2, 7, 7, 1024), np.float32).astype(np.float16)
    recipe = token_recipe(7, 1024, 4)
    write_cache(root, recipe, "tokens", arrays, shard_bytes=1)
    remember_shards(root, recipe)


def drop_pages(root: Path) -> bool:
    """Let the system forget the files' bytes, which writing them left on the disk; False where it offers no way."""
    if not hasattr(os, "posix_fadvise"):
        return False
    for path in root.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    return True


def reading(package: Path, root: Path, num_shards: int) -> dict[str, Any]:
    """One opening by the version that lies in `package`."""
    command = [sys.executable, "-c", OPEN, str(root), str(num_shards), str(package)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=package, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def spread(values: list[float]) -> dict[str, float]:
    """Median and extent."""
    figures = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of an older commit")
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    asked = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    sides: dict[str, tuple[Path, str]] = {"now": (here, "as a job leaves it"), "now, a copy": (here, "copy")}
    if asked.before:
        sides = {
            "before": (asked.before.resolve(), "no index"),
            **sides,
            "before, a copy": (asked.before.resolve(), "copy"),
        }
    sides["now, no index"] = (here, "no index")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        root = Path(folder, "cache")
        make_cache(root, asked.shards)
        index = root / "shards" / "index.npz"
        whole = index.read_bytes()
        expected = float(open_cache(root).features("tokens").X[:, 0].sum())
        times = {path: path.stat().st_mtime_ns for path in index.parent.glob("*.h5")}
        for _ in range(asked.repeats):
            for name, (package, state) in sides.items():
                index.unlink(missing_ok=True)
                if state != "no index":
                    write_durably(index, whole)
                for path, time_ns in times.items():
                    os.utime(path, ns=(time_ns, time_ns + 10**9 * (state == "copy")))
                is_cold = drop_pages(root)
                found[name].append(reading(package, root, asked.shards))
                print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
                assert found[name][-1]["sum"] == expected
    figures = {
        name: {
            what: {clock: spread([r[what][n] for r in readings]) for n, clock in enumerate(("seconds", "cpu_seconds"))}
            for what in ("open", "read all")
        }
        for name, readings in found.items()
    }
    about = {"shards": asked.shards, "repeats": asked.repeats, "pages_dropped": is_cold, "index_bytes": len(whole)}
    print(json.dumps({"machine": {**machine(), "load": round(os.getloadavg()[0], 1)}, **about, **figures}, indent=1))


if __name__ == "__main__":
    main()
