"""A window of pixels comes in, one token per tubelet patch goes out: V-JEPA, V-JEPA 2 and V-JEPA 2.1 on one page.

The parts stand in the order in which data meets them, under the official parameter names, so that a checkpoint loads by
equality. Checked against numbers recorded from the official code (``tests/data``) and against transformers' VJEPA2Model.

Letters at line ends: B windows; T frames, H and W pixels; T', H', W' the token grid; N = T'·H'·W' tokens in that order;
D embedding; h heads of d = D / h numbers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vjepa_fer.doors import not_one_of
from vjepa_fer.encoder.model.pixels import PixelGrid
from vjepa_fer.encoder.model.zoo import placeholder_spec
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import PROVENANCE, EncoderSpec, Family, check, hierarchical_layers

Grid = tuple[int, int, int]
"""Tokens along time, height and width: (T', H', W')."""

PRETRAINING_GRID = 16
"""Side of the token grid that V-JEPA 2.1's rotary positions are stretched to, whatever the input: 256 px / 16."""


class PatchEmbed(nn.Module):
    """One vector for each block of `kernel` = (frames, rows, columns) pixels."""

    def __init__(self, kernel: Grid, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, embed_dim, kernel_size=kernel, stride=kernel)

    def forward(self, x: Tensor) -> Tensor:
        # Blocks do not overlap, so the convolution is one matrix product: faster, and never rounded to TF32 as cuDNN's is.
        t, p, q = self.proj.kernel_size
        x = x.to(self.proj.weight.dtype)  # (B, 3, T, H, W)
        x = x.unflatten(4, (-1, q)).unflatten(3, (-1, p)).unflatten(2, (-1, t))  # (B, 3, T', t, H', p, W', q)
        x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4).flatten(1, 3)  # (B, N, 3·t·p·q)
        return F.linear(x, self.proj.weight.flatten(1), self.proj.bias)  # (B, N, D)


def sincos_positions(grid: Grid, embed_dim: int, *, uniform_power: bool) -> Tensor:
    """V-JEPA's fixed positions, (1, N, D) float32: sines and cosines of the token's place in time, height and width.

    `uniform_power` gives each axis a third of the numbers; without it time has a half, height and width a quarter each.
    """
    third = 2 * math.ceil(embed_dim / 6)
    widths = (third, third, third) if uniform_power else (embed_dim // 2, embed_dim // 4, embed_dim // 4)
    places = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    parts = []
    for place, width in zip(places, widths, strict=True):
        angles = place.flatten()[:, None] * _frequencies(width, torch.float64)  # (N, width / 2)
        parts += [angles.sin(), angles.cos()]
    return torch.cat(parts, dim=1)[None, :, :embed_dim].float()


def _frequencies(width: int, dtype: torch.dtype) -> Tensor:
    """The width / 2 angular speeds from 1 down to almost 1/10000."""
    return 1.0 / 10000 ** (torch.arange(width // 2, dtype=dtype) / (width / 2))


@lru_cache(maxsize=16)
def rotary_tables(
    family: Family, grid: Grid, head_dim: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines that :func:`rotate` takes, (N, d) each; angles in float32 on the CPU, rounded to `dtype` once.

    The d numbers of a head are split into a part for time, one for height, one for width, and up to 5 that stay as they are::

        d = 64:  | time 20 | height 20 | width 20 | 4 at rest |

    V-JEPA 2 gives the ten angles of a part to its numbers as ``0 1 … 9 0 1 … 9`` although neighbours turn together, and its
    weights were trained so. V-JEPA 2.1 gives ``0 0 1 1 … 9 9``, and stretches rows and columns to the pretraining grid.
    """
    width = 2 * (head_dim // 3 // 2)
    # an ordinary tensor even when first asked for in inference mode, since the cache outlives that mode
    with torch.inference_mode(False), torch.device("cpu"):
        places = torch.meshgrid(*_rotary_axes(family, grid), indexing="ij")
        omega = _frequencies(width, torch.float32)
        angles = [place.flatten()[:, None] * omega for place in places]  # 3 × (N, width / 2)
        spread = [a.repeat(1, 2) if family == "v2" else a.repeat_interleave(2, dim=1) for a in angles]  # 3 × (N, width)
        table = F.pad(torch.cat(spread, dim=1), (0, head_dim - 3 * width))  # (N, d)
        sines = table.sin()
        sines[:, 0::2] *= -1
        return table.cos().to(device, dtype), sines.to(device, dtype)


def _rotary_axes(family: Family, grid: Grid) -> list[Tensor]:
    time, *space = (torch.arange(n, dtype=torch.float32) for n in grid)
    if family == "v21":
        space = [axis * ((PRETRAINING_GRID - 1) / max(len(axis) - 1, 1)) for axis in space]
    return [time, *space]


def rotate(x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of neighbouring numbers (a, b) by its angle: (a·cos - b·sin, b·cos + a·sin). `x` is (B, h, N, d)."""
    cos, signed_sin = tables
    swapped = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return torch.addcmul(x * cos, swapped, signed_sin)


class Attention(nn.Module):
    """Every token looks at every token of its window."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.num_heads = spec.num_heads
        self.qkv = nn.Linear(spec.embed_dim, 3 * spec.embed_dim)
        self.proj = nn.Linear(spec.embed_dim, spec.embed_dim)

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # 3 × (B, h, N, d)
        if tables is not None:
            q, k = rotate(q, tables), rotate(k, tables)
        x = F.scaled_dot_product_attention(q, k, v)  # (B, h, N, d)
        return self.proj(x.transpose(1, 2).flatten(2))  # (B, N, D)


class MLP(nn.Module):
    """Each token thinks for itself."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        hidden = int(spec.embed_dim * spec.mlp_ratio)
        self.fc1 = nn.Linear(spec.embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, spec.embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """One layer: attention, then the MLP, each on normed tokens and added to them."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(spec.embed_dim, eps=spec.layer_norm_eps)
        self.attn = Attention(spec)
        self.norm2 = nn.LayerNorm(spec.embed_dim, eps=spec.layer_norm_eps)
        self.mlp = MLP(spec)

    def forward(self, x: Tensor, tables: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.attn(self.norm1(x), tables)
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """What the families share; each says how a window is embedded, which positions rotate, and which norm ends a layer."""

    hierarchical_layers: tuple[int, ...] = ()

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.patch = (spec.tubelet_size, spec.patch_size, spec.patch_size)
        side = spec.img_size // spec.patch_size
        self.trained_grid = (spec.num_frames // spec.tubelet_size, side, side)
        self.head_dim = spec.embed_dim // spec.num_heads
        self.patch_embed = PatchEmbed(self.patch, spec.embed_dim)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.depth))

    def embed(self, x: Tensor, grid: Grid) -> Tensor:
        """Pixels (B, 3, T, H, W) to the first layer's tokens (B, N, D)."""
        raise NotImplementedError

    def rotary(self, grid: Grid, x: Tensor) -> tuple[Tensor, Tensor] | None:
        """The tables for a token grid, on the device and in the dtype of `x`; None where positions do not rotate."""
        raise NotImplementedError

    def norm_after(self, layer: int) -> nn.Module:
        """The norm that a layer's tokens go through on their way out."""
        raise NotImplementedError

    def forward(self, x: Tensor, hierarchical: bool = False) -> Tensor:
        """Encode windows.

        Parameters
        ----------
        x : Tensor, shape (B, 3, T, H, W)
            Floating-point pixels, normalised. T a multiple of the tubelet size, H and W of the patch size; both need not be
            the sizes of pretraining, nor equal. V-JEPA 2.1 takes single images, T = 1, through its own image embedding.
        hierarchical : bool
            V-JEPA 2.1 only: the tokens of its four hierarchical layers side by side.

        Returns
        -------
        Tensor, shape (B, N, D), or (B, N, 4·D) when hierarchical
            In the dtype of the weights; N = T'·H'·W', time slowest, columns fastest.

        Raises
        ------
        RecipeError
            Input of another shape, or a size that is not a multiple; hierarchical tokens of V-JEPA 1 or 2.
        """
        if not hierarchical:
            return self.layer_tokens(x, (len(self.blocks) - 1,))[0]
        check(len(self.hierarchical_layers) > 0, "hierarchical tokens exist in V-JEPA 2.1 (family v21) only")
        return torch.cat(self.layer_tokens(x, self.hierarchical_layers), dim=-1)

    def layer_tokens(self, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """The normed tokens (B, N, D) after each of `layers` (0 is the first), in the order of depth; none is run beyond."""
        return list(self.each_layer(x, layers))

    def each_layer(self, x: Tensor, layers: Sequence[int]) -> Iterator[Tensor]:
        """The same one by one, so that no more than one layer's tokens need be in memory."""
        grid = self.token_grid(x)
        x = self.embed(x, grid)
        tables = self.rotary(grid, x)
        for layer, block in enumerate(self.blocks[: max(layers) + 1]):
            x = block(x, tables)
            if layer in layers:
                yield self.norm_after(layer)(x)

    def token_grid(self, x: Tensor) -> Grid:
        """(T', H', W') of an input, checked."""
        check(x.ndim == 5 and x.shape[1] == 3, f"pixels must have shape (B, 3, T, H, W), not {tuple(x.shape)}")
        check(x.is_floating_point(), f"pixels must be normalised floating-point numbers, not {x.dtype}")
        patch = self.patch_of(x)
        for name, size, unit in zip(("T", "H", "W"), x.shape[2:], patch, strict=True):
            check(
                size > 0 and size % unit == 0, f"{name} = {size} is not a multiple of {unit}: pixels {tuple(x.shape)}"
            )
        return x.shape[2] // patch[0], x.shape[3] // patch[1], x.shape[4] // patch[2]

    def patch_of(self, x: Tensor) -> Grid:
        """Frames, rows and columns that become one token of this input."""
        return self.patch


class VJepa1(Encoder):
    """V-JEPA: positions are added to the tokens, and interpolated where the input has another size than in pretraining."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        positions = sincos_positions(self.trained_grid, spec.embed_dim, uniform_power=spec.uniform_power)
        self.pos_embed = nn.Parameter(positions)
        self.norm = nn.LayerNorm(spec.embed_dim, eps=spec.layer_norm_eps)

    def embed(self, x: Tensor, grid: Grid) -> Tensor:
        return self.patch_embed(x) + self.positions(grid)

    def positions(self, grid: Grid) -> Tensor:
        """(1, N, D) for any grid. Interpolated anew each time: it costs a thousandth of a block, and cannot go stale."""
        if grid == self.trained_grid:
            return self.pos_embed
        trained = self.pos_embed.float().unflatten(1, self.trained_grid).permute(0, 4, 1, 2, 3)  # (1, D, T', H', W')
        resized = F.interpolate(trained, size=grid, mode="trilinear")
        return resized.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)  # (1, N, D)

    def rotary(self, grid: Grid, x: Tensor) -> None:
        return None

    def norm_after(self, layer: int) -> nn.Module:
        return self.norm


class VJepa2(Encoder):
    """V-JEPA 2: positions turn queries and keys; whole numbers from 0, at any input size."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        self.norm = nn.LayerNorm(spec.embed_dim, eps=spec.layer_norm_eps)

    def embed(self, x: Tensor, grid: Grid) -> Tensor:
        return self.patch_embed(x)

    def rotary(self, grid: Grid, x: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_tables("v2", grid, self.head_dim, x.device, x.dtype)

    def norm_after(self, layer: int) -> nn.Module:
        return self.norm


class VJepa21(Encoder):
    """V-JEPA 2.1: corrected and stretched rotary positions, a mark for video or image, a norm for each of four layers."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__(spec)
        self.hierarchical_layers = hierarchical_layers(spec.depth)
        self.img_mod_embed = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.video_mod_embed = nn.Parameter(torch.zeros(1, 1, spec.embed_dim))
        self.patch_embed_img = PatchEmbed((1, *self.patch[1:]), spec.embed_dim)
        self.norms_block = nn.ModuleList(
            nn.LayerNorm(spec.embed_dim, eps=spec.layer_norm_eps) for _ in self.hierarchical_layers
        )

    def patch_of(self, x: Tensor) -> Grid:
        return (1, *self.patch[1:]) if x.shape[2] == 1 else self.patch

    def embed(self, x: Tensor, grid: Grid) -> Tensor:
        if x.shape[2] == 1:  # an image
            return self.patch_embed_img(x) + self.img_mod_embed
        return self.patch_embed(x) + self.video_mod_embed

    def rotary(self, grid: Grid, x: Tensor) -> tuple[Tensor, Tensor]:
        return rotary_tables("v21", grid, self.head_dim, x.device, x.dtype)

    def norm_after(self, layer: int) -> nn.Module:
        names = ", ".join(map(str, self.hierarchical_layers))
        check(
            layer in self.hierarchical_layers, f"layer {layer} has no trained norm in V-JEPA 2.1; those of {names} do"
        )
        return self.norms_block[self.hierarchical_layers.index(layer)]


FAMILIES: dict[Family, type[Any]] = {"v1": VJepa1, "v2": VJepa2, "v21": VJepa21, "pixels": PixelGrid}


def build_encoder(config: Mapping[str, Any]) -> Encoder:
    """Build an encoder for inference from its architecture numbers; weights are torch's own unseeded initial ones.

    Parameters
    ----------
    config : mapping
        All of family ("v1", "v2", "v21"), img_size, patch_size, num_frames, tubelet_size, embed_dim, depth, num_heads,
        mlp_ratio, uniform_power, layer_norm_eps, and nothing else; ``EncoderSpec.config`` is one.

    Returns
    -------
    Encoder
        In evaluation mode, no parameter asks for a gradient. Inside ``with torch.device("meta")`` it takes no memory.

    Raises
    ------
    RecipeError
        A field is missing, unknown or out of range.
    """
    spec = _checked_spec(config)
    return FAMILIES[spec.family](spec).eval().requires_grad_(False)


def _checked_spec(config: Mapping[str, Any]) -> EncoderSpec:
    known = [f.name for f in dataclasses.fields(EncoderSpec) if f.name not in PROVENANCE]
    unknown, missing = sorted(map(str, set(config) - set(known))), [name for name in known if name not in config]
    if unknown:
        raise RecipeError(not_one_of("encoder config: field", unknown[0], known))
    check(not missing, f"encoder config: {', '.join(missing)} missing; the fields are {', '.join(known)}")
    spec = placeholder_spec("custom", dict(config))
    _check_geometry(spec)
    return spec


def _check_geometry(spec: EncoderSpec) -> None:
    for size, unit in (("img_size", "patch_size"), ("num_frames", "tubelet_size")):
        a, b = getattr(spec, size), getattr(spec, unit)
        check(a % b == 0, f"{size} {a} is not a multiple of {unit} {b}")
    head_dim = spec.embed_dim // spec.num_heads
    turns = head_dim % 2 == 0 and head_dim >= 6
    check(
        spec.family in ("v1", "pixels") or turns,
        f"embed_dim / num_heads is {head_dim}; rotary positions need an even number from 6",
    )
    check(
        spec.family != "v21" or spec.depth >= 4, f"depth {spec.depth}: V-JEPA 2.1 has a norm after each of four layers"
    )
    thirds = spec.uniform_power or spec.family != "v1" or spec.embed_dim % 8 == 0
    check(thirds, f"embed_dim {spec.embed_dim} is not a multiple of 8, as positions without uniform_power need")
