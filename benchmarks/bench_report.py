"""``vjepa-fer report`` of 21 runs × 7,442 clips: processor seconds, bytes and nodes of the page; beside those of an older commit.

The commits cannot take turns inside one process, and the older one is slow: ours is read five times, the other once, in one run of this
file, on the same runs. ``--old COMMIT`` says which commit of this repository, checked out into a worktree of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from measured import machine  # pins BLAS to one thread

HERE = Path(__file__).resolve().parents[1]
LABELS = ("anger", "disgust", "fear", "happy", "neutral", "sad")
NUM_SUBJECTS, DIM = 91, 128
COMMAND = "from vjepa_fer.cli.main import main; main()"


def write_features(folder: Path, num_clips: int) -> None:
    """Clips of 91 people with a class and a person in each vector, as another program's table would hold them."""
    rng = np.random.default_rng(0)
    label, subject = rng.integers(0, len(LABELS), num_clips), np.arange(num_clips) % NUM_SUBJECTS
    x = 0.2 * rng.normal(size=(len(LABELS), DIM))[label] + 0.7 * rng.normal(size=(NUM_SUBJECTS, DIM))[subject]
    x += rng.normal(size=x.shape)
    ids = [f"{1001 + s}_{n:05d}_XX" for n, s in enumerate(subject.tolist())]
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", "path", "label", "subject"])
        writer.writerows([i, f"{i}.mp4", LABELS[k], 1001 + s] for i, k, s in zip(ids, label, subject, strict=True))
    with (folder / "features.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", *(f"f{n}" for n in range(DIM))])
        writer.writerows([i, *(f"{value:.5g}" for value in row)] for i, row in zip(ids, x.tolist(), strict=True))


def run_command(folder: Path, *words: str, code: Path = HERE) -> tuple[float, float]:
    """Processor and wall seconds of a command of the package that lies at `code`."""
    before, started = os.times(), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(code / "linked")}
    subprocess.run(
        [sys.executable, "-c", COMMAND, *words], check=True, cwd=folder, env=environment, capture_output=True
    )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - started


def link(code: Path) -> None:
    """Make a checkout importable as it is installed: cli/ lies beside the package and is called vjepa_fer.cli."""
    package = code / "linked" / "vjepa_fer"
    package.mkdir(parents=True, exist_ok=True)
    parts = {"cli": code / "cli", "data_manifests": code / "data_manifests"}
    parts |= {one.name: one for one in (code / "vjepa_fer").iterdir() if one.name != "__pycache__"}
    for name, there in parts.items():
        if not (package / name).exists():
            (package / name).symlink_to(there)


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A worktree of this repository at a commit."""
    place = folder / "old"
    subprocess.run(["git", "worktree", "add", "--detach", place, commit], check=True, cwd=HERE, capture_output=True)
    try:
        link(place)
        yield place
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", place], check=True, cwd=HERE)


class _Nodes(HTMLParser):
    count = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.count += 1


def page_facts(page: Path) -> dict[str, int]:
    counted, text = _Nodes(), page.read_text(encoding="utf-8")
    counted.feed(text)
    return {"bytes": page.stat().st_size, "nodes": counted.count}


def report(folder: Path, code: Path, runs: list[str], times: int) -> dict[str, Any]:
    readings = [run_command(folder, "report", *runs, "-o", "page.html", code=code) for _ in range(times)]
    facts = page_facts(folder / "page.html")
    (folder / "page.html").unlink()
    cpu, wall = zip(*readings, strict=True)
    return {
        "cpu_seconds": statistics.median(cpu),
        "cpu_readings": cpu,
        "wall_seconds": statistics.median(wall),
        **facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=7442)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--old", default="", metavar="COMMIT")
    parser.add_argument("--keep", action="store_true", help="write the JSON beside this file")
    asked = parser.parse_args()
    result: dict[str, Any] = {
        "clips": asked.clips,
        "runs": asked.runs,
        "subjects": NUM_SUBJECTS,
        "load": os.getloadavg(),
    }
    with tempfile.TemporaryDirectory() as made:
        folder, here = Path(made), Path(made) / "here"
        here.mkdir()
        for name in ("cli", "data_manifests", "vjepa_fer"):
            (here / name).symlink_to(HERE / name)
        link(here)
        write_features(folder, asked.clips)
        run_command(
            folder,
            "cache",
            "import",
            "features.csv",
            "cache",
            "--manifest",
            "manifest.csv",
            "--columns",
            "f*",
            code=here,
        )
        grid = ["--param", f"C=logspace:-5:1:{asked.runs - 1}", "--folds", "subject-kfold:5"]
        run_command(folder, "probe", "cache", *grid, "--out", "runs", code=here)
        runs = [
            str(one.relative_to(folder)) for one in [folder / "runs" / "best", *sorted(folder.glob("runs/logreg-*"))]
        ]
        result["ours"] = report(folder, here, runs, asked.times)
        print(json.dumps(result["ours"], indent=1), flush=True)
        if asked.old:
            with checked_out(asked.old, folder) as code:
                result["old"] = {"commit": asked.old, **report(folder, code, runs, 1)}
            result["ratio"] = result["old"]["cpu_seconds"] / result["ours"]["cpu_seconds"]
            print(json.dumps(result["old"], indent=1), result["ratio"], flush=True)
    if asked.keep:
        text = json.dumps({"machine": machine(), **result}, indent=1)
        Path(__file__).with_suffix(".json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
