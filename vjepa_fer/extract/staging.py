"""A place for a cache goes in; the folder to extract into comes out: the place itself on a disk, else one here that is emptied into it.

::

    VJEPA_FER_HOME, or the platform's cache folder /vjepa-fer
        staging/SHA256/       a cache like any other, for one address: shards lie here until they are sent, and seen there
        staging/SHA256-1/     that of a second process here which sends to the same address; and so on
        staging/SHA256.lock   held by the process whose folder it is

The extraction knows nothing of it but that `others` may be at some clips; see `sending`. A kill loses nothing that was finished: the same command
sends it first, of whichever folder. A folder goes when all is sent.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from vjepa_fer.cache import layout, open_cache
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.mirror import bring_file, cache_files, require_room_for
from vjepa_fer.disk import AnyPath, Elsewhere, exclusive_lock, make_folders
from vjepa_fer.encoder.files.home import home_folder
from vjepa_fer.errors import CacheError
from vjepa_fer.extract.clock import StageClock
from vjepa_fer.extract.sending import Sending, SharedSending, SoleSending
from vjepa_fer.extract.settings import ExtractSummary
from vjepa_fer.extract.sharing import Nobody, Others
from vjepa_fer.extract.writing import Report
from vjepa_fer.manifest import Manifest
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.remote import (
    WRITERS,
    Shared,
    can_create_exclusively,
    creates_exclusively,
    place_of,
    snapshot_of,
    sole_writer,
)

Run = Callable[[Manifest, Path, Report | None, Others], ExtractSummary]
"""Extracts the clips of a manifest into a folder, reports what is on disk, and leaves to others what is theirs."""

Tell = Callable[[str], None]

_MOST_FOLDERS = 1000


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
        self.folder, self.manifest, self._held = self.place, manifest, ExitStack()
        if isinstance(self.place, Elsewhere):
            self.folder = self._free_folder(str(self.place))
            self._seed()
            self.manifest = self._left(_done(self._anew())) or manifest

    def extract(self, recipe: AnyRecipe, run: Run, tell: Tell = lambda text: None) -> ExtractSummary:
        """Have the clips extracted that are left, and all of it sent.

        Where the store has an exclusive create, several processes, on any machines, may do so at once: each takes its share, and
        what one holds that dies is done by the others. Elsewhere one at a time writes there; `tell` is told which it is.

        Raises
        ------
        RecipeMismatchError
            The address has a cache of another recipe.
        RemoteError
            Nothing can be written there, or another process writes there; or sending failed: what was done waits in the folder.
        """
        if not isinstance(self.place, Elsewhere):
            return run(self.manifest, self.folder, None, Nobody())
        address = str(self.place)
        with self._held:
            is_shared = creates_exclusively(f"{address}/{WRITERS}")
            require_room_for(recipe, address)
            if is_shared:
                tell(f"{address}: other machines may extract into it at the same time; each clip is done once")
                summary = self._extract_shared(recipe, run)
            else:
                if can_create_exclusively(address):
                    tell(
                        f"{address}: its store takes no notice of exclusive creates; see to it that no other process writes there"
                    )
                summary = self._extract_alone(recipe, run)
            shutil.rmtree(self.folder)
        return summary

    def _extract_alone(self, recipe: AnyRecipe, run: Run) -> ExtractSummary:
        with sole_writer(str(self.place)):
            prepare_cache(self.folder, recipe, self._asked)
            sending = SoleSending(str(self.place), self.folder)
            return self._fill(recipe, run, sending, Nobody())

    def _extract_shared(self, recipe: AnyRecipe, run: Run) -> ExtractSummary:
        with Shared(str(self.place), [clip.clip_id for clip in self._asked.clips]) as shared:
            prepare_cache(self.folder, recipe, self._asked)
            shared.know_done(_done(snapshot_of(shared.address, shared.said.files)))
            sending = SharedSending(shared, self.folder)
            sending.begin(recipe)
            for folder in self._left_folders():
                left = SharedSending(shared, folder)
                left.begin(recipe)
                left.send()
                shutil.rmtree(folder)
            return self._fill(recipe, run, sending, shared)

    def _fill(self, recipe: AnyRecipe, run: Run, sending: Sending, others: Others) -> ExtractSummary:
        sending.send()  # what an earlier run left; and a store that takes nothing says so before hours of work
        left, before = self._left(others.done or _done(self._anew())), len(sending.lost)
        with sending.meanwhile():
            summary = run(left, self.folder, sending.wake, others) if left else _nothing()
        sending.send_index(recipe)
        lost, there = len(sending.lost) - before, len(self._asked) - (len(left) if left else 0)
        return dataclasses.replace(summary, written=summary.written - lost, skipped=summary.skipped + there + lost)

    def _free_folder(self, address: str) -> Path:
        """A staging folder that no other process has, which is held from now on."""
        for folder in _folders(address):
            if self._hold(folder):
                return folder
        raise CacheError(f"{staging_folder(address)}: more than {_MOST_FOLDERS:,} processes here send to {address}")

    def _left_folders(self) -> Iterator[Path]:
        """Further staging folders of the address, whose processes are gone; each is held."""
        for folder in _folders(str(self.place)):
            if folder != self.folder and (folder / layout.CACHE_JSON).exists() and self._hold(folder):
                yield folder

    def _hold(self, folder: Path) -> bool:
        make_folders(folder.parent)
        try:
            self._held.enter_context(exclusive_lock(folder.with_name(f"{folder.name}.lock")))
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: one process at a time there
            return True
        return True

    def _seed(self) -> None:
        """Bring the lists of clips, of failures and of notes that are there: what was given up is not tried again."""
        there = self._anew()
        if not (there / layout.CACHE_JSON).is_file():
            return
        recipe = read_cache_recipe(there)
        if (self.folder / layout.CACHE_JSON).exists():
            require_same_recipe(read_cache_recipe(self.folder), recipe, str(self.folder))
        for name in cache_files(there):
            if not name.startswith(f"{layout.SHARDS}/"):
                make_folders((self.folder / name).parent)
                bring_file(there / name, self.folder / name, recipe)

    def _anew(self) -> Path:
        """The address as it is now."""
        return place_of(str(self.place))

    def _left(self, done: frozenset[str]) -> Manifest | None:
        """The clips that are asked for and not done; None without any."""
        clips = [clip for clip in self._asked.clips if clip.clip_id not in done]
        return self._asked.where(clips) if clips else None


def staging_folder(address: str) -> Path:
    """The folder here whose shards go to `address`."""
    return home_folder() / "staging" / hashlib.sha256(address.encode()).hexdigest()[:16]


def _done(place: Path) -> frozenset[str]:
    """Ids of the clips that are there."""
    return open_cache(place).done if (place / layout.CACHE_JSON).is_file() else frozenset()


def _folders(address: str) -> Iterator[Path]:
    first = staging_folder(address)
    yield first
    yield from (first.with_name(f"{first.name}-{number}") for number in range(1, _MOST_FOLDERS))


def _nothing() -> ExtractSummary:
    return ExtractSummary(0, 0, (), 0, 0, 0, (), StageClock().profile(workers=1, devices=1))
