"""A window of pixels goes in, the tokens of a model of transformers come out, on our grid: class and register tokens first, then (T', H', W').

It answers as :class:`vjepa_fer.encoder.model.vit.Encoder` does, which is all that extraction asks of an encoder: `each_layer`. A layer's tokens
are what the library calls ``hidden_states[layer + 1]``, without the final norm; the last one's are its ``last_hidden_state``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from vjepa_fer.encoder.baselines.kinds import Kind
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import check


class _Kept(threading.local):
    """What the layers of a pass leave behind, of those that are wanted; lanes of a CPU pass through one model side by side."""

    wanted: frozenset[int] = frozenset()
    tokens: dict[int, Tensor]

    def __init__(self) -> None:
        self.tokens = {}


class BaselineEncoder(nn.Module):
    """A model of transformers, of one of the known kinds.

    Parameters
    ----------
    model_type : str
    kind : Kind
    config : transformers.PreTrainedConfig
    numbers : dict
        As :func:`vjepa_fer.encoder.baselines.known.read_baseline` found them.
    model : nn.Module, optional
        With its weights; by default one is built, with whatever numbers the library starts from.
    """

    hierarchical_layers: tuple[int, ...] = ()

    def __init__(
        self, model_type: str, kind: Kind, config: Any, numbers: dict[str, Any], model: nn.Module | None = None
    ) -> None:
        super().__init__()
        if model is None:
            model = getattr(transformers, kind.model)(config, **kind.built_with)
        self.model: Any
        self.model, self.kind, self.model_type = model.eval().requires_grad_(False), kind, model_type
        self.depth, self.num_special = numbers["depth"], kind.special(config)
        self.tubelet, self.patch = numbers["tubelet_size"], numbers["patch_size"]
        self._kept = _Kept()
        stacks = [list(_stack(self.model, path)) for path in kind.layers.split(",")]
        self.blocks, self.first_stack = [layer for stack in stacks for layer in stack], len(stacks[0])
        check(len(self.blocks) == self.depth, f"{model_type} has {len(self.blocks)} layers, not {self.depth}")
        for number, layer in enumerate(self.blocks):
            layer.register_forward_hook(partial(self._keep, number))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) to tokens (B, S + N, D)."""
        (tokens,) = self.each_layer(x, [self.depth - 1])
        return tokens

    def each_layer(self, x: Tensor, layers: Sequence[int]) -> Iterator[Tensor]:
        """Tokens (B, S + N, D) after each of `layers`, in rising order."""
        last = self.depth - 1
        check(all(0 <= layer <= last for layer in layers), f"layers {sorted(layers)}: there are 0 to {last}")
        outcome, kept = self._run(x, frozenset(layers) - {last})
        grid = (x.shape[2] // self.tubelet, x.shape[3] // self.patch, x.shape[4] // self.patch)
        for layer in sorted(set(layers)):
            tokens = outcome if layer == last else kept.pop(layer)
            yield self._on_grid(tokens, self._order(layer), len(x), grid)

    def _run(self, x: Tensor, wanted: frozenset[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """The last layer's tokens, as the library gives them, and those that each wanted one before left behind."""
        x = x.to(next(self.model.parameters()).dtype).transpose(1, 2)  # (B, T, 3, H, W)
        x = x.flatten(0, 1) if self.kind.order == "frames" else x  # (B · T, 3, H, W)
        self._kept.wanted, self._kept.tokens = wanted, {}
        try:
            return self.model(x, **self._told(x)).last_hidden_state, self._kept.tokens
        finally:
            self._kept.wanted, self._kept.tokens = frozenset(), {}

    def _told(self, x: Tensor) -> dict[str, Any]:
        """What a pass is told beside the pixels."""
        if self.model_type != "vit_mae":
            return {}
        places = (
            self.model.embeddings.patch_embeddings.num_patches
        )  # none is masked; the noise rises, which keeps their order
        return {"noise": torch.arange(places, device=x.device, dtype=torch.float32).expand(len(x), -1)}

    def _keep(self, number: int, layer: nn.Module, given: Any, output: Any) -> None:
        if number in self._kept.wanted:
            self._kept.tokens[number] = output if isinstance(output, Tensor) else output[0]

    def _order(self, layer: int) -> str:
        """How the tokens lie after a layer; VideoPrism looks at each frame, then at each place through time, and puts them in order at its end."""
        if self.kind.order != "factorised":
            return self.kind.order
        return "frames" if layer < self.first_stack else "times" if layer < self.depth - 1 else "window"

    def _on_grid(self, tokens: Tensor, order: str, batch: int, grid: tuple[int, int, int]) -> Tensor:
        """The tokens of a pass as (B, S + N, D), the N of them in order of time, height, width."""
        steps, places, special = grid[0], grid[1] * grid[2], self.num_special
        passes, each = _COUNTS[order](batch, steps, places)
        expected, found = (passes, special + each), tuple(tokens.shape[:2])
        check(
            found == expected,
            f"{self.model_type} gives {found[1]} tokens in each of {found[0]} passes, not the {expected[1]} in each of {expected[0]} that "
            f"a grid of {steps} × {grid[1]} × {grid[2]} and {special} class and register tokens make: no grid",
        )
        first, rest = tokens[:, :special], tokens[:, special:]
        if order == "frames":
            first, rest = (part.unflatten(0, (batch, steps)).flatten(1, 2) for part in (first, rest))
        if order == "places":
            rest = rest.unflatten(1, (places, steps)).transpose(1, 2).flatten(1, 2)
        if order == "times":
            rest = rest.unflatten(0, (batch, places)).transpose(1, 2).flatten(1, 2)
        return torch.cat((first, rest), dim=1)


def _stack(model: Any, path: str) -> Any:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise RecipeError(
            f"transformers {transformers.__version__} keeps the layers of {type(model).__name__} elsewhere than in {path!r}: "
            "take the release that this one was tested with, 5.23"
        ) from error


_COUNTS: dict[str, Callable[[int, int, int], tuple[int, int]]] = {
    "frames": lambda batch, steps, places: (batch * steps, places),
    "window": lambda batch, steps, places: (batch, steps * places),
    "places": lambda batch, steps, places: (batch, steps * places),
    "times": lambda batch, steps, places: (batch * places, steps),
}
"""Passes, and grid tokens of each."""
