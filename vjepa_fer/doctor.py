"""A folder comes in; what this machine can do for the two stages goes out: packages, decoders, devices, disk, weights, and what is missing.

Every package is tried in a process of its own: one that crashes, or waits for a library that is not there, is a finding and not
the end of the examination. Works where nothing but the plain install is there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import queue
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vjepa_fer import __version__
from vjepa_fer.disk import can_lock, is_case_sensitive, write_speed
from vjepa_fer.doors import Plugin
from vjepa_fer.workers import num_cores, run_program

STAGES = {
    "stage 2 (laptop)": (
        "",
        ("numpy", "scipy", "h5py", "sklearn", "lightgbm", "safetensors", "typer", "tqdm", "zlib_ng"),
    ),
    "stage 1 (GPU box)": ("extract", ("torch", "av")),
}
"""For each stage, the extra that brings its packages, and their import names; stage 1 comes on top of stage 2."""

EXTRAS = {
    "hub": (("huggingface_hub",), "weights from Hugging Face"),
    "parquet": (("pyarrow",), "`cache export` to Parquet"),
    "report": (("jinja2", "matplotlib"), "`report`"),
}
"""For each further extra its packages, and what it is for."""

OPTIONAL = ("decord", "torchcodec", "transformers")
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "zlib_ng": "zlib-ng"}

TIMEOUT_SECONDS = 120
"""For each thing that is tried in a process of its own."""

VIDEO = Path(__file__).with_name("one_second.mp4")
VIDEO_FRAMES = 25

_DECODERS = {
    "av": "import av; print(sum(1 for _ in av.open(path).decode(video=0)))",
    "decord": "import decord; print(len([f.shape for f in decord.VideoReader(path)]))",
    "torchcodec": "from torchcodec.decoders import VideoDecoder; print(len([f.shape for f in VideoDecoder(path)]))",
}

_DEVICES = """
import json, torch
def tried(device):
    try:
        ones = torch.ones(64, 64, device=device)
        return {} if (ones @ ones).sum().item() == 64 ** 3 else {"fault": "multiplies wrongly"}
    except Exception as error:
        return {"fault": str(error).splitlines()[0]}
found = []
if torch.cuda.is_available():
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        facts = torch.cuda.get_device_properties(number)
        found.append({"device": f"cuda:{number}", "name": facts.name, "memory_gb": total / 1e9, "free_gb": free / 1e9,
                      "capability": f"{facts.major}.{facts.minor}", **tried(f"cuda:{number}")})
if torch.backends.mps.is_available():
    found.append({"device": "mps", "name": "Apple GPU", "memory_gb": torch.mps.recommended_max_memory() / 1e9, **tried("mps")})
print(json.dumps({"found": found, "built_for_cuda": torch.version.cuda}))
"""


def examine(folder: Path) -> dict[str, Any]:
    """Examine this machine, and the disk under `folder`.

    Returns
    -------
    dict
        ``python``, ``packages``, ``decoders``, ``devices``, ``disk``, ``home``, ``weights``, ``stages``, ``extras``,
        ``plugins``: all plain values, for JSON.
    """
    from vjepa_fer.encoder.fetching.inventory import examine_weights
    from vjepa_fer.encoder.files.home import home_folder

    packages = examine_packages(TIMEOUT_SECONDS)
    return {
        "vjepa_fer": __version__,
        "python": _python(),
        "packages": packages,
        "decoders": examine_decoders(packages, TIMEOUT_SECONDS),
        "devices": examine_devices(packages, TIMEOUT_SECONDS),
        "disk": examine_disk(folder),
        "home": str(home_folder()),
        "weights": examine_weights(),
        "stages": stages_of(packages),
        "extras": extras_of(packages),
        "plugins": examine_plugins(TIMEOUT_SECONDS),
    }


def _python() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "version": platform.python_version(),
        "platform": platform.platform(),
        "cores": num_cores(),
    }
    if hasattr(os, "sysconf"):  # not on Windows
        facts["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    return facts


def examine_packages(timeout_seconds: float) -> dict[str, dict[str, str]]:
    """Import name → ``state`` ("ok", "missing", "old", "broken"), ``version``, and what went wrong."""
    names = [name for names, _ in (*((n, e) for e, n in STAGES.values()), *EXTRAS.values()) for name in names]
    names += OPTIONAL
    least = least_versions()
    return _two_at_a_time(names, lambda name: _package(name, least, timeout_seconds))


def _two_at_a_time(names: Sequence[str], examine: Callable[[str], dict[str, str]]) -> dict[str, dict[str, str]]:
    """What `examine` finds for each name. Its threads are daemons: a signal must not wait for a package that hangs."""
    waiting, found = deque(names), queue.SimpleQueue[tuple[str, dict[str, str]]]()

    def work() -> None:
        with suppress(IndexError):
            while name := waiting.popleft():
                try:
                    found.put((name, examine(name)))
                except Exception as error:
                    found.put((name, {"state": "broken", "fault": f"{type(error).__name__}: {error}"}))

    for _ in range(2):
        threading.Thread(target=work, daemon=True).start()
    facts = dict(found.get() for _ in names)
    return {name: facts[name] for name in names}


def least_versions() -> dict[str, str]:
    """Distribution → the least version that vjepa-fer was built for, as its own metadata say."""
    try:
        wanted = metadata.requires("vjepa-fer") or []
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    found = (re.match(r"([\w.-]+)>=([\d.]+)", line) for line in wanted)
    return {match[1]: match[2] for match in found if match}


def is_older(version: str, least: str) -> bool:
    """Whether a version is below another, by their leading numbers.

    >>> is_older("2.13.0+cpu", "2.4"), is_older("17.0.1", "17.1")
    (False, True)
    """
    ours, theirs = ([int(n) for n in re.findall(r"\d+", v.partition("+")[0])[:3]] for v in (version, least))
    return ours < theirs


_ELSEWHERE = "import os, sys; os.chdir(os.path.dirname(sys.executable))"
"""Some packages read settings from the current folder (``matplotlibrc``), and that may be a stranger's."""


def _package(name: str, least: dict[str, str], timeout_seconds: float) -> dict[str, str]:
    if find_spec(name) is None:
        return {"state": "missing"}
    try:
        version = {"version": metadata.version(_DISTRIBUTIONS.get(name, name))}
    except metadata.PackageNotFoundError:
        version = {}
    _, fault = run_python(f"{_ELSEWHERE}\nimport {name}", timeout_seconds)
    if fault:
        return {"state": "broken", **version, "fault": fault}
    needed = least.get(_DISTRIBUTIONS.get(name, name))
    if version and needed and is_older(version["version"], needed):
        return {"state": "old", **version, "fault": f"{version['version']} is older than {needed}"}
    return {"state": "ok", **version}


def examine_decoders(packages: dict[str, dict[str, str]], timeout_seconds: float) -> dict[str, dict[str, Any]]:
    """Each video library that is here, and whether it decodes every frame of the bundled second of video."""
    return {
        name: _decoder(code, timeout_seconds)
        for name, code in _DECODERS.items()
        if packages.get(name, {}).get("state") in ("ok", "old")
    }


def _decoder(code: str, timeout_seconds: float) -> dict[str, Any]:
    answer, fault = run_python(f"path = {str(VIDEO)!r}\n{code}", timeout_seconds)
    if not fault and answer != str(VIDEO_FRAMES):
        fault = f"{answer} frames of {VIDEO_FRAMES}"
    return {"decodes": False, "fault": fault} if fault else {"decodes": True}


def examine_devices(packages: dict[str, dict[str, str]], timeout_seconds: float) -> dict[str, Any]:
    """Accelerators that torch finds, with their memory, each tried; and NVIDIA GPUs that it cannot use."""
    devices: dict[str, Any] = {"found": []}
    if packages.get("torch", {}).get("state") in ("ok", "old"):
        answer, fault = run_python(_DEVICES, timeout_seconds)
        devices = {"found": [], "fault": fault} if fault else dict(json.loads(answer))
    if not devices["found"] and (unused := _nvidia_gpus()):
        devices["unused"] = unused
    return devices


def _nvidia_gpus() -> list[str]:
    """What the driver's own tool lists."""
    if (tool := find_program("nvidia-smi")) is None:
        return []
    try:
        done = subprocess.run(
            [tool, "-L"], capture_output=True, encoding="utf-8", errors="replace", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.partition(" (UUID")[0] for line in done.stdout.splitlines() if line.startswith("GPU ")]


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


def stages_of(packages: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """For each stage whether it is ready; what is missing or broken; the pip line that mends it."""
    stages = {}
    for stage, (extra, names) in STAGES.items():
        stages[stage] = _readiness(packages, names, f"vjepa-fer[{extra}]" if extra else "vjepa-fer")
    return stages


def extras_of(packages: dict[str, dict[str, str]]) -> dict[str, dict[str, Any]]:
    """The same for each further extra, with what it is for: nobody needs all of them."""
    return {
        extra: {**_readiness(packages, names, f"vjepa-fer[{extra}]"), "for": purpose}
        for extra, (names, purpose) in EXTRAS.items()
    }


def _readiness(packages: dict[str, dict[str, str]], names: tuple[str, ...], distribution: str) -> dict[str, Any]:
    bad = [name for name in names if packages.get(name, {}).get("state") != "ok"]
    if not bad:
        return {"ready": True}
    upgrade = "" if all(packages.get(name, {}).get("state", "missing") == "missing" for name in bad) else "-U "
    quoted = f"'{distribution}'" if "[" in distribution else distribution
    return {"ready": False, "lacks": bad, "install": f"pip install {upgrade}{quoted}"}


_LOAD = """
import sys
from vjepa_fer.doors import Plugin
from vjepa_fer.errors import PluginError
try:
    Plugin(**{facts!r}).load()
except PluginError as error:
    sys.exit(str(error))
"""


def examine_plugins(timeout_seconds: float) -> list[dict[str, str]]:
    """Each name that an installed package adds, and what is wrong with it: it is imported in a process of its own."""
    from vjepa_fer.encoder.loading.plugin_class import plugin_encoders
    from vjepa_fer.manifest import plugin_corpora
    from vjepa_fer.probes import plugin_probes

    groups = {"encoders": plugin_encoders(), "probes": plugin_probes(), "corpora": plugin_corpora()}
    usable = {f"{group} {name}": one for group, found in groups.items() for name, one in found.usable.items()}
    loaded = _two_at_a_time(list(usable), lambda key: _plugin(usable[key], timeout_seconds))
    refused = [{"group": g, "name": n, "fault": why} for g, found in groups.items() for n, why in found.refused.items()]
    return [*loaded.values(), *refused]


def _plugin(plugin: Plugin, timeout_seconds: float) -> dict[str, str]:
    facts = dataclasses.asdict(plugin)
    _, fault = run_python(_LOAD.format(facts=facts), timeout_seconds)
    return facts | ({"fault": fault} if fault else {})


def run_python(code: str, timeout_seconds: float) -> tuple[str, str]:
    """Run code in a fresh interpreter: what it printed last, and in one line why it failed ("" if it did not)."""
    try:
        done = run_program(code, timeout_seconds=timeout_seconds)
    except subprocess.TimeoutExpired:
        return "", f"no answer in {timeout_seconds:g} seconds"
    if done.returncode < 0:
        return "", f"crashed (signal {-done.returncode})"
    if done.returncode:
        return "", (done.stderr.strip().splitlines() or ["failed without a word"])[-1]
    return (done.stdout.strip().splitlines() or [""])[-1], ""


def find_program(name: str) -> str | None:
    """The absolute path of a program in one of the folders of PATH that are named in full: never one of the current folder."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = (os.path.join(folder, name + ".exe" * (os.name == "nt")) for folder in folders if os.path.isabs(folder))
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)
