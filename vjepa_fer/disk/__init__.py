"""Folders and files of this program: written whole, durably and by one process only, and never through somebody else's link.

In reading order: `whose` (which process a file belongs to, and whether it lives), `durable` (files and folders that appear whole), `names`
(which no two files share), `inside` (folders that are no links, and what may be removed from them), `scratch` (folders that nobody wants
to keep), `facts` (what the file system under a folder can do), `elsewhere` (paths that are on no disk here).
"""

from vjepa_fer.disk.durable import create_exclusively, make_folders, new_folder, sync_folder, write_durably
from vjepa_fer.disk.elsewhere import AnyPath, Elsewhere, Ranges, is_url
from vjepa_fer.disk.facts import bytes_for_people, can_lock, exclusive_lock, is_case_sensitive, write_speed
from vjepa_fer.disk.inside import (
    make_own_folder,
    open_regular,
    open_to_read,
    refuse_link,
    remove_files,
    require_regular,
    sweep_partial_folders,
    sweep_partials,
)
from vjepa_fer.disk.names import on_disk, unique_names
from vjepa_fer.disk.scratch import scratch_folder, sweep_scratch
from vjepa_fer.disk.whose import PARTIAL_SUFFIX, is_gone, new_owner, partial_path

__all__ = [
    "PARTIAL_SUFFIX",
    "AnyPath",
    "Elsewhere",
    "Ranges",
    "bytes_for_people",
    "can_lock",
    "create_exclusively",
    "exclusive_lock",
    "is_case_sensitive",
    "is_gone",
    "is_url",
    "make_folders",
    "make_own_folder",
    "new_folder",
    "new_owner",
    "on_disk",
    "open_regular",
    "open_to_read",
    "partial_path",
    "refuse_link",
    "remove_files",
    "require_regular",
    "scratch_folder",
    "sweep_partial_folders",
    "sweep_partials",
    "sweep_scratch",
    "sync_folder",
    "unique_names",
    "write_durably",
    "write_speed",
]
