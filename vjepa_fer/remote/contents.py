"""The one small file that makes a folder elsewhere visible: which files are in it, their bytes and their SHA-256.

::

    contents.json    {"format": "vjepa-fer/contents", "format_version": 1, "files": {"cache.json": {"size": 1234, "sha256": "…"}, …}}

Files are sent whole first; then this one is replaced in one step, and from then on they are there. A reader needs no list of the store,
which a web server does not give, and asks for the size of nothing. Where several processes write it is what their log came to as far as
``through``; see `log`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.stores import read_whole

CONTENTS = "contents.json"
FORMAT = "vjepa-fer/contents"
LARGEST = 256 << 20

Value = TypeVar("Value")

_NAME = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[^/\\\x00-\x1f][^\\\x00-\x1f]{0,1000}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A file: its bytes, and their SHA-256 if somebody knows it."""

    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Contents:
    """What :data:`CONTENTS` says.

    Attributes
    ----------
    files : mapping
        By path in the folder.
    through : int, optional
        The last entry of the log that is in it; None where there is no log.
    writers : mapping of str to tuple of str
        Who was writing then → ids of the clips that it was at.
    """

    files: Mapping[str, Entry]
    through: int | None = None
    writers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def text(self) -> str:
        """What :func:`stored_contents` reads."""
        log = {} if self.through is None else {"through": self.through, "writers": dict(self.writers)}
        said = {"format": FORMAT, "format_version": 1, **log, "files": files_said(self.files)}
        return json.dumps(said, indent=0, ensure_ascii=False) + "\n"


def stored_contents(address: str) -> Contents | None:
    """What :data:`CONTENTS` of a folder says; None where there is none.

    Raises
    ------
    RemoteError
        The store; or it is damaged.
    """
    try:
        data = read_whole(f"{address}/{CONTENTS}", LARGEST)
    except FileNotFoundError:
        return None
    return parsed(data, f"{address}/{CONTENTS}", _contents)


def parsed(data: bytes, source: str, make: Callable[[Any, str], Value]) -> Value:
    """What `make` takes from the JSON object `data` of the file `source`.

    Raises
    ------
    RemoteError
        It takes what is not there, or of another kind.
    """
    try:
        return make(json.loads(data), source)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RemoteError):
            raise
        raise RemoteError(
            f"{source}: damaged ({type(error).__name__}: {error}); mirror the cache there again"
        ) from error


def check_format(said: Any, name: str, source: str) -> None:
    """Raise :class:`RemoteError` for another format than version 1 of `name`."""
    if said["format"] != name or said["format_version"] != 1:
        raise RemoteError(f"{source}: format {said['format']!r} {said['format_version']!r} is not {name} 1")


def files_said(files: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    """Files as JSON has them."""
    return {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in sorted(files.items())}


def files_read(said: Mapping[str, Any], source: str) -> dict[str, Entry]:
    """What :func:`files_said` made, checked."""
    return {_checked_name(name, source): _entry(about) for name, about in said.items()}


def names_read(said: Any) -> tuple[str, ...]:
    """Ids of clips, checked."""
    if not (isinstance(said, list) and all(isinstance(one, str) for one in said)):
        raise ValueError(f"{str(said)[:80]!r} is no list of names")
    return tuple(said)


def is_listable(name: str) -> bool:
    """Whether a name that a store lists may be one of a file of the folder."""
    return _NAME.fullmatch(name) is not None


def _contents(said: Any, source: str) -> Contents:
    check_format(said, FORMAT, source)
    through = said.get("through")
    if not (through is None or (type(through) is int and through >= 0)):
        raise ValueError(f"through {through!r}")
    writers = {str(owner): names_read(clips) for owner, clips in said.get("writers", {}).items()}
    return Contents(files_read(said["files"], source), through, writers)


def _checked_name(name: str, source: str) -> str:
    if not _NAME.fullmatch(name):
        raise RemoteError(f"{source}: {name[:80]!r} leads out of the folder; whoever made it is not to be trusted")
    return name


def _entry(about: dict[str, Any]) -> Entry:
    size, sha256 = about["size"], about.get("sha256", "")
    if type(size) is not int or not 0 <= size < 1 << 53 or not (sha256 == "" or _SHA256.fullmatch(sha256)):
        raise ValueError(f"size {size!r}, sha256 {sha256!r}")
    return Entry(size, sha256)
