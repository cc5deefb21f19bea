"""Hugging Face's files of V-JEPA 2 come in, tensors under the official names go out: the same encoder in another layout.

::

    encoder.embeddings.patch_embeddings.proj      patch_embed.proj
    encoder.layer.N.attention.{query,key,value}   blocks.N.attn.qkv, one above the other
    encoder.layer.N.attention.proj                blocks.N.attn.proj
    encoder.layer.N.{norm1,norm2,mlp.fc1,mlp.fc2} blocks.N.…
    encoder.layernorm                             norm
    predictor.…, pooler.…, classifier.…           not the encoder's; left out

Its classifiers have ``vjepa2.`` before all of the encoder's names. They hold the online ``encoder``, not the average that the official evaluation reads: the state key says so, and neither is
ever taken in the other's place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
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


_CLASSIFIERS = "vjepa2."
_OTHERS = ("predictor.", "pooler.", "classifier.")


def is_hub_layout(names: Iterable[str]) -> bool:
    """Whether tensors have Hugging Face's names."""
    return any(name.removeprefix(_CLASSIFIERS).startswith("encoder.layer.") for name in names)


def official_layout(names: Iterable[str], source: str | Path) -> dict[str, tuple[str, ...]]:
    """Official name → Hugging Face's name, or those of query, key and value that are one tensor officially; neither predictor
    nor classifier.

    Raises
    ------
    CheckpointError
        A name of neither, or a query without its key and value.
    """
    names = tuple(names)
    others = _OTHERS if any(name.startswith(_CLASSIFIERS) for name in names) else _OTHERS[:1]
    official: dict[str, tuple[str, ...]] = {}
    thirds: dict[str, dict[str, str]] = {}
    for name in names:
        plain = name.removeprefix(_CLASSIFIERS)
        if plain.startswith(others):
            continue
        if match := _THIRD.fullmatch(plain):
            layer, part, kind = match.groups()
            thirds.setdefault(f"blocks.{layer}.attn.qkv.{kind}", {})[part] = name
        else:
            official[_official_name(plain, source)] = (name,)
    for name, parts in thirds.items():
        missing = [part for part in _PARTS if part not in parts]
        if missing:
            raise CheckpointError(f"{source}: {name} needs {', '.join(_PARTS)}, but {', '.join(missing)} is missing")
        official[name] = tuple(parts[part] for part in _PARTS)
    return official


def joined(name: str, parts: list[Tensor], source: str | Path) -> Tensor:
    """Query, key and value as one tensor.

    Raises
    ------
    CheckpointError
        They have different shapes.
    """
    if len({tuple(tensor.shape) for tensor in parts}) > 1:
        raise CheckpointError(f"{source}: {name} has query, key and value of different shapes")
    return torch.cat(parts)


def _official_name(name: str, source: str | Path) -> str:
    for pattern, replacement in _NAMES:
        if match := pattern.fullmatch(name):
            return match.expand(replacement)
    raise CheckpointError(f"{source}: {name} is no tensor of Hugging Face's V-JEPA 2; is it another model?")
