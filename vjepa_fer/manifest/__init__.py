"""Tables and downloads go in; manifests come out: which clips, with which label and subject, checked.

In reading order: `spelling`, `unify` (names that are one name) · `rows`, `tables` (a manifest, read and written) · `folder`, `walk` (any layout of files) · `corpora`, `ravdess`, `crema_d`,
`listed`, `named` (known corpora) · `folds`, `official`, `shipped` (what comes along) · `label_names` (one name for what two corpora call
differently) · `damage`, `absent` (clips that are damaged or have no features) · `choose` · `verify` (a download against the official list).
"""

from __future__ import annotations

from vjepa_fer.manifest.absent import Absent, absent_from
from vjepa_fer.manifest.choose import DAMAGED, is_damaged, only_where, without_damaged
from vjepa_fer.manifest.corpora import CORPORA, corpus_manifest, plugged_manifest, plugin_corpora
from vjepa_fer.manifest.crema_d import crema_d_clips, crema_d_manifest
from vjepa_fer.manifest.damage import Damage, damage_of, damaged_among, leave_out
from vjepa_fer.manifest.folder import csv_manifest, folder_manifest
from vjepa_fer.manifest.folds import PRESETS, subject_number
from vjepa_fer.manifest.label_names import MERGED, SPELLINGS, common_names, read_label_map, require_other_names
from vjepa_fer.manifest.no_clips import refuse_no_clips
from vjepa_fer.manifest.pictures import picture_rate, with_picture_rate
from vjepa_fer.manifest.ravdess import RAVDESS_LABELS, ravdess_clips, ravdess_manifest
from vjepa_fer.manifest.rows import COLUMNS, MOST_SHOWN, Clip, Manifest, abridged, check_label
from vjepa_fer.manifest.shipped import crema_d_official
from vjepa_fer.manifest.spelling import (
    UNIFY,
    canonical,
    clip_of_path,
    is_missing,
    natural_order,
    one_spelling,
    refuse_marked,
    refuse_measurements,
    refuse_missing,
    refuse_parted_otherwise,
    refuse_spelled_twice,
    respelled,
    rows_of,
    shown,
)
from vjepa_fer.manifest.subset import subset_of
from vjepa_fer.manifest.tables import (
    ROW_NAMES,
    Listed,
    Table,
    manifest_csv,
    parse_listed,
    place_of,
    read_manifest,
    read_table,
    rename_columns,
    require_column,
    write_manifest,
)
from vjepa_fer.manifest.verify import FAULTS, FileFault, Verification, verify_download
from vjepa_fer.manifest.walk import find_videos, look_through

__all__ = [
    "COLUMNS",
    "CORPORA",
    "DAMAGED",
    "FAULTS",
    "MERGED",
    "MOST_SHOWN",
    "PRESETS",
    "RAVDESS_LABELS",
    "ROW_NAMES",
    "SPELLINGS",
    "UNIFY",
    "Absent",
    "Clip",
    "Damage",
    "FileFault",
    "Listed",
    "Manifest",
    "Table",
    "Verification",
    "abridged",
    "absent_from",
    "canonical",
    "check_label",
    "clip_of_path",
    "common_names",
    "corpus_manifest",
    "crema_d_clips",
    "crema_d_manifest",
    "crema_d_official",
    "csv_manifest",
    "damage_of",
    "damaged_among",
    "find_videos",
    "folder_manifest",
    "is_damaged",
    "is_missing",
    "leave_out",
    "look_through",
    "manifest_csv",
    "natural_order",
    "one_spelling",
    "only_where",
    "parse_listed",
    "picture_rate",
    "place_of",
    "plugged_manifest",
    "plugin_corpora",
    "ravdess_clips",
    "ravdess_manifest",
    "read_label_map",
    "read_manifest",
    "read_table",
    "refuse_marked",
    "refuse_measurements",
    "refuse_missing",
    "refuse_no_clips",
    "refuse_parted_otherwise",
    "refuse_spelled_twice",
    "rename_columns",
    "require_column",
    "require_other_names",
    "respelled",
    "rows_of",
    "shown",
    "subject_number",
    "subset_of",
    "verify_download",
    "with_picture_rate",
    "without_damaged",
    "write_manifest",
]
