"""Does bad input take time in proportion to how much of it there is, or to its square?

    python benchmarks/bench_bad_input.py > benchmarks/bench_bad_input.json

Each case at n and at 4 n, in turns, five times or more: the CPU seconds of this process and its children. In proportion, four times as
much takes four times as long, or less where something is done once; with the square, sixteen times.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache import ClipRows, ShardWriter, open_cache
from vjepa_fer.cache.copying import merge_caches
from vjepa_fer.cache.failures import Failure, write_failures
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.encoder import load_encoder
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.judging import read_predictions
from vjepa_fer.manifest import Clip, Manifest, read_manifest
from vjepa_fer.recipe import ImportedRecipe
from vjepa_fer.workers import num_cores

Measured = Callable[[], Any]
Case = Callable[[Path, int], Measured]
"""A folder and n → what is measured; what it needs is made before."""


def extraction(workers: int, *, content: bytes | None) -> Case:
    """n videos that are not there, or of a few bytes that are no video."""

    def prepare(folder: Path, n: int) -> Measured:
        clips = [Clip(f"c{i}", str(folder / f"c{i}.mp4"), "sad", f"s{i % 9}") for i in range(n)]
        for clip in clips if content is not None else ():
            Path(clip.path).write_bytes(content)
        encoder = load_encoder("tiny-v21", weights="random:0")
        settings, manifest = ExtractSettings(workers=workers), Manifest(clips=tuple(clips))

        def measured() -> None:
            done = extract_manifest(
                manifest, folder / "cache", encoder, make_recipe(encoder), settings=settings, progress=False
            )
            assert len(done.failures) == n

        return measured

    return prepare


def merge(folder: Path, n: int) -> Measured:
    """Two caches of n clips each, of which nine in ten failed."""
    recipe = ImportedRecipe(source="x.csv", source_sha256="ab" * 32, columns=("f",))
    for name in "ab":
        clips = tuple(Clip(f"{name}{i}", "", "sad", f"s{i % 9}") for i in range(n))
        prepare_cache(folder / name, recipe, Manifest(clips=clips))
        writer = ShardWriter(folder / name, recipe)
        zero, one, empty = np.zeros(1, np.int32), np.ones(1, np.int32), np.zeros((1, 0))
        for clip in clips[::10]:
            writer.add(
                ClipRows(
                    clip_id=clip.clip_id,
                    source_sha256="",
                    start_frame=zero,
                    view=zero,
                    multiplicity=one,
                    num_real_frames=zero,
                    frame_indices=empty,
                    timestamps=empty,
                    levels={"mean": np.ones((1, 1))},
                )
            )
        writer.flush()
        failed = [Failure(clip.clip_id, "x.mp4", "missing", "no such file", "0" * 16) for clip in clips]
        write_failures(folder / name, {f.clip_id: f for n, f in enumerate(failed) if n % 10})
    return lambda: merge_caches([folder / "a", folder / "b"], folder / "out")


def merge_many(folder: Path, n: int) -> Measured:
    """The manifests of n caches of ten clips, opened as one."""
    recipe = ImportedRecipe(source="x.csv", source_sha256="ab" * 32, columns=("f",))
    for cache in range(n):
        clips = tuple(Clip(f"{cache}-{i}", "", "sad", "s") for i in range(10))
        prepare_cache(folder / str(cache), recipe, Manifest(clips=clips))
    return lambda: open_cache([folder / str(cache) for cache in range(n)])


def manifest_header(folder: Path, n: int) -> Measured:
    """A manifest of n columns."""
    names = ["clip_id", "label", "subject", *(f"x{i}" for i in range(n))]
    path = folder / "wide.csv"
    path.write_text(",".join(names) + "\n" + ",".join(["c", "sad", "s", *["1"] * n]) + "\n")
    return lambda: read_manifest(path)


def repeated_header(folder: Path, n: int) -> Measured:
    """A table of n columns of which the last is there twice, and one of features."""
    path = folder / "wide.csv"
    path.write_text(",".join(["clip_id", "label", "subject", *(f"x{i}" for i in range(n)), f"x{n - 1}"]) + "\n")

    def measured() -> None:
        for read in (read_manifest, lambda p: read_feature_csv(p, id_column="clip_id", columns=["*"])):
            try:
                read(path)
            except VjepaFerError:
                continue
            raise AssertionError("read")

    return measured


def wide_predictions(folder: Path, n: int) -> Measured:
    """Predictions of n clips with a class that is no column."""
    path = folder / "predictions.csv"
    rows = (f"c{i},a,0.5,0.5\n" for i in range(n))
    path.write_text("clip_id,true_label,a,b\n" + "".join(rows) + "z,c,0.5,0.5\n")

    def measured() -> None:
        try:
            read_predictions(path)
        except VjepaFerError:
            return
        raise AssertionError("read")

    return measured


CASES: dict[str, tuple[Case, int]] = {
    "missing videos, in line": (extraction(0, content=None), 1000),
    "missing videos, one worker": (extraction(1, content=None), 1000),
    "broken videos, in line": (extraction(0, content=b"\0\0\0\x18ftypisom" + b"\xff" * 40), 500),
    "broken videos, one worker": (extraction(1, content=b"\0\0\0\x18ftypisom" + b"\xff" * 40), 500),
    "merge of two caches, clips nine in ten failed": (merge, 2000),
    "many caches as one": (merge_many, 50),
    "manifest, columns": (manifest_header, 15_000),
    "header with a name twice, columns": (repeated_header, 15_000),
    "predictions with an unknown class, rows": (wide_predictions, 10_000),
}


def cpu_seconds(case: Case, n: int) -> float:
    """One reading."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        measured = case(Path(folder), n)
        before = used()
        measured()
        return used() - before


def used() -> float:
    """CPU seconds of this process and of its children that have ended; os.times counts in hundredths only."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lines about each failure."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        yield


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {name: round(of(values), 4) for name, of in (("median", statistics.median), ("least", min), ("most", max))}


def measure(case: Case, n: int, rounds: int) -> dict[str, Any]:
    """Readings at n and 4 n, in turns."""
    for size in (n, 4 * n):  # imports, the first start of a worker, and memory that the process then has
        cpu_seconds(case, size)
    once, fourfold = [], []
    for _ in range(rounds):
        once.append(cpu_seconds(case, n))
        fourfold.append(cpu_seconds(case, 4 * n))
    ratios = [four / max(one, 1e-3) for one, four in zip(once, fourfold, strict=True)]
    return {"n": n, "seconds_at_n": spread(once), "seconds_at_4n": spread(fourfold), "ratio": spread(ratios)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="cases whose name holds this")
    options = parser.parse_args()
    cases = {}
    for name, (case, n) in CASES.items():
        if not options.only or options.only in name:
            cases[name] = measure(case, n, options.rounds)
            print(name, cases[name], file=sys.stderr, flush=True)
    machine = {"cpus": num_cores(), "platform": platform.platform(), "python": platform.python_version()}
    result = {"benchmark": "bench_bad_input", "rounds": options.rounds, "cpu_seconds": cases, "machine": machine}
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
