"""A path comes in, the files that make up one set of weights go out: a file, a folder that a library saved, or the index of its parts.

::

    w.pt, w.safetensors                            itself
    FOLDER/model.safetensors                       or pytorch_model.bin
    FOLDER/model.safetensors.index.json            or pytorch_model.bin.index.json: which tensor lies in which part
    FOLDER/model-00001-of-00002.safetensors …      the parts

Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vjepa_fer.doors import read_object
from vjepa_fer.errors import CheckpointError

_STEMS = ("model.safetensors", "pytorch_model.bin")
_INDEX = ".index.json"
_LARGEST_INDEX = 8 << 20
"""Bytes; that of a thousand tensors has 0.1 million."""

_MOST_PARTS = 1000
_PART = re.compile(r"[^/\\]+-\d{5}-of-(\d{5})\.(safetensors|bin|pt|pth)")
_SHOWN = 4


@dataclass(frozen=True)
class WeightsFiles:
    """The files of one set of weights.

    Attributes
    ----------
    path : Path
        What was asked for.
    files : tuple of Path
        In order of name; mostly one.
    listed : mapping of str to str
        Tensor → name of its file, as an index says; empty without one.
    """

    path: Path
    files: tuple[Path, ...]
    listed: Mapping[str, str] = field(default_factory=dict)

    def check_listed(self, found: Mapping[str, Path]) -> None:
        """Refuse files that hold other tensors than their index says.

        Raises
        ------
        CheckpointError
        """
        if not self.listed:
            return
        absent = [name for name, file in self.listed.items() if name not in found or found[name].name != file]
        surplus = [name for name in found if name not in self.listed]
        for names, what in ((absent, "are not where its index says"), (surplus, "are in no line of its index")):
            if names:
                raise CheckpointError(f"{self.path}: {len(names)} tensors {what}: {_shown(names)}; get all parts again")


def weights_files(path: str | Path) -> WeightsFiles:
    """The files behind a path; a path that is neither a folder nor an index is its own only file, whether it is there or not.

    Raises
    ------
    CheckpointError
        A folder without weights or with several, or parts that are missing.
    """
    path = Path(path)
    if path.name.endswith(_INDEX):
        return _indexed(path, path)
    if not path.is_dir():
        return WeightsFiles(path, (path,))
    there = [path / name for stem in _STEMS for name in (stem, stem + _INDEX) if (path / name).is_file()]
    if not there:
        return WeightsFiles(path, _parts_in(path))
    chosen = there[0]  # of safetensors and PyTorch's own the first, as the library that wrote both does
    return _indexed(chosen, path) if chosen.name.endswith(_INDEX) else WeightsFiles(path, (chosen,))


def holds_weights(folder: Path) -> bool:
    """Whether a folder is one that a library saved weights into."""
    return folder.is_dir() and any(
        file.name in _STEMS or file.name.endswith(_INDEX) or _PART.fullmatch(file.name) for file in folder.iterdir()
    )


def _indexed(index: Path, asked: Path) -> WeightsFiles:
    try:
        listed = read_object(index, error=CheckpointError, at_most=_LARGEST_INDEX).mapping("weight_map")
    except FileNotFoundError as error:
        raise CheckpointError(f"{index}: there is no such index of weights") from error
    names = sorted(set(listed.values()))
    strange = [name for name in names if Path(name).name != name or "\\" in name or "\0" in name]
    if strange or not 0 < len(names) <= _MOST_PARTS:
        what = f"the part {strange[0]!r} is no file beside it" if strange else f"it names {len(names):,} parts"
        raise CheckpointError(f"{index}: no index of weights: {what}")
    return WeightsFiles(asked, _all_there(index, [index.parent / name for name in names]), listed)


def _parts_in(folder: Path) -> tuple[Path, ...]:
    """Numbered parts without an index, if all are there; or the folder's only weights file."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".pt", ".pth", ".bin", ".tar"))
    parts = [file for file in files if _PART.fullmatch(file.name)]
    if parts and len(parts) == len(files):
        count = _PART.fullmatch(parts[0].name)
        assert count is not None
        if len(parts) != int(count[1]):
            raise CheckpointError(f"{folder}: {len(parts)} of {int(count[1])} parts are here; get the others as well")
    elif len(files) != 1:
        what = f"holds {len(files)} weights files ({_shown(f.name for f in files)}); name one" if files else _NOTHING
        raise CheckpointError(f"{folder}: {what}")
    return tuple(files)


_NOTHING = f"there is no such weights file, and no {' or '.join(_STEMS)} in this folder"


def _all_there(index: Path, files: list[Path]) -> tuple[Path, ...]:
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise CheckpointError(
            f"{index}: {len(absent)} of {len(files)} parts are not here: {_shown(absent)}; get them as well"
        )
    return tuple(files)


def _shown(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
