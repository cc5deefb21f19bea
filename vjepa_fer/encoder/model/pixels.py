"""A window of pixels comes in, the mean colour of each cell of a coarse grid goes out: an encoder that has learnt nothing.

It answers as :class:`vjepa_fer.encoder.model.vit.Encoder` does, which is all that extraction asks of an encoder: `each_layer`, on a grid
(T', H', W') of tokens. What an encoder has learnt is what it knows beyond this.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from vjepa_fer.recipe import EncoderSpec, check


class PixelGrid(nn.Module):
    """Means over blocks of (frames, rows, columns), of the normalised input and in float32: a token is red, green and blue."""

    hierarchical_layers: tuple[int, ...] = ()

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.patch = (spec.tubelet_size, spec.patch_size, spec.patch_size)
        self.blocks = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) to tokens (B, N, 3)."""
        for name, size, unit in zip(("T", "H", "W"), x.shape[2:], self.patch, strict=True):
            check(
                size > 0 and size % unit == 0, f"{name} = {size} is not a multiple of {unit}: pixels {tuple(x.shape)}"
            )
        t, p, q = self.patch
        x = x.float().unflatten(4, (-1, q)).unflatten(3, (-1, p)).unflatten(2, (-1, t))  # (B, 3, T', t, H', p, W', q)
        return x.mean(dim=(3, 5, 7)).flatten(2).transpose(1, 2)  # (B, N, 3)

    def each_layer(self, x: Tensor, layers: Sequence[int]) -> Iterator[Tensor]:
        """Its one layer."""
        check(set(layers) == {0}, f"layers {', '.join(map(str, layers))}: a grid of pixels has one, 0")
        yield self(x)
