"""A cache folder: made or reopened for one recipe by any number of processes at once; or filled as a copy, and a cache when finished.

cache.json       what this is; made in one exclusive step (description.py)
manifest/        the clips asked for (asked.py)
failed/          clips that could not be done (failures.py)
notes/           what is odd about the videos of others (notes.py)
shards/          what was seen of the others (writer.py, shard.py)
copying.json     in a copy that is not finished, which has no cache.json yet: what it will be a copy of
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vjepa_fer.cache import layout
from vjepa_fer.cache.asked import add_manifest
from vjepa_fer.cache.description import read_cache_recipe, write_description
from vjepa_fer.cache.failures import Failure, adopt_version_1, write_failures
from vjepa_fer.cache.notes import Row, write_notes
from vjepa_fer.cache.pieces import digest_of
from vjepa_fer.disk import AnyPath, create_exclusively, make_folders, make_own_folder, sweep_partials
from vjepa_fer.doors import read_object
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Manifest, manifest_csv
from vjepa_fer.recipe import AnyRecipe, fingerprint, require_same_recipe
from vjepa_fer.remote import place_here


def prepare_cache(root: AnyPath, recipe: AnyRecipe, manifest: Manifest) -> Manifest:
    """Make the cache folder, or reopen it for the same recipe; then its manifest covers `manifest`'s clips as well.

    Any number of processes may do so at once. What killed writers left is swept.

    Returns
    -------
    Manifest
        The union. Where several manifests know a clip, the newer row counts.

    Raises
    ------
    RecipeMismatchError
        The folder was written with another recipe; the differing fields are named, and nothing was written.
    CacheError
        The folder exists and is something else, or cannot be written.
    """
    folder = place_here(root)
    try:
        _become_cache(folder, recipe)
        for place in (folder, make_own_folder(folder / layout.SHARDS)):
            sweep_partials(place)
        adopt_version_1(folder)
        return add_manifest(folder, manifest.where(map(manifest.absolute, manifest.clips)))
    except PermissionError as error:
        raise CacheError(f"{folder}: no permission to write here ({error}); choose another cache folder") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise CacheError(f"{folder}: is in the way of a cache folder ({error})") from error


def _become_cache(folder: Path, recipe: AnyRecipe) -> None:
    """One process makes ``cache.json``; every other finds it, and is refused before it has written anything if it is another's."""
    if not refuse_other_cache(folder, recipe):
        make_folders(folder)
        if not write_description(folder, recipe):
            require_same_recipe(read_cache_recipe(folder), recipe, str(folder))


def refuse_other_cache(folder: Path, recipe: AnyRecipe) -> bool:
    """Whether `folder` is a cache of this recipe; False where it may become one. Nothing is written.

    Raises
    ------
    RecipeMismatchError, CacheError
        As :func:`prepare_cache` would.
    """
    path = folder / layout.CACHE_JSON
    if os.path.lexists(path):
        require_same_recipe(read_cache_recipe(folder), recipe, str(folder))
        return True
    if os.path.lexists(folder) and not folder.is_dir():
        raise CacheError(f"{folder}: is in the way of a cache folder (it is a file)")
    if folder.is_dir() and not all(_is_begun(entry) for entry in folder.iterdir()):
        what = (
            "holds a copy that was not finished" if _is_copy(folder) else f"not empty and not a cache (no {path.name})"
        )
        raise CacheError(f"{folder}: {what}; choose another folder")
    return False


def _is_begun(path: Path) -> bool:
    """What a job leaves that was killed in its first moment, or shows that began in the same moment as this one."""
    begun = (layout.CACHE_JSON, layout.SHARDS, layout.MANIFEST_PIECES, layout.MANIFEST_CSV)
    return path.name in begun or path.name.startswith(f".{layout.CACHE_JSON}.")


def _is_copy(folder: Path) -> bool:
    return (folder / layout.COPYING_JSON).exists()


@contextmanager
def copied_cache(
    root: AnyPath,
    recipe: AnyRecipe,
    manifest: Manifest,
    failures: Mapping[str, Failure],
    *,
    notes: Iterable[Row] = (),
    source: str = "",
) -> Iterator[Path]:
    """Give a folder to fill with shards; when the block ends well it becomes a cache with exactly this manifest.

    Until then no reader takes it for one, and the same call goes on with what an earlier one left: what is in complete
    shards need not be written again.

    Parameters
    ----------
    root : path
        A new folder, or one that the same copy has begun.
    recipe, manifest, failures, notes
        What the cache will say.
    source : str
        What it is copied from: goes on only with a copy of the same.

    Raises
    ------
    CacheError
        Something is there already, or another copy was begun there.
    """
    folder = place_here(root)
    text = manifest_csv(manifest.columns, manifest.clips)
    purpose = {"source": source, "fingerprint": fingerprint(recipe), "manifest": digest_of(text.encode())}
    try:
        _begin_copy(folder, purpose)
    except OSError as error:
        raise CacheError(f"{folder}: cannot make a cache there ({error})") from error
    yield folder
    add_manifest(folder, manifest)
    write_failures(folder, failures)
    write_notes(folder, notes)
    write_description(folder, recipe)  # from now on it is a cache
    (folder / layout.COPYING_JSON).unlink(missing_ok=True)


def _begin_copy(folder: Path, purpose: dict[str, Any]) -> None:
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _goes_on(folder, purpose))):
        raise CacheError(f"{folder}: there is something already; a copy needs a new folder")
    make_folders(folder)
    create_exclusively(folder / layout.COPYING_JSON, json.dumps(purpose, indent=1, ensure_ascii=False) + "\n")
    sweep_partials(make_own_folder(folder / layout.SHARDS))


def _goes_on(folder: Path, purpose: dict[str, Any]) -> bool:
    """Whether the folder holds the beginning of this very copy; another one's is refused by name."""
    if (folder / layout.CACHE_JSON).exists() or not _is_copy(folder):
        return all(entry.name.startswith(f".{layout.COPYING_JSON}.") for entry in folder.iterdir())
    path = folder / layout.COPYING_JSON
    begun = read_object(path, error=CacheError, advice="remove the folder and copy again", follow=False).values
    if begun != purpose:
        names = [name for name in purpose if begun.get(name) != purpose[name]]
        raise CacheError(
            f"{folder}: holds the beginning of another copy (other {', '.join(names)}); choose another folder"
        )
    return True
