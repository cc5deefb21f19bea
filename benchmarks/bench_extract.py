"""Does the pipeline keep its stages busy, and what is it beside the plain loop that one writes with ``transformers``?

    python benchmarks/bench_extract.py > benchmarks/bench_extract.json
    python benchmarks/bench_extract.py --device cuda --precision float16 --encoder large      # the goal's case

Whole extractions of the same 720p clips in turns. First a tiny encoder with 0, 1 and 2 decode workers: decoding is the larger part,
as beside a GPU. Then V-JEPA 2 both ways, with eight segments a clip (a 110-frame clip has fewer distinct windows than eight): the
loop opens each clip with decord, fetches all frames of its windows, resizes, crops and normalises them as the reference does, and
runs one clip at a time. Wall and CPU seconds; wall times want an idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decord
import numpy as np
import torch
from bench_decode import write_clip
from torch.nn import functional as F
from transformers import VJEPA2Config, VJEPA2Model

from vjepa_fer.cache.description import library_versions
from vjepa_fer.encoder import LoadedEncoder, load_encoder
from vjepa_fer.encoder.loading.load import random_encoder
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import IMAGENET_MEAN, IMAGENET_STD, EncoderSpec, Preprocessing, Sampling
from vjepa_fer.video.sampling import reference_segments
from vjepa_fer.workers import num_cores

SEGMENTS = Sampling(rule="reference", num_segments=8)
SMALL = {"embed_dim": 384, "depth": 2, "num_heads": 6}  # of our own: a turn on a CPU takes seconds


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def run_once(manifest: Manifest, cache: Path, workers: int) -> dict[str, Any]:
    """One extraction with the tiny encoder into a fresh cache."""
    encoder = load_encoder("tiny-v21", weights="random:0")
    settings = ExtractSettings(workers=workers)
    summary = extract_manifest(manifest, cache, encoder, make_recipe(encoder), settings=settings, progress=False)
    profile = dataclasses.asdict(summary.profile)
    return {"clips_per_second": summary.written / summary.profile.wall_seconds, **profile}


def compare_workers(manifest: Manifest, folder: Path, repeats: int) -> dict[str, Any]:
    """Decoding in line beside one and two workers."""
    runs: dict[int, list[dict[str, Any]]] = {0: [], 1: [], 2: []}
    for repeat in range(repeats):
        for workers in runs:
            runs[workers].append(run_once(manifest, folder / f"{workers}-{repeat}", workers))
    return {
        str(workers): {
            "clips_per_second": spread([run["clips_per_second"] for run in several]),
            "busy": several[-1]["busy"],
            "bottleneck": several[-1]["bottleneck"],
        }
        for workers, several in runs.items()
    }


def our_encoder(size: str, device: str, precision: str) -> LoadedEncoder:
    """V-JEPA 2 with random weights."""
    shape = {"img_size": 256, "patch_size": 16, "num_frames": 16, "tubelet_size": 2, "mlp_ratio": 4.0}
    small = {"family": "v2", **shape, **SMALL, "uniform_power": False, "layer_norm_eps": 1e-6}
    config = small if size == "small" else {**encoder_config("vjepa2-large-256"), "num_frames": 16}
    return LoadedEncoder(
        module=random_encoder(config, 0).to(device, getattr(torch, precision)),
        spec=EncoderSpec(name="bench", weights="random:0", state_key="random", **config),
        preprocessing=Preprocessing(crop_size=256),
        precision=precision,  # type: ignore[arg-type]
        device=torch.device(device),
    )


def their_encoder(spec: EncoderSpec, device: str, precision: str) -> VJEPA2Model:
    """The same sizes in ``transformers``."""
    sizes = {"hidden_size": spec.embed_dim, "num_hidden_layers": spec.depth, "num_attention_heads": spec.num_heads}
    config = VJEPA2Config(crop_size=256, frames_per_clip=16, attn_implementation="sdpa", **sizes)
    return VJEPA2Model(config).eval().to(device, getattr(torch, precision))


@torch.inference_mode()
def plain_loop(manifest: Manifest, folder: Path, model: VJEPA2Model) -> None:
    """What one writes first: for each clip decode, transform, encode, save the mean."""
    folder.mkdir()
    mean, std = (torch.tensor(v, device=model.device).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    for clip in manifest.clips:
        reader = decord.VideoReader(clip.path, num_threads=1, ctx=decord.cpu(0))
        indices = reference_segments(len(reader), SEGMENTS)
        frames = torch.from_numpy(reader.get_batch(indices.ravel().tolist()).asnumpy()).permute(
            0, 3, 1, 2
        )  # (8·16, 3, H, W)
        height, width = frames.shape[2:]
        size = (292, 292 * width // height)
        frames = F.interpolate(frames.to(model.device).float() / 255, size=size, mode="bilinear")
        top, left = (size[0] - 256) // 2, (size[1] - 256) // 2
        pixels = ((frames[:, :, top : top + 256, left : left + 256] - mean) / std).to(model.dtype)
        windows = pixels.unflatten(0, indices.shape)  # (8, 16, 3, 256, 256)
        tokens = model(pixel_values_videos=windows, skip_predictor=True).last_hidden_state
        np.save(folder / f"{clip.clip_id}.npy", tokens.float().mean(1).cpu().numpy())


def compare_with_plain_loop(manifest: Manifest, folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Seconds of both ways, and the ratio of each turn."""
    encoder = our_encoder(asked.encoder, asked.device, asked.precision)
    model = their_encoder(encoder.spec, asked.device, asked.precision)
    recipe = make_recipe(encoder, sampling=SEGMENTS)
    jobs: dict[str, Callable[[Path], Any]] = {
        "ours": lambda path: extract_manifest(manifest, path, encoder, recipe, progress=False),
        "plain_loop": lambda path: plain_loop(manifest, path, model),
    }
    wall: dict[str, list[float]] = {name: [] for name in jobs}
    for turn in range(asked.repeats + 1):
        for name, job in jobs.items():
            started = time.perf_counter()
            job(folder / f"{name}-{turn}")
            if turn:  # the first is to warm up
                wall[name].append(time.perf_counter() - started)
    return {
        "encoder": f"V-JEPA 2, {encoder.spec.embed_dim} wide, {encoder.spec.depth} layers, 256 px, {asked.precision}",
        "device": torch.cuda.get_device_name() if asked.device.startswith("cuda") else "cpu",
        "clips_per_second": {
            name: spread([len(manifest.clips) / s for s in several]) for name, several in wall.items()
        },
        "plain_loop_over_ours": spread([b / a for a, b in zip(wall["ours"], wall["plain_loop"], strict=True)]),
    }


def main() -> None:
    """Both comparisons, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--encoder", default="small", choices=["small", "large"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        video = write_clip(folder / "clip.mp4", "libx264", (720, 1280), 110)
        manifest = Manifest(clips=tuple(Clip(f"c{i}", str(video), "happy", f"s{i}") for i in range(asked.clips)))
        result = {
            "schema": "vjepa-fer/bench-extract/2",
            "machine": {"system": platform.platform(), "cpus": num_cores()},
            "versions": library_versions("vjepa-fer", "torch", "av", "decord", "transformers"),
            "clips": f"{asked.clips} × 720p h264 of 110 frames",
            "workers": {
                "job": "tiny-v21 in float32 on the CPU, default sampling and levels",
                **compare_workers(manifest, folder, asked.repeats),
            },
            "plain_transformers_loop": compare_with_plain_loop(manifest, folder, asked),
            "cuda": "see plain_transformers_loop" if asked.device.startswith("cuda") else "not measured",
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
