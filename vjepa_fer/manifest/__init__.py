"""Which clips, with which label and subject: tables and downloads in, checked manifests out."""

from vjepa_fer.manifest.choose import is_damaged, only_where, without_damaged
from vjepa_fer.manifest.corpora import CORPORA, corpus_manifest
from vjepa_fer.manifest.crema_d import crema_d_clips, crema_d_manifest
from vjepa_fer.manifest.folder import csv_manifest, folder_manifest
from vjepa_fer.manifest.pictures import with_picture_rate
from vjepa_fer.manifest.ravdess import ravdess_clips, ravdess_manifest
from vjepa_fer.manifest.rows import COLUMNS, Clip, Manifest, check_label, nearest
from vjepa_fer.manifest.subset import subset_of
from vjepa_fer.manifest.tables import manifest_csv, parse_manifest, read_manifest, read_table, write_manifest
from vjepa_fer.manifest.verify import FAULTS, FileFault, Verification, verify_download

__all__ = [
    "COLUMNS",
    "CORPORA",
    "FAULTS",
    "Clip",
    "FileFault",
    "Manifest",
    "Verification",
    "check_label",
    "corpus_manifest",
    "crema_d_clips",
    "crema_d_manifest",
    "csv_manifest",
    "folder_manifest",
    "is_damaged",
    "manifest_csv",
    "nearest",
    "only_where",
    "parse_manifest",
    "ravdess_clips",
    "ravdess_manifest",
    "read_manifest",
    "read_table",
    "subset_of",
    "verify_download",
    "with_picture_rate",
    "without_damaged",
    "write_manifest",
]
