"""Is the encoder as fast as ``transformers``' V-JEPA 2 with the same sizes, precision and threads, and how near to the hardware's matrix rate?

Both encode the same windows in turns in one process; JSON with seconds, median and spread, the ratio of each turn, and what share
of the rate of large matrix products, measured in the same run, the encoder reaches. CPU time on a CPU, wall time on a GPU.

    python benchmarks/bench_encoder.py > benchmarks/bench_encoder.json
    python benchmarks/bench_encoder.py --device cuda --precision bfloat16 --windows 16        # the two large encoders too
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from vjepa_fer.cache.description import library_versions
from vjepa_fer.encoder.loading.load import random_encoder
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.workers import num_cores

LARGE = ("vjepa1-huge-384", "vjepa2.1-large-384")
NUM_FRAMES = 16


def seconds_of(jobs: dict[str, Callable[[], Any]], turns: int, device: str) -> dict[str, list[float]]:
    """Seconds of each job in each turn, after one turn to warm up."""
    on_gpu = device.startswith("cuda")
    clock = time.perf_counter if on_gpu else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(turns + 1):
        for name, job in jobs.items():
            if on_gpu:
                torch.cuda.synchronize()
            started = clock()
            job()
            if on_gpu:
                torch.cuda.synchronize()
            if turn:
                seconds[name].append(clock() - started)
    return seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def flops(config: dict[str, Any], pixels: torch.Tensor) -> float:
    """Multiplications and additions of one forward pass: four D × D and the MLP's products a token, and attention N × N."""
    batch, _, frames, height, width = pixels.shape
    tubelet, patch, dim = config["tubelet_size"], config["patch_size"], config["embed_dim"]
    tokens = (frames // tubelet) * (height // patch) * (width // patch)
    layer = 2 * tokens * dim * dim * (4 + 2 * config["mlp_ratio"]) + 4 * tokens**2 * dim
    return batch * (config["depth"] * layer + 2 * tokens * dim * 3 * tubelet * patch**2)


def matmul_rate(device: str, dtype: torch.dtype, turns: int) -> dict[str, float]:
    """Operations a second of one large square product: the rate that the encoder is held against."""
    side = 8192 if device.startswith("cuda") else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = seconds_of({"matmul": lambda: a @ b}, turns, device)["matmul"]
    return spread([2 * side**3 / s for s in seconds])


def beside_transformers(asked: argparse.Namespace, dtype: torch.dtype, rate: float) -> dict[str, Any]:
    """ViT-L's width, so that a turn takes seconds with fewer layers; each layer costs the same."""
    # Not at the top: seconds to import, and gpu_check.py may do without.
    from transformers import VJEPA2Config, VJEPA2Model

    shape = {"img_size": 256, "patch_size": 16, "num_frames": NUM_FRAMES, "tubelet_size": 2}
    config = {"family": "v2", **shape, "embed_dim": 1024, "depth": asked.depth, "num_heads": 16, "mlp_ratio": 4.0}
    ours = random_encoder({**config, "uniform_power": False, "layer_norm_eps": 1e-6}, 0).to(asked.device, dtype)
    sizes = {"crop_size": 256, "frames_per_clip": NUM_FRAMES, "hidden_size": 1024, "num_attention_heads": 16}
    theirs = VJEPA2Model(VJEPA2Config(**sizes, num_hidden_layers=asked.depth, attn_implementation="sdpa"))
    theirs = theirs.eval().to(asked.device, dtype)
    pixels = torch.randn(asked.windows, 3, NUM_FRAMES, 256, 256, device=asked.device, dtype=dtype)
    jobs: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(pixels),
        "transformers": lambda: theirs(pixel_values_videos=pixels.transpose(1, 2), skip_predictor=True),
    }
    seconds = seconds_of(jobs, asked.repeats, asked.device)
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["transformers"], strict=True)]
    return {
        "encoder": f"ViT-L width, {asked.depth} layers, {NUM_FRAMES} frames of 256 px, {asked.windows} windows",
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "transformers_over_ours": spread(ratios),
        "share_of_matmul_rate": flops(config, pixels) / statistics.median(seconds["ours"]) / rate,
    }


def large_encoders(asked: argparse.Namespace, dtype: torch.dtype, rate: float) -> dict[str, Any]:
    """The official encoders that the goal is stated for, at their full depth, as they are and compiled."""
    results = {}
    for name in LARGE:
        config = encoder_config(name)
        side = config["img_size"]
        pixels = torch.randn(asked.windows, 3, NUM_FRAMES, side, side, device=asked.device, dtype=dtype)
        module = random_encoder(config, 0).to(asked.device, dtype)
        results[name] = {}
        for kind in ("eager", "compiled"):
            if kind == "compiled":
                for block in module.blocks:
                    block.compile(dynamic=False)
            seconds = seconds_of({name: lambda m=module, p=pixels: m(p)}, asked.repeats, asked.device)[name]
            share = flops(config, pixels) / statistics.median(seconds) / rate
            results[name][kind] = {"seconds": spread(seconds), "share_of_matmul_rate": share}
    return results


def main() -> None:
    """All of it, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "float16"])
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    dtype, on_gpu = getattr(torch, asked.precision), asked.device.startswith("cuda")
    with torch.inference_mode():
        rate = matmul_rate(asked.device, dtype, asked.repeats)
        result = {
            "schema": "vjepa-fer/bench-encoder/2",
            "machine": {"system": platform.platform(), "cpus": num_cores(), "threads": asked.threads},
            "versions": library_versions("vjepa-fer", "torch", "transformers"),
            "device": torch.cuda.get_device_name() if on_gpu else "cpu",
            "precision": asked.precision,
            "clock": "wall" if on_gpu else "CPU time",
            "matmul_flops_a_second": rate,
            "beside_transformers": beside_transformers(asked, dtype, rate["median"]),
            "large_encoders": large_encoders(asked, dtype, rate["median"]) if on_gpu else "not measured",
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
