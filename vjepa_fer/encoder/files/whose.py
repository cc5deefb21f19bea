"""A weights file comes in, the official encoder that it says it belongs to goes out: by its name, its metadata or its folder.

V-JEPA 2 giant at 256 and at 384 pixels have the same tensors in the same shapes: nothing else may tell them apart. Needs no torch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vjepa_fer.disk import open_regular
from vjepa_fer.encoder.files.home import weights_file
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, OfficialEncoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.dress import weights_files

LONGEST_HEADER = 8 << 20
"""Bytes of a safetensors file's head; those of encoders have 0.1 million."""

_FOLDERS_UP = 4  # Hugging Face's cache: models--OWNER--NAME/snapshots/COMMIT/model.safetensors


def refuse_file_of_another_encoder(name: str, path: str | Path) -> None:
    """Raise when a file says that it is another official checkpoint than `name`.

    Raises
    ------
    CheckpointError
        The message says whose it is, and how that is known.
    """
    owner, why = _owner(Path(path))
    if owner and name != owner.name:
        raise CheckpointError(f"{path}: {why} of {owner.name}, not of {name}")


def encoder_of_file(path: str | Path) -> OfficialEncoder | None:
    """The official encoder that a file says it belongs to; None when it says nothing."""
    return _owner(Path(path))[0]


def _owner(path: Path) -> tuple[OfficialEncoder | None, str]:
    path = weights_files(path).files[0]
    metadata = read_metadata(path)[1]
    origin = str(metadata.get("origin_file", ""))
    for encoder in OFFICIAL_ENCODERS.values():
        official = encoder.file.rpartition("/")[2]
        ours = (weights_file(encoder.name).name, weights_file(encoder.name, hub=True).name)
        if path.name == official or path.name in ours:
            return encoder, f"called {path.name} (rename it if it is another's), so it is the file"
        if metadata.get("encoder") == encoder.name or (origin == official and "encoder" not in metadata):
            return encoder, f"made from {origin or 'a file'}, so it is the file"
        if encoder.hub_repo and _is_in_repository(path, encoder.hub_repo):
            return encoder, f"in the repository {encoder.hub_repo}, so it is the file"
    return None, ""


def _is_in_repository(path: Path, repo: str) -> bool:
    names = (repo.rpartition("/")[2], "models--" + repo.replace("/", "--"))
    return any(folder.name in names for folder in list(path.absolute().parents)[:_FOLDERS_UP])


def read_metadata(path: Path) -> tuple[int, dict[str, Any]]:
    """Length of a safetensors file's head in bytes, and its metadata; (0, {}) of anything else."""
    try:
        with open(open_regular(path), "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEADER or file.peek(1)[:1] != b"{":
                return 0, {}
            metadata = json.loads(file.read(length))["__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 0, {}
    return 8 + length, metadata if isinstance(metadata, dict) else {}
