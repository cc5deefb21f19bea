"""How fast is the cache beside a raw file, np.memmap, safetensors and zarr v3, on the same array; and what does int8 cost?

Token rows of ViT-H at 384 px (11.8 MB each, one a clip) are written and read in every format, rounds interleaved, page cache
warm, every written file fsynced; then the pooled features of CREMA-D's size beside np.load, and clips of 200 KB in 1,000 shards
beside pread. Ours computes a SHA-256 and a CRC-32 of all bytes as it writes, the others compute none: how fast these two are by
themselves stands beside. Prints JSON.

    python benchmarks/bench_cache.py --folder /dev/shm > benchmarks/bench_cache.json
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.cache import ClipRows, ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.int8 import dequantise, quantise
from vjepa_fer.cache.sums import dataset_checksum, row_checksums
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import EncoderSpec, ImportedRecipe, Preprocessing, Recipe, Sampling, Storage
from vjepa_fer.workers import num_cores

TOKENS = (8, 24, 24, 1280)


def token_recipe(side: int, dim: int, frames: int) -> Recipe:
    """float16 tokens of a side × side grid."""
    encoder = EncoderSpec(
        name="bench",
        family="v2",
        img_size=384,
        embed_dim=dim,
        depth=1,
        num_heads=1,
        weights="random:0",
        state_key="random",
    )
    return Recipe(
        encoder=encoder,
        sampling=Sampling(frames_per_window=frames, num_segments=1),
        preprocessing=Preprocessing(crop_size=16 * side),
        storage=Storage(levels=("tokens",)),
    )


def rows_of(clip_id: str, level: str, array: np.ndarray, num_frames: int) -> ClipRows:
    """One window."""
    one, frames = np.ones(1), np.zeros((1, num_frames))
    index = dict.fromkeys(("start_frame", "view", "multiplicity", "num_real_frames"), one)
    return ClipRows(clip_id, "", **index, frame_indices=frames, timestamps=frames, levels={level: array[None]})


def write_cache(root: Path, recipe: Any, level: str, arrays: np.ndarray, shard_bytes: int = 64 << 20) -> None:
    """One clip an array."""
    clips = tuple(Clip(f"c{n:05d}", "", "ab"[n % 2], f"s{n % 9}") for n in range(len(arrays)))
    prepare_cache(root, recipe, Manifest(clips=clips))
    writer = ShardWriter(root, recipe, shard_bytes=shard_bytes)
    num_frames = 0 if isinstance(recipe, ImportedRecipe) else recipe.sampling.frames_per_window
    for clip, array in zip(clips, arrays, strict=True):
        writer.add(rows_of(clip.clip_id, level, array, num_frames))
    writer.flush()


class Raw:
    """Bytes one after the other; read with pread."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, array: np.ndarray) -> None:
        with self.path.open("wb") as file:
            file.write(array.data)

    def open(self) -> Callable[[int], np.ndarray]:
        size = int(np.prod(TOKENS)) * 2
        descriptor = os.open(self.path, os.O_RDONLY)
        return lambda n: np.frombuffer(os.pread(descriptor, size, n * size), np.float16).reshape(TOKENS)


class Memmap(Raw):
    """np.memmap of an .npy file; a clip is copied, as a probe would."""

    def write(self, array: np.ndarray) -> None:
        with self.path.open("wb") as file:
            np.save(file, array)

    def open(self) -> Callable[[int], np.ndarray]:
        array = np.load(self.path, mmap_mode="r")
        return lambda n: np.array(array[n])


class Safetensors(Raw):
    """One tensor, read by slices."""

    def write(self, array: np.ndarray) -> None:
        from safetensors.numpy import save_file

        save_file({"tokens": array}, self.path)

    def open(self) -> Callable[[int], np.ndarray]:
        from safetensors import safe_open

        found = safe_open(self.path, "np").get_slice("tokens")
        return lambda n: found[n]


class Zarr(Raw):
    """Zarr v3, one clip a chunk, uncompressed."""

    def write(self, array: np.ndarray) -> None:
        import zarr

        shutil.rmtree(self.path, ignore_errors=True)
        made = zarr.create_array(self.path, shape=array.shape, chunks=(1, *TOKENS), dtype="f2", compressors=None)
        made[:] = array

    def open(self) -> Callable[[int], np.ndarray]:
        import zarr

        array = zarr.open_array(self.path, mode="r")
        return lambda n: array[n]


class OurCache(Raw):
    """Shards of 64 MB with checksums."""

    def write(self, array: np.ndarray) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        write_cache(self.path, token_recipe(24, 1280, 16), "tokens", array)

    def open(self) -> Callable[[int], np.ndarray]:
        cache = open_cache(self.path)
        return lambda n: cache[n].level("tokens", dtype="stored")[0]


def written(store: Raw, array: np.ndarray) -> None:
    """Write, and wait until all of it is on the disk, which our writer does by itself."""
    store.write(array)
    files = [path for path in store.path.rglob("*") if path.is_file()] if store.path.is_dir() else [store.path]
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def checksums(array: np.ndarray) -> None:
    """The two that our writer computes, in two threads as there."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda work: work(), (lambda: dataset_checksum(array), lambda: row_checksums(array))))


class Seconds(NamedTuple):
    """What a call took: by the clock, and of all threads on the processor, which other people's work does not lengthen."""

    wall: float
    cpu: float


def timed(work: Callable[[], Any]) -> Seconds:
    """Seconds of one call."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def consume(read: Callable[[int], np.ndarray], numbers: Iterable[int]) -> None:
    """Read one clip after the other, keeping none."""
    for number in numbers:
        read(number)


def spread(values: list[Seconds], figure: Callable[[float], float] = lambda seconds: seconds) -> dict[str, Any]:
    """Median, least and most of a figure, by wall and by CPU time."""
    kinds = {kind: [figure(getattr(value, kind)) for value in values] for kind in Seconds._fields}
    return {
        kind: {"median": round(statistics.median(v), 4), "min": round(min(v), 4), "max": round(max(v), 4)}
        for kind, v in kinds.items()
    }


def token_formats(folder: Path, rounds: int, num_clips: int) -> dict[str, Any]:
    """GB/s of writing, sequential reading and random clips, by format."""
    array = np.random.default_rng(0).standard_normal((num_clips, *TOKENS), np.float32).astype(np.float16)
    formats = {"raw pread": Raw, "vjepa-fer": OurCache, "np.memmap": Memmap, "safetensors": Safetensors}
    try:
        metadata.version("zarr")
        formats["zarr v3"] = Zarr
    except metadata.PackageNotFoundError:
        pass
    order = np.random.default_rng(1).permutation(num_clips).tolist()
    seconds: dict[str, dict[str, list[Seconds]]] = {n: {"write": [], "sequential": [], "random": []} for n in formats}
    stores = {name: kind(folder / name.replace(" ", "-")) for name, kind in formats.items()}
    alone = []
    for number, (name, store) in enumerate([*stores.items()] * 3):
        alone += [timed(lambda: checksums(array))] if number % len(stores) == 0 else []
        seconds[name]["write"].append(timed(lambda store=store: written(store, array)))
    readers = {name: store.open() for name, store in stores.items()}
    for number in range(rounds + 1):  # the first is for warming up
        for name, read in readers.items():
            assert np.array_equal(read(num_clips - 1), array[-1])
            for what, numbers in (("sequential", range(num_clips)), ("random", order)):
                value = timed(lambda read=read, numbers=numbers: consume(read, numbers))
                seconds[name][what] += [value] if number else []
    rates = {
        n: {w: spread(v, lambda s: array.nbytes / 1e9 / s) for w, v in found.items()} for n, found in seconds.items()
    }
    return rates | {"our checksums alone": {"compute": spread(alone, lambda s: array.nbytes / 1e9 / s)}}


def pooled(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds for X of 7,442 × 1,280 float32: the opened cache's `features`, opening included, and np.load."""
    x = np.random.default_rng(0).standard_normal((7442, 1280), np.float32)
    recipe = ImportedRecipe(source="bench", source_sha256="0" * 64, columns=tuple(f"f{n}" for n in range(1280)))
    write_cache(folder / "pooled", recipe, "mean", x)
    np.save(folder / "x.npy", x)
    cache = open_cache(folder / "pooled")
    assert np.array_equal(cache.features().X, x)
    work = {
        "features": lambda: cache.features(),
        "open and features": lambda: open_cache(folder / "pooled").features(),
        "np.load": lambda: np.load(folder / "x.npy"),
    }
    times: dict[str, list[Seconds]] = {name: [] for name in work}
    for _ in range(rounds * 3):
        for name, one in work.items():
            times[name].append(timed(one))
    return {name: spread(values) for name, values in times.items()}


def many_shards(folder: Path, rounds: int) -> dict[str, Any]:
    """Clips of 200 KB in 1,000 shards: opening, and microseconds a random clip beside open, pread, close of the same bytes."""
    arrays = np.random.default_rng(0).standard_normal((1000, 2, 7, 7, 1024), np.float32).astype(np.float16)
    root = folder / "many"
    write_cache(root, token_recipe(7, 1024, 4), "tokens", arrays, shard_bytes=1)
    cold = timed(lambda: open_cache(root))
    warm = [timed(lambda: open_cache(root)) for _ in range(rounds)]
    cache = open_cache(root)
    order = np.random.default_rng(1).permutation(1000).tolist()
    places = [(s.path, int(s.offsets["levels/tokens"][0])) for s in cache.shards]

    def plain() -> None:
        for n in order:
            path, offset = places[n]
            descriptor = os.open(path, os.O_RDONLY)
            os.pread(descriptor, arrays[0].nbytes, offset)
            os.close(descriptor)

    def ours() -> None:
        for n in order:
            cache[n].level("tokens", dtype="stored")

    rows: dict[str, list[Seconds]] = {"ours": [], "pread": []}
    for _ in range(rounds * 3):
        for name, work in (("ours", ours), ("pread", plain)):
            rows[name].append(timed(work))
    found: dict[str, Any] = {f"{name}_us_per_clip": spread(v, lambda s: s * 1000) for name, v in rows.items()}
    return found | {"open_first_seconds": spread([cold]), "open_again_seconds": spread(warm)}


def int8_error(folder: Path, video: Path | None) -> dict[str, Any]:
    """Error of int8 and of float16 in shares of each channel's spread, on activations of ViT-B/384 with random weights."""
    import torch

    from vjepa_fer.demo import write_demo_set
    from vjepa_fer.encoder import load_encoder
    from vjepa_fer.video import normalise, read_windows

    encoder = load_encoder("vjepa2.1-base-384", weights="random:0")
    path = video or Path(write_demo_set(folder / "demo").clips[0].path)
    sampling, preprocessing = Sampling(num_segments=1, frame_step=1), encoder.preprocessing
    pixels = read_windows(path, sampling, preprocessing)
    with torch.no_grad():
        batch = torch.from_numpy(np.stack(list(pixels.window_pixels(0))))
        tokens = encoder.encode(normalise(batch, preprocessing)).float().numpy()
    spread_of = tokens.std(axis=1, keepdims=True)
    codes, scales = quantise(tokens)
    errors = {
        "int8": dequantise(codes, scales) - tokens,
        "float16": tokens.astype(np.float16).astype(np.float32) - tokens,
    }
    shares = {name: np.sqrt(np.mean((e / spread_of) ** 2, axis=(0, 1))) for name, e in errors.items()}
    return {
        "activations": f"{path.name}, {encoder.spec.name}, random weights, {tokens.shape[1]} tokens",
        "bytes_per_window": {"float16": tokens.size * 2, "int8": codes.nbytes + scales.nbytes},
        "rms_error_share_of_channel_spread": {
            name: {"median": float(np.median(s)), "largest": float(s.max())} for name, s in shares.items()
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--video", type=Path, help="whose first window int8 is tried on; by default a drawn face")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        result = {
            "benchmark": "bench_cache",
            "tokens_gigabytes_per_second": token_formats(folder, options.rounds, options.clips),
            "pooled_7442x1280_seconds": pooled(folder, options.rounds),
            "thousand_shards": many_shards(folder, options.rounds),
            "int8": int8_error(folder, options.video),
            "machine": {
                "cpus": num_cores(),
                "load": round(os.getloadavg()[0], 1),
                "platform": platform.platform(),
                "python": platform.python_version(),
            },
            "versions": {name: metadata.version(name) for name in ("vjepa-fer", "numpy", "h5py", "safetensors")},
        }
    finally:
        shutil.rmtree(folder)
    json.dump(result, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
