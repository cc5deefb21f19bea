"""A cache goes in, on a disk or elsewhere; the same cache comes out in another place, file by file, each held to its SHA-256.

What was brought before a stop is not brought again: the same call goes on. Until the last file is there, nobody takes the copy for a cache: on
a disk ``cache.json`` comes last, elsewhere ``contents.json``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vjepa_fer.cache import layout
from vjepa_fer.cache.asked import refresh_copy
from vjepa_fer.cache.description import read_cache_recipe
from vjepa_fer.cache.failures import refresh_failed
from vjepa_fer.cache.reader import CachePath, open_cache
from vjepa_fer.cache.verify import verify_shard
from vjepa_fer.disk import Elsewhere, create_exclusively, make_folders, make_own_folder, open_to_read, write_durably
from vjepa_fer.errors import CacheError, RemoteError
from vjepa_fer.recipe import AnyRecipe, require_same_recipe
from vjepa_fer.remote import CONTENTS, LOG, WRITER, WRITERS, Publication, list_files, place_of, sole_writer, sum_said_of

_PORTION = 16 << 20
_PIECES = (layout.MANIFEST_PIECES, layout.FAILED_PIECES, layout.NOTES_PIECES)


@dataclass(frozen=True)
class Mirrored:
    """What :func:`mirror_cache` did.

    Attributes
    ----------
    files, present : int
        Files of the cache, and of them those that were there already.
    num_bytes : int
        Of the others.
    """

    files: int
    present: int
    num_bytes: int


def mirror_cache(
    source: CachePath, target: CachePath, *, progress: Callable[[str], None] = lambda name: None
) -> Mirrored:
    """Copy a cache as it is, bit for bit, between disks and addresses; go on with a copy that was begun, or bring it up to date.

    Parameters
    ----------
    source, target : path or address
        `target` is new, or a mirror of the same cache.
    progress : callable
        Told the name of each file when it is there.

    Raises
    ------
    CacheError
        `source` is no cache; or `target` holds something else, or files that `source` has not.
    RecipeMismatchError
        `target` is a cache of another recipe.
    RemoteError
        A store, or a file that came otherwise than it was sent.
    """
    root, place = place_of(source), place_of(target)
    recipe, names = read_cache_recipe(root), cache_files(root)
    if isinstance(place, Elsewhere):
        return _send(root, names, str(place), recipe, progress)
    return _bring(root, names, place, recipe, progress)


def cache_files(root: Path) -> list[str]:
    """The files that make a cache, by their path in it: all but the copies for people."""
    pieces = [f"{folder}/{name}" for folder in _PIECES for name in _names(root / folder)]
    old = (
        ()
        if any(name.startswith(layout.MANIFEST_PIECES) for name in pieces)
        else (layout.MANIFEST_CSV, layout.FAILED_CSV)
    )
    shards = [f"{layout.SHARDS}/{name}" for name in _names(root / layout.SHARDS) if _is_read(name)]
    return [*shards, *pieces, *(name for name in old if (root / name).is_file()), layout.CACHE_JSON]


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_file() and p.name[0] != ".") if folder.is_dir() else []


def _is_read(name: str) -> bool:
    return name.endswith(layout.SHARD_SUFFIX) or name == layout.INDEX_NPZ


def _send(root: Path, names: list[str], address: str, recipe: AnyRecipe, progress: Callable[[str], None]) -> Mirrored:
    with sole_writer(address):
        require_room_for(recipe, address, set(names))
        publication, present, num_bytes = Publication(address), 0, 0
        for name in names:
            with _on_disk(root / name) as path:
                sent = publication.send(name, path)
            present, num_bytes = present + (sent == 0), num_bytes + sent
            progress(name)
        publication.show()
    return Mirrored(len(names), present, num_bytes)


def require_room_for(recipe: AnyRecipe, address: str, names: set[str] | None = None) -> None:
    """Refuse a folder elsewhere that holds something else than a cache of this recipe; or, if given, files other than these.

    Raises
    ------
    CacheError, RecipeMismatchError
    """
    place = place_of(address)
    if (place / layout.CACHE_JSON).is_file():
        require_same_recipe(read_cache_recipe(place), recipe, address)
    there = {name for name in list_files(address) if name.partition("/")[0] not in (CONTENTS, WRITER, LOG, WRITERS)}
    strangers = sorted(there - names) if names is not None else [name for name in there if not _is_ours(name)]
    if strangers:
        raise CacheError(
            f"{address}: holds {len(strangers):,} files that the cache has not, such as {strangers[0]}; choose another folder"
        )


def _is_ours(name: str) -> bool:
    return name.partition("/")[0] in (*_PIECES, layout.SHARDS, layout.CACHE_JSON)


def _bring(root: Path, names: list[str], folder: Path, recipe: AnyRecipe, progress: Callable[[str], None]) -> Mirrored:
    _begin(folder, root, set(names), recipe)
    present = num_bytes = 0
    for name in names:  # cache.json is the last: from now on it is a cache
        brought = bring_file(root / name, folder / name, recipe)
        present, num_bytes = present + (brought == 0), num_bytes + brought
        progress(name)
    (folder / layout.COPYING_JSON).unlink(missing_ok=True)
    refresh_copy(folder)
    refresh_failed(folder, lambda: open_cache(folder).done)
    return Mirrored(len(names), present, num_bytes)


def _begin(folder: Path, root: Path, names: set[str], recipe: AnyRecipe) -> None:
    """Take a new folder, or one that is this mirror or the beginning of it."""
    try:
        make_folders(folder)
        if (folder / layout.CACHE_JSON).exists():
            require_same_recipe(read_cache_recipe(folder), recipe, str(folder))
        elif any(folder.iterdir()) and not (folder / layout.COPYING_JSON).exists():
            raise CacheError(f"{folder}: there is something already; a mirror needs a new folder")
        strangers = sorted(
            set(cache_files(folder)) - names - {layout.CACHE_JSON, f"{layout.SHARDS}/{layout.INDEX_NPZ}"}
        )
        if strangers:
            raise CacheError(f"{folder}: holds {strangers[0]}, which {root} does not; mirror into another folder")
        create_exclusively(folder / layout.COPYING_JSON, json.dumps({"mirror": str(root)}) + "\n")
        for inner in (*_PIECES, layout.SHARDS):
            if any(name.startswith(f"{inner}/") for name in names):
                make_own_folder(folder / inner)
    except OSError as error:
        if isinstance(error, RemoteError):
            raise
        raise CacheError(f"{folder}: cannot make a cache there ({error})") from error


def bring_file(source: Path, target: Path, recipe: AnyRecipe) -> int:
    """Make `target` what `source` is, and compare; bytes that were brought, none if it was there.

    Raises
    ------
    RemoteError, CacheError
        It came otherwise than it was sent, or is damaged.
    """
    size, sha256 = source.stat().st_size, sum_said_of(source)
    if target.is_file() and target.stat().st_size == size and _is_sound(target, sha256, recipe):
        return 0
    write_durably(target, lambda file: _copy(source, file, sha256))
    if not sha256 and target.suffix == layout.SHARD_SUFFIX and not _is_sound(target, sha256, recipe):
        target.unlink()
        raise CacheError(f"{source}: is damaged, or did not come as it was sent; `vjepa-fer cache verify` says where")
    return size


def _is_sound(path: Path, sha256: str, recipe: AnyRecipe) -> bool:
    """Whether a file is what was sent; where nobody said its sum, a shard's own checksums must do, and all else is brought again."""
    if sha256:
        return _sum_of(path) == sha256
    return path.suffix == layout.SHARD_SUFFIX and not verify_shard(path, recipe)[1]


def _copy(source: Path, file: BinaryIO, sha256: str) -> None:
    digest = hashlib.sha256()
    for data in _portions(source):
        digest.update(data)
        file.write(data)
    if sha256 and digest.hexdigest() != sha256:
        raise RemoteError(f"{source}: is not what was sent (its SHA-256 differs); run the same command again")


def _sum_of(path: Path) -> str:
    digest = hashlib.sha256()
    for data in _portions(path):
        digest.update(data)
    return digest.hexdigest()


def _portions(path: Path) -> Iterator[bytes]:
    with open_to_read(path) as file:
        while data := file.read(_PORTION):
            yield data


@contextlib.contextmanager
def _on_disk(path: Path) -> Iterator[Path]:
    """The file; of one elsewhere a copy, as long as the block lasts."""
    if not isinstance(path, Elsewhere):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        with copy.open("wb") as file:
            _copy(path, file, sum_said_of(path))
        yield copy
