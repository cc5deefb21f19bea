"""An encoder's name comes in, the place of its files on this machine goes out. Needs no torch, and makes no folder by itself.

::

    VJEPA_FER_HOME, or the platform's cache folder /vjepa-fer
        weights/NAME.pt                    Meta's file, under our name: two of theirs differ in nothing but case
        weights/NAME-encoder.safetensors   Hugging Face's, which hold another state dict: never one in the other's place
        weights/FILE.json                  where it came from and its SHA-256
        models/*.toml                      encoders that users register
        hashes/*.json                      SHA-256 of files that have not changed since, a file each
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HASHES = "hashes"
"""The folder of remembered hashes."""

HUB_STATE_KEY = "encoder"
"""The state dict that Hugging Face's files of V-JEPA 2 hold: the online encoder, not its average."""


def home_folder() -> Path:
    """``VJEPA_FER_HOME``, else ``vjepa-fer`` in ``XDG_CACHE_HOME`` or in the platform's own cache folder."""
    if chosen := os.environ.get("VJEPA_FER_HOME"):
        return Path(chosen).expanduser()
    return _cache_folder() / "vjepa-fer"


def _cache_folder() -> Path:
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if local := os.environ.get("LOCALAPPDATA"):  # Windows
        return Path(local)
    return Path.home() / ".cache"


def weights_file(name: str, *, hub: bool = False) -> Path:
    """Where the weights of a named encoder lie once fetched; `hub`: those of Hugging Face."""
    return home_folder() / "weights" / (f"{name}-{HUB_STATE_KEY}.safetensors" if hub else f"{name}.pt")


def weights_here(name: str) -> dict[str, Path]:
    """The fetched weights of an encoder by source, ``meta`` and ``huggingface``; empty when there are none."""
    files = {"meta": weights_file(name), "huggingface": weights_file(name, hub=True)}
    return {source: path for source, path in files.items() if path.is_file()}
