"""How much faster are two Ray workers of one core each than one, where the encoder is the limit?

    python benchmarks/bench_ray.py > benchmarks/bench_ray.json

On one Ray cluster of this machine, one worker and two extract the same clips in turns, the order changing from turn to turn, each on one core. JSON
with clips a second of each turn, counted from when every worker has done its first clip (loading torch and drawing weights is not what two workers
share), the ratio of each turn, and the same for the whole time with starting. An untrained ViT-B on small pictures: a second or so a window and
core, against which a clip's decoding is nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from soak_extract import write_video

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.engines import Needs, RayEngine, State
from vjepa_fer.extract import ExtractSettings, Order
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.workers import num_cores

MODEL = "vjepa2.1-base-384"
SIDE = 160


@dataclass
class Watch:
    """When how many clips were done, from when every worker has done one."""

    workers: int
    first: tuple[float, int] | None = None
    last: tuple[float, int] = (0.0, 0)
    waits: list[float] = field(default_factory=list)

    def __call__(self, states: Mapping[int, State]) -> None:
        now, done = time.perf_counter(), [state.done for state in states.values()]
        if len(done) == self.workers and min(done) and self.first is None:
            self.first = now, sum(done)
        if sum(done) > self.last[1]:
            self.last = now, sum(done)

    @property
    def rate(self) -> float:
        """Clips a second."""
        assert self.first is not None, "more clips: one worker has done them all before the other began"
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])


def extract(workers: int, manifest: Manifest, cache: Path) -> dict[str, float]:
    """Clips a second of so many workers, and seconds of everything."""
    order = Order(
        manifest=manifest,
        cache=cache,
        model=MODEL,
        weights="random:0",
        resolution=(SIDE, SIDE),
        sampling=Sampling(frame_step=1),
        storage=Storage(levels=("mean",)),
        settings=ExtractSettings(workers=1),
    )
    watch, started = Watch(workers), time.perf_counter()
    engine = RayEngine(workers=workers, cpus_per_worker=1, gpus_per_worker=0)
    engine.run(order, Needs.of([], [], cache), show=watch, tell=lambda line: None)
    seconds = time.perf_counter() - started
    if len(open_cache(cache)) != len(manifest):
        raise RuntimeError(f"{len(open_cache(cache))} clips of {len(manifest)}")
    return {"clips_a_second": watch.rate, "seconds_with_starting": seconds}


def main() -> None:
    """Run and print JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--clips", type=int, default=48)
    options = parser.parse_args()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    turns: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for number in range(options.clips):
            write_video(folder / f"v{number}.mp4", 16)
        clips = [Clip(f"c{n}", str(folder / f"v{n}.mp4"), "happy", f"s{n % 4}") for n in range(options.clips)]
        for turn in range(options.turns):
            both = {
                n: extract(n, Manifest(clips=tuple(clips)), folder / f"{turn}-{n}") for n in ((1, 2), (2, 1))[turn % 2]
            }
            ratio = both[2]["clips_a_second"] / both[1]["clips_a_second"]
            turns.append({"one": both[1], "two": both[2], "ratio": ratio})
            sys.stderr.write(f"{turns[-1]}\n")
    machine = {"cores": num_cores(), "system": platform.platform()}
    ratios = [turn["ratio"] for turn in turns]
    whole = [turn["one"]["seconds_with_starting"] / turn["two"]["seconds_with_starting"] for turn in turns]
    about = {
        "machine": machine,
        "versions": library_versions("vjepa-fer", "torch", "ray"),
        "model": f"{MODEL} at {SIDE}",
    }
    told = {"ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    print(
        json.dumps(
            {**about, "clips": options.clips, **told, "with_starting": statistics.median(whole), "turns": turns},
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
