"""A weights file comes in, its tensors under the names that the file gives them go out, one by one; nothing in it is run or believed.

PyTorch files are read as notation and mapped (:mod:`vjepa_fer.weights.torch_file`), safetensors files mapped likewise: told apart by
content, not by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vjepa_fer.disk import open_regular
from vjepa_fer.doors import nearest
from vjepa_fer.encoder.files.whose import LONGEST_HEADER
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.pickles import Called
from vjepa_fer.weights.torch_file import TorchFile

WHOLE_FILE = "file"
"""The state key of a file that is itself one state dict, without a training checkpoint around it."""

_SHARED = 2
"""Times the file's size that the tensors of one state dict may have."""

_LONGEST_SHOWN = 120


class OpenedWeights(ABC):
    """One file, or one state dict of it.

    Attributes
    ----------
    path : Path
    names : sequence of str
        Of its tensors.
    tells : str or None
        The state key that the file itself tells.
    is_zip : bool
        Whether ``torch.save`` wrote it.
    """

    path: Path
    names: Sequence[str]
    tells: str | None
    is_zip: bool

    @abstractmethod
    def tensors(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        """These, mapped: bytes are read when first used. None for what is no plain tensor."""

    @abstractmethod
    def shapes(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        """The same without their numbers, on the meta device."""


class _InZip(OpenedWeights):
    """A state dict of what ``torch.save`` wrote: the entry `state_key`, or all of it."""

    is_zip = True

    def __init__(self, path: Path, state_key: str | None) -> None:
        try:
            self.file = TorchFile(path, wanted=state_key)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
        self.path, self.key, data = path, state_key or WHOLE_FILE, self.file.value
        self.is_bare = isinstance(data, dict) and bool(data) and all(map(self.file.is_tensor, data.values()))
        nested = isinstance(data, dict) and state_key in data and state_key != WHOLE_FILE
        self.tells = state_key if nested else None
        if not nested and not self.is_bare and state_key not in (None, WHOLE_FILE):
            raise CheckpointError(f"{path}: {no_state_dict(state_key, data)}. Name one with the state key")
        self.state = data[state_key] if nested else data
        if not isinstance(self.state, dict):
            raise CheckpointError(f"{path}: the state dict is {_kind(self.state)} of no tensors")
        self.values = {str(name): value for name, value in self.state.items()}
        self.names = tuple(self.values)

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        found = {name: self.file.tensor(self.values[name], f"{self.key}, {name}") for name in names}
        total = sum(shape.nbytes for shape in self.shapes(self.names).values() if shape is not None)
        if total > _SHARED * self.file.size:
            raise CheckpointError(_much_of_little(self.path, total, self.file.size))
        return found

    def shapes(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        return {name: self.file.shape(self.values[name], f"{self.key}, {name}") for name in names}


def _much_of_little(path: Path, total: int, size: int) -> str:
    """A few tensors may share their numbers; many that do make a file many times as large as this one."""
    message = f"its tensors share their numbers and have {total:,} bytes, the file {size:,}"
    return f"{path}: {message}: damaged, or made to fill the disk; get it again from its source"


class _InSafetensors(OpenedWeights):
    """All tensors of a safetensors file; one that is asked for is mapped as long as it is used."""

    is_zip = False

    def __init__(self, path: Path, state_key: str | None) -> None:
        self.path = path
        try:
            with _safe(path) as file:
                self.names, self.tells = tuple(file.keys()), (file.metadata() or {}).get("state_key")
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def tensors(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        try:
            with _safe(self.path) as file:
                return {name: file.get_tensor(name) for name in names}
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(self.path, error) from error

    def shapes(self, names: Iterable[str]) -> dict[str, Tensor | None]:
        return {name: tensor.to("meta") for name, tensor in self.tensors(names).items() if tensor is not None}


def _safe(path: Path) -> Any:
    return safe_open(path, framework="pt", device="cpu")


def _damaged(path: Path, error: Exception) -> CheckpointError:
    line = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return CheckpointError(f"{path}: truncated or damaged safetensors file: {line}")


def open_weights(path: Path, state_key: str | None) -> OpenedWeights:
    """Open one file, and in a training checkpoint the state dict that is asked for.

    Raises
    ------
    CheckpointError
        Not a weights file, truncated, with anything but tensors and plain values inside, or a checkpoint without that state dict.
    """
    return _READERS[_file_kind(path)](path, state_key)


_READERS: Mapping[str, type[_InZip] | type[_InSafetensors]] = {"zip": _InZip, "safetensors": _InSafetensors}


def is_checkpoint(path: Path) -> bool:
    """Whether a file has several state dicts, of which one must be asked for."""
    return _file_kind(path) == "zip" and not _InZip(path, None).is_bare


def no_state_dict(state_key: str | None, data: Any) -> str:
    """What a message says of a file that lacks a state dict, or that is one itself."""
    found = listed(map(str, data), shown=12) if isinstance(data, dict) else _kind(data)
    near = nearest(str(state_key), map(str, data)) if isinstance(data, dict) else ""
    return f"no state dict {state_key!r} inside; found: {found}{near}"


def listed(names: Iterable[str], shown: int = 4) -> str:
    """The first of some names, and how many there are besides."""
    names = [name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…" for name in names]
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _kind(value: Any) -> str:
    is_tensor = isinstance(value, Called) and "tensor" in value.name
    return "Tensor" if is_tensor else "another object" if isinstance(value, Called) else type(value).__name__


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
