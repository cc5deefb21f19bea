"""Efficient probing on a page: tokens and parameters come in, logits of many heads at once come out.

Learned queries score the raw tokens themselves, without a key projection; one value projection is shared, and each query has its own
slice of it; a linear layer decides (Psomas et al., "Attention, Please! Revisiting Attentive Probing Through the Lens of Efficiency",
ICLR 2026, arXiv 2506.10178). As for the official classifier, the order of work can be turned round, exactly:

    usual:   v = W x_t for all T tokens                                      2·T·D·D
             out_q = Σ_t softmax_t(u_q·x_t / √D) v_t[slice q]
    folded:  out_q = W[slice q] (Σ_t a_qt x_t)                               the same for Q queries, after the pooling

A bias of the values would only add to the linear layer's own (Σ_t a_qt = 1), so there is none.

Shapes: M heads trained side by side, B clips, T tokens, D their width, Q queries, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

QUERIES, VALUE = "queries", "value.weight"


@dataclass(frozen=True)
class EfficientModel:
    """What is trained, as :class:`~vjepa_fer.probes.attentive.training.Model` asks for it.

    Attributes
    ----------
    num_queries : int
        Q, which divides D.
    """

    num_queries: int

    def shapes(self, *, dim: int, num_classes: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one head's parameters."""
        linear = {"linear.weight": (num_classes, dim), "linear.bias": (num_classes,)}
        return {QUERIES: (self.num_queries, dim), VALUE: (dim, dim)} | linear

    def initial(self, shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
        """One head's first parameters: queries normal with spread 0.02, layers uniform within ``1 / √D`` as plain linear layers."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        bound = 1 / math.sqrt(shapes[VALUE][1])
        layers = {
            name: torch.empty(shape).uniform_(-bound, bound, generator=generator) for name, shape in shapes.items()
        }
        return layers | {QUERIES: 0.02 * torch.randn(shapes[QUERIES], generator=generator)}

    def logits(self, parameters: Mapping[str, Tensor], tokens: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Logits ``(M, B, K)`` on tokens ``(B, T, D)``; their statistics are not needed, as nothing is normed."""
        queries, value = parameters[QUERIES], parameters[VALUE]
        num_probes, num_queries, dim = queries.shape
        pooled = _attention(queries.flatten(0, 1), tokens) @ tokens  # (B, M·Q, D)
        pooled = pooled.view(-1, num_probes, num_queries, dim).permute(1, 2, 0, 3)  # (M, Q, B, D)
        found = pooled @ value.view(num_probes, num_queries, -1, dim).transpose(2, 3)  # (M, Q, B, D/Q)
        found = found.transpose(1, 2).flatten(2)  # (M, B, D)
        return found @ parameters["linear.weight"].transpose(1, 2) + parameters["linear.bias"][:, None]

    def attention(self, parameters: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """Weights ``(B, Q, T)`` of one head's queries on tokens ``(B, T, D)``."""
        return _attention(parameters[QUERIES].flatten(0, 1), tokens)


def _attention(queries: Tensor, tokens: Tensor) -> Tensor:
    """Softmax over tokens ``(B, T, D)`` for queries ``(R, D)``: ``(B, R, T)``."""
    scores = (tokens.flatten(0, 1) @ queries.T).view(*tokens.shape[:2], -1)
    return (scores * queries.shape[1] ** -0.5).softmax(dim=1).transpose(1, 2)
