"""An encoder of two layers: a seeded projection of each cell's pixels, and what its squares add."""

import torch
from torch import nn


class ColourEncoder(nn.Module):
    """Says of itself what the token grid follows from: pixels a side, of a cell, and the width of a token."""

    img_size, patch_size, tubelet_size, num_frames = 32, 8, 2, 16
    embed_dim, depth = 12, 2

    def __init__(self):
        super().__init__()
        seed = torch.Generator().manual_seed(0)
        self.register_buffer("weight", torch.randn(12, 3, 2, 8, 8, generator=seed) / 20)

    def each_layer(self, pixels, layers):
        """The tokens (B, T'·H'·W', D) after each of `layers`, in the order of depth."""
        cells = nn.functional.conv3d(pixels, self.weight, stride=(2, 8, 8))  # (B, D, T', H', W')
        tokens = cells.flatten(2).transpose(1, 2)
        for layer in sorted(layers):
            yield tokens if layer == 0 else tokens + tokens.square().tanh()

    def forward(self, pixels):
        """Normalised pixels (B, 3, T, H, W) to the last layer's tokens."""
        return next(self.each_layer(pixels, [1]))
