"""A folder comes in; what this machine can do for the two stages goes out: packages, decoders, devices, disk, weights, and what is missing.

Every package is tried in a process of its own: one that crashes, or waits for a library that is not there, is a finding and not
the end of the examination. Works where nothing but the plain install is there.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vjepa_fer import __version__
from vjepa_fer.disk import can_lock, is_case_sensitive, write_speed

STAGES = {
    "stage 2 (laptop)": ("", ("numpy", "scipy", "h5py", "sklearn", "lightgbm", "safetensors", "typer", "tqdm")),
    "stage 1 (GPU box)": ("extract", ("torch", "av")),
}
"""For each stage, the extra that brings its packages, and their import names; stage 1 comes on top of stage 2."""

OPTIONAL = ("decord", "torchcodec", "huggingface_hub", "transformers")
_DISTRIBUTIONS = {"sklearn": "scikit-learn"}

VIDEO = Path(__file__).with_name("one_second.mp4")
VIDEO_FRAMES = 25

_DECODERS = {
    "av": "import av; print(sum(1 for _ in av.open(path).decode(video=0)))",
    "decord": "import decord; print(len([f.shape for f in decord.VideoReader(path)]))",
    "torchcodec": "from torchcodec.decoders import VideoDecoder; print(len([f.shape for f in VideoDecoder(path)]))",
}

_DEVICES = """
import json, torch
found = []
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        facts = torch.cuda.get_device_properties(number)
        found.append({"device": f"cuda:{number}", "name": facts.name, "memory_gb": total / 1e9, "free_gb": free / 1e9,
                      "capability": f"{facts.major}.{facts.minor}"})
if torch.backends.mps.is_available():
    found.append({"device": "mps", "name": "Apple GPU", "memory_gb": torch.mps.recommended_max_memory() / 1e9})
print(json.dumps({"found": found, "built_for_cuda": torch.version.cuda}))
"""


def examine(folder: Path, *, timeout_seconds: float = 120) -> dict[str, Any]:
    """Examine this machine, and the disk under `folder`.

    Returns
    -------
    dict
        ``python``, ``packages``, ``decoders``, ``devices``, ``disk``, ``home``, ``weights``, ``stages``: all plain values, for JSON.
    """
    from vjepa_fer.encoder.home import home_folder

    packages = examine_packages(timeout_seconds)
    return {
        "vjepa_fer": __version__,
        "python": _python(),
        "packages": packages,
        "decoders": examine_decoders(packages, timeout_seconds),
        "devices": examine_devices(packages, timeout_seconds),
        "disk": examine_disk(folder),
        "home": str(home_folder()),
        "weights": examine_weights(),
        "stages": stages_of(packages),
    }


def _python() -> dict[str, Any]:
    return {"version": platform.python_version(), "platform": platform.platform(), "cores": os.cpu_count()}


def examine_packages(timeout_seconds: float) -> dict[str, dict[str, str]]:
    """Import name → ``state`` ("ok", "missing", "broken"), ``version``, and what went wrong."""
    names = [*(name for _, stage in STAGES.values() for name in stage), *OPTIONAL]
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(names, pool.map(lambda name: _package(name, timeout_seconds), names), strict=True))


def _package(name: str, timeout_seconds: float) -> dict[str, str]:
    if find_spec(name) is None:
        return {"state": "missing"}
    try:
        version = {"version": metadata.version(_DISTRIBUTIONS.get(name, name))}
    except metadata.PackageNotFoundError:
        version = {}
    _, fault = run_python(f"import {name}", timeout_seconds)
    return {"state": "broken", **version, "fault": fault} if fault else {"state": "ok", **version}


def examine_decoders(packages: dict[str, dict[str, str]], timeout_seconds: float) -> dict[str, dict[str, Any]]:
    """Each video library that is here, and whether it decodes every frame of the bundled second of video."""
    return {
        name: _decoder(code, timeout_seconds)
        for name, code in _DECODERS.items()
        if packages.get(name, {}).get("state") == "ok"
    }


def _decoder(code: str, timeout_seconds: float) -> dict[str, Any]:
    answer, fault = run_python(f"path = {str(VIDEO)!r}\n{code}", timeout_seconds)
    if not fault and answer != str(VIDEO_FRAMES):
        fault = f"{answer} frames of {VIDEO_FRAMES}"
    return {"decodes": False, "fault": fault} if fault else {"decodes": True}


def examine_devices(packages: dict[str, dict[str, str]], timeout_seconds: float) -> dict[str, Any]:
    """Accelerators that torch finds, with their memory; empty without torch."""
    if packages.get("torch", {}).get("state") != "ok":
        return {"found": []}
    answer, fault = run_python(_DEVICES, timeout_seconds)
    return {"found": [], "fault": fault} if fault else dict(json.loads(answer))


def examine_disk(folder: Path) -> dict[str, Any]:
    """Space, speed and manners of the file system under `folder`."""
    try:
        usage = shutil.disk_usage(folder)
        return {
            "folder": str(folder),
            "free_gb": round(usage.free / 1e9, 1),
            "total_gb": round(usage.total / 1e9, 1),
            "write_megabytes_a_second": round(write_speed(folder)),
            "case_sensitive": is_case_sensitive(folder),
            "locks": can_lock(folder),
        }
    except OSError as error:
        return {"folder": str(folder), "fault": f"cannot be written: {error.strerror or error}"}


def examine_weights() -> list[dict[str, Any]]:
    """The official weights that are here, with the hash of their record and whether they still have its size."""
    from vjepa_fer.encoder.fetch import read_record
    from vjepa_fer.encoder.home import weights_here
    from vjepa_fer.encoder.zoo import OFFICIAL_ENCODERS
    from vjepa_fer.errors import CheckpointError

    found = []
    for name in OFFICIAL_ENCODERS:
        for path in weights_here(name).values():
            entry: dict[str, Any] = {"model": name, "file": str(path), "size": path.stat().st_size}
            try:
                record = read_record(path)
            except CheckpointError as error:
                found.append(entry | {"fault": str(error)})
                continue
            if record is None:
                found.append(entry | {"fault": f"no record; `vjepa-fer models fetch {name}` makes it"})
            elif record.size != entry["size"]:
                found.append(
                    entry | {"sha256": record.sha256, "fault": f"{record.size:,} bytes were fetched; fetch it again"}
                )
            else:
                found.append(entry | {"sha256": record.sha256})
    return found


def stages_of(packages: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """For each stage whether it is ready; what is missing or broken; the pip line that mends it."""
    stages = {}
    for stage, (extra, names) in STAGES.items():
        bad = [name for name in names if packages[name]["state"] != "ok"]
        line = f"pip install 'vjepa-fer[{extra}]'" if extra else "pip install vjepa-fer"
        stages[stage] = {"ready": not bad, **({"lacks": bad, "install": line} if bad else {})}
    return stages


def run_python(code: str, timeout_seconds: float) -> tuple[str, str]:
    """Run code in a fresh interpreter: what it printed last, and in one line why it failed ("" if it did not)."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout_seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"no answer in {timeout_seconds:g} seconds"
    if done.returncode < 0:
        return "", f"crashed (signal {-done.returncode})"
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["failed without a word"])[-1]
    return (done.stdout.strip().splitlines() or [""])[-1], ""
