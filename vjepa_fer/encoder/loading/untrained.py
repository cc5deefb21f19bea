"""A seed comes in, the numbers of a model that has learnt nothing go out: the same bits on every machine."""

from __future__ import annotations

import torch
from torch import Tensor

from vjepa_fer.recipe import check


def seed_of(weights: str) -> int:
    """The seed of ``random:SEED``."""
    text = weights.removeprefix("random:")
    valid = text.isascii() and text.isdigit() and len(text) < 19
    check(valid, f"weights {weights!r}: the seed after 'random:' must be a whole number of up to 18 digits")
    return int(text)


def random_tensor(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform: variance about 1 / inputs for matrices, less for vectors; the weights of norms are around 1.

    Whole numbers times a power of two: nothing is rounded, so every machine draws the same bits.
    """
    inputs = torch.Size(shape[1:]).numel() if len(shape) > 1 else 3 * 2**9
    scale = 2.0 ** -((inputs // 3).bit_length() // 2)
    values = torch.empty(shape).random_(-(2**23), 2**23, generator=generator).mul_(scale * 2.0**-23)
    return values.add_(1) if "norm" in name and name.endswith("weight") else values
