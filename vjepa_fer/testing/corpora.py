"""A corpus goes in with a folder of it: its manifest is made twice, and held to what a study relies on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from vjepa_fer.errors import ManifestError
from vjepa_fer.manifest import Manifest, corpus_manifest, plugged_manifest
from vjepa_fer.testing.promises import all_kept, expect, in_hand


def check_corpus(corpus: str | Any, root: str | os.PathLike[str]) -> tuple[str, ...]:
    """Hold a corpus to what every corpus promises.

    Parameters
    ----------
    corpus : str, PathRule, ListRule or callable
        The name of one that is installed, ours or a plug-in's; or what a plug-in stands for, in hand.
    root : path
        A folder with some of its videos.

    Returns
    -------
    tuple of str
        The promises that were tried, all kept.

    Raises
    ------
    BehaviourError
        Some are broken: each is named, with what was done instead.
    ManifestError, PluginError
        No manifest comes of it at all.
    """
    tried = _Tried(corpus, Path(root))
    promises = {
        "every clip is a file or a folder of pictures that is there": tried.files,
        "every clip has a label and a subject": tried.words,
        "the same folder gives the same clips in the same order": tried.again,
        "a folder with nothing of it is refused by name": tried.empty,
    }
    return all_kept(tried.who, promises)


class _Tried:
    """A corpus and the manifest of a folder."""

    def __init__(self, corpus: str | Any, root: Path) -> None:
        self.corpus, self.root = corpus, root
        self.who = f"corpus {corpus if isinstance(corpus, str) else in_hand('corpora', corpus).name}"
        self.manifest = self.made(root)

    def made(self, root: Path) -> Manifest:
        if isinstance(self.corpus, str):
            return corpus_manifest(self.corpus, root)
        return plugged_manifest(in_hand("corpora", self.corpus), root)

    def files(self) -> None:
        absent = [
            clip.path for clip in map(self.manifest.absolute, self.manifest.clips) if not os.path.exists(clip.path)
        ]
        expect(not absent, f"{len(absent)} are not there, such as {absent[:1]}")

    def words(self) -> None:
        bare = [clip.clip_id for clip in self.manifest.clips if not clip.label or not clip.subject]
        expect(
            not bare,
            f"{len(bare)} have none, such as {bare[:1]}; a clip of which nobody knows who is in it is its own subject",
        )

    def again(self) -> None:
        expect(self.made(self.root).clips == self.manifest.clips, "the second manifest is another one")

    def empty(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = self.made(Path(folder))
            except ManifestError:
                return
        expect(False, f"{len(found)} clips of an empty folder, and no ManifestError")
