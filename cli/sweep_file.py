"""``--config sweep.toml``: the options of ``probe`` from a file; what is typed beside it comes first."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import typer

LISTS = {"probe": "probes", "features": "features", "scale": "scale", "decision": "decision", "policy": "policy"}
PLAIN = {
    "folds": str,
    "seed": int,
    "jobs": int,
    "nested": bool,
    "refit": bool,
    "inner_folds": int,
    "out": str,
    "exclude": str,
    "labels": str,
    "ties": str,
}


def read_sweep_file(context: typer.Context, path: Path | None) -> Path | None:
    """Callback of the eager option: the file's values become the command's defaults."""
    if path is not None:
        context.default_map = {**(context.default_map or {}), **sweep_defaults(path)}
    return path


def sweep_defaults(path: Path) -> dict[str, Any]:
    """Values by parameter name of the command.

    Raises
    ------
    ProbeError
        Not readable, or a key or value that is not one of ``probe``'s.
    """
    from vjepa_fer.errors import ProbeError

    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProbeError(f"{path}: cannot be read as TOML ({error})") from error
    known = [*LISTS, *PLAIN, "param"]
    defaults: dict[str, Any] = {}
    for key, value in table.items():
        if key in LISTS:
            defaults[LISTS[key]] = _typed(value)
        elif key == "param" and isinstance(value, dict):
            defaults["params"] = [f"{name}={_typed(values)}" for name, values in _flat(value)]
        elif key in PLAIN and type(value) is PLAIN[key]:
            defaults[key] = value
        else:
            raise ProbeError(
                f"{path}: {key} = {value!r} is not understood; the keys are {', '.join(known)}, as the options of "
                "`vjepa-fer probe --help`; parameters go into a table [param]"
            )
    return defaults


def _flat(params: dict[str, Any]) -> list[tuple[str, Any]]:
    """``[param.mlp]`` holds parameters meant for one probe: ``mlp.alpha``."""
    flat: list[tuple[str, Any]] = []
    for name, value in params.items():
        flat += [(f"{name}.{n}", v) for n, v in value.items()] if isinstance(value, dict) else [(name, value)]
    return flat


def _typed(value: Any) -> str:
    """A TOML value as it would be typed: a list with commas, a list inside a list as ``(80,40)``."""
    if isinstance(value, list):
        return ",".join(f"({_typed(one)},)" if isinstance(one, list) else _typed(one) for one in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
