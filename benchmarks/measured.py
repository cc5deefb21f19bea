"""Questions of a benchmark go in; what was measured is printed, and kept in the JSON file beside it with the machine.

Import this before numpy: it pins BLAS to one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

Part = Callable[[bool], dict[str, Any]]
"""A comparison: whether it is to be small goes in, figures of each side and their ratio come out."""


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def in_turns(
    sides: Sequence[Callable[[Any], Any]], rounds: Iterable[Any]
) -> tuple[list[list[float]], list[list[Any]], dict[str, Any]]:
    """Each side's seconds and results, round by round in turns; how much longer the last takes than the first, and the spread of that."""
    seconds: list[list[float]] = [[] for _ in sides]
    results: list[list[Any]] = [[] for _ in sides]
    for one in rounds:
        for number, work in enumerate(sides):
            took, found = cpu_seconds(lambda: work(one))  # noqa: B023
            seconds[number].append(took)
            results[number].append(found)
    ratios = [last / first for first, last in zip(seconds[0], seconds[-1], strict=True)]
    spread = {"readings": ratios, "least": min(ratios), "most": max(ratios)}
    return seconds, results, {"ratio": statistics.median(ratios), **spread}


def run_parts(file: str, parts: Mapping[str, Part]) -> None:
    """Measure the parts named on the command line, or all; those that were not measured keep their entry."""
    parser = argparse.ArgumentParser(description="Both sides on the same data, one thread.")
    parser.add_argument("parts", nargs="*", choices=[[], *parts], help="default: all")
    parser.add_argument("--small", action="store_true", help="see that it runs, and keep nothing")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    results = Path(file).with_suffix(".json")
    kept = json.loads(results.read_text()) if results.exists() else {}
    for name in asked.parts or parts:
        result = json.loads(json.dumps(parts[name](asked.small), default=float), parse_float=_four_digits)
        print(f"{name}: {result['ratio']:.1f} times as fast")
        for side, figures in result.items():
            print(f"    {side}: {figures}", flush=True)
        kept[name] = result
        if not asked.small:
            own = {part: kept[part] for part in parts if part in kept}
            results.write_text(json.dumps({"machine": machine(), **own}, indent=1) + "\n")


def machine() -> dict[str, Any]:
    packages = ("numpy", "scikit-learn", "lightgbm", "torch")
    versions = {name: metadata.version(name) for name in packages}
    return {"system": platform.platform(), "processor": _processor(), "python": platform.python_version(), **versions}


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _four_digits(text: str) -> float:
    return float(f"{float(text):.4g}")
