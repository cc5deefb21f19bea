"""The further corpora by name: ``corpus_manifest("caer", root)``."""

from __future__ import annotations

import os

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.listed import LISTED, listed_manifest
from vjepa_fer.manifest.named import NAMED, named_manifest
from vjepa_fer.manifest.rows import Manifest, nearest

_TITLES = {name: rule.title for name, rule in NAMED.items()} | {name: rule.title for name, rule in LISTED.items()}

CORPORA: dict[str, str] = dict(sorted(_TITLES.items()))
"""Name on the command line → what people call the corpus."""


def corpus_manifest(name: str, root: str | os.PathLike[str]) -> Manifest:
    """The clips of a corpus below a folder, in the layout it is handed out in.

    Columns besides the required ones differ: ``split`` (train, validation, test) or ``fold`` (1–5) where the corpus has
    official ones, ``recording`` where several videos show one performance.

    Parameters
    ----------
    name
        One of :data:`CORPORA`.
    root
        Folder of the corpus; its lists and its videos may lie anywhere below.

    Raises
    ------
    ManifestError
        No such corpus, or nothing of it below `root`.
    """
    if name in NAMED:
        return named_manifest(NAMED[name], root)
    if name in LISTED:
        return listed_manifest(LISTED[name], root)
    raise ManifestError(f"corpus {name!r} is not one of {', '.join(CORPORA)}{nearest(name, CORPORA)}")
