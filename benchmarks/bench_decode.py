"""What does decoding a clip cost, beside the access pattern of V-JEPA's evaluation: open, fetch each window's frames, duplicates included?

Draws clips of RAVDESS's and CREMA-D's sizes and one of 10 bits, reads their windows both ways in one process and in turns, and
prints JSON: CPU seconds, median and spread. The reference's way of sliding windows, an open for each, is measured on a few windows and multiplied.

    python benchmarks/bench_decode.py > benchmarks/bench_decode.json
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import decord
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from vjepa_fer.cache.description import library_versions
from vjepa_fer.recipe import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, Sampling
from vjepa_fer.video import crop_views, decode_video, normalise, read_windows, sample_windows
from vjepa_fer.video.colour import ToRGB
from vjepa_fer.video.sampling import reference_segments, reference_sliding
from vjepa_fer.workers import num_cores

CLIPS = {
    "720p h264, 110 frames": ("libx264", "yuv420p", (720, 1280), 110, "clip.mp4"),
    "360p flv1, 76 frames": ("flv1", "yuv420p", (360, 480), 76, "clip.flv"),
    "720p h264 of 10 bits, 110 frames": ("libx264", "yuv420p10le", (720, 1280), 110, "clip10.mp4"),
}
WINDOWS_MEASURED = 3


def write_clip(path: Path, codec: str, size: tuple[int, int], num_frames: int, pixels: str = "yuv420p") -> Path:
    """Something like a face's detail: a blurred noise that drifts, at 3.7 Mbit/s."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (size[0] // 8 + 20, size[1] // 8 + 20, 3)).astype(np.uint8)
    large = np.repeat(np.repeat(small, 8, 0), 8, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = *size, pixels, 3_700_000
        for number in range(num_frames):
            shift = number % 100
            picture = np.ascontiguousarray(large[shift : shift + size[0], shift : shift + size[1]])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def cpu_seconds(jobs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, Any]]:
    """CPU time of each job: one call to warm up, then median, least and most of some, the jobs in turns."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(repeats + 1):
        for name, job in jobs.items():
            started = time.process_time()
            job()
            times[name] += [time.process_time() - started] * (number > 0)
    return {
        name: {"median": statistics.median(each), "least": min(each), "most": max(each), "repeats": repeats}
        for name, each in times.items()
    }


def fetch(path: Path, windows: np.ndarray) -> np.ndarray:
    """The reference's access: a reader, and one batch with every frame of the windows, as often as they name it."""
    reader = decord.VideoReader(str(path), num_threads=1, ctx=decord.cpu(0))
    return reader.get_batch(windows.ravel().tolist()).asnumpy()


def compare_decoding(path: Path, repeats: int) -> dict[str, Any]:
    """Eight segments, and windows at stride 1."""
    num_frames = decode_video(path).num_frames
    keep = Preprocessing(crop_size=384, num_views=3)
    segments = Sampling(rule="reference", num_segments=8)
    sliding = Sampling(rule="reference", mode="sliding")
    theirs = reference_segments(num_frames, segments).indices()
    slides = reference_sliding(num_frames, sliding).indices()
    some = slides[:: max(len(slides) // WINDOWS_MEASURED, 1)][:WINDOWS_MEASURED]
    tiny = {"prepare": lambda rgb: rgb[::16, ::16].copy()}  # decoding alone: resizing is not the question here

    def ours(sampling: Sampling) -> None:
        def chosen(count: int) -> list[int]:
            return sorted({i for w in sample_windows(count, sampling) for i in w.frame_indices})

        decode_video(path, choose=chosen, **tiny)

    seconds = cpu_seconds(
        {
            "segments": lambda: ours(segments),
            "reference_segments": lambda: fetch(path, theirs),
            "sliding": lambda: ours(sliding),
            "reference_sliding": lambda: [fetch(path, window) for window in some],
            "resized": lambda: read_windows(path, segments, keep),
        },
        repeats,
    )
    each = {k: v / len(some) * len(slides) if k != "repeats" else v for k, v in seconds["reference_sliding"].items()}
    result = {
        "frames": num_frames,
        "eight_segments": {"reference_s": seconds["reference_segments"], "ours_s": seconds["segments"]},
        "stride_1": {
            "windows": len(slides),
            "reference_s": {**each, "extrapolated_from_windows": len(some)},
            "ours_s": seconds["sliding"],
        },
        "decode_and_resize_ours_s": seconds["resized"],
        "colours_of_24_frames": compare_colours(path, repeats),
    }
    for kind in ("eight_segments", "stride_1"):
        result[kind]["ratio"] = result[kind]["reference_s"]["median"] / result[kind]["ours_s"]["median"]
    return result


def compare_colours(path: Path, repeats: int) -> dict[str, Any]:
    """The ffmpeg program's RGB beside PyAV's own (bilinear: other numbers, where chroma lies between the pixels)."""
    with av.open(str(path)) as container:
        frames = list(itertools.islice(container.decode(video=0), 24))
    ours, theirs = ToRGB(), VideoReformatter()
    seconds = cpu_seconds(
        {
            "pyav_s": lambda: [theirs.reformat(f, format="rgb24", threads=1).to_ndarray() for f in frames],
            "ours_s": lambda: [ours(f) for f in frames],
        },
        repeats,
    )
    return {**seconds, "ratio": seconds["pyav_s"]["median"] / seconds["ours_s"]["median"]}


def compare_normalising(repeats: int) -> dict[str, Any]:
    """Three overlapping views of 16 frames: each in float64 on its own, against once and then slices."""
    frames = np.random.default_rng(0).integers(0, 256, (16, 384, 682, 3)).astype(np.uint8)
    recipe = Preprocessing(crop_size=384, num_views=3)
    mean, std = (torch.tensor(v)[:, None, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))

    def view_by_view() -> None:
        for view in crop_views(frames, recipe):
            buffer = np.zeros((3, *view.shape[:3]))
            for position, picture in enumerate(view):
                buffer[:, position] = picture.transpose(2, 0, 1)
            (torch.from_numpy(buffer / 255).float() - mean) / std

    def once() -> None:
        crop_views(normalise(torch.from_numpy(frames), recipe).permute(1, 2, 3, 0).numpy(), recipe)

    seconds = cpu_seconds({"view_by_view_s": view_by_view, "once_s": once}, repeats)
    return {**seconds, "ratio": seconds["view_by_view_s"]["median"] / seconds["once_s"]["median"]}


def main() -> None:
    """All comparisons, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        clips = {
            name: compare_decoding(write_clip(Path(folder) / file, codec, size, frames, pixels), repeats)
            for name, (codec, pixels, size, frames, file) in CLIPS.items()
        }
    result = {
        "schema": "vjepa-fer/bench-decode/2",
        "machine": {"system": platform.platform(), "cpus": num_cores()},
        "versions": library_versions("vjepa-fer", "torch", "av", "decord", "numpy"),
        "clips": clips,
        "normalise_16_frames_3_views_384px": compare_normalising(repeats),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
