"""One encoder's tensors go into a small safetensors file that says whose they are, and which file they came from.

A slim file stands for its origin: it carries the SHA-256 of the file that it was taken from, so that caches made with either
have one recipe, and the SHA-256 of its own tensors, so that a damaged copy is not taken for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from vjepa_fer.disk import write_durably
from vjepa_fer.encoder.files.hashes import known_sha256, sha256_of_parts
from vjepa_fer.encoder.files.whose import read_metadata, refuse_file_of_another_encoder
from vjepa_fer.encoder.loading.checkpoint import check_state, read_state
from vjepa_fer.encoder.loading.recognise import recognise_file
from vjepa_fer.encoder.loading.registry import find_encoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.dress import weights_files

_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"}
_UNKNOWN = "0" * 64


@dataclass(frozen=True)
class SlimSummary:
    """What :func:`slim_checkpoint` wrote."""

    path: Path
    num_tensors: int
    size: int
    origin_size: int
    origin_sha256: str


@dataclass(frozen=True)
class SlimPlan:
    """What :func:`slim_checkpoint` is about to write, and the bytes that are free where it goes."""

    num_tensors: int
    size: int
    free: int


def slim_checkpoint(
    path: Path,
    out: Path,
    *,
    name: str | None = None,
    state_key: str | None = None,
    told: Callable[[SlimPlan], None] = lambda plan: None,
) -> SlimSummary:
    """Write one state dict of a weights file, and nothing else of it, as safetensors.

    Of the large file only that state dict is read, but for its SHA-256; one tensor at a time is in memory.

    Parameters
    ----------
    path : Path
        A training checkpoint, or any file that :func:`vjepa_fer.encoder.loading.checkpoint.read_state` reads.
    out : Path
        The new file; its folder must exist, and the file must not.
    name : str, optional
        The encoder that it must be, official or registered, checked strictly; by default the official one that the file is
        recognised as, unless `state_key` is given.
    state_key : str, optional
        Which state dict; by default the one that the official evaluation of that encoder reads. Remembered in the new file,
        as is the encoder.
    told : callable
        Called with the plan before the large file is hashed and anything is written.

    Raises
    ------
    CheckpointError
        The file or the key is not what was asked for, `out` is there already, or the disk has no room for it.
    """
    if name is None and state_key is None:
        known = recognise_file(path)
        name, state_key = known.name, known.state_key
    if name is not None:
        known = find_encoder(name)
        state_key = state_key or known.state_key
        if known.registration is None:
            refuse_file_of_another_encoder(name, path)
    state = read_state(path, state_key=str(state_key))
    if name is not None:
        check_state(known.config, state, source=path)
    if os.path.lexists(out):
        raise CheckpointError(f"{out}: is there already; remove it or choose another name")
    whose = {} if name is None else {"encoder": name}
    metadata = {**whose, "state_key": str(state_key), "origin_file": path.name, "origin_sha256": _UNKNOWN}
    try:
        told(_planned(out, state, metadata))
        origin = weights_identity(path)
        write_encoder_file(out, state, metadata | {"origin_sha256": origin})
    except OSError as error:
        raise CheckpointError(f"{out}: cannot be written: {error.strerror or error}") from error
    origin_size = sum(file.stat().st_size for file in weights_files(path).files)
    return SlimSummary(out, len(state), out.stat().st_size, origin_size, origin)


def _planned(out: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> SlimPlan:
    """The plan, if the disk has room for it."""
    size = len(_header(state, metadata, _UNKNOWN)) + sum(tensor.nbytes for tensor in state.values())
    free = shutil.disk_usage(out.parent).free
    if size > free:
        message = f"needs {size:,} bytes, but the disk has only {free:,} free; make room, or choose another place"
        raise CheckpointError(f"{out}: {message}")
    return SlimPlan(len(state), size, free)


def write_encoder_file(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors with `metadata` and the SHA-256 of all tensor bytes, one tensor in memory at a time.

    The file has another name until it is whole. The same tensors and metadata give the same bytes.
    """

    def write(file: BinaryIO) -> None:
        file.write(_header(state, metadata, _UNKNOWN))
        digest = hashlib.sha256()
        for tensor in state.values():
            data = tensor.contiguous().flatten().view(torch.uint8).numpy().data
            digest.update(data)
            file.write(data)
        file.seek(0)
        file.write(_header(state, metadata, digest.hexdigest()))  # as long as the first

    write_durably(path, write)


def _header(state: Mapping[str, Tensor], metadata: Mapping[str, str], payload_sha256: str) -> bytes:
    """The length (8 bytes) and the JSON, padded to a multiple of 8 as safetensors does."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata, "payload_sha256": payload_sha256}}
    start = 0
    for name, tensor in state.items():
        end = start + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def weights_identity(path: str | Path) -> str:
    """The SHA-256 that a recipe calls these weights by: the file's own, for a slim file its origin's, for several parts one of theirs.

    That of parts is the SHA-256 of their own, sorted, a line each: the folder's name does not count.

    Raises
    ------
    CheckpointError
        The file cannot be read, or it is a slim file whose tensors are not the ones that were written.
    """
    files = weights_files(path).files
    return _identity_of_file(files[0]) if len(files) == 1 else sha256_of_parts(files)


def _identity_of_file(path: Path) -> str:
    length, metadata = read_metadata(path)
    origin, payload = metadata.get("origin_sha256"), metadata.get("payload_sha256")
    if not (_is_sha256(origin) and _is_sha256(payload)):
        return known_sha256(path)
    if known_sha256(path, start=length) != payload:
        raise CheckpointError(f"{path}: damaged, its tensors are not the ones that `models slim` wrote; make it again")
    return str(origin)


def _is_sha256(text: Any) -> bool:
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")
