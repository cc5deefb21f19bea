"""Files go to a folder elsewhere, whole, by a process that is alone there; with the last step, and in one, they are visible.

::

    FOLDER/…                every file, sent under its name: nobody knows of it yet
    FOLDER/contents.json    replaced last: from then on it is there
    FOLDER/writer.json      made exclusively by the process that writes, and taken away when it is through

S3 and Google have an exclusive create (``If-None-Match: *``, generation 0), and so have disks and memory: of two processes one writes, the
other is told. Hugging Face has none: there it is up to whoever starts them. An extraction shares the folder where that can be; see `shared`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from vjepa_fer.disk import is_gone, new_owner
from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.contents import CONTENTS, Contents, Entry
from vjepa_fer.remote.hearts import WRITERS, Hearts
from vjepa_fer.remote.log import Said, read_said
from vjepa_fer.remote.stores import create_bytes, list_files, read_whole, remove_file, send_bytes, send_file

WRITER = "writer.json"
_LARGEST = 1 << 16
_LISTS = (".csv", ".json")


@contextmanager
def sole_writer(address: str) -> Iterator[None]:
    """While it lasts no other process of this program writes into the folder.

    Raises
    ------
    RemoteError
        One does, or did when it was killed on another machine; several share it; or nothing can be written there.
    """
    place, owner = f"{address}/{WRITER}", new_owner()
    said = {"owner": owner, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    data = json.dumps(said).encode()
    if not create_bytes(place, data):
        refuse_sole_writer(address)
        if not create_bytes(place, data):
            raise RemoteError(f"{place}: another process was first; wait for it")
    try:
        _refuse_sharers(address)
        yield
    finally:
        remove_file(place)


def _refuse_sharers(address: str) -> None:
    hearts = Hearts(address, "")
    owners = (name.removesuffix(".json") for name in list_files(f"{address}/{WRITERS}"))
    alive = sorted(filter(hearts.lives, owners))
    if alive:
        raise RemoteError(
            f"{address}: others extract into it ({len(alive)}): wait for them. If they were killed on other machines, remove "
            f"{hearts.place(alive[0])} and its like"
        )


def refuse_sole_writer(address: str) -> None:
    """Raise :class:`RemoteError` while a process writes there that must be alone; one that is gone is forgotten."""
    place = f"{address}/{WRITER}"
    try:
        said = json.loads(read_whole(place, _LARGEST))
        owner, since = str(said["owner"]), str(said["since"])
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        raise RemoteError(
            f"{place}: is in the way ({type(error).__name__}); remove it if nobody writes there"
        ) from error
    if not is_gone(owner):
        raise RemoteError(
            f"{place}: another process writes there since {since[:40]}: wait for it, or write to a folder of your own. Remove the file "
            "if that process was killed on another machine"
        )
    remove_file(place)


class Publication:
    """What is visible of a folder elsewhere, and what is added to it; to be used by its :func:`sole_writer`.

    Attributes
    ----------
    files : dict
        What is visible, by path in the folder.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._said = read_said(address) or Said(Contents({}))
        self.files = self._said.files

    def send(self, name: str, path: Path) -> int:
        """Send a file unless it is there; bytes that were sent. It is not visible yet."""
        if path.suffix in _LISTS:  # which may be growing: what is summed must be what is sent
            return self._send_list(name, path.read_bytes())
        entry = entry_of(path)
        if self.files.get(name) == entry:
            return 0
        send_file(f"{self.address}/{name}", path)
        self.files[name] = entry
        return entry.size

    def _send_list(self, name: str, data: bytes) -> int:
        if self.files.get(name) == entry_of_bytes(data):
            return 0
        self.send_bytes(name, data)
        return len(data)

    def send_bytes(self, name: str, data: bytes) -> None:
        """Send a small file. It is not visible yet."""
        send_bytes(f"{self.address}/{name}", data)
        self.files[name] = entry_of_bytes(data)

    def show(self) -> None:
        """Make all that was sent visible."""
        contents = self._said.contents() if self._said.through else Contents(self.files)
        send_bytes(f"{self.address}/{CONTENTS}", contents.text().encode())


def entry_of_bytes(data: bytes) -> Entry:
    """What a small file holds."""
    return Entry(len(data), hashlib.sha256(data).hexdigest())


def entry_of(path: Path) -> Entry:
    """What a file holds."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path.stat().st_size, sha256)
