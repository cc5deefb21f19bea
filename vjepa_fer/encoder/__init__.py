"""Frozen V-JEPA encoders: the model (vit), strict loading (checkpoint, loading), and the official ones by name (zoo).

Names load on first use, so that the zoo can be read where torch is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vjepa_fer.errors import MissingExtraError

__all__ = [
    "LoadedEncoder",
    "build_encoder",
    "compile_encoder",
    "encoder_names",
    "encoder_spec",
    "load_encoder",
    "pick_device",
]

if TYPE_CHECKING:
    from vjepa_fer.encoder.loading import LoadedEncoder, compile_encoder, load_encoder, pick_device
    from vjepa_fer.encoder.vit import build_encoder
    from vjepa_fer.encoder.zoo import encoder_names, encoder_spec

_HOMES = {
    "LoadedEncoder": "loading",
    "compile_encoder": "loading",
    "load_encoder": "loading",
    "pick_device": "loading",
    "build_encoder": "vit",
    "encoder_names": "zoo",
    "encoder_spec": "zoo",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vjepa_fer.encoder' has no attribute {name!r}")
    try:
        home = import_module(f"vjepa_fer.encoder.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("extract", "torch", "encoding video") from error
    return getattr(home, name)
