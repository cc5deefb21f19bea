"""``extract --layers``: numbers, relative depths or the word hierarchical become the levels of an encoder's layers."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from vjepa_fer.recipe import check, hierarchical_layers, layer_at_depth, levels_of_layers, shown

from .terminal import say

_INDEX = re.compile(r"-?\d{1,4}")
_DEPTH = re.compile(r"(?:0?\.\d{1,9}|0\.|1\.0{0,9})")


def layered(levels: tuple[str, ...], layers: str | None, model: str, state_key: str | None) -> tuple[str, ...]:
    """The levels of every layer asked for, as :func:`~vjepa_fer.recipe.levels_of_layers` names them; what a depth became is said."""
    if layers is None:
        return levels
    from vjepa_fer.encoder.loading.registry import find_encoder

    config = find_encoder(model, state_key=state_key).config
    depth, last = config["depth"], config["depth"] - 1
    if layers == "hierarchical":
        check(config["family"] == "v21", f"--layers hierarchical: {model} is no V-JEPA 2.1; name layers by number")
        return levels_of_layers(levels, hierarchical_layers(depth), depth)
    values = layers.split(",")
    plain = all(_INDEX.fullmatch(value) or _DEPTH.fullmatch(value) for value in values)
    check(plain, f"--layers {shown(layers)}: write numbers, such as 5,11, or parts of the depth, such as 0.5,1.0")
    meant = {value: int(value) if _INDEX.fullmatch(value) else _at(value, config) for value in values}
    said = [f"{value} is layer {at}" for value, at in meant.items() if _DEPTH.fullmatch(value)]
    if said:
        say(f"layers: {', '.join(said)}, counted from 0 to {last}")
    return levels_of_layers(levels, list(meant.values()), depth)


def _at(value: str, config: dict[str, Any]) -> int:
    depth = config["depth"]
    layers = hierarchical_layers(depth) if config["family"] == "v21" else tuple(range(depth))
    return layer_at_depth(Fraction(value.rstrip(".")), layers, depth)
