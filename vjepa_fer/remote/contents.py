"""The one small file that makes a folder elsewhere visible: which files are in it, their bytes and their SHA-256.

::

    contents.json    {"format": "vjepa-fer/contents", "format_version": 1, "files": {"cache.json": {"size": 1234, "sha256": "…"}, …}}

Files are sent whole first; then this one is replaced in one step, and from then on they are there. A reader needs no list of the store,
which a web server does not give, and asks for the size of nothing. A folder without it, such as one that was copied by another program, is
listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.addresses import is_web
from vjepa_fer.remote.stores import list_files, read_whole

CONTENTS = "contents.json"
FORMAT = "vjepa-fer/contents"
LARGEST = 256 << 20

_NAME = re.compile(r"(?!.*(^|/)\.{1,2}(/|$))[^/\\\x00-\x1f][^\\\x00-\x1f]{0,1000}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """A file: its bytes, and their SHA-256 if somebody knows it."""

    size: int
    sha256: str = ""


def read_contents(address: str) -> dict[str, Entry]:
    """The files of a folder by their path in it; none where there is no such folder.

    Raises
    ------
    RemoteError
        The store; or what says what is there is damaged.
    """
    listed = listed_contents(address)
    if listed is not None:
        return listed
    if is_web(address):
        raise RemoteError(
            f"{address}: no {CONTENTS} there, and a web server lists nothing. `vjepa-fer cache mirror CACHE file:///SERVED/FOLDER` "
            "makes a folder that can be served"
        )
    return {name: Entry(size) for name, size in list_files(address).items() if _NAME.fullmatch(name)}


def listed_contents(address: str) -> dict[str, Entry] | None:
    """What :data:`CONTENTS` says is there; None where there is none."""
    try:
        data = read_whole(f"{address}/{CONTENTS}", LARGEST)
    except FileNotFoundError:
        return None
    return _parsed(data, f"{address}/{CONTENTS}")


def contents_text(files: Mapping[str, Entry]) -> str:
    """What :func:`read_contents` reads."""
    listed = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in sorted(files.items())}
    return json.dumps({"format": FORMAT, "format_version": 1, "files": listed}, indent=0, ensure_ascii=False) + "\n"


def _parsed(data: bytes, source: str) -> dict[str, Entry]:
    try:
        said = json.loads(data)
        if said["format"] != FORMAT or said["format_version"] != 1:
            raise RemoteError(f"{source}: format {said['format']!r} {said['format_version']!r} is not {FORMAT} 1")
        return {_checked_name(name, source): _entry(about) for name, about in said["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, RemoteError):
            raise
        raise RemoteError(
            f"{source}: damaged ({type(error).__name__}: {error}); mirror the cache there again"
        ) from error


def _checked_name(name: str, source: str) -> str:
    if not _NAME.fullmatch(name):
        raise RemoteError(f"{source}: {name[:80]!r} leads out of the folder; whoever made it is not to be trusted")
    return name


def _entry(about: dict[str, Any]) -> Entry:
    size, sha256 = about["size"], about.get("sha256", "")
    if type(size) is not int or not 0 <= size < 1 << 53 or not (sha256 == "" or _SHA256.fullmatch(sha256)):
        raise ValueError(f"size {size!r}, sha256 {sha256!r}")
    return Entry(size, sha256)
