"""Does the pipeline keep its stages busy? Clips a second of a whole extraction, beside decoding in line, with each stage's share.

    python benchmarks/bench_extract.py > benchmarks/bench_extract.json

A small encoder on the CPU, so decoding is the larger part, as with a GPU. Wall times: run it on an idle machine. GPU figures: not
measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from bench_decode import write_clip

from vjepa_fer.cache.folder import library_versions
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest


def run_once(manifest: Manifest, cache: Path, workers: int) -> dict[str, Any]:
    """One extraction into a fresh cache."""
    encoder = load_encoder("tiny-v21", weights="random:0")
    settings = ExtractSettings(workers=workers)
    summary = extract_manifest(manifest, cache, encoder, make_recipe(encoder), settings=settings, progress=False)
    profile = dataclasses.asdict(summary.profile)
    return {"clips_per_second": summary.written / summary.profile.wall_seconds, **profile}


def main() -> None:
    """Both ways in turns, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    runs: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_clip(folder / "clip.mp4", "libx264", (720, 1280), 110)
        manifest = Manifest(clips=tuple(Clip(f"c{i}", str(video), "happy", f"s{i}") for i in range(asked.clips)))
        for repeat in range(asked.repeats):
            for workers in runs:
                runs[workers].append(run_once(manifest, folder / f"{workers}-{repeat}", workers))
    rates = {workers: [run["clips_per_second"] for run in several] for workers, several in runs.items()}
    result = {
        "schema": "vjepa-fer/bench-extract/1",
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "versions": library_versions("vjepa-fer", "torch", "av"),
        "clips": f"{asked.clips} × 720p h264 of 110 frames, tiny-v21 in float32, default sampling and levels",
        "workers": {
            str(workers): {
                "clips_per_second": {"median": statistics.median(r), "least": min(r), "most": max(r)},
                "busy": runs[workers][-1]["busy"],
                "bottleneck": runs[workers][-1]["bottleneck"],
            }
            for workers, r in rates.items()
        },
        "cuda": "not measured",
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
