"""A recipe goes to JSON, a fingerprint or a flat table and back, and two of them are told apart field by field."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from vjepa_fer.doors import parse_object
from vjepa_fer.errors import RecipeError, RecipeMismatchError
from vjepa_fer.recipe.checks import check, shown
from vjepa_fer.recipe.encoders import EncoderSpec
from vjepa_fer.recipe.levels import Storage
from vjepa_fer.recipe.pixels import Preprocessing, Sampling
from vjepa_fer.recipe.sound import SoundRecipe, SpeechEncoder
from vjepa_fer.recipe.whole import AnyRecipe, ImportedRecipe, Recipe

_LATER_FIELDS = (
    ("encoder", "library", None),
    ("preprocessing", "processor", None),
    ("storage", "pooled_from", "output"),
    ("preprocessing", "face_crop", None),
    ("preprocessing", "crop_width", None),
    ("preprocessing", "square_pixels", False),
    ("sampling", "frames_per_second", None),
    ("preprocessing", "perturb", None),
    ("encoder", "plugin", ""),
    ("", "clock", "none"),
)
"""Fields that recipes did not have at first: without them at their default, old caches keep their fingerprints."""

_STORED = "the stored recipe"

_PARTS = {"encoder": EncoderSpec, "sampling": Sampling, "preprocessing": Preprocessing, "storage": Storage}


def recipe_to_json(recipe: AnyRecipe) -> str:
    """Canonical JSON: sorted keys, no white space, so that equal recipes give equal bytes."""
    return json.dumps(recipe_to_dict(recipe), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def recipe_to_dict(recipe: AnyRecipe) -> dict[str, Any]:
    """The recipe as nested dictionaries. A field of :data:`_LATER_FIELDS` is left out at its default, as if it were not there."""
    data = dataclasses.asdict(recipe)
    for part, name, default in _LATER_FIELDS:
        fields = data.get(part, {}) if part else data
        if name in fields and fields[name] == default:
            del fields[name]
    return data


def recipe_from_json(text: str) -> AnyRecipe:
    """Read a recipe back; ``recipe_from_json(recipe_to_json(r)) == r``.

    Raises
    ------
    RecipeError
        Not JSON, not a recipe, with fields that this version does not know, or with a value beyond its bounds.
    """
    return recipe_from_dict(parse_object(text, _STORED, error=RecipeError).values)


def recipe_from_dict(data: dict[str, Any]) -> AnyRecipe:
    """Build a recipe from the dictionary that its JSON holds."""
    if isinstance(data, dict) and data.get("kind") == "imported":
        return _build(ImportedRecipe, data)
    if isinstance(data, dict) and data.get("kind") == "sound":
        return _build_sound(data)
    check(isinstance(data, dict), f"{_STORED} is {shown(data)}, not an object")
    parts = {name: _build(part, data.get(name)) for name, part in _PARTS.items()}
    return _build(Recipe, {**data, **parts})


def _build_sound(data: dict[str, Any]) -> SoundRecipe:
    speech = data.get("speech")
    parts = {
        "speech": None if speech is None else _build(SpeechEncoder, speech),
        "storage": _build(Storage, data.get("storage")),
    }
    return _build(SoundRecipe, {**data, **parts})


def _build(cls: Any, data: Any) -> Any:
    check(isinstance(data, dict), f"{_STORED} has no {cls.__name__}")
    unknown = sorted(set(data) - {f.name for f in dataclasses.fields(cls)})
    check(not unknown, f"{_STORED} has fields that this version does not know: {', '.join(map(shown, unknown[:5]))}")
    try:
        return cls(**data)
    except RecipeError as error:
        raise RecipeError(f"{_STORED}: {error}") from error
    except TypeError as error:  # a field without a default is missing
        raise RecipeError(f"{_STORED} is not readable: {error}") from error


def fingerprint(recipe: AnyRecipe) -> str:
    """SHA-256 of the canonical JSON, as 64 hex digits; messages show the first 16."""
    return hashlib.sha256(recipe_to_json(recipe).encode()).hexdigest()


def recipe_differences(a: AnyRecipe, b: AnyRecipe) -> dict[str, tuple[Any, Any]]:
    """Fields that differ, as ``{"sampling.frame_step": (4, 2)}``; empty when the recipes are equal."""
    flat_a, flat_b = flat_recipe(a), flat_recipe(b)
    _fold_parts(flat_a, flat_b)
    _fold_parts(flat_b, flat_a)
    names = list(dict.fromkeys([*flat_a, *flat_b]))
    missing = "(absent)"
    return {
        n: (flat_a.get(n, missing), flat_b.get(n, missing))
        for n in names
        if flat_a.get(n, missing) != flat_b.get(n, missing)
    }


def _fold_parts(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """A part that the other recipe lacks altogether (None) is one difference, not one a field."""
    for name in [name for name, value in theirs.items() if value is None]:
        inside = {k.removeprefix(f"{name}."): mine.pop(k) for k in list(mine) if k.startswith(f"{name}.")}
        if inside:
            mine[name] = inside


def flat_recipe(recipe: AnyRecipe) -> dict[str, Any]:
    """All fields by dotted name, ``{"sampling.frame_step": 4, …}``."""
    return _flatten(dataclasses.asdict(recipe))


def _flatten(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in data.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def require_same_recipe(have: AnyRecipe, want: AnyRecipe, where: str) -> None:
    """Raise :class:`RecipeMismatchError`, naming each differing field with both values, unless the recipes are equal."""
    differences = {} if have == want else recipe_differences(have, want)
    if differences:
        lines = [f"  {name}: {a!r} there, {b!r} asked for" for name, (a, b) in differences.items()]
        raise RecipeMismatchError(
            f"{where} was written with another recipe ({fingerprint(have)[:16]}, not {fingerprint(want)[:16]}):",
            *lines,
            "Use another cache folder, or the settings it was written with."
            if "semantics" not in differences
            else "Another semantics is another release of vjepa-fer, whose code gives other numbers: extract anew into another "
            "cache folder, or go on with the release that began.",
        )
