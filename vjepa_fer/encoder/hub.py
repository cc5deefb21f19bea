"""Hugging Face's files of V-JEPA 2 come in, tensors under the official names go out: the same encoder in another layout.

::

    encoder.embeddings.patch_embeddings.proj      patch_embed.proj
    encoder.layer.N.attention.{query,key,value}   blocks.N.attn.qkv, one above the other
    encoder.layer.N.attention.proj                blocks.N.attn.proj
    encoder.layer.N.{norm1,norm2,mlp.fc1,mlp.fc2} blocks.N.…
    encoder.layernorm                             norm
    predictor.…                                   not the encoder's; left out

They hold the online ``encoder``, not the average that the official evaluation reads: the state key says so, and neither is
ever taken in the other's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from vjepa_fer.errors import CheckpointError

_PARTS = ("query", "key", "value")
_NAMES = (
    (re.compile(r"encoder\.embeddings\.patch_embeddings\.proj\.(weight|bias)"), r"patch_embed.proj.\1"),
    (re.compile(r"encoder\.layernorm\.(weight|bias)"), r"norm.\1"),
    (re.compile(r"encoder\.layer\.(\d+)\.attention\.proj\.(weight|bias)"), r"blocks.\1.attn.proj.\2"),
    (re.compile(r"encoder\.layer\.(\d+)\.(norm1|norm2|mlp\.fc1|mlp\.fc2)\.(weight|bias)"), r"blocks.\1.\2.\3"),
)
_THIRD = re.compile(r"encoder\.layer\.(\d+)\.attention\.(query|key|value)\.(weight|bias)")


def is_hub_layout(names: Iterable[str]) -> bool:
    """Whether tensors have Hugging Face's names."""
    return any(name.startswith("encoder.layer.") for name in names)


def official_names(state: Mapping[str, Tensor], source: str | Path) -> dict[str, Tensor]:
    """The encoder's tensors under the official names; the predictor's are left out.

    Raises
    ------
    CheckpointError
        A name of neither, or a query without its key and value.
    """
    official: dict[str, Tensor] = {}
    thirds: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if name.startswith("predictor."):
            continue
        if match := _THIRD.fullmatch(name):
            layer, part, kind = match.groups()
            thirds.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[part] = tensor
        else:
            official[_official_name(name, source)] = tensor
    return official | {name: _joined(name, parts, source) for name, parts in thirds.items()}


def _official_name(name: str, source: str | Path) -> str:
    for pattern, replacement in _NAMES:
        if match := pattern.fullmatch(name):
            return match.expand(replacement)
    raise CheckpointError(f"{source}: {name} is no tensor of Hugging Face's V-JEPA 2; is it another model?")


def _joined(name: str, parts: Mapping[str, Tensor], source: str | Path) -> Tensor:
    missing = [part for part in _PARTS if part not in parts]
    if missing:
        raise CheckpointError(f"{source}: {name} needs {', '.join(_PARTS)}, but {', '.join(missing)} is missing")
    shapes = {tuple(tensor.shape) for tensor in parts.values()}
    if len(shapes) > 1:
        raise CheckpointError(f"{source}: {name} has query, key and value of different shapes")
    return torch.cat([parts[part] for part in _PARTS])
