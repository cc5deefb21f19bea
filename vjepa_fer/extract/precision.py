"""What was asked for, the devices and the cache go in; the precision of the encoder's matrix products comes out, and what is to be said of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from vjepa_fer.cache import layout
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.encoder import pick_device
from vjepa_fer.recipe import Precision, Recipe

AskedPrecision = Literal["auto", "float32", "bfloat16", "float16"]

BFLOAT16_FROM = 8
"""Compute capability of the first cards (A100) whose matrix units take bfloat16."""


class Settled(NamedTuple):
    """A precision, and why it is this one; "" where there is nothing to say."""

    precision: Precision
    why: str


def settle_precision(
    asked: AskedPrecision, devices: Sequence[str], cache: str | os.PathLike[str] | None = None
) -> Settled:
    """``auto`` becomes the cache's own precision; of a new one bfloat16 where all devices have matrix units for it, else float32.

    Parameters
    ----------
    asked : {"auto", "float32", "bfloat16", "float16"}
    devices : sequence of str
        As torch spells them, or ``auto``.
    cache : path, optional
        A folder that may hold rows already: others would not fit to them.
    """
    places = [torch.device(pick_device(device)) for device in devices]
    if asked != "auto":
        slow = asked == "float16" and any(place.type == "cpu" for place in places)
        return Settled(asked, "on a CPU float16 takes 3.5 times as long as float32" if slow else "")
    if (there := _precision_of(cache)) is not None:
        return Settled(there, f"{there}, as the rows that are in {cache}")
    if all(place.type == "cuda" and torch.cuda.get_device_capability(place)[0] >= BFLOAT16_FROM for place in places):
        return Settled(
            "bfloat16", "bfloat16, which this card's matrix units take; --precision float32 for the last digits"
        )
    return Settled("float32", "")


def _precision_of(cache: str | os.PathLike[str] | None) -> Precision | None:
    if cache is None or not (Path(cache) / layout.CACHE_JSON).exists():
        return None
    recipe = read_cache_recipe(Path(cache))
    return recipe.precision if isinstance(recipe, Recipe) else None
