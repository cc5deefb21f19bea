"""Official attentive classifiers, as Meta and the paper publish them, are read from and written to files; no pickle runs."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.extras import require_extra
from vjepa_fer.probes.attentive_model import QUERY

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
        Not such a file, no classifier with this number in it, or one of other things than finite numbers.
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
    values = {_plain_name(name): value for name, value in held.items()} if isinstance(held, dict) else {}
    if QUERY not in values:
        raise ProbeError(f"{path}: holds no attentive classifier (no {QUERY})")
    return {name: _array(path, name, value) for name, value in values.items()}


def write_official_probe(path: str | Path, parameters: Mapping[str, NDArray]) -> None:
    """Write parameters under their official names, as ``.safetensors``."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(value) for name, value in parameters.items()}, path)


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except Exception as error:  # its own, or numpy's of a kind of number that numpy lacks
        raise ProbeError(f"{path}: not a safetensors file ({error})") from error


def _read_torch(path: Path) -> dict[str, Any]:
    require_extra("extract", ("torch",), "reading a PyTorch file")
    import torch

    try:
        _check_archive(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile file can raise anything from torch's reader
        raise ProbeError(f"{path}: not a PyTorch weights file that can be read safely ({error})") from error
    if not isinstance(held, dict):
        raise ProbeError(f"{path}: holds a {type(held).__name__}, not a dictionary of weights")
    return held


def _check_archive(path: Path) -> None:
    """Nothing in it is compressed, as ``torch.save`` writes: it unpacks to no more than it is."""
    with zipfile.ZipFile(path) as archive:
        packed = [entry.filename for entry in archive.infolist() if entry.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise ValueError(f"its entry {packed[0]!r} is compressed")


def _plain_name(name: Any) -> str:
    name = str(name)
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def _array(path: Path, name: str, value: Any) -> NDArray:
    """A tensor of the file as an array; one that is larger than the file repeats itself, and would not fit anywhere."""
    if not _is_plain(value) or math.prod(value.shape) > path.stat().st_size:
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
