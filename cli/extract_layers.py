"""``extract --layers``: numbers, relative depths or the word hierarchical become the levels of an encoder's layers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

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
    depth = config["depth"]
    if layers == "hierarchical":
        check(config["family"] == "v21", f"--layers hierarchical: {model} is no V-JEPA 2.1; name layers by number")
        return levels_of_layers(levels, hierarchical_layers(depth), depth)
    taken = hierarchical_layers(depth) if config["family"] == "v21" else range(depth)
    return levels_of_layers(levels, layer_numbers(layers, taken, depth), depth)


def layer_numbers(layers: str, taken: Sequence[int], depth: int | None = None) -> list[int]:
    """The layers that ``2,-1`` or ``0.5,1.0`` are, those of a depth among `taken` of so many; what a depth became is said."""
    depth = depth or len(taken)
    values = layers.split(",")
    plain = all(_INDEX.fullmatch(value) or _DEPTH.fullmatch(value) for value in values)
    check(plain, f"--layers {shown(layers)}: write numbers, such as 5,11, or parts of the depth, such as 0.5,1.0")
    meant = {value: int(value) if _INDEX.fullmatch(value) else _at(value, taken, depth) for value in values}
    said = [f"{value} is layer {at}" for value, at in meant.items() if _DEPTH.fullmatch(value)]
    if said:
        say(f"layers: {', '.join(said)}, counted from 0 to {depth - 1}")
    return list(meant.values())


def _at(value: str, taken: Sequence[int], depth: int) -> int:
    return layer_at_depth(Fraction(value.rstrip(".")), taken, depth)
