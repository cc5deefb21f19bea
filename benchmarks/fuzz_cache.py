"""Whole shards go in broken in many ways; what the reader and ``cache verify`` make of them comes out, as JSON.

    python benchmarks/fuzz_cache.py --inputs 10000 --out benchmarks/fuzz_cache.json

Every input must end in one of three ways: refused with an error of ours; read with exactly the original numbers; or read with
other numbers that ``verify`` reports. Anything else is a fault: another exception, a dead interpreter, more than ``--memory``
MB, more than ten seconds, or wrong numbers (zeros above all) that verify calls whole.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache import ClipRows, ShardWriter, open_cache
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.verify import shard_files, verify_cache
from vjepa_fer.errors import VjepaFerError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import EncoderSpec, Preprocessing, Recipe, Sampling, Storage

EXTREMES = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1)


def write_seed_cache(root: Path, token_dtype: str) -> None:
    """Three clips of two windows, every level; no number is zero."""
    encoder = EncoderSpec(
        name="tiny", family="v2", img_size=32, embed_dim=8, depth=1, num_heads=1, weights="random:0", state_key="random"
    )
    storage = Storage(levels=("mean", "frames", "grid:2", "tokens"), token_dtype=token_dtype)
    sampling, preprocessing = Sampling(frames_per_window=4), Preprocessing(crop_size=32)
    recipe = Recipe(encoder=encoder, sampling=sampling, preprocessing=preprocessing, storage=storage)
    clips = tuple(Clip(f"clip{i}", f"/v/{i}.mp4", "happy" if i % 2 else "sad", f"s{i}") for i in range(3))
    prepare_cache(root, recipe, Manifest(clips=clips))
    writer, rng = ShardWriter(root, recipe), np.random.default_rng(0)
    for clip in clips:
        tokens = rng.uniform(1, 2, (2, 2, 2, 2, 8)).astype(np.float32)
        levels = {"tokens": tokens, "grid": tokens, "frames": tokens.mean((2, 3)), "mean": tokens.mean((1, 2, 3))}
        ones, indices = np.ones(2), np.ones((2, 4))
        index = dict.fromkeys(("start_frame", "view", "multiplicity", "num_real_frames"), ones)
        writer.add(ClipRows(clip.clip_id, "ab" * 32, **index, frame_indices=indices, timestamps=indices, levels=levels))
    writer.flush()


def break_shard(data: bytes, metadata: np.ndarray, rng: np.random.Generator) -> tuple[str, bytes]:
    """One way to break a file; `metadata` holds the positions that are not rows of levels."""
    way = str(rng.choice(["flip", "flip metadata", "integer", "truncate", "zeros", "noise", "move", "grow"]))
    broken = bytearray(data)
    size = len(data)
    place = int(rng.choice(metadata)) if rng.random() < 0.7 else int(rng.integers(size))
    length = int(rng.integers(1, 600))
    if way.startswith("flip"):
        for _ in range(int(rng.integers(1, 6))):
            position = int(rng.choice(metadata)) if way == "flip metadata" else int(rng.integers(size))
            broken[position] ^= 1 << int(rng.integers(8))
    elif way == "integer":
        width = int(rng.choice([1, 2, 4, 8]))
        value = EXTREMES[rng.integers(len(EXTREMES))] % 256**width
        broken[place : place + width] = value.to_bytes(width, "little")
    elif way == "truncate":
        del broken[int(rng.integers(size)) :]
    elif way == "zeros":
        broken[place : place + length] = bytes(len(broken[place : place + length]))
    elif way == "noise":
        broken[place : place + length] = rng.bytes(len(broken[place : place + length]))
    elif way == "move":
        source = int(rng.integers(size - length))
        broken[place : place + length] = data[source : source + length][: len(broken[place : place + length])]
    else:
        broken += bytes(length)
    return way, bytes(broken)


def everything(root: Path) -> dict[str, np.ndarray]:
    """All numbers that a cache gives away."""
    cache = open_cache(root)
    numbers = {level: cache.window_features(level).X for level in cache.recipe.storage.levels}
    for name in ("start_frame", "multiplicity", "frame_indices", "timestamps"):
        numbers[name] = np.concatenate([getattr(clip, name) for clip in cache])
    return numbers | {"clips": np.array([clip.clip.clip_id for clip in cache])}


def judge(root: Path, original: dict[str, np.ndarray]) -> str:
    """What became of a broken cache: refused, read unchanged, caught by verify, or a fault."""
    try:
        numbers = everything(root)
    except VjepaFerError:
        return "refused"
    except Exception as error:
        return f"FAULT {type(error).__name__}: {str(error)[:200]}"
    if all(np.array_equal(numbers.get(name), array) for name, array in original.items()):
        return "unchanged"
    try:
        return "caught by verify" if verify_cache(root).problems or len(open_cache(root)) < 3 else "FAULT silent change"
    except Exception as error:
        return f"FAULT in verify: {type(error).__name__}: {str(error)[:200]}"


def metadata_positions(path: Path) -> np.ndarray:
    """Bytes of the file that belong to no row of a level."""
    inside = np.zeros(path.stat().st_size, bool)
    shard = open_cache(path.parents[1]).shards[0]
    with h5py.File(path) as file:
        for name, offsets in shard.offsets.items():
            row_bytes = file[name].nbytes // len(offsets)
            for offset in offsets:
                inside[offset : offset + row_bytes] = True
    return np.flatnonzero(~inside)


def work(first: int, count: int, token_dtype: str, memory_mb: int) -> None:
    """Judge `count` inputs; prints the number of each before it starts and its end after, so that a crash has a name."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(tempfile.mkdtemp())
    try:
        write_seed_cache(folder, token_dtype)
        (path,) = shard_files(folder)
        data, metadata, original = path.read_bytes(), metadata_positions(path), everything(folder)
        for number in range(first, first + count):
            way, broken = break_shard(data, metadata, np.random.default_rng([1, number]))
            print(json.dumps([number, way, None]), flush=True)
            path.write_bytes(broken)
            signal.alarm(10)
            end = judge(folder, original)
            signal.alarm(0)
            print(json.dumps([number, way, end]), flush=True)
    finally:
        shutil.rmtree(folder)


def run(inputs: int, token_dtype: str, memory_mb: int) -> dict:
    """All inputs, in processes of 500; a dead process is a fault of the input that it was at, and the next goes on after it."""
    ends: Counter[str] = Counter()
    ways: Counter[str] = Counter()
    faults: list[list] = []
    number, started = 0, time.perf_counter()
    while number < inputs:
        count = min(500, inputs - number)
        command = [sys.executable, __file__, "--work", str(number), str(count), "--token-dtype", token_dtype]
        done = subprocess.run([*command, "--memory", str(memory_mb)], capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        for at, way, end in lines:
            if end is not None:
                ways[way] += 1
                ends["FAULT" if end.startswith("FAULT") else end] += 1
                faults += [[at, way, end]] if end.startswith("FAULT") else []
                number = at + 1
        if done.returncode != 0:
            if not lines:
                raise SystemExit(f"the worker did not start:\n{done.stderr}")
            ends["FAULT"] += 1
            faults.append([*lines[-1][:2], f"FAULT process ended with {done.returncode}: {done.stderr[-300:]}"])
            number = lines[-1][0] + 1
    return {
        "benchmark": "fuzz_cache",
        "inputs": inputs,
        "token_dtype": token_dtype,
        "memory_limit_mb": memory_mb,
        "ends": dict(ends),
        "ways": dict(ways),
        "faults": faults,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": {"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "python": platform.python_version()},
    }


def main() -> None:
    """Run, print, and end with 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--token-dtype", default="float16", choices=["float16", "float32", "int8"])
    parser.add_argument("--memory", type=int, default=2000, help="MB of address space")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(*options.work, options.token_dtype, options.memory)
        return
    result = run(options.inputs, options.token_dtype, options.memory)
    text = json.dumps(result, indent=2)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")
    sys.exit(1 if result["ends"].get("FAULT") else 0)


if __name__ == "__main__":
    main()
