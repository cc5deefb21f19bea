"""What does it cost to load an encoder: seconds and peak memory, from a training checkpoint and from a slim file?

Writes a training checkpoint of the official structure with random weights into a temporary folder (online encoder, its average,
predictor, optimiser: about six times the encoder), slims it, and loads both in fresh processes. Prints JSON.

    python benchmarks/bench_load.py --model vjepa2.1-base-384 > benchmarks/bench_load.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import vjepa_fer
from vjepa_fer.encoder.files.hashes import known_sha256
from vjepa_fer.encoder.loading.load import random_encoder
from vjepa_fer.encoder.loading.slim import slim_checkpoint
from vjepa_fer.encoder.model.zoo import encoder_config, official_encoder, parameter_count
from vjepa_fer.workers import num_cores

LOAD = """
import json, sys, time
import torch, vjepa_fer.encoder.loading.load as loading
name, path, key, precision = sys.argv[1:]
def memory(field):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field)))
def load(name, **settings):
    encoder = loading.load_encoder(name, precision=precision, **settings)
    return sum(p.sum(dtype=torch.float32).item() for p in encoder.module.parameters())  # every byte is needed
torch.set_num_threads(1)
load("tiny-v21", weights="random:0")  # libraries are warm
loading.weights_identity = lambda path: "0" * 64  # hashing is timed apart
before, start = memory("VmRSS"), time.perf_counter()
load(name, weights=path, state_key=key)
seconds, kib = time.perf_counter() - start, memory("VmHWM") - before
print(json.dumps({"seconds": seconds, "megabytes": kib * 1024 / 1e6}))
"""


def write_training_checkpoint(name: str, path: Path) -> None:
    """As the official training saves it: two encoders, a predictor, and an optimiser with two moments of each number."""
    key = official_encoder(name).state_key
    states = {k: random_encoder(encoder_config(name), seed).state_dict() for seed, k in enumerate(("encoder", key))}
    wrapped = {k: {f"module.backbone.{n}": p for n, p in state.items()} for k, state in states.items()}
    moments = {
        n: {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)} for n, p in states["encoder"].items()
    }
    predictor = {"module.backbone.proj.weight": torch.zeros(4096, 4096)}
    torch.save({**wrapped, "predictor": predictor, "opt": {"state": moments}, "epoch": 300, "lr": 1e-4}, path)


def measure(name: str, path: Path, key: str, precision: str, repeats: int) -> dict[str, Any]:
    """Median and range of fresh processes, after one that warms the disk cache."""
    command = [sys.executable, "-c", LOAD, name, str(path), key, precision]
    runs = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(repeats + 1)
    ]
    seconds = [run["seconds"] for run in runs[1:]]
    return {
        "seconds_median": round(statistics.median(seconds), 3),
        "seconds_range": [round(min(seconds), 3), round(max(seconds), 3)],
        "peak_megabytes": round(max(run["megabytes"] for run in runs)),
    }


def timed(function: Callable[[Path], object], path: Path) -> float:
    start = time.perf_counter()
    function(path)
    return round(time.perf_counter() - start, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="vjepa2.1-base-384")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    name, key = options.model, official_encoder(options.model).state_key
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VJEPA_FER_HOME"] = folder  # where hashes are remembered
        whole, slim = Path(folder) / "training.pt", Path(folder) / "slim.safetensors"
        write_training_checkpoint(name, whole)
        slimming = timed(lambda path: slim_checkpoint(path, slim, state_key=key), whole)
        time.sleep(3)  # younger files are hashed each time
        shutil.rmtree(Path(folder) / "hashes", ignore_errors=True)
        results = {
            file: {
                "megabytes": round(path.stat().st_size / 1e6),
                "hash_seconds": {"first": timed(known_sha256, path), "remembered": timed(known_sha256, path)},
                **{p: measure(name, path, key, p, options.repeats) for p in ("float32", "bfloat16")},
            }
            for file, path in (("training checkpoint", whole), ("slim", slim))
        }
    machine = {"platform": platform.platform(), "python": platform.python_version(), "cores": num_cores()}
    encoder = {p: round(parameter_count(encoder_config(name)) * b / 1e6) for p, b in (("float32", 4), ("bfloat16", 2))}
    facts = {"torch": torch.__version__, "vjepa_fer": vjepa_fer.__version__, **machine}
    print(
        json.dumps(
            {
                "model": name,
                "encoder_megabytes": encoder,
                "slimming_seconds": slimming,
                "files": results,
                "machine": facts,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
