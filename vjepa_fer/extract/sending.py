"""A folder that an extraction fills goes in; what is finished of it goes to an address, and is removed here.

Each shard is sent whole while others are encoded, and made visible with the lists of clips and of failures by one small write.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from vjepa_fer.cache import layout
from vjepa_fer.cache.copying import checked_clips
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.index import index_elsewhere
from vjepa_fer.cache.mirror import cache_files
from vjepa_fer.cache.shard import read_shard_index
from vjepa_fer.cache.writer import ShardWriter
from vjepa_fer.disk import make_folders, write_durably
from vjepa_fer.errors import RemoteError
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.remote import (
    Entry,
    Publication,
    Shared,
    create_bytes,
    entry_of,
    entry_of_bytes,
    read_whole,
    remove_file,
    send_bytes,
    send_file,
)

TICK_SECONDS = 5.0
"""After which several that share an address hear of each other, though nothing was finished."""

_INDEX = f"{layout.SHARDS}/{layout.INDEX_NPZ}"
_LARGEST = 1 << 30
_GROWING = (layout.FAILED_PIECES, layout.NOTES_PIECES)


class Sending(Protocol):
    """What sends the finished files of a folder to an address."""

    lost: set[str]
    """Ids of clips that were left out, because another process had made them visible."""

    def wake(self, _done: tuple[str, ...]) -> None:
        """Something more is on disk."""

    def meanwhile(self) -> AbstractContextManager[None]:
        """Send during the block, and all that is left after it, however it ends."""

    def send(self) -> None:
        """Send every file that is not there, make them visible, and remove the shards here."""

    def send_index(self, recipe: AnyRecipe) -> None:
        """Tell of all shards in one file, so that nobody has to open each."""


class _Post:
    """The thread of a :class:`Sending`, and what it is about."""

    _tick: float | None = None

    def __init__(self, address: str, folder: Path) -> None:
        self._address, self._folder = address, folder
        self._something, self._ended, self.lost = threading.Event(), False, set[str]()

    def wake(self, _done: tuple[str, ...]) -> None:
        self._something.set()

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """See :class:`Sending`."""
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
            self._something.wait(self._tick)
            self._something.clear()
            with contextlib.suppress(
                OSError
            ):  # the shards stay: with the next one it is tried again, and at the end, where it is said
                self.send()

    def send(self) -> None:
        """See :class:`Sending`.

        Raises
        ------
        RemoteError
        """
        names = [name for name in cache_files(self._folder) if name != _INDEX]
        shards = [name for name in names if name.startswith(f"{layout.SHARDS}/")]
        try:
            self._send([name for name in names if name not in shards], shards)
        except RemoteError as error:
            error.add_note(f"What is done waits in {self._folder}; the same command sends it.")
            raise
        for name in shards:
            (self._folder / name).unlink()

    def _send(self, lists: list[str], shards: list[str]) -> None:
        raise NotImplementedError


class SoleSending(_Post):
    """By a process that is alone there."""

    def __init__(self, address: str, folder: Path) -> None:
        super().__init__(address, folder)
        self._publication = Publication(address)

    def _send(self, lists: list[str], shards: list[str]) -> None:
        for name in (*shards, *lists):
            self._publication.send(name, self._folder / name)
        self._publication.show()

    def send_index(self, recipe: AnyRecipe) -> None:
        """See :class:`Sending`."""
        if image := index_elsewhere(self._address, recipe):
            self._publication.send_bytes(_INDEX, image)
            self._publication.show()


class SharedSending(_Post):
    """By one of several that agree on who does what, and see to it that every clip becomes visible once."""

    _tick = TICK_SECONDS

    def __init__(self, shared: Shared, folder: Path) -> None:
        super().__init__(shared.address, folder)
        self._shared, self._sent = shared, dict[str, Entry]()

    def begin(self, recipe: AnyRecipe) -> None:
        """Have the address and the folder say the same of the cache: what the first of all says.

        Raises
        ------
        RecipeMismatchError
            It is one of another recipe.
        """
        path, place = self._folder / layout.CACHE_JSON, f"{self._address}/{layout.CACHE_JSON}"
        require_same_recipe(read_cache_recipe(self._folder), recipe, str(self._folder))
        if create_bytes(place, path.read_bytes()):
            return
        with tempfile.TemporaryDirectory() as folder:
            first = Path(folder, layout.CACHE_JSON)
            first.write_bytes(read_whole(place, _LARGEST))
            require_same_recipe(read_cache_recipe(first.parent), recipe, self._address)
            write_durably(path, first.read_bytes())

    def _send(self, lists: list[str], shards: list[str]) -> None:
        self._shared.refresh()
        self._bring_lists()
        files = {name: entry for name in lists if (entry := self._send_list(name))}
        before = self._shared.said.through
        with contextlib.ExitStack() as kept:
            paths = [self._folder / name for name in shards]
            while not self._publish(files, paths):
                paths = [kept.enter_context(self._without_done(path)) for path in paths]
                paths = [path for path in paths if path.exists()]
        if self._shared.said.through != before:
            self._shared.show()

    def _publish(self, files: dict[str, Entry], paths: list[Path]) -> bool:
        """Send shards and make them visible with `files`; False, and they are not there, if clips of them are done by now."""
        clips = [clip_id for path in paths for clip_id in read_shard_index(path).clip_ids]
        if any(map(self._shared.is_done, clips)):
            return False
        if not files and not paths:
            return True
        sent = {f"{layout.SHARDS}/{path.name}": self._send_shard(path) for path in paths}
        if not self._shared.publish({**files, **sent}, clips):
            return True
        for name in sent.keys() - self._shared.said.files.keys():
            remove_file(f"{self._address}/{name}")
            del self._sent[name]
        return False

    def _send_shard(self, path: Path) -> Entry:
        """Send a shard, unless that went well before something else did not; what it holds."""
        name, entry = f"{layout.SHARDS}/{path.name}", entry_of(path)
        if self._sent.get(name) != entry:
            send_file(f"{self._address}/{name}", path)
            self._sent[name] = entry
        return entry

    @contextmanager
    def _without_done(self, path: Path) -> Iterator[Path]:
        """A shard without the clips that are done by now: itself, or another for as long as the block lasts; it may be none."""
        index = read_shard_index(path)
        left = [clip_id for clip_id in index.clip_ids if not self._shared.is_done(clip_id)]
        if len(left) == len(index.clip_ids):
            yield path
            return
        self.lost.update(clip_id for clip_id in index.clip_ids if clip_id not in left)
        with tempfile.TemporaryDirectory() as folder:
            make_folders(Path(folder, layout.SHARDS))
            writer = ShardWriter(folder, index.recipe, shard_bytes=path.stat().st_size + 1)
            for clip_id, columns in checked_clips(index, left):
                writer.add_columns(clip_id, columns)
            writer.flush()
            yield next(Path(folder, layout.SHARDS).iterdir(), path.with_name("none"))

    def _send_list(self, name: str) -> Entry | None:
        """Send a list, unless it is there or was brought from there; what it holds, if it was sent."""
        data = (self._folder / name).read_bytes()  # which may be growing: what is summed must be what is sent
        entry, there = entry_of_bytes(data), self._shared.said.files.get(name)
        if there == entry or (there and name.startswith(_GROWING) and there.size >= entry.size):
            return None
        send_bytes(f"{self._address}/{name}", data)
        return entry

    def _bring_lists(self) -> None:
        """Have here what others gave up: it is not tried again."""
        for name, entry in self._shared.said.files.items():
            path = self._folder / name
            if name.startswith(_GROWING) and (not path.exists() or path.stat().st_size < entry.size):
                make_folders(path.parent)
                write_durably(path, read_whole(f"{self._address}/{name}", _LARGEST))

    def send_index(self, recipe: AnyRecipe) -> None:
        """See :class:`Sending`; it is left to the last one."""
        if self._shared.is_alone() and (image := index_elsewhere(self._address, recipe)):
            send_bytes(f"{self._address}/{_INDEX}", image)
            self._shared.publish({_INDEX: entry_of_bytes(image)}, ())
            self._shared.show()
