"""Official attentive classifiers, as Meta and the paper publish them, are read from and written to files; no pickle runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import require_extra

PREFIXES = ("module.", "_orig_mod.")
"""What training wrappers put before every name."""


def read_official_probe(path: str | Path, *, number: int = 0) -> dict[str, NDArray]:
    """Parameters of a published attentive classifier, float32 under their official names.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or a PyTorch file holding ``classifier`` (V-JEPA), ``classifiers`` (V-JEPA 2, a list) or the
        parameters themselves. PyTorch files are read with ``weights_only=True``.
    number : int
        Which of a list of classifiers.

    Raises
    ------
    ProbeError
        Not such a file, or no classifier with this number in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ProbeError(f"{path}: no such file; expected the weights of an attentive classifier")
    held = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    held = held.get("classifier", held.get("classifiers", held))
    if isinstance(held, list | tuple):
        if not 0 <= number < len(held):
            raise ProbeError(f"{path}: holds classifiers 0 to {len(held) - 1}, not {number}")
        held = held[number]
    parameters = {_plain(name): _array(value) for name, value in held.items()} if isinstance(held, dict) else {}
    if "pooler.query_tokens" not in parameters:
        raise ProbeError(f"{path}: holds no attentive classifier (no pooler.query_tokens)")
    return parameters


def write_official_probe(path: str | Path, parameters: Mapping[str, NDArray]) -> None:
    """Write parameters under their official names, as ``.safetensors``."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in parameters.items()}, path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise ProbeError(f"{path}: not a safetensors file ({error})") from error


def _read_torch(path: Path) -> dict[str, Any]:
    require_extra("extract", ("torch",), "reading a PyTorch file")
    import torch

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ProbeError(f"{path}: not a PyTorch weights file that can be read safely ({error})") from error
    if not isinstance(held, dict):
        raise ProbeError(f"{path}: holds a {type(held).__name__}, not a dictionary of weights")
    return held


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _array(value: Any) -> NDArray:
    return np.asarray(value.float().numpy() if hasattr(value, "numpy") else value, dtype=np.float32)
