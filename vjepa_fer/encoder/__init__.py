"""An encoder's name and its weights go in; a frozen encoder that is ready to run comes out.

`model` is what it is, `files` is what of it lies on this machine, `loading` brings the two together, `fetching` gets the files.

Names load on first use, so that the zoo can be read where torch is not installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vjepa_fer.errors import MissingExtraError

__all__ = [
    "LoadedEncoder",
    "build_encoder",
    "can_compile",
    "compile_encoder",
    "encoder_names",
    "encoder_spec",
    "load_encoder",
    "pick_device",
    "require_compiling",
]

if TYPE_CHECKING:
    from vjepa_fer.encoder.loading.load import (
        LoadedEncoder,
        can_compile,
        compile_encoder,
        load_encoder,
        pick_device,
        require_compiling,
    )
    from vjepa_fer.encoder.model.vit import build_encoder
    from vjepa_fer.encoder.model.zoo import encoder_names, encoder_spec

_HOMES = {
    "LoadedEncoder": "loading.load",
    "can_compile": "loading.load",
    "compile_encoder": "loading.load",
    "load_encoder": "loading.load",
    "pick_device": "loading.load",
    "require_compiling": "loading.load",
    "build_encoder": "model.vit",
    "encoder_names": "model.zoo",
    "encoder_spec": "model.zoo",
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
