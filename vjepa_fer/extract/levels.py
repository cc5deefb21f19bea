"""Windows go in, the levels that the recipe stores come out: of each layer, pooled in float32 before anything is rounded."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from vjepa_fer.encoder import LoadedEncoder
from vjepa_fer.recipe import SMALL, Recipe, Storage, layer_of, level_key, parse_level

_TORCH_DTYPES = {"float16": torch.float16, "float32": torch.float32, "int8": torch.float32}  # the writer quantises


def encode_levels(encoder: LoadedEncoder, pixels: torch.Tensor, recipe: Recipe) -> dict[str, torch.Tensor]:
    """Encode normalised pixels (B, 3, T, H, W) and pool each layer's tokens, on the encoder's device.

    Returns
    -------
    dict
        Level without its grid's size (``mean``, ``grid@5``) → what :func:`pool_on_device` says.
    """
    levels: dict[str, torch.Tensor] = {}
    for layer, tokens in encoder.encode_layers(pixels, recipe.storage.layers):
        levels |= pool_on_device(tokens, recipe.token_grid, recipe.storage, layer=layer, cls_grid=recipe.cls_grid)
    return levels


def pool_on_device(
    tokens: torch.Tensor,
    grid: tuple[int, int, int],
    storage: Storage,
    *,
    layer: int | None = None,
    cls_grid: tuple[int, int] = (1, 0),
) -> dict[str, torch.Tensor]:
    """Pool the tokens of one layer to its levels on their own device.

    Parameters
    ----------
    tokens : Tensor, shape (B, S + T'·H'·W', D)
        Class and register tokens, if any, as `cls_grid` says; then those of the grid, ordered time, height, width.
    grid : tuple of int
        (T', H', W').
    storage : Storage
    layer : int, optional
        Which layer's they are; the last one's by default.
    cls_grid : tuple of int
        Places in time of the class and register tokens, and how many there are at each.

    Returns
    -------
    dict
        ``mean`` (B, D), ``frames`` (B, T', D) and ``cls`` (B, T' or 1, S, D) float32; ``grid`` (B, T', G, G, D) and ``tokens`` (B, T', H', W', D) in
        the storage's token dtype (float32 for int8: the writer quantises). After another layer, ``mean@5``.
    """
    count = math.prod(cls_grid)
    special = tokens[:, :count].float().unflatten(1, cls_grid) if count else tokens[:, :0]  # (B, T' or 1, S, D)
    volume = tokens[:, count:].float().unflatten(1, grid)  # (B, T', H', W', D)
    levels = {}
    for level in storage.levels:
        if layer_of(level) != layer:
            continue
        kind, side = parse_level(level)
        pooled = special if kind == "cls" else _POOLERS[kind](volume, side or 0)
        dtype = torch.float32 if kind in SMALL else _TORCH_DTYPES[storage.token_dtype]
        levels[level_key(level)] = pooled.to(dtype).contiguous()
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
