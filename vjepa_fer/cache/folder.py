"""A cache folder: made or reopened for one recipe, with the manifest of what was asked for and the list of what failed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import platform
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vjepa_fer.cache import layout
from vjepa_fer.cache.shard import check_version
from vjepa_fer.disk import sweep_partials, write_durably
from vjepa_fer.errors import CacheError, RecipeError, VideoError
from vjepa_fer.licences import weights_licence
from vjepa_fer.manifest import Manifest, read_manifest, write_manifest
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_from_dict, recipe_to_dict, require_same_recipe

_MAX_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Failure:
    """One clip that could not be done: a row of ``failed.csv``."""

    clip_id: str
    path: str
    reason: str
    message: str
    traceback_sha256: str

    @classmethod
    def from_error(cls, clip_id: str, path: str, error: BaseException) -> Failure:
        """The row for `error`; the hash of its traceback tells equal faults from different ones."""
        text = "".join(traceback.format_tb(error.__traceback__))
        reason = error.reason if isinstance(error, VideoError) else "unreadable"
        message = error.message if isinstance(error, VideoError) else f"{type(error).__name__}: {error}"
        return cls(clip_id, path, reason, " ".join(message.split()), hashlib.sha256(text.encode()).hexdigest()[:16])


def prepare_cache(root: str | os.PathLike[str], recipe: AnyRecipe, manifest: Manifest) -> Manifest:
    """Make the cache folder, or reopen it for the same recipe; then its manifest covers `manifest`'s clips as well.

    Stale partial shards of killed writers are swept.

    Returns
    -------
    Manifest
        The union, as stored in ``manifest.csv``. Where both know a clip, the newer row counts.

    Raises
    ------
    RecipeMismatchError
        The folder was written with another recipe; the differing fields are named.
    CacheError
        The folder exists and is something else, or cannot be written.
    """
    folder = Path(root)
    try:
        _prepare_folder(folder, recipe)
        known = read_cache_manifest(folder) if (folder / layout.MANIFEST_CSV).exists() else None
        union = merge_manifests(known, manifest)
        if known is None or union.clips != known.clips:
            write_manifest(union, folder / layout.MANIFEST_CSV, force=True)
    except PermissionError as error:
        raise CacheError(f"{folder}: no permission to write here ({error}); choose another cache folder") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise CacheError(f"{folder}: is in the way of a cache folder ({error})") from error
    return union


def create_cache(root: str | os.PathLike[str], recipe: AnyRecipe, manifest: Manifest) -> None:
    """Make a new cache folder with exactly this manifest; refused if there is anything at `root` already."""
    folder = Path(root)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CacheError(f"{folder}: there is something already; a copy needs a new folder")
    try:
        _prepare_folder(folder, recipe)
        write_manifest(manifest, folder / layout.MANIFEST_CSV, force=True)
    except OSError as error:
        raise CacheError(f"{folder}: cannot make a cache there ({error})") from error


def _prepare_folder(folder: Path, recipe: AnyRecipe) -> None:
    if (folder / layout.CACHE_JSON).exists():
        require_same_recipe(read_cache_recipe(folder), recipe, str(folder))
    elif folder.is_dir() and not all(_is_begun(path) for path in folder.iterdir()):
        raise CacheError(f"{folder}: not empty and not a cache (no {layout.CACHE_JSON}); choose another folder")
    (folder / layout.SHARDS).mkdir(parents=True, exist_ok=True)
    sweep_partials(folder / layout.SHARDS)
    if not (folder / layout.CACHE_JSON).exists():
        text = json.dumps(_description(recipe), indent=2, ensure_ascii=False) + "\n"
        write_durably(folder / layout.CACHE_JSON, text.encode())


def _is_begun(path: Path) -> bool:
    """What a job leaves that was killed in its first moment, or shows that began in the same moment as this one."""
    return path.name == layout.SHARDS or path.name.startswith((layout.CACHE_JSON, f".{layout.CACHE_JSON}."))


def _description(recipe: AnyRecipe) -> dict[str, Any]:
    licence = weights_licence(recipe)
    return {
        "format": layout.CACHE_FORMAT,
        "format_version": layout.FORMAT_VERSION,
        "fingerprint": fingerprint(recipe),
        "recipe": recipe_to_dict(recipe),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": library_versions("vjepa-fer", "numpy", "h5py", "torch", "av"),
        **({"licence_of_weights": licence} if licence else {}),
    }


def library_versions(*packages: str) -> dict[str, str]:
    """Installed versions, Python's included, for the record; a package that is absent is left out."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def read_cache_recipe(root: Path) -> AnyRecipe:
    """The recipe in ``cache.json``.

    Raises
    ------
    CacheError
        No such folder, not a cache, damaged, or written by a newer version.
    """
    path = root / layout.CACHE_JSON
    if not root.is_dir():
        raise CacheError(
            f"{root}: no such cache folder" if not root.exists() else f"{root}: a file, not a cache folder"
        )
    if not path.is_file():
        raise CacheError(f"{root}: not a cache (no {layout.CACHE_JSON} in it); `vjepa-fer extract` makes one")
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise CacheError(f"{path}: has {path.stat().st_size:,} bytes, which no description of a cache needs")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CacheError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(data, dict) or data.get("format") != layout.CACHE_FORMAT:
        raise CacheError(f"{path}: not the description of a vjepa-fer cache (no format {layout.CACHE_FORMAT!r})")
    check_version(data.get("format_version"), path)
    return _checked_recipe(data, path)


def _checked_recipe(data: dict[str, Any], path: Path) -> AnyRecipe:
    try:
        recipe = recipe_from_dict(data.get("recipe") or {})
    except RecipeError as error:
        raise CacheError(f"{path}: {error}") from error
    if fingerprint(recipe) != data.get("fingerprint"):
        raise CacheError(
            f"{path}: the recipe does not have the fingerprint beside it; the file was edited or is damaged"
        )
    return recipe


def read_cache_manifest(root: Path) -> Manifest:
    """The clips that the cache was asked for."""
    path = root / layout.MANIFEST_CSV
    if not path.is_file():
        raise CacheError(
            f"{root}: its {layout.MANIFEST_CSV} is missing; run extract with the manifest again to restore it"
        )
    return read_manifest(path)


def merge_manifests(known: Manifest | None, new: Manifest) -> Manifest:
    """Clips of both, `known`'s order first; where both have a clip, `new`'s row counts. Paths become absolute."""
    absolute = [new.absolute(clip) for clip in new.clips]
    if known is None:
        return Manifest(clips=tuple(absolute), columns=new.columns, source=None)
    merged = {clip.clip_id: clip for clip in known.clips} | {clip.clip_id: clip for clip in absolute}
    columns = tuple(dict.fromkeys([*known.columns, *new.columns]))
    return Manifest(clips=tuple(merged.values()), columns=columns, source=None)


def unite_manifests(manifests: Mapping[Path, Manifest]) -> Manifest:
    """The clips of several caches' manifests; refused if two say different things about the label or subject of a clip."""
    (_, united), *others = manifests.items()
    for root, manifest in others:
        known = {clip.clip_id: clip for clip in united.clips}
        for clip in manifest.clips:
            for column in ("label", "subject"):
                have, new = known.get(clip.clip_id, clip).value(column), clip.value(column)
                if have != new:
                    raise CacheError(
                        f"{root}: clip {clip.clip_id} has the {column} {new!r}, {have!r} in a cache before it"
                    )
        added = tuple(clip for clip in manifest.clips if clip.clip_id not in known)
        columns = tuple(dict.fromkeys([*united.columns, *manifest.columns]))
        united = Manifest(clips=united.clips + added, columns=columns, source=None)
    return united


def read_failures(root: Path) -> dict[str, Failure]:
    """The rows of ``failed.csv`` by clip id; empty when nothing failed."""
    path = root / layout.FAILED_CSV
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [Failure(**{f.name: row[f.name] or "" for f in fields(Failure)}) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise CacheError(f"{path}: not the list that extract writes ({error!r}); move it away") from error
    return {row.clip_id: row for row in rows}


def write_failures(root: Path, failures: dict[str, Failure]) -> None:
    """Replace ``failed.csv``; an empty list removes it."""
    path = root / layout.FAILED_CSV
    if not failures:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(Failure)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(failure) for failure in failures.values())
    write_durably(path, text.getvalue().encode())
