"""``vjepa-fer doctor``: what this machine can do for the two stages, and what it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import JsonOption
from .terminal import print_json, print_labelled, say

FOLDER = Path(".")


def doctor(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where caches will be: its disk is tried.")] = FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Examine this machine: packages, decoders, GPUs, disk, weights, and what is missing. Put it into bug reports."""
    from vjepa_fer.doctor import examine

    say("trying every package in a process of its own …")
    found = examine(folder)
    if as_json:
        print_json({"schema": "vjepa-fer/doctor/1", **found})
    else:
        _show(found)
    if _faults(found):
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    for label, lines in _sections(found):
        print_labelled(label, lines)


def _sections(found: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    python, packages = found["python"], found["packages"]
    yield (
        "vjepa-fer",
        [
            f"{found['vjepa_fer']}, Python {python['version']}, {python['platform']}, {python['cores']} cores{_ram(python)}"
        ],
    )
    fine = [f"{name}=={facts.get('version', '?')}" for name, facts in packages.items() if facts["state"] == "ok"]
    yield "packages", [", ".join(fine) or "none"]
    yield "broken", [f"{name}: {facts['fault']}" for name, facts in packages.items() if "fault" in facts]
    yield "decoders", [_decoder_line(name, facts) for name, facts in found["decoders"].items()] or ["none"]
    yield "devices", _device_lines(found["devices"])
    yield "disk", [_disk_line(found["disk"])]
    yield (
        "weights",
        [_weights_line(entry) for entry in found["weights"]]
        or [f"none in {found['home']}; `vjepa-fer models fetch MODEL` brings them"],
    )
    for stage, facts in found["stages"].items():
        lacks = f"lacks {', '.join(facts['lacks'])}: {facts['install']}" if not facts["ready"] else "ready"
        yield stage[:7], [lacks]
    lacking = [facts for facts in found["extras"].values() if not facts["ready"]]
    yield "plug-ins", [_plugin_line(facts) for facts in found["plugins"]]
    yield "extras", [f"{f['for']} lacks {', '.join(f['lacks'])}: {f['install']}" for f in lacking] or ["all there"]


def _ram(python: dict[str, Any]) -> str:
    return f", {python['memory_gb']:.0f} GB of memory" if "memory_gb" in python else ""


def _decoder_line(name: str, facts: dict[str, Any]) -> str:
    return f"{name} decodes the bundled video" if facts["decodes"] else f"{name} does NOT decode: {facts['fault']}"


def _device_lines(devices: dict[str, Any]) -> list[str]:
    lines = [f"{d['device']}: {d['name']}, {_memory(d)}, {_tried(d)}" for d in devices["found"]]
    if "fault" in devices:
        lines.append(f"torch cannot say: {devices['fault']}")
    if "unused" in devices:
        built = devices.get("built_for_cuda") or "no CUDA"
        why = f"torch here is built for {built}: https://pytorch.org/get-started has the pip line that fits the driver"
        lines.append(f"{', '.join(devices['unused'])}: NOT usable; {why}")
    return lines or ["no GPU that torch can use; the CPU works, slowly"]


def _tried(device: dict[str, Any]) -> str:
    return f"does NOT compute: {device['fault']}" if "fault" in device else "computes"


def _memory(device: dict[str, Any]) -> str:
    free = f" ({device['free_gb']:.0f} free)" if "free_gb" in device else ""
    return f"{device['memory_gb']:.0f} GB of memory{free}"


def _disk_line(disk: dict[str, Any]) -> str:
    if "fault" in disk:
        return f"{disk['folder']}: {disk['fault']}"
    case = "tells upper from lower case" if disk["case_sensitive"] else "does not tell upper from lower case"
    locks = "locks work" if disk["locks"] else "locks do NOT work: let one process at a time write there"
    speed = f"{disk['write_megabytes_a_second']:,} MB/s written"
    return f"{disk['folder']}: {disk['free_gb']:,.0f} of {disk['total_gb']:,.0f} GB free, {speed}, {case}, {locks}"


def _weights_line(entry: dict[str, Any]) -> str:
    size = [f"{entry['size'] / 1e9:.2f} GB"] if "size" in entry else []
    sha256 = [f"SHA-256 {entry['sha256'][:16]}…"] if "sha256" in entry else []
    said = [text for text in (entry.get("fault"), entry.get("note")) if text]
    return f"{entry['model']}: " + ", ".join(size + sha256 + said)


def _plugin_line(facts: dict[str, str]) -> str:
    if "fault" in facts:
        return f"does NOT work: {facts['fault']}"
    return f"{facts['name']} ({facts['group']}) of {facts['package']} {facts['version']}"


def _faults(found: dict[str, Any]) -> bool:
    """Whether something that is here does not work, or stage 2 is not ready: an absent stage 1 is no fault."""
    broken = any("fault" in facts for facts in found["packages"].values())
    mute = any(not facts["decodes"] for facts in found["decoders"].values())
    devices = "fault" in found["devices"] or any("fault" in device for device in found["devices"]["found"])
    weights = any("fault" in entry for entry in found["weights"])
    disk = "fault" in found["disk"] or any("fault" in plugin for plugin in found["plugins"])
    return broken or mute or devices or weights or disk or not found["stages"]["stage 2 (laptop)"]["ready"]
