"""Frozen tokens, labels and a model come in; heads trained side by side, each with its own rate and decay, come out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.attentive.model import token_statistics

if TYPE_CHECKING:
    from torch import Tensor

READ_AT_ONCE = 128 * 2**20
"""Bytes of tokens, as float32, that are in memory at once; a clip at least."""


class Model(Protocol):
    """A head's architecture. `parameters` hold every tensor by its name, with the number of heads in front."""

    def shapes(self, *, dim: int, num_classes: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one head's parameters."""

    def initial(self, shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
        """One head's first parameters."""

    def logits(self, parameters: Mapping[str, Tensor], tokens: Tensor, statistics: tuple[Tensor, Tensor]) -> Tensor:
        """Logits ``(M, B, K)`` of M heads on tokens ``(B, T, D)`` with their :func:`token_statistics`."""

    def attention(self, parameters: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """How much one head looks at each token: ``(B, H, T)``, a softmax over T."""


@dataclass(frozen=True)
class Head:
    """What one of the heads trained side by side has for itself: its rate and its decay, first and last value."""

    lr: float
    weight_decay: float
    final_weight_decay: float


@dataclass(frozen=True)
class Plan:
    """What heads trained side by side share."""

    model: Model
    epochs: int
    batch_size: int
    clip_grad: float | None
    decay_biases: bool
    seed: int
    device: str


class Tokens:
    """Tokens ``(N, T, D)`` behind an array, memory map or anything read by ``X[rows]``: a batch at a time, in float32.

    Where `X` has ``lengths``, rows have as many tokens as these say, each its own number. A flat ``(N, T·D)`` matrix is cut into tokens of `embed_dim` numbers (without it, a row is one token).

    Raises
    ------
    ProbeError
        Another shape, or (when a batch is read) NaN or infinity.
    """

    def __init__(self, X: Any, embed_dim: int | None) -> None:
        self.X = X
        width = int(np.prod(X.shape[1:]))
        dim = embed_dim or X.shape[-1]
        if width % dim or (len(X.shape) > 2 and X.shape[-1] != dim):
            raise ProbeError(f"X of shape {tuple(X.shape)} does not hold tokens of embed_dim {dim}")
        self.dim = dim
        self.lengths = np.asarray(getattr(X, "lengths", np.full(len(X), width // dim)))

    def __len__(self) -> int:
        return len(self.lengths)

    def read(self, rows: NDArray) -> Tensor:
        """Tokens ``(B, T, D)`` of some clips; `rows` ascend, as files are read in order, and have equally many tokens."""
        import torch

        tokens = np.asarray(self.X[rows], dtype=np.float32).reshape(len(rows), -1, self.dim)
        if not np.isfinite(tokens.sum(dtype=np.float64)):
            bad = np.flatnonzero(~np.isfinite(tokens).all(axis=(1, 2)))
            if len(bad):
                raise ProbeError(
                    f"X holds NaN or infinity at row {rows[bad[0]]}: leave this clip out, or extract it again"
                )
        return torch.from_numpy(tokens)

    def whole(self) -> Iterator[tuple[NDArray, Tensor]]:
        """Every row once: row numbers and their tokens, a part after the other."""
        for rows in self.parts(np.arange(len(self))):
            yield rows, self.read(rows)

    def parts(self, rows: NDArray) -> Iterator[NDArray]:
        """Row numbers, cut into as few parts as memory allows, each of rows with equally many tokens: nothing is padded."""
        for length in np.unique(self.lengths[rows]).tolist():
            alike = rows[self.lengths[rows] == length]
            at_once = max(1, READ_AT_ONCE // (4 * length * self.dim))
            yield from (alike[start : start + at_once] for start in range(0, len(alike), at_once))


def train_heads(
    tokens: Tokens, codes: NDArray[np.intp], num_classes: int, heads: Sequence[Head], plan: Plan
) -> list[dict[str, NDArray]]:
    """Parameters of each head under their names, float32, after `plan.epochs` passes over all clips.

    Every head starts at the same parameters and sees the same batches, so that it ends where it would have ended alone.
    AdamW; rate and decay follow half a cosine, the rate down to 0; each head's gradient is clipped by itself.
    """
    import torch

    first = plan.model.initial(plan.model.shapes(dim=tokens.dim, num_classes=num_classes), plan.seed)
    stacked = {
        name: value.expand(len(heads), *value.shape).clone().to(plan.device).requires_grad_()
        for name, value in first.items()
    }
    optimizer = _Optimizer(stacked, heads, plan)
    statistics = _all_statistics(tokens)
    labels = torch.from_numpy(codes)
    rng = np.random.default_rng(plan.seed)
    steps = math.ceil(len(tokens) / plan.batch_size) * plan.epochs

    def losses(batch: NDArray) -> Iterator[Tensor]:
        for rows in tokens.parts(batch):
            part, wanted = tokens.read(rows).to(plan.device), labels[rows].to(plan.device)
            mean, rescale = (
                torch.stack(own).to(plan.device) for own in zip(*(statistics[row] for row in rows), strict=True)
            )
            logits = plan.model.logits(stacked, part, (mean, rescale))
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.repeat(len(heads)), reduction="sum")
            yield loss / len(batch)

    for step, batch in enumerate(_batches(len(tokens), plan, rng)):
        optimizer.step(losses(batch), step / steps)
    return [_to_numpy(stacked, number) for number in range(len(heads))]


class _Optimizer:
    """AdamW on slices of stacked parameters: one fused step, but rates, decays and clipping head by head."""

    def __init__(self, stacked: Mapping[str, Tensor], heads: Sequence[Head], plan: Plan) -> None:
        import torch

        self.stacked, self.heads, self.plan = stacked, heads, plan
        # slices share memory with the stack, so stepping them moves it
        self.slices = [{name: p.detach()[n] for name, p in stacked.items()} for n in range(len(heads))]
        groups = []
        for head, slices in zip(heads, self.slices, strict=True):
            matrices = [p for p in slices.values() if p.ndim > 1 or plan.decay_biases]
            others = [p for p in slices.values() if p.ndim == 1 and not plan.decay_biases]
            groups.append({"params": matrices, "head": head, "decays": True})
            if others:
                groups.append({"params": others, "head": head, "decays": False, "weight_decay": 0.0})
        self.adamw = torch.optim.AdamW(groups, lr=0.0, fused=True)

    def step(self, losses: Iterable[Tensor], progress: float) -> None:
        """One step down the sum of `losses`, one in memory at a time; `progress` runs from 0 to 1 over the training."""
        import torch

        for parameter in self.stacked.values():
            parameter.grad = None
        for loss in losses:
            loss.backward()
        for number, slices in enumerate(self.slices):
            for name, slice_ in slices.items():
                gradient = self.stacked[name].grad
                slice_.grad = None if gradient is None else gradient[number]
            if self.plan.clip_grad is not None:
                torch.nn.utils.clip_grad_norm_(slices.values(), self.plan.clip_grad)
        wave = (1 + math.cos(math.pi * progress)) / 2
        for group in self.adamw.param_groups:
            head: Head = group["head"]
            group["lr"] = head.lr * wave
            if group["decays"]:
                group["weight_decay"] = head.final_weight_decay + (head.weight_decay - head.final_weight_decay) * wave
        self.adamw.step()


def predict_probabilities(
    tokens: Tokens, parameters: Mapping[str, NDArray], model: Model, *, device: str
) -> NDArray[np.float64]:
    """Probabilities ``(N, K)`` of one head."""
    import torch

    held = {name: torch.from_numpy(value)[None].to(device) for name, value in parameters.items()}
    probabilities = np.empty((len(tokens), len(parameters["linear.bias"])))
    with torch.inference_mode():
        for rows, batch in tokens.whole():
            batch = batch.to(device)
            logits = model.logits(held, batch, token_statistics(batch))
            probabilities[rows] = logits[0].double().softmax(dim=1).cpu().numpy()
    return probabilities


def query_weights(
    tokens: Tokens, parameters: Mapping[str, NDArray], model: Model, *, device: str
) -> NDArray[np.float32]:
    """Attention ``(N, H, T)`` of one head; all rows have T tokens."""
    import torch

    held = {name: torch.from_numpy(value)[None].to(device) for name, value in parameters.items()}
    with torch.inference_mode():
        parts = [model.attention(held, batch.to(device)).cpu().numpy() for _, batch in tokens.whole()]
    return np.concatenate(parts)


def _all_statistics(tokens: Tokens) -> list[tuple[Tensor, Tensor]]:
    """Token statistics ``(T,)`` of each row, in one pass that also finds a row with NaN before training starts."""
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for rows, batch in tokens.whole():
        found.update(zip(rows.tolist(), zip(*token_statistics(batch), strict=True), strict=True))
    return [found[row] for row in range(len(tokens))]


def _batches(num_clips: int, plan: Plan, rng: np.random.Generator) -> Iterator[NDArray]:
    for _ in range(plan.epochs):
        order = rng.permutation(num_clips)
        for start in range(0, num_clips, plan.batch_size):
            yield np.sort(order[start : start + plan.batch_size])


def _to_numpy(stacked: Mapping[str, Tensor], number: int) -> dict[str, NDArray]:
    return {name: value.detach()[number].cpu().numpy().copy() for name, value in stacked.items()}
