"""Is the encoder as fast as ``transformers``' V-JEPA 2 on a CPU, with the same weights, precision and threads?

Both encode the same window in turns in one process; JSON with seconds, median and spread. GPU figures: not measured.

    python benchmarks/bench_encoder.py > benchmarks/bench_encoder.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time

import torch
from transformers import VJEPA2Config, VJEPA2Model

from vjepa_fer.cache.folder import library_versions
from vjepa_fer.encoder.loading import random_encoder


def main() -> None:
    """ViT-L's width with fewer layers, so that a repeat takes seconds; each layer costs the same."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    shape = {"img_size": 256, "patch_size": 16, "num_frames": 16, "tubelet_size": 2}
    config = {"family": "v2", **shape, "embed_dim": 1024, "depth": asked.depth, "num_heads": 16, "mlp_ratio": 4.0}
    ours = random_encoder({**config, "uniform_power": False, "layer_norm_eps": 1e-6}, 0)
    theirs = VJEPA2Model(
        VJEPA2Config(
            crop_size=256,
            frames_per_clip=16,
            hidden_size=1024,
            num_hidden_layers=asked.depth,
            num_attention_heads=16,
            attn_implementation="sdpa",
        )
    ).eval()
    pixels = torch.randn(1, 3, 16, 256, 256, generator=torch.Generator().manual_seed(0))
    jobs = {
        "ours": lambda: ours(pixels),
        "transformers": lambda: theirs(pixel_values_videos=pixels.transpose(1, 2), skip_predictor=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    with torch.inference_mode():
        for turn in range(asked.repeats + 1):
            for name, job in jobs.items():
                started = time.process_time()
                job()
                if turn:  # the first is to warm up
                    seconds[name].append(time.process_time() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    result = {
        "schema": "vjepa-fer/bench-encoder/1",
        "machine": {"system": platform.platform(), "cpus": os.cpu_count(), "threads": asked.threads},
        "versions": library_versions("vjepa-fer", "torch", "transformers"),
        "encoder": f"ViT-L width, {asked.depth} layers, 16 frames of 256 px, float32, one window",
        "cpu_seconds": {n: {"median": medians[n], "least": min(s), "most": max(s)} for n, s in seconds.items()},
        "transformers_over_ours": medians["transformers"] / medians["ours"],
        "cuda": "not measured",
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
