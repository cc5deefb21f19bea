"""What ``torch.save`` wrote comes in; its plain values go out, and its tensors as descriptions that are mapped from the file one by one.

The file is never handed to a reader of pickles. Before a tensor is mapped its numbers must lie in the file, each once: one that repeats
itself, by a stride of 0 or a size beyond its storage, makes gigabytes of a few bytes.

::

    NAME/data.pkl      the values; a tensor is a call: storage, first number, shape, strides
    NAME/data/KEY      the numbers of a storage, uncompressed
    NAME/byteorder     "little"
"""

from __future__ import annotations

import io
import math
import mmap
import os
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vjepa_fer.disk import open_regular
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.pickles import LARGEST_PICKLE, Called, ForeignObjectError, Named, Outside, read_pickle

LARGEST_DIRECTORY = 8 << 20
"""Bytes; that of a training checkpoint of ten thousand tensors has one million."""

_MOST_AXES = 16
_MOST_NUMBERS = 1 << 40
_LOCAL_HEADER = 30
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_EXPECTED = re.compile(
    r"collections\.(OrderedDict|Counter)|_codecs\.encode|(builtins|__builtin__)\.(set|bytearray|complex)"
    r"|torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.nn\.parameter\.Parameter"
    r"|torch\.(storage\.)?\w+Storage|torch\.(Size|Tensor|device|strided|sparse_\w+|bool|(bfloat|float|u?int|complex)\d\w*)"
    r"|torch\.serialization\._get_layout"
)
"""What PyTorch's own ``weights_only`` takes: none of it is called here, but other names are a sign of another kind of file."""


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Where a tensor's numbers are said to lie.

    Attributes
    ----------
    dtype : torch.dtype
    key : str
        Of the storage.
    num_stored : int
        Numbers in the storage.
    first : int
        Its first number there.
    shape, strides : tuple of int
        In numbers.
    """

    dtype: torch.dtype
    key: str
    num_stored: int
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def repeats(self) -> bool:
        """Whether two of its places are one number of the storage, or may be."""
        covered = 1
        for stride, size in sorted(zip(self.strides, self.shape, strict=True)):
            if size > 1 and stride < covered:
                return True
            covered += (size - 1) * stride
        return False

    @property
    def is_inside(self) -> bool:
        """Whether the storage has all of its numbers."""
        steps = ((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return 0 in self.shape or self.first + sum(steps) < self.num_stored


class TorchFile:
    """The values of a file, and its tensors on request.

    Attributes
    ----------
    path : Path
    value : Any
        See :func:`vjepa_fer.weights.pickles.read_pickle`.
    size : int
        Bytes of the file.

    Raises
    ------
    CheckpointError
        Truncated, compressed, not what ``torch.save`` writes, or with objects other than tensors and plain values.
    OSError
        No such file, no permission, or a pipe or a device.
    """

    def __init__(self, path: Path, *, wanted: str | None = None) -> None:
        """Open `path`, of which the caller is after the entry `wanted`: advice on a file that is refused names it."""
        self.path, self._wanted = path, wanted
        with open(open_regular(path), "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            entries = _entries(path, file)
            folder = _folder(path, entries)
            self._entries = {name.removeprefix(f"{folder}/data/"): entry for name, entry in entries.items()}
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._check_order(entries.get(f"{folder}/byteorder"))
        self.value = self._values(entries[f"{folder}/data.pkl"])

    def tensor(self, value: Any, name: str) -> Tensor | None:
        """The tensor that a value describes, mapped: bytes are read when first used. None if it describes no plain one.

        Raises
        ------
        CheckpointError
            The file has not all of its numbers, or repeats some; `name` says which tensor.
        """
        stored = _described(value)
        if stored is None:
            return None
        start = self._start(stored, name)
        if 0 in stored.shape:
            return torch.empty(stored.shape, dtype=stored.dtype)
        numbers = torch.frombuffer(self._map, dtype=stored.dtype, count=stored.num_stored, offset=start)
        return numbers.as_strided(stored.shape, stored.strides, stored.first)

    def shape(self, value: Any, name: str) -> Tensor | None:
        """The same without memory, on the meta device: its numbers may repeat, since none of them is made.

        Raises
        ------
        CheckpointError
            The file has not all of its numbers, or it has more than any tensor.
        """
        stored = _described(value)
        if stored is None:
            return None
        self._start(stored, name, may_repeat=True)
        if math.prod(stored.shape) > _MOST_NUMBERS:
            raise self._refusal(f"{name} is said to have {math.prod(stored.shape):,} numbers")
        return torch.empty(stored.shape, dtype=stored.dtype, device="meta")

    def is_tensor(self, value: Any) -> bool:
        """Whether a value describes a plain tensor."""
        return _described(value) is not None

    def _start(self, stored: StoredTensor, name: str, *, may_repeat: bool = False) -> int:
        """The byte at which its storage begins, if all is right with it."""
        entry = self._entries.get(stored.key)
        num_bytes = stored.num_stored * stored.dtype.itemsize
        if entry is None or num_bytes > entry.file_size or not stored.is_inside:
            wanted = f"{math.prod(stored.shape):,} numbers, more than the file holds of it"
            raise self._refusal(f"{name} is said to have {wanted}")
        if stored.repeats and not may_repeat:
            raise self._refusal(f"{name} is said to have numbers that lie in one place")
        start = self._data_start(entry)
        if start + num_bytes > self.size:
            raise self._refusal(f"{name} lies beyond the end of the file")
        return start

    def _values(self, entry: zipfile.ZipInfo) -> Any:
        try:
            return read_pickle(self._bytes(entry, LARGEST_PICKLE + 1), is_expected=_is_expected)
        except ForeignObjectError as error:
            message = f"refused, it holds Python objects other than tensors and plain values ({str(error)[:80]})"
            refusal = CheckpointError(f"{self.path}: {message}; none was run")
            for line in resaving_lines(self.path, self._wanted):
                refusal.add_note(line)
            raise refusal from error
        except ValueError as error:
            raise CheckpointError(f"{self.path}: cannot be read as a PyTorch file: {str(error)[:200]}") from error

    def _bytes(self, entry: zipfile.ZipInfo, at_most: int) -> bytes:
        start = self._data_start(entry)
        return self._map[start : start + min(entry.file_size, at_most)]

    def _data_start(self, entry: zipfile.ZipInfo) -> int:
        """Behind the entry's own header, whose length the directory does not tell."""
        head = self._map[entry.header_offset : entry.header_offset + _LOCAL_HEADER]
        if len(head) < _LOCAL_HEADER or not head.startswith(b"PK\3\4"):
            raise self._refusal(f"its entry {entry.filename!r} is not where its directory says")
        lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        return entry.header_offset + _LOCAL_HEADER + lengths

    def _check_order(self, entry: zipfile.ZipInfo | None) -> None:
        if entry is not None and self._bytes(entry, 16) != sys.byteorder.encode():
            raise CheckpointError(f"{self.path}: its numbers have their bytes in another order than this machine's")

    def _refusal(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path}: {what}: damaged, or made to fill the memory; get it again from its source"
        )


def resaving_lines(path: Path, wanted: str | None) -> tuple[str, ...]:
    """Three lines of Python that make of a checkpoint a file of its tensors alone, and what they are; the second runs what is in it."""
    entry = "" if wanted in (None, "file") else f"[{wanted!r}]"
    are_tensors = "torch.is_tensor(v)" if wanted else "isinstance(v, dict) and all(map(torch.is_tensor, v.values()))"
    tensors = f"{{k: v for k, v in w{entry}.items() if {are_tensors}}}"
    saved = f"{{{wanted!r}: {tensors}}}" if entry else tensors
    return (
        "If you trust where it came from, these lines save its tensors without the rest (the second runs what is in it):",
        "    import torch",
        f"    w = torch.load({str(path)!r}, map_location='cpu', weights_only=False)",
        f"    torch.save({saved}, {str(path.with_name(f'{path.stem}-plain.pt'))!r})",
    )


class _Bounded(io.BufferedReader):
    """A file of which no more than :data:`LARGEST_DIRECTORY` bytes are read at once, as zipfile does with a directory."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(LARGEST_DIRECTORY + 1 if size is None or size < 0 else min(size, LARGEST_DIRECTORY + 1))
        if len(data) > LARGEST_DIRECTORY:
            raise ValueError(f"its directory has over {LARGEST_DIRECTORY:,} bytes")
        return data


def _entries(path: Path, file: io.BufferedReader) -> dict[str, zipfile.ZipInfo]:
    """Every entry by name, uncompressed, as ``torch.save`` writes: memory is then bounded by the file's own size."""
    try:
        with zipfile.ZipFile(_Bounded(io.FileIO(file.fileno(), closefd=False))) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError) as error:
        size = os.fstat(file.fileno()).st_size
        raise CheckpointError(f"{path}: truncated or damaged ({size:,} bytes); download it again") from error
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.compress_size != entry.file_size:
            raise CheckpointError(f"{path}: not written by torch.save, its entry {entry.filename!r} is compressed")
    named = {entry.filename: entry for entry in entries}
    if len(named) < len(entries):
        raise CheckpointError(f"{path}: not written by torch.save, an entry stands twice in it")
    return named


def _folder(path: Path, entries: dict[str, zipfile.ZipInfo]) -> str:
    """The folder that all entries are in, called as the file was."""
    folders = [name.removesuffix("/data.pkl") for name in entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(folders) != 1:
        raise CheckpointError(f"{path}: cannot be read as a PyTorch file: there is no data.pkl in it")
    return folders[0]


def _is_expected(name: str) -> bool:
    return _EXPECTED.fullmatch(name) is not None


def _described(value: Any) -> StoredTensor | None:
    """The tensor that is meant by a call; None for any other value, and for tensors without plain numbers of their own."""
    if isinstance(value, Called) and value.name == "torch._utils._rebuild_parameter" and value.arguments:
        value = value.arguments[0]
    if not (
        isinstance(value, Called) and value.name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
    ):
        return None
    match value.arguments:
        case (Outside(("storage", Named(kind), str(key), str(), int(num_stored))), int(first), shape, strides, *_):
            dtype = _DTYPES.get(kind.removeprefix("torch."))
            if dtype is not None and _are_counts((num_stored, first)) and _are_axes(shape, strides):
                places = {"first": first, "shape": shape, "strides": strides}
                return StoredTensor(dtype=dtype, key=key, num_stored=num_stored, **places)
    return None


def _are_axes(shape: Any, strides: Any) -> bool:
    return _are_counts(shape) and _are_counts(strides) and len(shape) == len(strides) <= _MOST_AXES


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
