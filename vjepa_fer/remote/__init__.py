"""Addresses such as ``s3://bucket/cache`` go in; paths that are read as those of a disk are come out, and files are brought and sent whole.

In reading order: `addresses` (what may be one, and what of it may be shown), `stores` (the one file that knows fsspec: ranges, lists,
whole files, tried again), `blocks` (what was read lately), `contents` (the one small file that makes a folder visible), `places` (paths
there), `writing` (files are sent there), `tars` (members of archives), `bringing` (one file, for as long as it is needed).
"""

from vjepa_fer.remote.addresses import checked_address, shown_address
from vjepa_fer.remote.bringing import bring, brought, check_source, find_source, must_be_brought, name_here
from vjepa_fer.remote.contents import CONTENTS, Entry, contents_text, read_contents
from vjepa_fer.remote.places import RemotePath, place_here, place_of, sum_said_of
from vjepa_fer.remote.stores import can_create_exclusively, list_files
from vjepa_fer.remote.tars import Stretch
from vjepa_fer.remote.writing import WRITER, Publication, sole_writer

__all__ = [
    "CONTENTS",
    "WRITER",
    "Entry",
    "Publication",
    "RemotePath",
    "Stretch",
    "bring",
    "brought",
    "can_create_exclusively",
    "check_source",
    "checked_address",
    "contents_text",
    "find_source",
    "list_files",
    "must_be_brought",
    "name_here",
    "place_here",
    "place_of",
    "read_contents",
    "shown_address",
    "sole_writer",
    "sum_said_of",
]
