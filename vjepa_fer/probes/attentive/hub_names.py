"""Names of Hugging Face's V-JEPA 2 classifiers come in, official names go out, each with the tensors that lie one above the other in it.

::

    pooler.query_tokens                                       the same
    pooler.cross_attention_layer.cross_attn.q_proj            pooler.cross_attention_block.xattn.q
    pooler.cross_attention_layer.cross_attn.{k,v}_proj        pooler.cross_attention_block.xattn.kv
    pooler.self_attention_layers.N.self_attn.{q,k,v}_proj     pooler.blocks.N.attn.qkv
    pooler.self_attention_layers.N.self_attn.out_proj         pooler.blocks.N.attn.proj
    ….layer_norm{1,2}, ….mlp.fc{1,2}                          ….norm{1,2}, ….mlp.fc{1,2}
    classifier                                                linear
    vjepa2.…                                                  the encoder; left out
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vjepa_fer.probes.attentive.model import CROSS, QUERY

_CROSS = "pooler.cross_attention_layer."
_SELF = re.compile(r"pooler\.self_attention_layers\.(\d+)\.")
_PARTS = {
    "cross_attn.q_proj": ("xattn.q", 0),
    "cross_attn.k_proj": ("xattn.kv", 0),
    "cross_attn.v_proj": ("xattn.kv", 1),
    "self_attn.q_proj": ("attn.qkv", 0),
    "self_attn.k_proj": ("attn.qkv", 1),
    "self_attn.v_proj": ("attn.qkv", 2),
    "self_attn.out_proj": ("attn.proj", 0),
    "layer_norm1": ("norm1", 0),
    "layer_norm2": ("norm2", 0),
}
"""Hugging Face's name of a part → the official one, and its place in it; others are called alike."""


def is_hub_layout(names: Iterable[str]) -> bool:
    """Whether a classifier's parameters have Hugging Face's names."""
    return any(name.startswith(_CROSS) for name in names)


def official_layout(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Official name → Hugging Face's, in order; a name that is none of theirs stays as it is, for whoever checks them."""
    found: dict[str, dict[int, str]] = {}
    for name in names:
        if not name.startswith("vjepa2."):
            official, place = _official(name)
            found.setdefault(official, {})[place] = name
    return {official: tuple(parts[place] for place in sorted(parts)) for official, parts in found.items()}


def _official(name: str) -> tuple[str, int]:
    if name == QUERY:
        return name, 0
    if name.startswith("classifier."):
        return f"linear.{name.removeprefix('classifier.')}", 0
    block = _SELF.match(name)
    prefix = f"pooler.blocks.{block[1]}." if block else CROSS
    rest = name[block.end() :] if block else name.removeprefix(_CROSS)
    part, _, kind = rest.rpartition(".")
    official, place = _PARTS.get(part, (part, 0))
    return f"{prefix}{official}.{kind}", place
