"""A recipe goes into ``cache.json``, which makes a folder a cache of it once and for ever; it comes back checked."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from vjepa_fer.cache import layout
from vjepa_fer.cache.shard import check_version
from vjepa_fer.disk import create_exclusively
from vjepa_fer.doors import Given, read_object
from vjepa_fer.errors import CacheError, RecipeError
from vjepa_fer.licences import weights_licence
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_from_dict, recipe_to_dict

_ADVICE = "it was edited or is damaged; take it from a copy, or extract again into another folder"


def write_description(folder: Path, recipe: AnyRecipe) -> bool:
    """Make `folder` a cache of this recipe; False if it is a cache already, or another process was first."""
    facts = _description(recipe)
    text = json.dumps({**facts, "sha256": _digest(facts)}, indent=2, ensure_ascii=False) + "\n"
    return create_exclusively(folder / layout.CACHE_JSON, text)


def read_cache_recipe(root: Path) -> AnyRecipe:
    """The recipe in ``cache.json``.

    Raises
    ------
    CacheError
        No such folder, not a cache, an unfinished copy, damaged, or written by a newer version.
    """
    if not root.is_dir():
        raise CacheError(
            f"{root}: no such cache folder" if not root.exists() else f"{root}: a file, not a cache folder"
        )
    path = root / layout.CACHE_JSON
    try:
        found = read_object(path, error=CacheError, advice=_ADVICE, follow=False)
    except FileNotFoundError as error:
        raise CacheError(_not_a_cache(root)) from error
    if found.values.get("format") != layout.CACHE_FORMAT:
        raise CacheError(f"{path}: not the description of a vjepa-fer cache (no format {layout.CACHE_FORMAT!r})")
    version = found.values.get("format_version")
    check_version(version, path, known=layout.CACHE_VERSION)
    _check_digest(found, signed=version != 1)
    return _checked_recipe(found, path)


def _not_a_cache(root: Path) -> str:
    if (root / layout.COPYING_JSON).exists():
        return f"{root}: a copy that was not finished; the same `vjepa-fer cache` command finishes it"
    return f"{root}: not a cache (no {layout.CACHE_JSON} in it); `vjepa-fer extract` makes one"


def _description(recipe: AnyRecipe) -> dict[str, Any]:
    licence = weights_licence(recipe)
    return {
        "format": layout.CACHE_FORMAT,
        "format_version": layout.CACHE_VERSION,
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


def _check_digest(found: Given, *, signed: bool) -> None:
    """Refuse a description that is not what was written; those of version 1 carry no digest."""
    if not signed and "sha256" not in found:
        return
    facts = {name: value for name, value in found.values.items() if name != "sha256"}
    if found.text("sha256") != _digest(facts):
        raise CacheError(f"{found.source}: is not what was written (its SHA-256 differs); {_ADVICE}")


def _digest(facts: Mapping[str, Any]) -> str:
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _checked_recipe(found: Given, path: Path) -> AnyRecipe:
    try:
        recipe = recipe_from_dict(found.object("recipe").values)
    except RecipeError as error:
        raise CacheError(f"{path}: {error}") from error
    if fingerprint(recipe) != found.text("fingerprint"):
        raise CacheError(
            f"{path}: the recipe does not have the fingerprint beside it; the file was edited or is damaged"
        )
    return recipe
