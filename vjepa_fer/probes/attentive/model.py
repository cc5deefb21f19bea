"""V-JEPA's attentive classifier on a page: tokens and official parameters come in, logits of many heads at once come out.

One learned query looks at all tokens of a clip. With a single query the usual order of work can be turned round, exactly:
score every token by one vector, pool the tokens first, and apply the value matrix to the pooled token:

    usual:   k, v = W_k x̂_t + b_k, W_v x̂_t + b_v   for all T tokens          2·T·D·2D
             out  = Σ_t softmax_t(q·k_t / √d) v_t
    folded:  u    = W_kᵀ q / √d;  a_t = softmax_t(u·x̂_t)                     (q·b_k is the same for all t: it cancels)
             out  = W_v (Σ_t a_t x̂_t) + b_v                                  (Σ_t a_t = 1)

An output projection follows in the paper's code; V-JEPA 1's own code holds its weights without applying them, and V-JEPA 2's
has none: hence `proj`, whether it is applied, apart from whether its parameters exist.

In the above, x̂ = γ·(x − μ)/σ + β is the layer norm of a token, whose μ and 1/σ never change for frozen tokens.

Shapes: M heads trained side by side, B clips, T tokens, D their width, H attention heads, K classes. `Parameters` hold
every tensor under its official name, with M in front.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-5
"""Of every layer norm in the published classifiers."""

CROSS = "pooler.cross_attention_block."
QUERY = "pooler.query_tokens"
PROJ = f"{CROSS}xattn.proj.weight"


@dataclass(frozen=True)
class OfficialModel:
    """What is trained, as :class:`~vjepa_fer.probes.attentive.training.Model` asks for it.

    Attributes
    ----------
    depth : int
        Counts the cross-attention; ``depth - 1`` blocks precede it.
    num_heads : int
    proj : bool
        The cross-attention's output projection is applied.
    """

    depth: int
    num_heads: int
    proj: bool

    def shapes(self, *, dim: int, num_classes: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one head's parameters."""
        return parameter_shapes(dim=dim, num_classes=num_classes, depth=self.depth, proj=self.proj)

    def initial(self, shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
        """One head's first parameters."""
        return initial_parameters(shapes, seed)

    def logits(self, parameters: Mapping[str, Tensor], tokens: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Logits ``(M, B, K)``."""
        return attentive_logits(parameters, tokens, statistics, num_heads=self.num_heads, proj=self.proj)

    def attention(self, parameters: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """Weights ``(B, H, T)`` of one head's query."""
        return query_attention(parameters, tokens, num_heads=self.num_heads)


def depth_of(names: Iterable[str]) -> int:
    """Depth of the classifier whose parameters have these official names."""
    return 1 + len({name.split(".")[2] for name in names if name.startswith("pooler.blocks.")})


def parameter_shapes(*, dim: int, num_classes: int, depth: int, proj: bool) -> dict[str, tuple[int, ...]]:
    """Official names and shapes of one head's parameters; depth counts the cross-attention, ``depth - 1`` blocks precede it."""
    shapes: dict[str, tuple[int, ...]] = {QUERY: (1, 1, dim)}
    shapes |= _block_shapes(CROSS, dim, {"xattn.q": dim, "xattn.kv": 2 * dim} | ({"xattn.proj": dim} if proj else {}))
    for number in range(depth - 1):
        shapes |= _block_shapes(f"pooler.blocks.{number}.", dim, {"attn.qkv": 3 * dim, "attn.proj": dim})
    return shapes | {"linear.weight": (num_classes, dim), "linear.bias": (num_classes,)}


def _block_shapes(prefix: str, dim: int, attention: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    linears = {name: (rows, dim) for name, rows in attention.items()}
    linears |= {"mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    shapes: dict[str, tuple[int, ...]] = {}
    for norm in ("norm1", "norm2"):
        shapes |= {f"{prefix}{norm}.weight": (dim,), f"{prefix}{norm}.bias": (dim,)}
    for name, (rows, columns) in linears.items():
        shapes |= {f"{prefix}{name}.weight": (rows, columns), f"{prefix}{name}.bias": (rows,)}
    return shapes


def initial_parameters(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """One head's first parameters: matrices normal with spread 0.02, cut at two; those that end a residual path smaller.

    The classifier's own layer starts uniform within ``1 / √D``, as a plain linear layer does.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    parameters = {}
    for name, shape in shapes.items():
        value = torch.zeros(shape)
        if ".norm" in name and name.endswith("weight"):
            value.fill_(1.0)
        elif name.startswith("linear."):
            bound = 1 / math.sqrt(shapes["linear.weight"][1])
            value.uniform_(-bound, bound, generator=generator)
        elif not name.endswith("bias"):
            torch.nn.init.trunc_normal_(value, std=0.02, a=-0.04, b=0.04, generator=generator)
        if name.endswith(("attn.proj.weight", "mlp.fc2.weight")):
            value /= math.sqrt(2 * _layer(name))
        parameters[name] = value
    return parameters


def _layer(name: str) -> int:
    """Place of a block in the network, from 1, for the size of what it adds."""
    return int(name.split(".")[2]) + 1 if name.startswith("pooler.blocks.") else 1


def token_statistics(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and one over the standard deviation ``(B, T)`` of tokens ``(B, T, D)``: all that a layer norm needs of them."""
    import torch

    variance, mean = torch.var_mean(tokens, dim=-1, correction=0)
    return mean, torch.rsqrt(variance + EPSILON)


def attentive_logits(
    parameters: Mapping[str, Tensor],
    tokens: Tensor,
    statistics: tuple[Tensor, Tensor],
    *,
    num_heads: int,
    proj: bool,
) -> Tensor:
    """Logits ``(M, B, K)`` of M heads on frozen tokens ``(B, T, D)`` with their :func:`token_statistics`."""
    import torch

    depth = depth_of(parameters)
    if depth == 1:
        return _decide(parameters, _pool(parameters, tokens, statistics, num_heads, proj))
    # with blocks before the pooling, tokens are no longer the same for every head
    logits = []
    for head in range(len(parameters["linear.bias"])):
        own = {name: value[head : head + 1] for name, value in parameters.items()}
        mixed = _mix(own, tokens, num_heads, depth)
        logits.append(_decide(own, _pool(own, mixed, token_statistics(mixed), num_heads, proj)))
    return torch.cat(logits)


def query_attention(parameters: Mapping[str, Tensor], tokens: Tensor, *, num_heads: int) -> Tensor:
    """How much the query of one head looks at each token: tokens ``(B, T, D)`` → ``(B, H, T)``, a softmax over T.

    Where blocks precede the pooling, a token stands for its place: the blocks have mixed others into it.
    """
    depth = depth_of(parameters)
    mixed = _mix(parameters, tokens, num_heads, depth)
    directions = _directions(parameters, num_heads).flatten(0, 1)  # (H, D), of the only probe
    return _attention(mixed, token_statistics(mixed), directions).transpose(1, 2)


def _pool(
    parameters: Mapping[str, Tensor], tokens: Tensor, statistics: tuple[Tensor, Tensor], num_heads: int, proj: bool
) -> Tensor:
    """The query after cross-attention and its MLP, ``(M, B, D)``."""
    p = _block(parameters, CROSS)
    query = parameters[QUERY][:, 0]  # (M, 1, D)
    num_probes, _, dim = query.shape
    values = p["xattn.kv.weight"].view(num_probes, 2, num_heads, -1, dim)[:, 1]  # (M, H, D/H, D)
    scale, shift = p["norm1.weight"][:, None], p["norm1.bias"][:, None, None]
    u = _directions(parameters, num_heads)
    pooled = _pooled_tokens(tokens, statistics, u.reshape(-1, dim))  # (B, M·H, D)
    pooled = pooled.view(-1, num_probes, num_heads, dim).transpose(0, 1) * scale[:, None] + shift  # (M, B, H, D)
    found = pooled.transpose(1, 2) @ values.transpose(2, 3)  # (M, H, B, D/H)
    found = found.transpose(1, 2).reshape(num_probes, -1, dim) + p["xattn.kv.bias"][:, None, dim:]
    if proj:
        found = _linear(p, "xattn.proj", found)
    found = query + found
    return found + _mlp(p, found)


def _mix(parameters: Mapping[str, Tensor], tokens: Tensor, num_heads: int, depth: int) -> Tensor:
    """Tokens ``(B, T, D)`` after the blocks of one head that precede the pooling."""
    for number in range(depth - 1):
        tokens = _self_attention(parameters, f"pooler.blocks.{number}.", tokens, num_heads)
    return tokens


def _directions(parameters: Mapping[str, Tensor], num_heads: int) -> Tensor:
    """The vectors u that score tokens, ``(M, H, D)``; the norm's γ is in them."""
    p = _block(parameters, CROSS)
    query = parameters[QUERY][:, 0]  # (M, 1, D)
    num_probes, _, dim = query.shape
    asked = _linear(p, "xattn.q", query).view(num_probes, num_heads, dim // num_heads, 1)
    keys = p["xattn.kv.weight"].view(num_probes, 2, num_heads, -1, dim)[:, 0]  # (M, H, D/H, D)
    return (keys * asked).sum(2) * (dim // num_heads) ** -0.5 * p["norm1.weight"][:, None]


def _attention(tokens: Tensor, statistics: tuple[Tensor, Tensor], u: Tensor) -> Tensor:
    """Softmax over the scores of tokens ``(B, T, D)`` by directions ``(R, D)``: ``(B, T, R)``."""
    mean, rescale = (s[..., None] for s in statistics)  # (B, T, 1)
    scores = (tokens.flatten(0, 1) @ u.T).view(*tokens.shape[:2], -1)
    return ((scores - mean * u.sum(1)) * rescale).softmax(dim=1)


def _pooled_tokens(tokens: Tensor, statistics: tuple[Tensor, Tensor], u: Tensor) -> Tensor:
    """Normed tokens pooled by softmax attention, one row a direction: ``u (R, D)`` → ``(B, R, D)``."""
    mean, rescale = (s[..., None] for s in statistics)  # (B, T, 1)
    attention = _attention(tokens, statistics, u) * rescale
    return attention.transpose(1, 2) @ tokens - (attention * mean).sum(1)[..., None]


def _self_attention(parameters: Mapping[str, Tensor], prefix: str, x: Tensor, num_heads: int) -> Tensor:
    """A plain pre-norm transformer block of one head on tokens ``(B, T, D)``."""
    from torch.nn.functional import scaled_dot_product_attention

    p = _block(parameters, prefix)
    batch, num_tokens, dim = x.shape
    qkv = _linear(p, "attn.qkv", _norm(p, "norm1", x)).view(batch, num_tokens, 3, num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, D/H)
    mixed = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, num_tokens, dim)
    x = x + _linear(p, "attn.proj", mixed)
    return x + _mlp(p, x)


def _decide(parameters: Mapping[str, Tensor], pooled: Tensor) -> Tensor:
    return _linear(parameters, "linear", pooled)


def _mlp(p: Mapping[str, Tensor], x: Tensor) -> Tensor:
    from torch.nn.functional import gelu

    return _linear(p, "mlp.fc2", gelu(_linear(p, "mlp.fc1", _norm(p, "norm2", x))))


def _linear(p: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """``x Wᵀ + b`` head by head: ``(M, B, D)`` and weights ``(M, R, D)`` → ``(M, B, R)``; one head also takes ``(B, T, D)``."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if len(weight) == 1:
        from torch.nn.functional import linear

        return linear(x, weight[0], bias[0])
    return x @ weight.transpose(1, 2) + bias[:, None]


def _norm(p: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    from torch.nn.functional import layer_norm

    weight, bias = p[f"{name}.weight"][:, None], p[f"{name}.bias"][:, None]
    return layer_norm(x, x.shape[-1:], eps=EPSILON) * weight + bias


def _block(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in parameters.items() if name.startswith(prefix)}
