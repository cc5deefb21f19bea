"""What several processes say of one folder elsewhere comes in, entry by entry in one order; what all of it comes to goes out.

::

    log/00000001.json    {"format": "vjepa-fer/log", "format_version": 1, "key": "…", "owner": "…", "takes": ["clip", …], "done": [], "gone": [],
                          "files": {}}
    log/00000002.json    and so on, without a gap

Whoever has something to say makes the entry after the last one, by an exclusive create: of two that try at once one succeeds, and the other reads
it before it tries again. So each entry was written by one who knew all before it, and all that follow the log agree on who is at which clip and
in which shard a clip is. No entry is changed or removed. ``contents.json`` says what they came to up to some number, so that nobody has to
read the log from its beginning; it may be behind, never wrong.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vjepa_fer.errors import RemoteError
from vjepa_fer.remote.addresses import is_web
from vjepa_fer.remote.contents import (
    CONTENTS,
    Contents,
    Entry,
    check_format,
    files_read,
    files_said,
    is_listable,
    names_read,
    parsed,
    stored_contents,
)
from vjepa_fer.remote.stores import create_bytes, list_files, read_whole

LOG = "log"
FORMAT = "vjepa-fer/log"
LARGEST = 64 << 20


@dataclass(frozen=True)
class LogEntry:
    """What one process says at once.

    Attributes
    ----------
    owner : str
        The process.
    takes : tuple of str
        Ids of clips that it is at from now on, whoever was.
    done : tuple of str
        Ids of clips that are in the shards among `files`.
    files : mapping
        What is visible from now on, by path in the folder.
    gone : tuple of str
        Processes that are at no clip any more: it takes them for dead, or is one itself, and leaves.
    key : str
        This entry's alone.
    """

    owner: str
    takes: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    files: Mapping[str, Entry] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    key: str = field(default_factory=lambda: uuid.uuid4().hex)

    def text(self) -> str:
        """As JSON."""
        said = {"key": self.key, "owner": self.owner, "takes": self.takes, "done": self.done, "gone": self.gone}
        return json.dumps(
            {"format": FORMAT, "format_version": 1, **said, "files": files_said(self.files)}, ensure_ascii=False
        )


class Said:
    """What the log of a folder came to.

    Attributes
    ----------
    files : dict
        What is visible, by path in the folder.
    through : int
        The number of the last entry that is in it.
    holders : dict
        Id of a clip that is not done → who is at it.
    done : set of str
        Ids of clips that became visible since this was first read.
    writers : set of str
        Who has begun and not left.
    """

    def __init__(self, contents: Contents) -> None:
        self.files, self.through = dict(contents.files), contents.through or 0
        self.holders = {clip_id: owner for owner, clips in contents.writers.items() for clip_id in clips}
        self.writers, self.done = set(contents.writers), set[str]()

    def apply(self, entry: LogEntry) -> None:
        """Take in the next one."""
        self.through += 1
        self.files.update(entry.files)
        self.done.update(entry.done)
        self.writers = (self.writers | {entry.owner}) - {*entry.gone}
        self.holders = {clip_id: owner for clip_id, owner in self.holders.items() if owner in self.writers}
        self.holders.update(dict.fromkeys(entry.takes, entry.owner))
        for clip_id in entry.done:
            self.holders.pop(clip_id, None)

    def follow(self, address: str) -> Iterator[LogEntry]:
        """Take in, and yield, the entries that came since.

        Raises
        ------
        RemoteError
        """
        while (entry := _read_entry(address, self.through + 1)) is not None:
            self.apply(entry)
            yield entry

    def add(self, address: str, entry: LogEntry) -> bool:
        """Make `entry` the next one; False, and nothing is said, if another came before it, which is taken in.

        Raises
        ------
        RemoteError
        """
        if create_bytes(_place(address, self.through + 1), entry.text().encode()):
            self.apply(entry)
            return True
        return any(found.key == entry.key for found in self.follow(address))  # its answer may have got lost

    def contents(self) -> Contents:
        """As ``contents.json`` holds it."""
        writers: dict[str, list[str]] = {owner: [] for owner in sorted(self.writers)}
        for clip_id, owner in self.holders.items():
            writers[owner].append(clip_id)
        return Contents(self.files, self.through, {owner: tuple(clips) for owner, clips in writers.items()})


def read_said(address: str, *, by_reader: bool = False) -> Said | None:
    """What a folder's ``contents.json`` says, and the log since; None where there is none.

    Parameters
    ----------
    address : str
    by_reader : bool
        Who only reads looks at the log while somebody writes, and asks for nothing that is not there otherwise.

    Raises
    ------
    RemoteError
    """
    contents = stored_contents(address)
    if contents is None:
        return None
    said = Said(contents)
    if contents.writers or not by_reader:
        for _ in said.follow(address):
            pass
    return said


def read_contents(address: str) -> dict[str, Entry]:
    """The files of a folder by their path in it; none where there is no such folder.

    A folder without ``contents.json``, such as one that was copied by another program, is listed.

    Raises
    ------
    RemoteError
        The store; or what says what is there is damaged.
    """
    said = read_said(address, by_reader=True)
    if said is not None:
        return said.files
    if is_web(address):
        raise RemoteError(
            f"{address}: no {CONTENTS} there, and a web server lists nothing. `vjepa-fer cache mirror CACHE file:///SERVED/FOLDER` "
            "makes a folder that can be served"
        )
    return {name: Entry(size) for name, size in list_files(address).items() if is_listable(name)}


def _place(address: str, number: int) -> str:
    return f"{address}/{LOG}/{number:08d}.json"


def _read_entry(address: str, number: int) -> LogEntry | None:
    place = _place(address, number)
    try:
        data = read_whole(place, LARGEST)
    except FileNotFoundError:
        return None
    return parsed(data, place, _entry)


def _entry(said: Any, source: str) -> LogEntry:
    check_format(said, FORMAT, source)
    return LogEntry(
        owner=str(said["owner"]),
        takes=names_read(said["takes"]),
        done=names_read(said["done"]),
        files=files_read(said["files"], source),
        gone=names_read(said["gone"]),
        key=str(said["key"]),
    )
