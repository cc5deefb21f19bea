"""A weights file comes in, an encoder that carries exactly its tensors goes out; whatever does not fit is refused by name.

Of a 15 GB training checkpoint only the encoder asked for is touched (:mod:`vjepa_fer.encoder.loading.opened`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa_fer.encoder.files.home import HUB_STATE_KEY
from vjepa_fer.encoder.loading.hub_layout import is_hub_layout, joined, official_layout
from vjepa_fer.encoder.loading.opened import (
    WHOLE_FILE,
    OpenedWeights,
    is_checkpoint,
    listed,
    no_state_dict,
    open_weights,
)
from vjepa_fer.encoder.model.vit import Encoder, VJepa2, build_encoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.dress import weights_files

__all__ = ["WHOLE_FILE", "check_finite", "check_state", "load_state", "looks_like", "read_state", "told_state_key"]

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_WRAPPERS = re.compile(r"^(?:(?:module|backbone|_orig_mod)\.)+")


def read_state(
    path: str | Path, *, state_key: str, only: Collection[str] | None = None, shapes_do: bool = False
) -> dict[str, Tensor]:
    """Read one state dict of a weights file, its names freed of leading ``module.``, ``backbone.`` and ``_orig_mod.``.

    Parameters
    ----------
    path : str or Path
        A PyTorch file (zip format, torch ≥ 1.6) or a safetensors file, told apart by content, not by name; or several parts of one,
        by their folder or index (:mod:`vjepa_fer.weights.dress`).
    state_key : str
        Which entry of the file: ``target_encoder``, ``ema_encoder``, ``encoder``; :data:`WHOLE_FILE` where the file itself
        is the state dict. A safetensors file has one, whose key it tells in its metadata as ``state_key``. Hugging
        Face's layout (:mod:`vjepa_fer.encoder.loading.hub_layout`) is always ``encoder``.
    only : collection of str, optional
        Official names of the tensors that are needed; the others may be left out.
    shapes_do : bool
        Enough for a check: shapes and dtypes without memory.

    Returns
    -------
    dict of str to Tensor
        On the CPU, mapped from the file: bytes are read when first used.

    Raises
    ------
    CheckpointError
        Not a weights file, truncated, with anything but tensors and plain values inside, or without that key: another key
        is never taken instead.
    """
    path = Path(path)
    where = _opened(path, state_key)
    from_hub = is_hub_layout(where)
    layout = official_layout(where, path) if from_hub else {name: (name,) for name in where}
    wanted = {n: names for n, names in layout.items() if only is None or _WRAPPERS.sub("", n) in only}
    return _plain_state(path, _taken(path, where, wanted, shapes_do), devices=("meta",) if shapes_do else ("cpu",))


def _opened(path: Path, state_key: str) -> dict[str, OpenedWeights]:
    """Tensor → the file that holds it, provided that the files are known to hold the state key asked for."""
    files = weights_files(path)
    opened = [open_weights(file, state_key if len(files.files) == 1 else WHOLE_FILE) for file in files.files]
    where = {name: file for file in opened for name in file.names}
    if len(where) < sum(len(file.names) for file in opened):
        raise CheckpointError(f"{path}: its parts hold a tensor twice; get all of them again from one source")
    files.check_listed({name: file.path for name, file in where.items()})
    origin = opened[0].tells or (HUB_STATE_KEY if is_hub_layout(where) else None)
    if state_key not in (WHOLE_FILE, origin):
        raise CheckpointError(f"{path}: {_not_that_key(opened[0], where, origin, state_key)}")
    return where


def _not_that_key(opened: OpenedWeights, where: Mapping[str, Any], origin: str | None, state_key: str) -> str:
    said = f"holds {origin!r}" if origin else "does not say which state dict it holds"
    advice = f"take it as it is with the state key {origin or WHOLE_FILE!r}"
    if opened.is_zip:
        return f"{no_state_dict(state_key, where)}; it {said}: {advice}"
    return f"{said}, not {state_key!r}; {advice}"


def _taken(
    path: Path, where: Mapping[str, OpenedWeights], wanted: Mapping[str, tuple[str, ...]], shapes_do: bool
) -> dict[str, Tensor | None]:
    """Official name → tensor. Those of a file are mapped together; parts that are joined let their own mapping go."""
    plain: dict[OpenedWeights, list[str]] = {}
    for names in wanted.values():
        if len(names) == 1:
            plain.setdefault(where[names[0]], []).append(names[0])
    raw: dict[str, Tensor | None] = {}
    for file, names_of_file in plain.items():
        raw |= file.shapes(names_of_file) if shapes_do else file.tensors(names_of_file)
    return {
        official: raw[names[0]] if len(names) == 1 else _joined(path, where, official, names, shapes_do)
        for official, names in wanted.items()
    }


def _joined(
    path: Path, where: Mapping[str, OpenedWeights], official: str, names: tuple[str, ...], shapes_do: bool
) -> Tensor:
    found = [(where[n].shapes if shapes_do else where[n].tensors)((n,))[n] for n in names]
    parts = [part for part in found if part is not None]
    if len(parts) < len(names):
        raise CheckpointError(f"{path}: the parts of {official} are not all plain tensors")
    return joined(official, parts, path)


def told_state_key(path: str | Path) -> str | None:
    """The state key that a file tells, in its metadata or by Hugging Face's layout; "file" where it is one state dict that does not
    say which; None of a training checkpoint, which has several.

    Raises
    ------
    CheckpointError
        Not a weights file, or truncated.
    """
    files = weights_files(path).files
    if any(is_checkpoint(file) for file in files):
        return None
    opened = [open_weights(file, WHOLE_FILE) for file in files]
    from_hub = is_hub_layout(name for file in opened for name in file.names)
    return opened[0].tells or (HUB_STATE_KEY if from_hub else WHOLE_FILE)


def _plain_state(path: Path, state: Any, *, devices: tuple[str, ...]) -> dict[str, Tensor]:
    """The state dict with the wrappers' prefixes gone, every value an ordinary tensor of floating-point numbers."""
    if not isinstance(state, dict) or not state:
        raise CheckpointError(f"{path}: the state dict is {type(state).__name__} of no tensors")
    plain: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _WRAPPERS.sub("", str(key))
        if not _is_plain(value, devices):
            raise CheckpointError(f"{path}: {key} is not an ordinary tensor of floating-point numbers")
        if name in plain:
            raise CheckpointError(f"{path}: holds {name} twice, under two prefixes")
        plain[name] = value
    return plain


def _is_plain(value: Any, devices: tuple[str, ...]) -> bool:
    ordinary = isinstance(value, Tensor) and value.layout is torch.strided and value.device.type in devices
    return ordinary and value.dtype in _FLOATS


def load_state(module: Encoder, state: Mapping[str, Tensor], *, source: str | Path) -> None:
    """Give an encoder its tensors: all of them, no others, every shape right; a copy of none is made.

    Parameters
    ----------
    module : Encoder
        Best built on the meta device; its parameters become the tensors of `state` themselves.
    state : mapping of str to Tensor
        Under the official names without prefixes, as :func:`read_state` returns. V-JEPA 2 files may hold a surplus
        ``pos_embed``, which their rotary encoders do not use.
    source : str or Path
        The file, for messages.

    Raises
    ------
    CheckpointError
        Names what is missing, unexpected or of another shape, and says what the tensors look like instead.
    """
    state = dict(state)
    if isinstance(module, VJepa2) and "pos_embed" in state:
        _check_unused_positions(module, state.pop("pos_embed"), source)
    faults = _faults({name: tuple(p.shape) for name, p in module.state_dict().items()}, state)
    if faults:
        raise CheckpointError(f"{source}: not the weights of this encoder ({looks_like(state)}): {'; '.join(faults)}")
    module.load_state_dict(state, strict=True, assign=True)


def check_state(config: Mapping[str, Any], state: Mapping[str, Tensor], *, source: str | Path) -> None:
    """Raise :class:`CheckpointError` unless `state` is exactly the encoder of these architecture numbers; none is built."""
    with torch.device("meta"):
        hollow = build_encoder(config)
    load_state(hollow, state, source=source)


def _faults(want: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor]) -> list[str]:
    missing = [name for name in want if name not in state]
    unexpected = [name for name in state if name not in want]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in want.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    return [f"{len(names)} {kind}: {listed(names)}" for kind, names in kinds.items() if names]


def _check_unused_positions(module: VJepa2, positions: Tensor, source: str | Path) -> None:
    """Tell V-JEPA 2 from V-JEPA 1, and 256 from 384 pixels: nothing but the number of positions differs between such files.

    V-JEPA 2 saw windows of 2, 4, 8 … 64 frames: places = tubelets × side², with tubelets a power of two.
    """
    places, per_frame = (
        positions.shape[-2] if positions.ndim == 3 else 0,
        module.trained_grid[1] * module.trained_grid[2],
    )
    tubelets, rest = divmod(places, per_frame)
    if rest or tubelets.bit_count() != 1:
        shape, side = tuple(positions.shape), module.trained_grid[1] * module.patch[1]
        message = f"pos_embed {shape} does not belong to a V-JEPA 2 encoder of {side} pixels"
        raise CheckpointError(f"{source}: not the weights of this encoder: {message}; another family or resolution?")


def looks_like(state: Mapping[str, Tensor]) -> str:
    """What the tensors look like, such as "it looks like V-JEPA 2.1, 24 layers, 1024 wide"."""
    layers = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    if not layers or "patch_embed.proj.bias" not in state:
        return "it looks like no V-JEPA encoder"
    older = "V-JEPA 1" if "pos_embed" in state else "V-JEPA 2"
    family = "V-JEPA 2.1" if "norms_block.0.weight" in state else older
    return f"it looks like {family}, {len(layers)} layers, {state['patch_embed.proj.bias'].numel()} wide"


def check_finite(state: Mapping[str, Tensor], *, source: str | Path) -> None:
    """Raise :class:`CheckpointError` when weights hold NaN or infinity, naming the tensors: all bytes are read."""
    broken = [name for name, tensor in state.items() if tensor.numel() and not _is_finite(tensor)]
    if broken:
        what = f"{len(broken)} of {len(state)} tensors hold NaN or infinity: {listed(broken)}"
        raise CheckpointError(f"{source}: {what}; its training diverged, or the file is damaged: no tokens come of it")


def _is_finite(tensor: Tensor) -> bool:
    """The least and the largest number tell, and NaN shows in both: one pass, and no copy."""
    return all(torch.isfinite(end) for end in torch.aminmax(tensor))
