"""The path of a manifest comes in; its clips go out, and what is to be known of them is said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .terminal import warn

if TYPE_CHECKING:
    from vjepa_fer.manifest import Manifest


def read_clips(path: Path, *, unify_names: bool) -> Manifest:
    """The manifest, its notes on stderr; `unify_names` as ``--unify-names``."""
    from vjepa_fer.manifest import read_manifest

    manifest = read_manifest(path, unify_names=unify_names)
    for note in manifest.notes:
        warn(note)
    return manifest
