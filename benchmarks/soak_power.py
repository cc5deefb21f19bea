"""A power cut right after a command has said that it wrote something: everything it wrote must be on the disk.

    python benchmarks/soak_power.py --rounds 5 > benchmarks/soak_power.json

Every command runs on an ext4 file system in a file. As soon as it has ended well, the file is copied as it is: what the system still
holds in memory is lost, as in a power cut. The copy is mounted, and what the command wrote is compared, byte for byte, with what can be
read before the cut. Needs root and loop devices.
"""

from __future__ import annotations

import argparse
import hashlib
import http.server
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vjepa_fer.cache.description import library_versions
from vjepa_fer.demo import DemoSettings, write_demo_set
from vjepa_fer.encoder.model.zoo import encoder_config
from vjepa_fer.manifest import write_manifest
from vjepa_fer.workers import num_cores

MODEL = "vjepa2.1-base-384"
NOTEBOOKS = ("index.npz",)
"""Files that any reader may make again, and nobody is told of."""

Command = tuple[str, Callable[[Path, Path], Sequence[str | Path]], Callable[[Path], Path]]


def commands(weights: Path, address: str) -> list[Command]:
    """Name, words (of the prepared folder and the disk), and what must be there afterwards (of the disk)."""
    tiny = ("--model", "tiny-v21", "--weights", "random:1", "--workers", "0")
    return [
        ("manifest", lambda p, d: ("manifest", "csv", p / "clips.csv", "-o", d / "m.csv"), lambda d: d / "m.csv"),
        ("extract", lambda p, d: ("extract", p / "clips.csv", d / "cache", *tiny), lambda d: d / "cache"),
        ("cache merge", lambda p, d: ("cache", "merge", p / "cache", "-o", d / "merged"), lambda d: d / "merged"),
        ("cache export", lambda p, d: ("cache", "export", p / "cache", "-o", d / "x.csv"), lambda d: d / "x.csv"),
        (
            "probe",
            lambda p, d: ("probe", p / "cache", "--folds", "subject-kfold:3", "-o", d / "a" / "b"),
            lambda d: d / "a",
        ),
        (
            "probe --refit",
            lambda p, d: ("probe", p / "cache", "--folds", "subject-kfold:3", "-o", d / "r", "--refit"),
            lambda d: d / "r",
        ),
        ("report", lambda p, d: ("report", p / "runs", "-o", d / "report.html"), lambda d: d / "report.html"),
        (
            "report --figures",
            lambda p, d: ("report", p / "runs", "-o", d / "p.html", "--figures", d / "f"),
            lambda d: d / "f",
        ),
        (
            "models slim",
            lambda p, d: ("models", "slim", weights, "-o", d / "s.safetensors", "--model", MODEL),
            lambda d: d / "s.safetensors",
        ),
        ("models fetch", lambda p, d: ("models", "fetch", MODEL, "--url", address), lambda d: d / "home" / "weights"),
    ]


def run(*command: str | Path, **options: Any) -> None:
    """A command that must succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr}")


def vjepa_fer(*words: str | Path, home: Path) -> None:
    """The command line, in a process of its own."""
    run(sys.executable, "-m", "vjepa_fer.cli", *words, env={**os.environ, "VJEPA_FER_HOME": str(home)})


def contents(path: Path) -> dict[str, str]:
    """Every file below a path with its SHA-256."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.exists() else []
    wanted = (file for file in files if file.name not in NOTEBOOKS and not file.name.endswith(".lock"))
    return {str(f.relative_to(path.parent)): hashlib.sha256(f.read_bytes()).hexdigest() for f in wanted}


def prepare(folder: Path) -> Path:
    """Clips, a cache, runs, and weights of a real encoder's exact names and shapes."""
    write_manifest(write_demo_set(folder, DemoSettings()), folder / "clips.csv")
    tiny = ("--model", "tiny-v21", "--weights", "random:1", "--workers", "0")
    vjepa_fer("extract", folder / "clips.csv", folder / "cache", *tiny, home=folder)
    vjepa_fer("probe", folder / "cache", "--folds", "subject-kfold:3", "-o", folder / "runs", home=folder)
    from vjepa_fer.encoder import build_encoder

    state = build_encoder(encoder_config(MODEL)).state_dict()
    torch.save({"ema_encoder": {f"module.backbone.{name}": value for name, value in state.items()}}, folder / "w.pt")
    return folder / "w.pt"


def cut_after(words: Sequence[str | Path], scratch: Path, found: Callable[[Path], Path]) -> tuple[dict, dict]:
    """What is there before, and after a power cut right behind the command."""
    image, cut, disk, after = scratch / "disk.img", scratch / "cut.img", scratch / "disk", scratch / "after"
    for folder in (disk, after):
        folder.mkdir(exist_ok=True)
    run("truncate", "-s", "3G", image)
    run("mkfs.ext4", "-q", "-F", image)
    run("mount", "-o", "loop", image, disk)
    try:
        vjepa_fer(*words, home=disk / "home")
        run("cp", "--sparse=always", image, cut)
        before = contents(found(disk))
    finally:
        run("umount", disk)
    run("mount", "-o", "loop", cut, after)
    try:
        return before, contents(found(after))
    finally:
        run("umount", after)
        image.unlink()
        cut.unlink()


def serve(folder: Path) -> str:
    """An address that serves a folder."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def main() -> None:
    """Run and print JSON; status 1 if anything was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    table: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        prepared = scratch / "prepared"
        prepared.mkdir()
        weights = prepare(prepared)
        for title, words, found in commands(weights, f"{serve(prepared)}/{weights.name}"):
            files = lost = 0
            for _ in range(asked.rounds):
                before, after = cut_after(words(prepared, scratch / "disk"), scratch, found)
                files += len(before)
                lost += sum(after.get(file) != digest for file, digest in before.items())
            table[title] = {"cuts": asked.rounds, "files_said_written": files, "files_lost_or_changed": lost}
            sys.stderr.write(f"{title}: {table[title]}\n")
    about = {"machine": {"system": platform.platform(), "cores": num_cores()}}
    print(
        json.dumps({**about, "versions": library_versions("vjepa-fer", "numpy", "h5py"), "commands": table}, indent=2)
    )
    empty = [title for title, row in table.items() if not row["files_said_written"]]
    sys.exit(1 if empty or any(row["files_lost_or_changed"] for row in table.values()) else 0)


if __name__ == "__main__":
    main()
