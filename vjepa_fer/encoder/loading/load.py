"""A model name and a weights file come in; an encoder ready to run goes out, together with the preprocessing it needs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vjepa_fer.doors import not_one_of
from vjepa_fer.encoder.files.records import fetched_weights
from vjepa_fer.encoder.files.whose import refuse_file_of_another_encoder
from vjepa_fer.encoder.loading.checkpoint import check_finite, load_state, read_state
from vjepa_fer.encoder.loading.plugged import Plugged, open_plugged
from vjepa_fer.encoder.loading.registry import find_encoder, preprocessing_for
from vjepa_fer.encoder.loading.slim import weights_identity
from vjepa_fer.encoder.loading.untrained import random_tensor, seed_of
from vjepa_fer.encoder.model.kernels import chosen_kernels, kernel_that_runs
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.encoder.model.vit import Encoder, build_encoder, sincos_positions
from vjepa_fer.encoder.model.zoo import placeholder_spec
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import NO_WEIGHTS, EncoderSpec, Precision, Preprocessing, check

if TYPE_CHECKING:
    from vjepa_fer.encoder.baselines.model import BaselineEncoder

_DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

_MOST_SHAPES = 256
"""Compiled blocks of one process, over its encoders, devices and shapes; torch stops at eight, without an error."""

_PORTIONS = 16
"""Of an encoder that is converted while it loads: beside the result, so small a part of the file is in memory."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedEncoder:
    """An encoder with everything that decides its numbers.

    Attributes
    ----------
    module : Encoder, BaselineEncoder or Plugged
        Or what answers like one: mean colours.
        Weights in the dtype of `precision`, on `device`.
    spec : EncoderSpec
        Architecture and provenance of the weights, for the recipe.
    preprocessing : Preprocessing
        How its pixels must be made.
    precision : {"float32", "bfloat16", "float16"}
    device : torch.device
    """

    module: Encoder | BaselineEncoder | Plugged
    spec: EncoderSpec
    preprocessing: Preprocessing
    precision: Precision
    device: torch.device

    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels (B, 3, T, H, W), on any device, to tokens (B, N, D): float32 on the encoder's device."""
        with chosen_kernels(self.device):
            return self.module(pixels.to(self.device)).float()

    @torch.inference_mode()
    def encode_layers(self, pixels: Tensor, layers: Sequence[int | None]) -> Iterator[tuple[int | None, Tensor]]:
        """Each of `layers` with the normed tokens after it, as :meth:`encode` gives the last one's; None is the last one too.

        They come in the order of depth, one at a time: 24 layers of ViT-L for 64 windows would be 44 GB.

        Raises
        ------
        RecipeError
            A layer that has no norm: see ``EncoderSpec.layers_with_norm``.
        """
        if set(layers) == {None}:
            yield None, self.encode(pixels)
            return
        last = self.spec.depth - 1
        named: dict[int, list[int | None]] = {}
        for layer in layers:
            named.setdefault(last if layer is None else layer, []).append(layer)
        with chosen_kernels(self.device):
            each = self.module.each_layer(pixels.to(self.device), list(named))
            for number, tokens in zip(sorted(named), each, strict=True):
                for layer in dict.fromkeys(named[number]):
                    yield layer, tokens.float()

    def attention_kernel(self, num_tokens: int) -> str:
        """Which of torch's kernels computes the attention of so many tokens: ``cudnn``, ``flash``, ``efficient`` or ``math``."""
        heads = self.spec.num_heads
        head_dim, dtype = self.spec.embed_dim // heads, _DTYPES[self.precision]
        return kernel_that_runs(self.device, dtype, num_heads=heads, num_tokens=num_tokens, head_dim=head_dim)


def load_encoder(
    name_or_path: str,
    *,
    weights: str | Path | None = None,
    state_key: str | None = None,
    device: str = "cpu",
    precision: Precision = "float32",
    resolution: int | tuple[int, int] | None = None,
) -> LoadedEncoder:
    """Load a named encoder from a weights file, strictly, or with seeded random weights.

    The file is memory-mapped and its tensors become the encoder's own. Where they must become another dtype, or go to another
    device, that happens in small portions: no second copy exists at any moment.

    Parameters
    ----------
    name_or_path : str
        A model name of :func:`vjepa_fer.encoder.model.zoo.encoder_names`, or of a plug-in, or of a user's registration, or the path of one
        (:mod:`vjepa_fer.encoder.loading.registry`); or the path of a weights file that is exactly one official encoder's
        (:mod:`vjepa_fer.encoder.loading.recognise`).
    weights : str or Path
        A PyTorch or safetensors file; or ``random:SEED`` for untrained weights, the same bits on every machine. By default
        the file that ``vjepa-fer models fetch`` brought, or that the registration names.
    state_key : str, optional
        Which state dict of the file, by default the one the official evaluation reads; never another in its place.
    device : str
        As torch spells it: ``cpu``, ``cuda:0``, ``mps``.
    precision : {"float32", "bfloat16", "float16"}
        Of weights and activations. Rotary angles are always computed in float32.
    resolution : int or (int, int), optional
        Side of the square input in pixels, or height and width; by default what it was trained on. V-JEPA 1 interpolates its positions for
        another, V-JEPA 2 and 2.1 compute theirs anew; how well the features hold up is for a probe to say.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    RecipeError
        Unknown model, precision, seed, a resolution that patches do not fill, or a device that this machine does not have.
    CheckpointError
        A file that is not exactly this encoder's weights, or none that was fetched.
    PluginError
        A plug-in's encoder that cannot be made, or whose tokens are not what its numbers promise.
    """
    known = find_encoder(name_or_path, state_key=state_key)
    name, config = known.name, known.config
    if precision not in _DTYPES:
        raise RecipeError(not_one_of("precision", precision, _DTYPES))
    preprocessing = preprocessing_for(known, resolution)
    place = usable_device(device)
    module: Encoder | BaselineEncoder | Plugged
    if known.plugin is not None:
        shape = preprocessing.crop_shape
        spec, module = open_plugged(known, weights, state_key, place, _DTYPES[precision], shape)
    elif config["family"] == "pixels":
        has_none = weights is None and state_key in (None, NO_WEIGHTS)
        check(has_none, f"{name} has no weights: leave out weights and state key")
        spec, module = placeholder_spec(name, config), build_encoder(config).to(place)
    elif config["family"] == "library":
        spec, baseline = _baseline(known, weights, state_key, _DTYPES[precision])
        module = baseline.to(place)
    else:
        given = (known.weights or fetched_weights(name, state_key)) if weights is None else weights
        spec, module = _with_weights(known, given, state_key, place, _DTYPES[precision])
    return LoadedEncoder(
        module=module,
        spec=spec,
        preprocessing=preprocessing,
        precision=precision,
        device=place,
    )


def compile_encoder(
    encoder: LoadedEncoder, first: Callable[[LoadedEncoder], object], *, backend: str | Callable[..., Any] = "inductor"
) -> LoadedEncoder:
    """The same encoder with the small operations of every block fused by torch; the numbers move by rounding. About a minute's work.

    It shares the weights, and the one that came in stays as it was. The blocks are alike, so one of them is compiled for all, once a
    process and device for each shape. Not measured on a GPU yet; on a CPU it gained between -1 and 18 %, within the noise, and the code that
    it makes has a number of threads built in, which extraction must be free to choose.

    Parameters
    ----------
    encoder : LoadedEncoder
    first : callable
        Sends a batch through the compiled encoder, in the very way of those to come, and waits for it: for another shape it would be
        compiled once more.
    backend : str or callable
        torch's.

    Returns
    -------
    LoadedEncoder

    Raises
    ------
    RecipeError
        See :func:`require_compiling`; or torch cannot compile there, or memory runs out over it.
    """
    if backend == "inductor":
        require_compiling(encoder)
    try:
        twin = _twin(encoder)
        for block in twin.module.blocks:
            block.compile(dynamic=False, fullgraph=True, backend=backend)  # whole, or an error: never eager in secret
        with torch._dynamo.config.patch(cache_size_limit=_MOST_SHAPES):
            first(twin)
    except Exception as error:  # a compiler's own: whatever Triton, a C compiler or the driver say
        why = " ".join(str(error).splitlines()[:2])[:200]  # who failed, and in what
        refusal = RecipeError(f"torch cannot compile the encoder here ({why})")
        refusal.add_note("Extract without --compile: then it is compiled only where that works.")
        raise refusal from error
    return twin


def _twin(encoder: LoadedEncoder) -> LoadedEncoder:
    """An encoder with modules of its own and the same weights."""
    tensors = [*encoder.module.parameters(), *encoder.module.buffers()]
    module = copy.deepcopy(encoder.module, {id(tensor): tensor for tensor in tensors})
    return dataclasses.replace(encoder, module=module)


def can_compile(encoder: LoadedEncoder) -> bool:
    """Whether compiling is worth a try: on CUDA, with blocks of our own."""
    return encoder.device.type == "cuda" and isinstance(encoder.module, Encoder)


def require_compiling(encoder: LoadedEncoder) -> None:
    """Say so, before anything is made, where compiling would not serve.

    Raises
    ------
    RecipeError
        The encoder is not on a CUDA device, or has no blocks of ours.
    """
    check(encoder.device.type == "cuda", f"compiling is for CUDA; the encoder is on {encoder.device}")
    check(can_compile(encoder), f"compiling is for V-JEPA's blocks; {encoder.spec.name} has none: leave out --compile")


def pick_device(device: str) -> str:
    """``auto`` becomes the best device at hand, CUDA before Apple's MPS before the CPU; any other name stays as it is."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def usable_device(device: str) -> torch.device:
    """The device of this name; :class:`RecipeError` for one that torch does not know, or that is not here."""
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without the device
        raise RecipeError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return place


def _with_weights(
    known: KnownEncoder, weights: str | Path, state_key: str | None, place: torch.device, dtype: torch.dtype
) -> tuple[EncoderSpec, Encoder]:
    name, config = known.name, known.config
    if str(weights).startswith("random:"):
        check(state_key is None, f"random weights have no state key, but {state_key!r} was asked for")
        seed = seed_of(str(weights))
        spec = EncoderSpec(name=name, weights=f"random:{seed}", state_key="random", **config)
        return spec, random_encoder(config, seed).to(place, dtype)
    if known.registration is None:
        refuse_file_of_another_encoder(name, weights)
    key = state_key or known.state_key
    spec = EncoderSpec(name=name, weights=weights_identity(weights), state_key=key, **config)
    return spec, _encoder_from_file(config, Path(weights), spec.state_key, place, dtype)


def _baseline(
    known: KnownEncoder, weights: str | Path | None, state_key: str | None, dtype: torch.dtype
) -> tuple[EncoderSpec, BaselineEncoder]:
    """What another library computes, with the weights of its own folder or random ones."""
    from vjepa_fer.encoder.baselines.loaded import load_baseline, random_baseline

    check(
        state_key in (None, known.state_key),
        f"{known.name}: an encoder of transformers has one state dict; leave out state key",
    )
    if weights is None:
        identity, module = load_baseline(known, dtype)
        return EncoderSpec(name=known.name, weights=identity, state_key=known.state_key, **known.config), module
    is_random = str(weights).startswith("random:")
    check(is_random, f"{known.name}: its weights lie in its folder; leave out weights, or ask for random:SEED")
    seed = seed_of(str(weights))
    spec = EncoderSpec(name=known.name, weights=f"random:{seed}", state_key="random", **known.config)
    return spec, random_baseline(known, seed, dtype)


def _encoder_from_file(
    config: dict[str, Any], path: Path, state_key: str, place: torch.device, dtype: torch.dtype
) -> Encoder:
    """Tensors that are right as they lie in the file stay mapped; others are converted a few at a time."""
    module = _hollow_encoder(config)
    load_state(module, read_state(path, state_key=state_key, shapes_do=True), source=path)
    if place.type == "cpu" and all(p.dtype == dtype for p in module.parameters()):
        state = read_state(path, state_key=state_key)
        check_finite(state, source=path)
        load_state(module, state, source=path)
        return module
    for names in _portions(module):
        # The file is mapped anew for each portion: what was read for the one before is then let go, which a mapping that
        # lives on would keep in memory.
        state = read_state(path, state_key=state_key, only=names)
        check_finite({name: state[name] for name in names}, source=path)
        converted = {name: state.pop(name).to(place, dtype, copy=True) for name in names}
        del state
        module.load_state_dict(converted, strict=False, assign=True)
    return module.requires_grad_(False)


def _portions(module: Encoder) -> list[list[str]]:
    """The names of all parameters, in :data:`_PORTIONS` runs of about equal size."""
    sizes = {name: p.numel() for name, p in module.named_parameters()}
    share, filled = sum(sizes.values()) / _PORTIONS, 0
    portions: list[list[str]] = [[]]
    for name, size in sizes.items():
        if portions[-1] and filled + size > share * len(portions):
            portions.append([])
        portions[-1].append(name)
        filled += size
    return portions


def _hollow_encoder(config: dict[str, Any]) -> Encoder:
    """All shapes and no memory: tensors are assigned afterwards."""
    with torch.device("meta"):
        return build_encoder(config)


def random_encoder(config: dict[str, Any], seed: int) -> Encoder:
    """An untrained encoder in which every part matters, also those that training starts at zero."""
    module = _hollow_encoder(config)
    generator = torch.Generator().manual_seed(seed)
    shapes = {name: tuple(p.shape) for name, p in sorted(module.state_dict().items())}
    state = {name: random_tensor(name, shape, generator) for name, shape in shapes.items()}
    if "pos_embed" in state:
        grid, power = module.trained_grid, config["uniform_power"]
        state["pos_embed"] = sincos_positions(grid, config["embed_dim"], uniform_power=power)
    load_state(module, state, source=f"random:{seed}")
    return module
