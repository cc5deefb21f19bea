"""What does ``extract --perturb`` cost in time and memory, beside extraction of frames as they are?

Draws a clip of RAVDESS's size and reads its windows as extraction does, in a fresh process for each reading, the perturbations in turns: CPU
seconds and the process's most memory, median and spread, and the ratio to frames as they are. That is all of an extraction that a perturbation can
make longer: where a GPU waits for frames, it is what it waits for. `extraction` is the whole of it on a CPU, with the smallest encoder (one window of 384
pixels), of frames as they are and of those that cost most, in turns.

    python benchmarks/bench_perturb.py > benchmarks/bench_perturb.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.cache.description import library_versions
from vjepa_fer.demo import write_film
from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.perturb import perturbation
from vjepa_fer.recipe import SEVERITIES, Sampling, Storage
from vjepa_fer.workers import num_cores

COSTLY = ("blur", "noise", "motion", "jpeg", "h264")

PROGRAM = """
import json, resource, sys, time
from vjepa_fer.perturb import perturbation
from vjepa_fer.recipe import Preprocessing, Sampling
from vjepa_fer.video import read_windows

path, step, clips = sys.argv[1], sys.argv[2], int(sys.argv[3])
pixels = Preprocessing(crop_size=384, perturb=perturbation([step] if step else []))
read_windows(path, Sampling(), pixels, clip_id="warm")
started = time.process_time()
for number in range(clips):
    read_windows(path, Sampling(), pixels, clip_id=str(number))
seconds = (time.process_time() - started) / clips
print(json.dumps({"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def write_clip(path: Path, height: int = 720, width: int = 1280, num_frames: int = 110) -> Path:
    """Blurred noise that drifts, with about a face's detail."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (height // 8 + 20, width // 8 + 20, 3)).astype(np.uint8)
    large = np.repeat(np.repeat(small, 8, 0), 8, 1)
    frames = [large[n % 100 : n % 100 + height, n % 100 : n % 100 + width] for n in range(num_frames)]
    write_film(path, np.stack(frames))
    return path


def read(path: Path, step: str, clips: int) -> dict[str, float]:
    """One fresh process's reading."""
    words = [sys.executable, "-c", PROGRAM, str(path), step, str(clips)]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def extraction(path: Path, folder: Path, repeats: int, severity: int) -> dict[str, Any]:
    """CPU seconds of whole extractions in this process, and each turn's ratio to plain."""
    encoder, found = load_encoder("vjepa2.1-base-384", weights="random:0"), {step: [] for step in ("", *COSTLY)}
    manifest, settings = Manifest(clips=(Clip("c0", str(path), "happy", "s0"),)), ExtractSettings(workers=0)
    for turn in range(repeats):
        for step in found:
            steps = perturbation([f"{step}:{severity}"] if step else [])
            recipe = make_recipe(
                encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean",)), perturb=steps
            )
            started = time.process_time()
            extract_manifest(manifest, folder / f"{turn}-{step}", encoder, recipe, settings=settings, progress=False)
            found[step].append(time.process_time() - started)
    ratios = {step: [one / plain for one, plain in zip(found[step], found[""], strict=True)] for step in COSTLY}
    told = {
        step: {"to_plain": statistics.median(own), "least": min(own), "most": max(own)} for step, own in ratios.items()
    }
    return {"plain_seconds": statistics.median(found[""]), **told}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--clips", type=int, default=3, help="in one reading")
    parser.add_argument("--severity", type=int, default=5)
    arguments = parser.parse_args()
    steps = ["", *(f"{name}:{min(arguments.severity, most)}" for name, most in SEVERITIES.items())]
    found: dict[str, list[dict[str, float]]] = {step: [] for step in steps}
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(Path(folder) / "clip.mp4")
        for _ in range(arguments.repeats):
            for step in steps:
                found[step].append(read(path, step, arguments.clips))
        window = write_clip(Path(folder) / "window.mp4", num_frames=16)
        whole = extraction(window, Path(folder), arguments.repeats, arguments.severity)
    reading = {step or "plain": told(found, step) for step in steps}
    print(json.dumps({"machine": machine(), "readings": reading, "extraction": whole}, indent=1))


def told(found: dict[str, list[dict[str, float]]], step: str) -> dict[str, Any]:
    """Median, least and most of both, and the ratios of medians to plain's."""
    facts: dict[str, Any] = {}
    for what in ("seconds", "megabytes"):
        values = [one[what] for one in found[step]]
        plain = statistics.median(one[what] for one in found[""])
        facts[what] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
        facts[what]["to_plain"] = round(statistics.median(values) / plain, 3)
    return facts


def machine() -> dict[str, Any]:
    """Where it was read."""
    return {
        "cores": num_cores(),
        "python": platform.python_version(),
        "system": platform.platform(),
        **library_versions(),
    }


if __name__ == "__main__":
    main()
