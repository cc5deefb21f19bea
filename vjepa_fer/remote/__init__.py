"""Addresses such as ``s3://bucket/cache`` go in; paths that are read as those of a disk are come out, and files are brought and sent whole.

In reading order: `addresses` (what may be one, and what of it may be shown), `stores` (the one file that knows fsspec: ranges, lists,
whole files, tried again), `blocks` (what was read lately), `contents` (the one small file that makes a folder visible), `log` (what
several say of it), `places` (paths there), `hearts` (who writes there), `writing` (files are sent there by one), `shared` (or by several),
`tars` (members of archives), `bringing` (one file, for as long as it is needed).
"""

from vjepa_fer.remote.addresses import checked_address, shown_address
from vjepa_fer.remote.bringing import bring, brought, check_source, find_source, must_be_brought, name_here
from vjepa_fer.remote.contents import CONTENTS, Contents, Entry
from vjepa_fer.remote.hearts import WRITERS
from vjepa_fer.remote.log import LOG, read_contents
from vjepa_fer.remote.places import RemotePath, place_here, place_of, snapshot_of, sum_said_of
from vjepa_fer.remote.shared import Shared
from vjepa_fer.remote.stores import (
    can_create_exclusively,
    create_bytes,
    creates_exclusively,
    list_files,
    read_whole,
    remove_file,
    send_bytes,
    send_file,
)
from vjepa_fer.remote.tars import Stretch
from vjepa_fer.remote.writing import WRITER, Publication, entry_of, entry_of_bytes, sole_writer

__all__ = [
    "CONTENTS",
    "LOG",
    "WRITER",
    "WRITERS",
    "Contents",
    "Entry",
    "Publication",
    "RemotePath",
    "Shared",
    "Stretch",
    "bring",
    "brought",
    "can_create_exclusively",
    "check_source",
    "checked_address",
    "create_bytes",
    "creates_exclusively",
    "entry_of",
    "entry_of_bytes",
    "find_source",
    "list_files",
    "must_be_brought",
    "name_here",
    "place_here",
    "place_of",
    "read_contents",
    "read_whole",
    "remove_file",
    "send_bytes",
    "send_file",
    "shown_address",
    "snapshot_of",
    "sole_writer",
    "sum_said_of",
]
