"""A manifest and a condition in, the clips that meet it out: ``view=front``, or all but the damaged ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vjepa_fer.doors import nearest
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.rows import MOST_SHOWN, Clip, Manifest, abridged

DAMAGED = "damaged"
"""The column that says what is wrong with a clip's official file; empty for a good one."""


def is_damaged(clip: Clip) -> bool:
    """Whether the manifest says that something is wrong with this clip's file."""
    return bool(clip.value(DAMAGED))


def without_damaged(manifest: Manifest) -> Manifest:
    """The manifest without its damaged clips; a note says which were left out.

    Raises
    ------
    ManifestError
        The manifest has no column ``damaged``.
    """
    _require_column(manifest, DAMAGED)
    left_out = [clip.clip_id for clip in manifest if is_damaged(clip)]
    note = f"{len(left_out)} damaged clips left out: {abridged(left_out, 6)}"
    kept = manifest.where(clip for clip in manifest if not is_damaged(clip))
    return dataclasses.replace(kept, notes=(*manifest.notes, note))


def only_where(manifest: Manifest, column: str, values: Sequence[str]) -> Manifest:
    """The clips whose value in `column` is one of `values`.

    Raises
    ------
    ManifestError
        No such column, or a value that no clip has there; the message lists what there is.
    """
    _require_column(manifest, column)
    there = sorted({clip.value(column) for clip in manifest})
    absent = [value for value in values if value not in there]
    if absent:
        raise ManifestError(
            f"no clip has {column}={' or '.join(absent)}; there are {abridged(there, 12)}{nearest(absent[0], there)}"
        )
    return manifest.where(clip for clip in manifest if clip.value(column) in values)


def _require_column(manifest: Manifest, column: str) -> None:
    if column not in manifest.columns:
        name = f"{manifest.source}: " if manifest.source else ""
        columns = abridged(manifest.columns, MOST_SHOWN)
        raise ManifestError(f"{name}no column {column!r}; its columns are {columns}{nearest(column, manifest.columns)}")
