"""The further corpora by name: ``corpus_manifest("caer", root)``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from vjepa_fer.doors import Plugin, Plugins, find_plugins, not_one_of
from vjepa_fer.errors import ManifestError, VjepaFerError
from vjepa_fer.manifest.listed import LISTED, ListRule, listed_manifest
from vjepa_fer.manifest.named import NAMED, PathRule, named_manifest
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
        One of :data:`CORPORA`, or of a plug-in.
    root
        Folder of the corpus; its lists and its videos may lie anywhere below.
    picture_fps
        Pictures a second of clips that are folders of them, for the column ``fps``.

    Raises
    ------
    ManifestError
        No such corpus, or nothing of it below `root`.
    PluginError
        A plug-in has the name, and cannot be used.
    """
    if name in NAMED:
        return about_pictures(named_manifest(NAMED[name], root), picture_fps)
    if name in LISTED:
        return about_pictures(listed_manifest(LISTED[name], root), picture_fps)
    plugins = plugin_corpora()
    plugin = plugins.named(name)
    if plugin is None:
        raise ManifestError(not_one_of("corpus", name, [*CORPORA, *plugins.usable]))
    manifest = about_pictures(plugged_manifest(plugin, Path(root)), picture_fps)
    return dataclasses.replace(
        manifest, notes=(*manifest.notes, f"the corpus {name} is the plug-in of {plugin.origin}")
    )


def plugin_corpora() -> Plugins:
    """The corpora that installed packages add; none of them is imported."""
    return find_plugins("corpora", {*CORPORA, "ravdess", "crema-d"})


def plugged_manifest(plugin: Plugin, root: Path) -> Manifest:
    """What a plug-in makes of a folder: it is a rule, as ours are, or a function of the folder.

    Raises
    ------
    ManifestError
        Nothing of the corpus is there.
    PluginError
        It is neither, raised, or gave no manifest.
    """
    rule = plugin.load()
    if isinstance(rule, PathRule):
        return named_manifest(rule, root)
    if isinstance(rule, ListRule):
        return listed_manifest(rule, root)
    if not callable(rule):
        raise plugin.fault(
            f"is {type(rule).__name__} {rule!r:.60}, expected a PathRule, a ListRule or a function of a folder"
        )
    try:
        manifest = rule(root)
    except VjepaFerError as error:
        error.add_note(f"So says the {plugin}.")
        raise
    except Exception as error:
        raise plugin.fault(f"raised {type(error).__name__}: {error}") from error
    if not isinstance(manifest, Manifest):
        raise plugin.fault(f"gave {type(manifest).__name__}, expected a Manifest")
    return manifest
