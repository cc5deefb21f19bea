"""A plug-in's encoder comes in; a module that is held to what it promises goes out: shape, kind and finiteness of every token.

What a stranger's class returns becomes features that nobody looks at. So it is tried on one window before anything is written, and
looked at with every batch.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vjepa_fer.doors import Plugin
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.errors import RecipeError, VjepaFerError
from vjepa_fer.recipe import NO_WEIGHTS, EncoderSpec, check


class Plugged(nn.Module):
    """A plug-in's module, frozen; it answers as :class:`vjepa_fer.encoder.model.vit.Encoder` does.

    Raises
    ------
    PluginError
        By every call: the module raised, or its tokens are not (B, T'·H'·W', D) finite numbers.
    """

    hierarchical_layers: tuple[int, ...] = ()
    inner: Any  # what a stranger wrote: it is not known what it can do

    def __init__(self, inner: nn.Module, plugin: Plugin, spec: EncoderSpec, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.plugin, self.spec, self.dtype = inner.eval().requires_grad_(False), plugin, spec, dtype
        self.blocks = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, T, H, W) to tokens (B, N, D)."""
        tokens = self._asked(lambda: self.inner(x.to(self.dtype)))
        self._look_at(tokens, x)
        return tokens

    def each_layer(self, x: Tensor, layers: Sequence[int]) -> Iterator[Tensor]:
        """The tokens after each of `layers`, in the order of depth; the last one's are those of a call."""
        numbers = sorted(set(layers))
        if numbers == [self.spec.depth - 1]:
            yield self(x)
            return
        if not hasattr(self.inner, "each_layer"):
            raise self.plugin.fault(f"has no each_layer(pixels, layers), and layers {numbers} are asked for")
        answers = iter(self._asked(lambda: self.inner.each_layer(x.to(self.dtype), numbers)))
        for number in numbers:
            tokens = self._asked(lambda: next(answers, None))
            if tokens is None:
                raise self.plugin.fault(f"its each_layer ended before layer {number} of {numbers}")
            self._look_at(tokens, x)
            yield tokens

    def _asked(self, ask: Any) -> Any:
        try:
            return ask()
        except (VjepaFerError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if "can't allocate memory" in str(error):  # whoever sends batches tries smaller ones
                raise
            raise self.plugin.fault(f"raised {type(error).__name__}: {error}") from error

    def _look_at(self, tokens: Any, x: Tensor) -> None:
        time, height, width = (
            size // unit
            for size, unit in zip(
                x.shape[2:], (self.spec.tubelet_size, self.spec.patch_size, self.spec.patch_size), strict=True
            )
        )
        wanted = (x.shape[0], time * height * width, self.spec.embed_dim)
        if not isinstance(tokens, Tensor) or not tokens.is_floating_point():
            kind = f"of {tokens.dtype}" if isinstance(tokens, Tensor) else f"as {type(tokens).__name__}"
            raise self.plugin.fault(f"gives tokens {kind}, expected a tensor of floating-point numbers")
        if tuple(tokens.shape) != wanted:
            raise self.plugin.fault(
                f"gives tokens {tuple(tokens.shape)} for pixels {tuple(x.shape)}; its patch_size, tubelet_size and embed_dim "
                f"promise {wanted}, a grid of {time} × {height} × {width}"
            )
        if not torch.isfinite(tokens).all():
            raise self.plugin.fault("gives tokens that are NaN or infinite")


def open_plugged(
    known: KnownEncoder,
    weights: str | Path | None,
    state_key: str | None,
    place: torch.device,
    dtype: torch.dtype,
    shape: tuple[int, int],
) -> tuple[EncoderSpec, Plugged]:
    """Make the module, find out which weights it has, and try it on one window of `shape`, height and width.

    Parameters
    ----------
    known : KnownEncoder
        Of a plug-in.
    weights : str or Path, optional
        A file, for a class whose ``__init__`` takes `weights`.

    Raises
    ------
    PluginError
        It cannot be made, or does not keep what its numbers promise.
    RecipeError
        Weights or a state key that it does not take.
    """
    plugin, inner = known.plugin, _made(known, weights, state_key)
    assert plugin is not None
    identity = weights_sha256(inner)
    spec = EncoderSpec(name=known.name, weights=identity, state_key=NO_WEIGHTS, plugin=known.origin, **known.config)
    module = Plugged(inner.to(place, dtype), plugin, spec, dtype)
    size = (1, 3, spec.num_frames, *shape)
    with torch.inference_mode():
        module(torch.linspace(-2, 2, torch.Size(size).numel(), device=place).reshape(size))
    return spec, module


def _made(known: KnownEncoder, weights: str | Path | None, state_key: str | None) -> nn.Module:
    plugin = known.plugin
    assert plugin is not None
    cls = plugin.load()
    check(state_key in (None, NO_WEIGHTS), f"{known.name} is a plug-in, which has no state key: leave it out")
    given = {} if weights is None else {"weights": Path(weights)}
    if weights is not None and "weights" not in inspect.signature(cls).parameters:
        raise RecipeError(f"{known.name} brings its own weights ({plugin}): leave out --weights")
    check(
        not str(weights).startswith("random:"), f"{known.name} is a plug-in: random weights are for V-JEPA's encoders"
    )
    try:
        module = cls(**given)
    except (VjepaFerError, MemoryError):
        raise
    except Exception as error:
        raise plugin.fault(f"cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise plugin.fault(f"{cls.__name__} makes no torch module")
    return module


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 of all that a module holds, names, kinds, shapes and bytes, whatever file it came from; ``none`` where it holds nothing."""
    state = module.state_dict()
    if not state:
        return NO_WEIGHTS
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
