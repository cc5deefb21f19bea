"""Is a card used as it should be? One command, under eight minutes, for a machine with a GPU; without one it says so and exits with 3.

    python benchmarks/gpu_check.py                 # writes gpu_check.json and prints the lines for the README
    python benchmarks/gpu_check.py --rehearse      # on the CPU with the toy encoder: sees that every part runs, and keeps nothing

Parts: equality with float32 on the CPU · share of the measured matrix rate for five encoders, eager and compiled, with memory and the
attention kernel · clips a second beside a plain ``transformers`` loop · where an extraction of drawn films waits · that no batch waits
for the device in secret · that running out of memory halves the batch · what one batch spends its time on. Random weights: only numbers of
operations matter. Timings are medians with least and most of at least five readings.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_encoder import flops, matmul_rate, seconds_of, spread
from torch.profiler import ProfilerActivity, profile

from vjepa_fer.cache.description import library_versions
from vjepa_fer.demo import DemoSettings, write_demo_set
from vjepa_fer.encoder import LoadedEncoder, load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe, settle_precision
from vjepa_fer.extract.batches import Batcher
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.manifest import Manifest
from vjepa_fer.recipe import Recipe, Sampling, Storage
from vjepa_fer.video.pool_settings import default_workers

ENCODERS = ("vjepa2-large-256", "vjepa2.1-base-384", "vjepa2.1-large-384", "vjepa1-huge-384", "vjepa2-giant-384")
GOAL_SHARE, GOAL_OVER_TRANSFORMERS = 0.6, 3.0
BOUNDS = {"float32": 1e-4, "bfloat16": 3e-2}
"""Largest distance from float32 on the CPU, over the tokens' own length: a few hundred roundings of 24 and of 8 bits."""
TURNS = 5


class Setting:
    """Where it runs, and with what."""

    def __init__(self, rehearse: bool) -> None:
        self.rehearse = rehearse
        self.device = "cpu" if rehearse else "cuda:0"
        self.encoders = ("tiny-v21",) if rehearse else ENCODERS
        self.precision = settle_precision("auto", [self.device]).precision

    def load(self, name: str, device: str, precision: Any) -> LoadedEncoder:
        return load_encoder(name, weights="random:0", device=device, precision=precision)


class Window:
    """A window-view of noise, whose levels nobody keeps."""

    def __init__(self, recipe: Recipe) -> None:
        height, width = recipe.preprocessing.crop_shape
        shape = (recipe.sampling.frames_per_window, height, width, 3)
        self.pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def finish(self, levels: dict[str, np.ndarray]) -> None:
        """Nothing."""


def recipe_of(encoder: LoadedEncoder) -> Recipe:
    return make_recipe(encoder, sampling=Sampling(num_segments=1), storage=Storage(levels=("mean", "frames")))


def batcher_of(encoder: LoadedEncoder, *, size: int | None = None) -> Batcher:
    return Batcher(encoder, recipe_of(encoder), StageClock(), size=size)


def equality(at: Setting) -> dict[str, Any]:
    """Tokens of one window beside those of float32 on the CPU."""
    name = at.encoders[0]
    reference = at.load(name, "cpu", "float32")
    height, width = reference.preprocessing.crop_shape
    pixels = torch.randn(1, 3, 16, height, width, generator=torch.Generator().manual_seed(0))
    expected = reference.encode(pixels)
    found = {}
    for precision, bound in BOUNDS.items():
        tokens = at.load(name, at.device, precision).encode(pixels).cpu()
        distance = float((tokens - expected).norm() / expected.norm())
        found[precision] = {"distance": distance, "bound": bound, "holds": distance <= bound}
    return {"encoder": name, **found}


def share(at: Setting) -> dict[str, Any]:
    """Of the rate of one large product, reached by whole batches as extraction sends them: staged, copied, encoded, pooled, fetched."""
    rate = matmul_rate("cuda" if at.device != "cpu" else "cpu", getattr(torch, at.precision), TURNS)
    results: dict[str, Any] = {"matmul_flops_a_second": rate}
    for name in at.encoders:
        encoder = at.load(name, at.device, at.precision)
        eager = batcher_of(encoder)
        results[name] = {"eager": _share_of(eager, rate["median"])}
        compiled, started = batcher_of(encoder, size=eager.size), time.perf_counter()
        compiled.compile(backend="eager" if at.rehearse else "inductor")
        seconds = {"seconds_to_compile": round(time.perf_counter() - started, 1)}
        results[name]["compiled"] = _share_of(compiled, rate["median"]) | seconds
    return results


def _share_of(batcher: Batcher, rate: float) -> dict[str, Any]:
    encoder = batcher.encoder
    rows = [Window(batcher.recipe)] * batcher.size * 4  # batches overlap, as in a job
    with peak_memory(encoder) as peak:
        seconds = seconds_of({"run": lambda: (batcher.run(rows), batcher.land())}, TURNS, str(encoder.device))["run"]
    height, width = batcher.recipe.preprocessing.crop_shape
    work = flops(encoder.spec.config, torch.empty(len(rows), 3, 16, height, width, device="meta"))
    grid = batcher.recipe.token_grid
    return {
        "batch": batcher.size,
        "attention_kernel": encoder.attention_kernel(grid[0] * grid[1] * grid[2]),
        "windows_a_second": spread([len(rows) / s for s in seconds]),
        "share_of_matmul_rate": spread([work / s / rate for s in seconds]),
        "peak_memory_gb": peak[0] / 1e9 if peak else "not measured",
        "goal": GOAL_SHARE,
    }


@contextmanager
def peak_memory(encoder: LoadedEncoder) -> Iterator[list[int]]:
    """Bytes that the block took at most on the card; empty where there is none."""
    peak: list[int] = []
    if encoder.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(encoder.device)
    yield peak
    if encoder.device.type == "cuda":
        peak.append(torch.cuda.max_memory_allocated(encoder.device))


def beside_transformers(at: Setting) -> dict[str, Any]:
    """Clips of one window a second: ours as extraction runs by default, theirs window by window in float32, as their own pages show."""
    encoder = at.load(at.encoders[0], at.device, at.precision)
    spec, batcher = encoder.spec, batcher_of(encoder)
    sizes = {"crop_size": spec.img_size, "frames_per_clip": 16, "hidden_size": spec.embed_dim}
    # Not at the top: seconds to import, and nothing is asked of it where there is no card.
    from transformers import VJEPA2Config, VJEPA2Model

    config = VJEPA2Config(
        **sizes,
        num_hidden_layers=spec.depth,
        num_attention_heads=spec.num_heads,
        mlp_ratio=spec.mlp_ratio,
        attn_implementation="sdpa",
    )
    theirs = VJEPA2Model(config).eval().to(at.device)
    rows = [Window(batcher.recipe)] * (batcher.size * 2)

    def plain() -> None:
        for row in rows[:8]:
            video = torch.from_numpy(row.pixels).permute(0, 3, 1, 2).float().div(255).sub(0.45).div(0.225)
            theirs(pixel_values_videos=video[None].to(at.device), skip_predictor=True).last_hidden_state.mean(1).cpu()

    with torch.inference_mode():
        jobs: dict[str, Callable[[], Any]] = {"ours": lambda: (batcher.run(rows), batcher.land()), "theirs": plain}
        seconds = seconds_of(jobs, TURNS, at.device)
    ours, loop = ([n / s for s in seconds[k]] for k, n in (("ours", len(rows)), ("theirs", len(rows[:8]))))
    ratios = [a / b for a, b in zip(ours, loop, strict=True)]
    return {
        "clips_a_second": {"ours": spread(ours), "transformers": spread(loop)},
        "ratio": spread(ratios),
        "goal": GOAL_OVER_TRANSFORMERS,
    }


def whole_job(at: Setting) -> dict[str, Any]:
    """An extraction of drawn films: what the card waits for."""
    encoder = at.load(at.encoders[0], at.device, at.precision)
    settings = DemoSettings(num_subjects=2 if at.rehearse else 16, num_repetitions=1 if at.rehearse else 8)
    with tempfile.TemporaryDirectory() as folder:
        manifest: Manifest = write_demo_set(Path(folder) / "films", settings)
        done = extract_manifest(
            manifest, Path(folder) / "cache", encoder, recipe_of(encoder), settings=ExtractSettings(), progress=False
        )
    profile_ = done.profile
    return {
        "clips": done.written,
        "clips_a_second": done.written / profile_.wall_seconds,
        "bottleneck": profile_.bottleneck,
        "busy": profile_.busy,
        "waits": profile_.waits,
        "decoders": default_workers(),
    }


def no_secret_wait(at: Setting) -> dict[str, Any]:
    """Several batches while torch refuses every synchronisation that nobody asked for."""
    batcher = batcher_of(at.load(at.encoders[0], at.device, at.precision), size=2)
    rows = [Window(batcher.recipe)] * 6
    batcher.run(rows)
    batcher.land()
    if at.rehearse:
        return {"holds": "not looked at: there is no card"}
    torch.cuda.set_sync_debug_mode("error")
    try:
        batcher.run(rows)
        batcher.land()
    except RuntimeError as error:
        return {"holds": False, "told": str(error).splitlines()[0]}
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return {"holds": True}


def out_of_memory(at: Setting) -> dict[str, Any]:
    """A batch that cannot fit halves until it does."""
    if at.rehearse:
        return {"holds": "not looked at: there is no card"}
    encoder = at.load(at.encoders[0], at.device, at.precision)
    asked = 4 * batcher_of(encoder).size
    free, _ = torch.cuda.mem_get_info(encoder.device)
    ballast = torch.empty(int(free * 0.9), dtype=torch.uint8, device=encoder.device)
    batcher = batcher_of(encoder, size=asked)
    batcher.run([Window(batcher.recipe)] * asked)
    batcher.land()
    del ballast
    torch.cuda.empty_cache()
    return {"asked": asked, "taken": batcher.size, "holds": batcher.size < asked}


def trace(at: Setting) -> dict[str, Any]:
    """What one batch spends its time on, by kernel."""
    batcher = batcher_of(at.load(at.encoders[0], at.device, at.precision))
    rows = [Window(batcher.recipe)] * batcher.size
    batcher.run(rows)
    batcher.land()
    on_card = ProfilerActivity.CPU if at.rehearse else ProfilerActivity.CUDA
    with profile(activities=[on_card]) as seen:
        batcher.run(rows)
        batcher.land()
    whose = "self_cpu_time_total" if at.rehearse else "self_device_time_total"
    events = sorted(seen.key_averages(), key=lambda event: -getattr(event, whose))
    total = sum(getattr(event, whose) for event in events) or 1.0
    return {event.key[:80]: round(getattr(event, whose) / total, 4) for event in events[:12]}


PARTS = (equality, share, beside_transformers, whole_job, no_secret_wait, out_of_memory, trace)


def readme_lines(result: dict[str, Any]) -> Iterator[str]:
    """What may be said in the README of this card."""
    device = result["device"]
    for name, kinds in result["share"].items():
        if name != "matmul_flops_a_second":
            for kind, one in kinds.items():
                part, rate = one["share_of_matmul_rate"]["median"], one["windows_a_second"]["median"]
                yield f"{name}, {kind}, {device}: {rate:.0f} windows a second, {part:.0%} of the matrix rate"
    yield f"{result['beside_transformers']['ratio']['median']:.1f} times as fast as a plain transformers loop"


def main() -> None:
    """Every part, as JSON beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="on the CPU with the toy encoder; keeps nothing")
    asked = parser.parse_args()
    if not asked.rehearse and not torch.cuda.is_available():
        print("no GPU at hand: nothing was measured (--rehearse sees that every part runs)", file=sys.stderr)
        raise SystemExit(3)
    at = Setting(asked.rehearse)
    device = "cpu" if asked.rehearse else torch.cuda.get_device_name(at.device)
    result: dict[str, Any] = {
        "device": device,
        "precision": at.precision,
        "versions": library_versions("vjepa-fer", "torch", "transformers"),
    }
    seconds = {}
    for part in PARTS:
        started = time.perf_counter()
        result[part.__name__] = part(at)
        seconds[part.__name__] = round(time.perf_counter() - started, 1)
        print(f"{part.__name__}: {seconds[part.__name__]} s", file=sys.stderr, flush=True)
    result["seconds"] = {**seconds, "all": round(sum(seconds.values()), 1)}
    for line in readme_lines(result):
        print(line)
    if not asked.rehearse:
        Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
