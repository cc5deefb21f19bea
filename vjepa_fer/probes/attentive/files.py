"""Official attentive classifiers, as Meta and the paper publish them, are read from and written to files; no pickle runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import CheckpointError, ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive.hub_names import is_hub_layout, official_layout
from vjepa_fer.probes.attentive.model import QUERY

if TYPE_CHECKING:
    from vjepa_fer.weights.torch_file import TorchFile

_Value = Callable[[], Any]
"""Gives the array or tensor that is held under a name; of a file of gigabytes only those of its classifier are read."""

PREFIXES = ("module.", "_orig_mod.")
"""What training wrappers put before every name."""


def read_official_probe(path: str | Path, *, number: int = 0) -> dict[str, NDArray]:
    """Parameters of a published attentive classifier, float32 under their official names.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, or a PyTorch file holding ``classifier`` (V-JEPA), ``classifiers`` (V-JEPA 2, a list) or the
        parameters themselves; or Hugging Face's folder of a classifier, its file, or the index of its parts, whose encoder is left
        alone. No pickle is run (:mod:`vjepa_fer.weights.torch_file`).
    number : int
        Which of a list of classifiers.

    Raises
    ------
    ProbeError
        Not such a file, no classifier with this number in it, or one of other things than finite numbers.
    """
    path = Path(path)
    if not path.exists():
        raise ProbeError(f"{path}: no such file; expected the weights of an attentive classifier")
    values: dict[str, _Value] = {}
    for file in _files(path):
        values |= _values_of(file, number)
    if QUERY not in values:
        raise ProbeError(f"{path}: holds no attentive classifier (no {QUERY})")
    layout = official_layout(values) if is_hub_layout(values) else {name: (name,) for name in values}
    arrays = {name: [_array(path, part, values[part]()) for part in parts] for name, parts in layout.items()}
    return {name: np.concatenate(parts) if len(parts) > 1 else parts[0] for name, parts in arrays.items()}


def write_official_probe(path: str | Path, parameters: Mapping[str, NDArray]) -> None:
    """Write parameters under their official names, as ``.safetensors``."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in parameters.items()}, path)


def _files(path: Path) -> tuple[Path, ...]:
    from vjepa_fer.weights.dress import weights_files

    try:
        return weights_files(path).files
    except CheckpointError as error:
        raise ProbeError(str(error)) from error


def _values_of(path: Path, number: int) -> dict[str, _Value]:
    return _in_safetensors(path) if path.suffix == ".safetensors" else _in_torch(path, number)


def _in_safetensors(path: Path) -> dict[str, _Value]:
    from safetensors import safe_open

    def value(name: str) -> Any:
        try:
            with safe_open(path, framework="numpy") as file:
                return file.get_tensor(name)
        except Exception as error:  # its own, or numpy's of a kind of number that numpy lacks
            raise ProbeError(f"{path}: {name} cannot be read ({error})") from error

    try:
        os.close(open_regular(path))
        with safe_open(path, framework="numpy") as file:
            return {_plain_name(name): partial(value, name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:
        raise ProbeError(f"{path}: not a safetensors file ({error})") from error


def _in_torch(path: Path, number: int) -> dict[str, _Value]:
    require_extra("extract", ("torch",), "reading a PyTorch file")
    from vjepa_fer.weights.torch_file import TorchFile

    try:
        file = TorchFile(path, wanted="classifier")
    except (CheckpointError, OSError) as error:
        raise ProbeError(f"{path}: not a PyTorch weights file that can be read safely ({error})") from error
    if not isinstance(file.value, dict):
        raise ProbeError(f"{path}: holds a {type(file.value).__name__}, not a dictionary of weights")
    held = file.value.get("classifier", file.value.get("classifiers", file.value))
    if isinstance(held, list | tuple):
        if not 0 <= number < len(held):
            raise ProbeError(f"{path}: holds classifiers 0 to {len(held) - 1}, not {number}")
        held = held[number]
    values = held if isinstance(held, dict) else {}
    return {_plain_name(name): partial(_tensor, file, value, str(name)) for name, value in values.items()}


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
