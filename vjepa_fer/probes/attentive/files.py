"""Official attentive classifiers, as Meta and the paper publish them, are read from and written to files; no pickle runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import CheckpointError, ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive.model import QUERY

if TYPE_CHECKING:
    from vjepa_fer.weights.torch_file import TorchFile

_Taken = Callable[[Any, str], Any]
"""What is held under a name becomes an array or a tensor."""

PREFIXES = ("module.", "_orig_mod.")
"""What training wrappers put before every name."""


def read_official_probe(path: str | Path, *, number: int = 0) -> dict[str, NDArray]:
    """Parameters of a published attentive classifier, float32 under their official names.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or a PyTorch file holding ``classifier`` (V-JEPA), ``classifiers`` (V-JEPA 2, a list) or the
        parameters themselves. No pickle is run (:mod:`vjepa_fer.weights.torch_file`).
    number : int
        Which of a list of classifiers.

    Raises
    ------
    ProbeError
        Not such a file, no classifier with this number in it, or one of other things than finite numbers.
    """
    path = Path(path)
    if path.is_dir() or not path.exists():
        raise ProbeError(f"{path}: no such file; expected the weights of an attentive classifier")
    held, taken = (_read_safetensors if path.suffix == ".safetensors" else _read_torch)(path)
    held = held.get("classifier", held.get("classifiers", held))
    if isinstance(held, list | tuple):
        if not 0 <= number < len(held):
            raise ProbeError(f"{path}: holds classifiers 0 to {len(held) - 1}, not {number}")
        held = held[number]
    values = {_plain_name(name): value for name, value in held.items()} if isinstance(held, dict) else {}
    if QUERY not in values:
        raise ProbeError(f"{path}: holds no attentive classifier (no {QUERY})")
    return {name: _array(path, name, taken(value, name)) for name, value in values.items()}


def write_official_probe(path: str | Path, parameters: Mapping[str, NDArray]) -> None:
    """Write parameters under their official names, as ``.safetensors``."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in parameters.items()}, path)


def _read_safetensors(path: Path) -> tuple[dict[str, Any], _Taken]:
    from safetensors.numpy import load_file

    try:
        os.close(open_regular(path))
        return dict(load_file(path)), lambda value, name: value
    except Exception as error:  # its own, or numpy's of a kind of number that numpy lacks
        raise ProbeError(f"{path}: not a safetensors file ({error})") from error


def _read_torch(path: Path) -> tuple[dict[str, Any], _Taken]:
    require_extra("extract", ("torch",), "reading a PyTorch file")
    from vjepa_fer.weights.torch_file import TorchFile

    try:
        file = TorchFile(path)
    except (CheckpointError, OSError) as error:
        raise ProbeError(f"{path}: not a PyTorch weights file that can be read safely ({error})") from error
    if not isinstance(file.value, dict):
        raise ProbeError(f"{path}: holds a {type(file.value).__name__}, not a dictionary of weights")
    return file.value, lambda value, name: _tensor(file, value, name)


def _tensor(file: TorchFile, value: Any, name: str) -> Any:
    try:
        return file.tensor(value, name)
    except CheckpointError as error:
        raise ProbeError(str(error)) from error


def _plain_name(name: Any) -> str:
    name = str(name)
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _array(path: Path, name: str, value: Any) -> NDArray:
    """A tensor of the file as an array."""
    if not _is_plain(value):
        raise ProbeError(f"{path}: {name} is not a plain tensor of floating-point numbers")
    array = np.asarray(value if isinstance(value, np.ndarray) else value.float().numpy(), dtype=np.float32)
    if not np.isfinite(array).all():
        raise ProbeError(f"{path}: {name} holds NaN or infinity")
    return array


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f"
    import torch

    ordinary = isinstance(value, torch.Tensor) and value.layout is torch.strided and value.device.type == "cpu"
    return ordinary and value.is_floating_point()
