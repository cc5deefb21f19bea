"""A function goes in, a letter comes out that a child opens to the same function, found by the module that defines it.

Letters are pickles: a process of ours writes them and another of ours reads them, by a pipe that nobody else can write to.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vjepa_fer.errors import VjepaFerError
from vjepa_fer.workers.script import Script, read_script, refuse_unguarded, this_script

_LENGTH = struct.Struct("<Q")
_HOW = "work with one process, or define it at the top of a module"


@dataclass(frozen=True)
class Letter:
    """A function as bytes, and what a child needs to find it.

    Attributes
    ----------
    text : bytes
    folders : tuple of str
        Where the modules lie that it is made of.
    script : Script or None
        The user's, if it is defined in there.
    """

    text: bytes
    folders: tuple[str, ...]
    script: Script | None


def write_letter(function: Callable[..., Any]) -> Letter:
    """Raise :class:`VjepaFerError` if no other process could find the function."""
    refuse_unguarded()
    text = io.BytesIO()
    pickler = _Pickler(text, pickle.HIGHEST_PROTOCOL)
    try:
        pickler.dump(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise VjepaFerError(f"{function!r:.200} cannot be sent to other processes ({error}): {_HOW}") from error
    script = this_script() if "__main__" in pickler.modules else None
    if "__main__" in pickler.modules and script is None:
        raise VjepaFerError(f"{function!r:.200} is defined where no other process can read it: {_HOW}")
    folders = {folder for name in pickler.modules if (folder := _folder_of(name)) is not None}
    return Letter(text.getvalue(), tuple(sorted(folders)), script)


def open_letter(letter: Letter) -> Callable[..., Any]:
    """In a child: the function, or :class:`VjepaFerError` with what cannot be found."""
    try:
        if letter.script is not None:
            read_script(letter.script)
        return pickle.loads(letter.text)  # noqa: S301  our parent wrote it
    except VjepaFerError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise VjepaFerError(
            f"another process cannot find what it is to do ({what}): {_HOW} that it can import"
        ) from error


def send(file: BinaryIO, value: Any) -> None:
    """Write an object; :func:`receive` on the other side of the pipe reads it."""
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    file.write(_LENGTH.pack(len(data)) + data)
    file.flush()


def receive(file: BinaryIO) -> Any:
    """The next object; EOFError when the pipe has closed."""
    header = file.read(_LENGTH.size)
    if len(header) < _LENGTH.size:
        raise EOFError
    (size,) = _LENGTH.unpack(header)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)  # noqa: S301  a process of ours wrote it


class _Pickler(pickle.Pickler):
    """Notes the modules of all that is pickled by name."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.modules: set[str] = set()

    def reducer_override(self, thing: Any) -> Any:
        name = getattr(thing, "__module__", None)
        if isinstance(name, str):
            self.modules.add(name)
        return NotImplemented


def _folder_of(name: str) -> str | None:
    """The folder that a module lies in, or the package that it is of."""
    top = sys.modules.get(name.partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None or name == "__main__":
        return None
    return str(Path(os.path.abspath(file)).parents[1 if hasattr(top, "__path__") else 0])
