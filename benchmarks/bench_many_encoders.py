"""What do three encoders cost in one pass that decodes once, beside the slowest of them alone and beside three passes?

    python benchmarks/bench_many_encoders.py > benchmarks/bench_many_encoders.json
    python benchmarks/bench_many_encoders.py --small        # see that it runs

The same 720p clips, in turns: each of three small encoders alone, then all three together, into fresh caches. Once where the three look
at the same pixels (encoders of one input size), and once where each has frames and an input size of its own, so that only decoding
and the colours are shared. Wall seconds, and the CPU seconds of the decode workers, which are processes of their own: these say whether
decoding was counted once on a busy machine too. Wall times want an idle one.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_decode import write_clip

from vjepa_fer.cache.description import library_versions
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, Target, extract_together, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.workers import num_cores

GOAL = 1.25
"""Of the slowest alone, at most, where decoding is the limit."""

STORAGE = Storage(levels=("mean", "frames"))
SAME = [
    ("tiny-v21", "random:0", 64, Sampling()),
    ("tiny-v21", "random:1", 64, Sampling()),
    ("tiny-v21", "random:2", 64, Sampling()),
]
OWN = [
    ("tiny-v21", "random:0", 64, Sampling()),
    ("tiny-v21", "random:1", 96, Sampling(frame_step=2)),
    ("pixels:8", None, None, Sampling(num_segments=3)),
]


def targets(folder: Path, models: Sequence[tuple[str, str | None, int | None, Sampling]]) -> list[Target]:
    """A fresh cache for each."""
    made = []
    for number, (model, weights, side, sampling) in enumerate(models):
        encoder = load_encoder(model, weights=weights, resolution=side)
        made.append(Target(folder / str(number), [encoder], make_recipe(encoder, sampling=sampling, storage=STORAGE)))
    return made


def measured(manifest: Manifest, into: Sequence[Target], workers: int) -> dict[str, float]:
    """One pass: wall seconds, and CPU seconds of this process and of the decode workers."""
    before, own, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time(), time.perf_counter()
    extract_together(manifest, into, settings=ExtractSettings(workers=workers), progress=False)
    wall, mine = time.perf_counter() - started, time.process_time() - own
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    decoding = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return {"wall_seconds": wall, "decoding_cpu_seconds": decoding, "other_cpu_seconds": mine}


def compare(manifest: Manifest, folder: Path, models: Sequence[Any], *, repeats: int, workers: int) -> dict[str, Any]:
    """Each alone and all together, in turns; the first turn is to warm up."""
    alone: list[list[dict[str, float]]] = []
    together: list[dict[str, float]] = []
    for turn in range(repeats + 1):
        makes = targets(folder / f"alone-{turn}", models)
        singles = [measured(manifest, [one], workers) for one in makes]
        both = measured(manifest, targets(folder / f"together-{turn}", models), workers)
        if turn:
            alone.append(singles)
            together.append(both)
    return {"models": [f"{m[0]} {m[2] or ''}".strip() for m in models], **ratios(alone, together)}


def ratios(alone: list[list[dict[str, float]]], together: list[dict[str, float]]) -> dict[str, Any]:
    """All three in one pass over the slowest alone, and over three passes, turn by turn."""
    found: dict[str, Any] = {}
    for kind in ("wall_seconds", "decoding_cpu_seconds", "other_cpu_seconds"):
        singles, one_pass = [[one[kind] for one in turn] for turn in alone], [one[kind] for one in together]
        found[kind] = {
            "each_alone": [statistics.median(turn[n] for turn in singles) for n in range(len(singles[0]))],
            "together": statistics.median(one_pass),
            "together_over_slowest": spread([b / max(a) for a, b in zip(singles, one_pass, strict=True)]),
            "together_over_three_passes": spread([b / sum(a) for a, b in zip(singles, one_pass, strict=True)]),
        }
    found["meets_the_goal"] = found["wall_seconds"]["together_over_slowest"]["median"] <= GOAL
    return found


def spread(values: list[float]) -> dict[str, Any]:
    """Median, least, most, and all readings."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "readings": values}


def main() -> None:
    """Both comparisons, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="two short clips, one turn")
    asked = parser.parse_args()
    clips, repeats, frames = (2, 1, 30) if asked.small else (asked.clips, asked.repeats, 110)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_clip(folder / "clip.mp4", "libx264", (720, 1280), frames)
        manifest = Manifest(clips=tuple(Clip(f"c{i}", str(video), "happy", f"s{i}") for i in range(clips)))
        options = {"repeats": repeats, "workers": asked.workers}
        result = {
            "schema": "vjepa-fer/bench-many-encoders/1",
            "machine": {"system": platform.platform(), "cpus": num_cores()},
            "versions": library_versions("vjepa-fer", "torch", "av"),
            "clips": f"{clips} × 720p h264 of {frames} frames, {asked.workers} decode workers, {repeats} turns",
            "goal": f"together at most {GOAL} of the slowest alone, where decoding is the limit",
            "same_pixels": compare(manifest, folder / "same", SAME, **options),
            "own_pixels": compare(manifest, folder / "own", OWN, **options),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
