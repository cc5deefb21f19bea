"""Tokens of a batch go in, the levels that the recipe stores come out, pooled in float32 before anything is rounded."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from vjepa_fer.recipe import Storage, parse_level

_TORCH_DTYPES = {"float16": torch.float16, "float32": torch.float32, "int8": torch.float32}  # the writer quantises


def pool_tokens(tokens: torch.Tensor, grid: tuple[int, int, int], storage: Storage) -> dict[str, np.ndarray]:
    """:func:`pool_on_device`, and the small results brought over."""
    return {kind: pooled.cpu().numpy() for kind, pooled in pool_on_device(tokens, grid, storage).items()}


def pool_on_device(tokens: torch.Tensor, grid: tuple[int, int, int], storage: Storage) -> dict[str, torch.Tensor]:
    """Pool tokens to levels on their own device.

    Parameters
    ----------
    tokens : Tensor, shape (B, T'·H'·W', D)
        Ordered time, height, width.
    grid : tuple of int
        (T', H', W').
    storage : Storage

    Returns
    -------
    dict
        ``mean`` (B, D) and ``frames`` (B, T', D) float32; ``grid`` (B, T', G, G, D) and ``tokens`` (B, T', H', W', D) in
        the storage's token dtype (float32 for int8: the writer quantises).
    """
    volume = tokens.float().unflatten(1, grid)  # (B, T', H', W', D)
    levels = {}
    for level in storage.levels:
        kind, side = parse_level(level)
        pooled = _POOLERS[kind](volume, side or 0)
        dtype = torch.float32 if kind in ("mean", "frames") else _TORCH_DTYPES[storage.token_dtype]
        levels[kind] = pooled.to(dtype).contiguous()
    return levels


def _pool_grid(volume: torch.Tensor, side: int) -> torch.Tensor:
    batch, steps, height, width, dim = volume.shape
    planes = volume.reshape(batch * steps, height, width, dim).permute(0, 3, 1, 2)  # (B·T', D, H', W')
    return F.adaptive_avg_pool2d(planes, side).permute(0, 2, 3, 1).unflatten(0, (batch, steps))


_POOLERS = {
    "mean": lambda volume, _: volume.mean(dim=(1, 2, 3)),
    "frames": lambda volume, _: volume.mean(dim=(2, 3)),
    "grid": _pool_grid,
    "tokens": lambda volume, _: volume,
}
