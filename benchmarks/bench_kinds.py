"""Is what is extracted what the ffmpeg program and OpenCV make of it, whatever a film's codec and container?

The ffmpeg program writes films of every kind below, from a drawn and, if given, a real film. They are extracted with a small random encoder.
Then everything is done once more without this library's video code: frames and times as the ffmpeg program gives them, frame numbers
by the rule as the paper's words have it, OpenCV's resize, and the same encoder. Prints JSON; ends with 1 where anything differs.

    python benchmarks/bench_kinds.py --film franck.mp4 > benchmarks/bench_kinds.json
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.description import library_versions
from vjepa_fer.encoder import LoadedEncoder, load_encoder
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import IMAGENET_MEAN, IMAGENET_STD, Sampling
from vjepa_fer.workers import num_cores

TOLERANCE = 1e-4
X264, X265 = "libx264 -preset veryfast", "libx265 -preset ultrafast -x265-params log-level=none"
VP8, VP9 = "libvpx -deadline realtime -cpu-used 8", "libvpx-vp9 -deadline realtime -cpu-used 8"
AV1 = "libsvtav1 -preset 12"
B_FRAMES = " -bf 2"
KINDS = {
    "mp4": [X264, X264 + B_FRAMES, X264 + " -movflags frag_keyframe+empty_moov", X265, VP9, AV1, "mpeg4", "mjpeg", "mpeg2video"],
    "mov": [X264, "mpeg4", "mjpeg", "qtrle -pix_fmt rgb24", "prores_ks -pix_fmt yuv422p10le"],
    "3gp": [X264, "mpeg4", "h263"],
    "mkv": [X264, X265, VP8, VP9, AV1, "mpeg4", "mpeg2video", "ffv1", "huffyuv -pix_fmt yuv422p", "libtheora", "mjpeg", "snow -strict -2"],
    "webm": [VP8, VP9, AV1, VP8 + " -live 1"],
    "avi": [X264, X264 + B_FRAMES, "mpeg4", "mpeg4" + B_FRAMES, "libxvid", "msmpeg4", "msmpeg4v2", "mjpeg", "ffv1", "mpeg2video" + B_FRAMES, "wmv2"],
    "flv": ["flv", X264, "flv -flvflags no_duration_filesize"],
    "ts": [X264, X265, "mpeg2video"],
    "mpg": ["mpeg1video", "mpeg2video" + B_FRAMES],
    "wmv": ["wmv1", "wmv2"],
    "ogv": ["libtheora"],
    "nut": ["mpeg4", X264],
    "ivf": [VP8, VP9],
    "mxf": ["mpeg2video"],
}  # fmt: skip
DRAWN = ["-f", "lavfi", "-i", "testsrc2=d=2.4:r=30:s=352x288"]
SAMPLING = Sampling(num_segments=2)


@dataclass(frozen=True)
class Film:
    """One film and how it was made."""

    path: Path
    container: str
    codec: str
    content: str


def ffmpeg(*arguments: str | Path) -> bytes:
    """What the ffmpeg program prints."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def write_films(folder: Path, real: Path | None) -> list[Film]:
    """Every kind, of each content."""
    sources = {"drawn": DRAWN}
    if real is not None:
        sources["real"] = ["-ss", "20", "-t", "2.4", "-i", str(real), "-vf", "scale=352:288,fps=25", "-an"]
    films = []
    for content, source in sources.items():
        for container, codecs in KINDS.items():
            for number, codec in enumerate(codecs):
                path = folder / f"{content}-{container}-{number}.{container}"
                pixels = [] if "-pix_fmt" in codec else ["-pix_fmt", "yuvj420p" if codec == "mjpeg" else "yuv420p"]
                ffmpeg(*source, "-c:v", *codec.split(), "-q:v", "4", *pixels, "-strict", "-2", path)
                films.append(Film(path, container, codec, content))
    return films


def frames_of(path: Path) -> np.ndarray:
    """All frames (N, 288, 352, 3) as the ffmpeg program decodes and converts them."""
    raw = ffmpeg("-i", path, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, 288, 352, 3)


def times_of(path: Path) -> np.ndarray:
    """Their times in seconds."""
    told = ffmpeg("-copyts", "-i", path, "-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "framecrc", "-")
    lines = told.decode().splitlines()
    base = next(line.split(": ")[1] for line in lines if line.startswith("#tb"))
    numerator, denominator = map(int, base.split("/"))
    return np.array([int(line.split(",")[2]) * numerator / denominator for line in lines if not line.startswith("#")])


def frame_numbers(count: int) -> list[list[int]]:
    """Two windows of 16 frames 4 apart, the first from the start, the second up to the end; a short film repeats its last frame."""
    span = 15 * 4 + 1
    starts = [0, count - span] if count > span else [0]
    return [[min(start + 4 * k, count - 1) for k in range(16)] for start in starts]


def window_mean(frames: np.ndarray, numbers: list[int], encoder: LoadedEncoder) -> np.ndarray:
    """The mean of a window's tokens, from OpenCV's pixels."""
    crop = encoder.preprocessing.crop_size
    short = int(crop * 256 / 224)
    width = int(short * 352 / 288)
    top, left = round((short - crop) / 2), round((width - crop) / 2)
    resized = np.stack([cv2.resize(frames[n], (width, short), interpolation=cv2.INTER_LINEAR) for n in numbers])
    pixels = torch.from_numpy(resized[:, top : top + crop, left : left + crop] / 255).float()
    normal = (pixels - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    return encoder.encode(normal.permute(3, 0, 1, 2)[None]).mean(dim=1)[0].numpy()


def compare(film: Film, cached: Any, encoder: LoadedEncoder) -> dict[str, Any]:
    """One film's figures beside those of its cached clip."""
    frames, times = frames_of(film.path), times_of(film.path)
    numbers = frame_numbers(len(frames))
    theirs = np.stack([window_mean(frames, one, encoder) for one in numbers])
    ours = cached.level("mean")
    same = cached.frame_indices.tolist() == numbers
    result: dict[str, Any] = {"container": film.container, "codec": film.codec, "content": film.content}
    result |= {"frames": len(frames), "same_frame_numbers": same}
    if same:
        result["mean_relative_difference"] = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
        gaps = cached.timestamps - times[np.array(numbers)]
        result["times_largest_difference_s"] = float(np.abs(gaps).max())
    return result


def agrees(result: dict[str, Any]) -> bool:
    """Whether all three are the same; times but for what a container's clock rounds."""
    close = result.get("mean_relative_difference", 1.0) < TOLERANCE
    return bool(result["same_frame_numbers"] and close and result["times_largest_difference_s"] < TOLERANCE)


def main() -> int:
    """All kinds, as JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--film", type=Path, help="a real film of a face, besides the drawn one")
    given = parser.parse_args()
    torch.set_num_threads(1)
    encoder = load_encoder("tiny-v21", weights="random:1")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films = write_films(folder, given.film)
        clips = tuple(Clip(film.path.stem, str(film.path), film.content, film.path.stem) for film in films)
        recipe = make_recipe(encoder, sampling=SAMPLING)
        summary = extract_manifest(
            Manifest(clips), folder / "cache", encoder, recipe, settings=ExtractSettings(workers=1), progress=False
        )
        cached = {clip.clip.clip_id: clip for clip in open_cache(folder / "cache")}
        results = [compare(film, cached[film.path.stem], encoder) for film in films if film.path.stem in cached]
    differing = [result for result in results if not agrees(result)]
    kinds = {(film.container, film.codec) for film in films}
    print(
        json.dumps(
            {
                "schema": "vjepa-fer/bench-kinds/1",
                "machine": {"system": platform.platform(), "cpus": num_cores()},
                "versions": library_versions("vjepa-fer", "torch", "av", "opencv-python-headless", "numpy"),
                "ffmpeg": ffmpeg("-version").decode().split(" Copyright")[0],
                "kinds": len(kinds),
                "clips": len(films),
                "extracted": summary.written,
                "failed": [f"{failure.clip_id}: {failure.message}" for failure in summary.failures],
                "notes": {clip_id: list(notes) for clip_id, notes in summary.notes.items()},
                "largest_relative_difference_of_means": max(r.get("mean_relative_difference", 1.0) for r in results),
                "largest_difference_of_times_s": max(r.get("times_largest_difference_s", 1.0) for r in results),
                "agree": len(results) - len(differing),
                "differing": differing,
                "results": results,
            },
            indent=2,
        )
    )
    return 1 if differing or summary.failures else 0


if __name__ == "__main__":
    sys.exit(main())
