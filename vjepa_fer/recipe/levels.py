"""How much of each window is stored, as a value; and the names of levels: ``mean``, ``grid:4``, ``tokens@5``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe.bounds import take_fields
from vjepa_fer.recipe.checks import check, check_choice, shown

TokenDtype = Literal["float16", "float32", "int8"]
KINDS = ("mean", "frames", "cls", "grid", "tokens")
SMALL = ("mean", "frames", "cls")
"""The kinds whose numbers are float32, whatever the storage says of the others."""

PooledFrom = Literal["output", "float16", "float32", "int8"]


def parse_level(level: str) -> tuple[str, int | None]:
    """Split a level into kind and grid size: ``"grid:4"`` → ``("grid", 4)``, ``"mean@5"`` → ``("mean", None)``.

    Raises
    ------
    RecipeError
        The level is none of mean, frames, cls, grid:G (G ≥ 1), tokens, each maybe with a layer, ``@5``.
    """
    whole, at, layer = level.partition("@")
    kind, colon, size = whole.partition(":")
    if kind not in KINDS or bool(colon) != (kind == "grid"):
        raise _no_level(level)
    if at:
        plain = layer.isascii() and layer.isdigit() and len(layer) < 4 and str(int(layer)) == layer
        check(plain, f"level {shown(level)}: after @ stands the number of a layer, counted from 0, such as {whole}@5")
    if kind != "grid":
        return kind, None
    if not (size.isascii() and size.isdigit() and len(size) < 4 and int(size) > 0):
        raise _no_level(level)
    return kind, int(size)


def _no_level(level: str) -> RecipeError:
    return RecipeError(not_one_of("level", level, KINDS, listed="mean, frames, grid:G (such as grid:4), tokens, cls"))


def layer_of(level: str) -> int | None:
    """The encoder layer that a level is taken after: ``"mean@5"`` → 5; None is the last one."""
    _, at, layer = level.partition("@")
    return int(layer) if at else None


def level_key(level: str) -> str:
    """Kind and layer without the grid's size, one of which a cache stores: ``"grid:4@5"`` → ``"grid@5"``."""
    whole, at, layer = level.partition("@")
    return whole.partition(":")[0] + at + layer


def level_shape(
    level: str, token_grid: tuple[int, int, int], dim: int, cls_grid: tuple[int, int] = (0, 0)
) -> tuple[int, ...]:
    """Shape of a window's level: mean (D), frames (T', D), cls (T' or 1, S, D), grid (T', G, G, D), tokens (T', H', W', D)."""
    kind, side = parse_level(level)
    steps, height, width = token_grid
    places: dict[str, tuple[int, ...]] = {
        "mean": (),
        "frames": (steps,),
        "cls": cls_grid,
        "grid": (steps, side or 0, side or 0),
        "tokens": (steps, height, width),
    }
    return (*places[kind], dim)


def levels_of_layers(levels: Sequence[str], layers: Sequence[int], depth: int) -> tuple[str, ...]:
    """Each level after each layer of an encoder with `depth` of them, counted from 0, or from -1 backwards.

    The last layer's have no number: they are what is stored without a choice of layers.

    >>> levels_of_layers(["mean", "grid:4"], [5, -1], 12)
    ('mean@5', 'grid:4@5', 'mean', 'grid:4')
    """
    check(len(layers) > 0, "layers is empty: name at least one")
    for layer in layers:
        check(-depth <= layer < depth, f"layer {layer}: the encoder has {depth}, counted from 0 to {depth - 1}")
    wanted = sorted({layer % depth for layer in layers})
    return tuple(level if layer == depth - 1 else f"{level}@{layer}" for layer in wanted for level in levels)


def layer_at_depth(share: Fraction, layers: Sequence[int], depth: int) -> int:
    """Of `layers` the one that ends nearest to this part of an encoder of so many; of two equally near the deeper.

    >>> layer_at_depth(Fraction("0.75"), range(12), 12), layer_at_depth(Fraction("0.75"), (11, 23, 37, 47), 48)
    (8, 37)
    """
    check(
        0 < share <= 1, f"layers: depth {float(share):g} must be more than 0, where no layer has been, and at most 1.0"
    )
    return min(layers, key=lambda layer: (abs(Fraction(layer + 1, depth) - share), -layer))


_BYTES = {"float16": 2, "float32": 4, "int8": 1}


def _depth_of(level: str) -> float:
    layer = layer_of(level)
    return math.inf if layer is None else layer


@dataclass(frozen=True, kw_only=True)
class Storage:
    """How much of each window is stored.

    Attributes
    ----------
    levels : tuple of str
        Of ``mean`` (D), ``frames`` (T', D), ``cls`` (T' or 1, S, D; of encoders that have S class and register tokens),
        ``grid:G`` (T', G, G, D; at most one) and ``tokens`` (T', H', W', D), stored in
        this canonical order. Pooling happens in float32 before rounding. ``mean@5`` is taken after layer 5, counted from
        0, and its norm; without a number, after the last.
    token_dtype : {"float16", "float32", "int8"}
        Of the large levels, grid and tokens; int8 with a scale and an offset for each channel of each window-view. The
        small levels, mean, frames and cls, are float32.
    pooled_from : {"output", "float16", "float32", "int8"}
        What the pooled levels were computed from: the encoder's output, or (``cache pool``) stored tokens of that dtype.
    """

    levels: tuple[str, ...] = ("mean", "frames", "grid:4")
    token_dtype: TokenDtype = "float16"
    pooled_from: PooledFrom = "output"

    def __post_init__(self) -> None:
        check_choice("token_dtype", self.token_dtype, TokenDtype)
        check_choice("pooled_from", self.pooled_from, PooledFrom)
        take_fields(self)
        places = {level: (KINDS.index(parse_level(level)[0]), _depth_of(level)) for level in self.levels}
        check(
            len(set(places.values())) == len(self.levels),
            f"levels {', '.join(self.levels)}: each kind at most once (one grid size a cache)",
        )
        object.__setattr__(self, "levels", tuple(sorted(self.levels, key=places.__getitem__)))

    def find(self, level: str) -> str | None:
        """A level by the name under which it is stored: ``grid`` alone means the stored ``grid:G``; None where it is not."""
        return next((stored for stored in self.levels if level in (stored, level_key(stored))), None)

    def row_bytes(self, token_grid: tuple[int, int, int], dim: int, cls_grid: tuple[int, int] = (0, 0)) -> int:
        """Bytes of the levels of a window-view; int8 with its scales."""
        shapes = {level: level_shape(level, token_grid, dim, cls_grid) for level in self.levels}
        return sum(self._level_bytes(level, shape) for level, shape in shapes.items())

    def _level_bytes(self, level: str, shape: tuple[int, ...]) -> int:
        count, dim = math.prod(shape), shape[-1]
        if parse_level(level)[0] in SMALL:
            return 4 * count
        return _BYTES[self.token_dtype] * count + (8 * dim if self.token_dtype == "int8" else 0)

    @property
    def layers(self) -> tuple[int | None, ...]:
        """The layers that some level is taken after, rising; None, the last one, comes last."""
        return tuple(dict.fromkeys(layer_of(level) for level in sorted(self.levels, key=_depth_of)))
