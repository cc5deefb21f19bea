"""A place for a cache goes in; the folder to extract into comes out: the place itself on a disk, else one here that is emptied into it.

::

    VJEPA_FER_HOME, or the platform's cache folder /vjepa-fer
        staging/SHA256/     a cache like any other, for one address: shards lie here until they are sent, and seen there

The extraction knows nothing of it. Each shard that is finished is sent whole while others are encoded, made visible with the lists of clips
and of failures by one small write, and removed here. A kill loses nothing that was finished: the same command sends it first. The folder goes
when all is sent.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.index import index_elsewhere
from vjepa_fer.cache.mirror import bring_file, cache_files, require_room_for
from vjepa_fer.disk import AnyPath, Elsewhere, make_folders
from vjepa_fer.encoder.files.home import home_folder
from vjepa_fer.errors import RemoteError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.job import ExtractSummary
from vjepa_fer.extract.writing import Report
from vjepa_fer.manifest import Manifest
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.remote import Publication, place_of, sole_writer

Run = Callable[[Manifest, Path, Report | None], ExtractSummary]
"""Extracts the clips of a manifest into a folder, and reports what is on disk."""


class Stage:
    """Where an extraction writes, and what is left to do.

    Parameters
    ----------
    cache : path or address
    manifest : Manifest
        The clips that are asked for.

    Attributes
    ----------
    place : Path
        Where the cache will be.
    folder : Path
        Where to extract to: the same, or its staging folder.
    manifest : Manifest
        The clips that are not at the address yet; all of them, if the cache is on a disk, or if there is nothing left.

    Raises
    ------
    RemoteError, CacheError
        What is there cannot be read.
    """

    def __init__(self, cache: AnyPath, manifest: Manifest) -> None:
        self.place, self._asked = place_of(cache), manifest
        self.folder, self.manifest = self.place, manifest
        if isinstance(self.place, Elsewhere):
            self.folder = staging_folder(str(self.place))
            self._seed()
            self.manifest = self._left() or manifest

    def extract(self, recipe: AnyRecipe, run: Run) -> ExtractSummary:
        """Have the clips extracted that are left, and all of it sent.

        Raises
        ------
        RecipeMismatchError
            The address has a cache of another recipe.
        RemoteError
            Nothing can be written there, or another process writes there; or sending failed: what was done waits in the folder.
        """
        if not isinstance(self.place, Elsewhere):
            return run(self.manifest, self.folder, None)
        address = str(self.place)
        with sole_writer(address):
            require_room_for(recipe, address)
            prepare_cache(self.folder, recipe, self._asked)
            sending = _Sending(address, self.folder)
            sending.send()  # what an earlier run left; and a store that takes nothing says so before hours of work
            left = self._left()
            with sending.meanwhile():
                summary = run(left, self.folder, sending.wake) if left else _nothing()
            sending.send_index(recipe)
        shutil.rmtree(self.folder)
        return dataclasses.replace(summary, skipped=summary.skipped + len(self._asked) - (len(left) if left else 0))

    def _seed(self) -> None:
        """Bring the lists of clips, of failures and of notes that are there: what was given up is not tried again."""
        there = place_of(str(self.place))
        if not (there / layout.CACHE_JSON).is_file():
            return
        recipe = read_cache_recipe(there)
        if (self.folder / layout.CACHE_JSON).exists():
            require_same_recipe(read_cache_recipe(self.folder), recipe, str(self.folder))
        for name in cache_files(there):
            if not name.startswith(f"{layout.SHARDS}/"):
                make_folders((self.folder / name).parent)
                bring_file(there / name, self.folder / name, recipe)

    def _left(self) -> Manifest | None:
        """The clips that are asked for and not there; None without any."""
        there = place_of(str(self.place))
        done = open_cache(there).done if (there / layout.CACHE_JSON).is_file() else frozenset()
        clips = [clip for clip in self._asked.clips if clip.clip_id not in done]
        return self._asked.where(clips) if clips else None


def staging_folder(address: str) -> Path:
    """The folder here whose shards go to `address`."""
    return home_folder() / "staging" / hashlib.sha256(address.encode()).hexdigest()[:16]


def _nothing() -> ExtractSummary:
    return ExtractSummary(0, 0, (), 0, 0, 0, (), StageClock().profile(workers=1, devices=1))


class _Sending:
    """Sends what is finished in a folder, in a thread of its own while :meth:`meanwhile` lasts."""

    def __init__(self, address: str, folder: Path) -> None:
        self._publication, self._folder = Publication(address), folder
        self._something, self._ended = threading.Event(), False

    def wake(self, _done: tuple[str, ...]) -> None:
        """Something more is on disk."""
        self._something.set()

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Send during the block, and all that is left after it, however it ends."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended = True
            self._something.set()
            thread.join()
            self.send()

    def _run(self) -> None:
        while not self._ended:
            self._something.wait()
            self._something.clear()
            with contextlib.suppress(
                OSError
            ):  # the shards stay: with the next one it is tried again, and at the end, where it is said
                self.send()

    def send(self) -> None:
        """Send every file that is not there, make them visible, and remove the shards here.

        Raises
        ------
        RemoteError
        """
        names = [name for name in cache_files(self._folder) if not name.endswith(layout.INDEX_NPZ)]
        shards = [name for name in names if name.startswith(f"{layout.SHARDS}/")]
        try:
            for name in names:
                self._publication.send(name, self._folder / name)
            self._publication.show()
        except RemoteError as error:
            error.add_note(f"What is done waits in {self._folder}; the same command sends it.")
            raise
        for name in shards:
            (self._folder / name).unlink()

    def send_index(self, recipe: AnyRecipe) -> None:
        """Tell of all shards in one file, so that nobody has to open each."""
        image = index_elsewhere(self._publication.address, recipe)
        if image:
            self._publication.send_bytes(f"{layout.SHARDS}/{layout.INDEX_NPZ}", image)
            self._publication.show()
