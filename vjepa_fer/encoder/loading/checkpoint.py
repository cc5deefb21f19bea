"""A weights file comes in, an encoder that carries exactly its tensors goes out; whatever does not fit is refused by name.

Nothing in a file is ever executed or believed: of PyTorch files the notation is read and the tensors are mapped
(:mod:`vjepa_fer.weights.torch_file`), so that of a 15 GB training checkpoint only the encoder asked for is touched; safetensors files
are mapped likewise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vjepa_fer.disk import open_regular
from vjepa_fer.doors import nearest
from vjepa_fer.encoder.files.home import HUB_STATE_KEY
from vjepa_fer.encoder.files.whose import LONGEST_HEADER
from vjepa_fer.encoder.loading.hub_layout import is_hub_layout, joined, official_layout
from vjepa_fer.encoder.model.vit import Encoder, VJepa2, build_encoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.pickles import Called
from vjepa_fer.weights.torch_file import TorchFile

WHOLE_FILE = "file"
"""The state key of a file that is itself one state dict, without a training checkpoint around it."""

_SHARED = 2
"""Times the file's size that the tensors of one state dict may have."""

_LONGEST_SHOWN = 120
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
_WRAPPERS = re.compile(r"^(?:(?:module|backbone|_orig_mod)\.)+")
_NAMES_SHOWN = 4


def read_state(
    path: str | Path, *, state_key: str, only: Collection[str] | None = None, shapes_do: bool = False
) -> dict[str, Tensor]:
    """Read one state dict of a weights file, its names freed of leading ``module.``, ``backbone.`` and ``_orig_mod.``.

    Parameters
    ----------
    path : str or Path
        A PyTorch file (zip format, torch ≥ 1.6) or a safetensors file; told apart by content, not by name.
    state_key : str
        Which entry of the file: ``target_encoder``, ``ema_encoder``, ``encoder``; :data:`WHOLE_FILE` where the file itself
        is the state dict. A safetensors file has one, whose key it tells in its metadata as ``state_key``, or by Hugging
        Face's layout (:mod:`vjepa_fer.encoder.loading.hub_layout`), which is always ``encoder``.
    only : collection of str, optional
        Official names of the tensors that are needed; the others may be left out.
    shapes_do : bool
        Enough for a check: a tensor that would have to be put together is a shape and a dtype without memory.

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
    read = _READERS[_file_kind(path)]
    return _plain_state(
        path, read(path, state_key, only, shapes_do), devices=("cpu", "meta") if shapes_do else ("cpu",)
    )


def _file_kind(path: Path) -> str:
    """ "zip" or "safetensors" from the first bytes; anything else is refused with its name."""
    if path.is_dir() or not path.exists():
        raise CheckpointError(f"{path}: there is no such weights file")
    try:
        with open(open_regular(path), "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    if head.startswith(b"PK"):
        return "zip"
    if head[8:9] == b"{":
        _check_header(path, int.from_bytes(head[:8], "little"))
        return "safetensors"
    raise CheckpointError(f"{path}: {_what_it_is(head)}")


def _check_header(path: Path, length: int) -> None:
    """A safetensors file's description of itself is short, and in the file."""
    size = path.stat().st_size
    if length > size - 8:
        raise CheckpointError(
            f"{path}: truncated or damaged safetensors file: of {length:,} bytes of head {size:,} are here"
        )
    if length > LONGEST_HEADER:
        raise CheckpointError(
            f"{path}: no safetensors file of weights, its head has {length:,} bytes, over {LONGEST_HEADER:,}"
        )


def _what_it_is(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "an empty file, not weights; download it again"
    if text.startswith(b"<"):
        return "an HTML or XML page, not weights: the download was answered with a web page; check the address"
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights themselves; run 'git lfs pull' where it came from"
    if head.startswith(b"\x80"):
        return "a bare pickle, which may run code when read, so it was not; with a torch of your own save it as safetensors"
    return "neither a PyTorch nor a safetensors file"


def _read_zip(path: Path, state_key: str, only: Collection[str] | None, shapes_do: bool) -> Any:
    """The value under `state_key` of what ``torch.save`` wrote; what is not needed is not even mapped."""
    try:
        file = TorchFile(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    data = file.value
    if state_key != WHOLE_FILE and (not isinstance(data, dict) or state_key not in data):
        found = _listed(map(str, data), shown=12) if isinstance(data, dict) else _kind(data)
        near = nearest(state_key, map(str, data)) if isinstance(data, dict) else ""
        raise CheckpointError(
            f"{path}: no state dict {state_key!r} inside; found: {found}{near}. Name one with the state key"
        )
    state = data if state_key == WHOLE_FILE else data[state_key]
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: the state dict is {_kind(state)} of no tensors")
    mapped = {str(name): file.tensor(value, f"{state_key}, {name}") for name, value in state.items()}
    _refuse_much_of_little(path, mapped, file.size)
    return mapped


def _kind(value: Any) -> str:
    is_tensor = isinstance(value, Called) and "tensor" in value.name
    return "Tensor" if is_tensor else "another object" if isinstance(value, Called) else type(value).__name__


def _refuse_much_of_little(path: Path, mapped: Mapping[str, Tensor | None], size: int) -> None:
    """A few tensors may share their numbers; many that do make a file many times as large as this one."""
    total = sum(tensor.nbytes for tensor in mapped.values() if tensor is not None)
    if total > _SHARED * size:
        message = f"its tensors share their numbers and have {total:,} bytes, the file {size:,}"
        raise CheckpointError(f"{path}: {message}: damaged, or made to fill the disk; get it again from its source")


def _read_safetensors(path: Path, state_key: str, only: Collection[str] | None, shapes_do: bool) -> dict[str, Tensor]:
    """The tensors, provided that the file is known to hold the state key asked for, or the whole file is asked for."""
    try:
        with _opened(path) as file:
            from_hub = is_hub_layout(file.keys())
            origin = HUB_STATE_KEY if from_hub else (file.metadata() or {}).get("state_key")
            if state_key in (WHOLE_FILE, origin):
                layout = official_layout(file.keys(), path) if from_hub else {name: (name,) for name in file.keys()}  # noqa: SIM118
                wanted = {n: names for n, names in layout.items() if only is None or _WRAPPERS.sub("", n) in only}
                return {name: _tensor(path, file, name, names, shapes_do) for name, names in wanted.items()}
    except (SafetensorError, OSError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: truncated or damaged safetensors file: {_first_line(error)}") from error
    said = f"holds {origin!r}" if origin else "does not say which state dict it holds"
    raise CheckpointError(
        f"{path}: {said}, not {state_key!r}; take it as it is with the state key {origin or WHOLE_FILE!r}"
    )


def _opened(path: Path) -> Any:
    return safe_open(path, framework="pt", device="cpu")


def _tensor(path: Path, file: Any, name: str, names: tuple[str, ...], shapes_do: bool) -> Tensor:
    if len(names) == 1:
        return file.get_tensor(names[0])
    with _opened(path) as apart:  # parts that were read for a copy are let go with this mapping
        parts = [apart.get_tensor(part) for part in names]
        return joined(name, [part.to("meta") for part in parts] if shapes_do else parts, path)


def told_state_key(path: str | Path) -> str | None:
    """The state key that a safetensors file tells, in its metadata or by Hugging Face's layout; None of any other file.

    Raises
    ------
    CheckpointError
        Not a weights file, or truncated.
    """
    path = Path(path)
    if _file_kind(path) != "safetensors":
        return None
    try:
        with _opened(path) as file:
            return HUB_STATE_KEY if is_hub_layout(file.keys()) else (file.metadata() or {}).get("state_key", WHOLE_FILE)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: truncated or damaged safetensors file: {_first_line(error)}") from error


_READERS = {"zip": _read_zip, "safetensors": _read_safetensors}


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
    return [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names]


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


def _listed(names: Iterable[str], shown: int = _NAMES_SHOWN) -> str:
    names = [name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…" for name in names]
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
