"""The data sets' official lists, which ship with the package: a name in, a manifest with paths inside the download out."""

from __future__ import annotations

import csv
import dataclasses
import gzip
from collections.abc import Sequence
from functools import cache
from importlib import resources

from vjepa_fer.manifest.rows import Manifest
from vjepa_fer.manifest.tables import read_manifest

FILE_COLUMNS = ("bytes", "sha256")
"""Columns that describe the official file, not the clip: a converted copy has others."""


@cache
def crema_d_official() -> Manifest:
    """All 7,442 clips of CREMA-D with every column of ``data_manifests/crema_d.csv.gz``; paths inside the official repository."""
    with resources.as_file(resources.files("vjepa_fer.data_manifests") / "crema_d.csv.gz") as file:
        manifest = read_manifest(file)
    return dataclasses.replace(manifest, source=None)


def crema_d_damaged() -> dict[str, str]:
    """Clips of CREMA-D with a damaged official file: actor by clip id. Reads the list alone, as every study asks for it."""
    source = resources.files("vjepa_fer.data_manifests") / "crema_d.csv.gz"
    with source.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        names = next(rows)
        clip_id, actor, damaged = (names.index(name) for name in ("clip_id", "subject", "damaged"))
        return {row[clip_id]: row[actor] for row in rows if row[damaged]}


def without_columns(manifest: Manifest, dropped: Sequence[str]) -> Manifest:
    """The same clips without some of their further columns."""
    clips = [
        dataclasses.replace(clip, extra={name: value for name, value in clip.extra.items() if name not in dropped})
        for clip in manifest.clips
    ]
    columns = tuple(name for name in manifest.columns if name not in dropped)
    return dataclasses.replace(manifest, clips=tuple(clips), columns=columns)
