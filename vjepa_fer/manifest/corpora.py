"""The further corpora by name: ``corpus_manifest("caer", root)``."""

from __future__ import annotations

import os

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest.listed import LISTED, listed_manifest
from vjepa_fer.manifest.named import NAMED, named_manifest
from vjepa_fer.manifest.pictures import about_pictures
from vjepa_fer.manifest.rows import Manifest

_TITLES = {name: rule.title for name, rule in NAMED.items()} | {name: rule.title for name, rule in LISTED.items()}

CORPORA: dict[str, str] = dict(sorted(_TITLES.items()))
"""Name on the command line → what people call the corpus."""


def corpus_manifest(name: str, root: str | os.PathLike[str], *, picture_fps: float | None = None) -> Manifest:
    """The clips of a corpus below a folder, in the layout it is handed out in.

    Columns besides the required ones differ: ``split`` (train, validation, test) or ``fold`` (1–5) where the corpus has
    official ones, ``recording`` where several videos show one performance.

    Parameters
    ----------
    name
        One of :data:`CORPORA`.
    root
        Folder of the corpus; its lists and its videos may lie anywhere below.
    picture_fps
        Pictures a second of clips that are folders of them, for the column ``fps``.

    Raises
    ------
    ManifestError
        No such corpus, or nothing of it below `root`.
    """
    if name in NAMED:
        return about_pictures(named_manifest(NAMED[name], root), picture_fps)
    if name in LISTED:
        return about_pictures(listed_manifest(LISTED[name], root), picture_fps)
    raise ManifestError(not_one_of("corpus", name, CORPORA))
