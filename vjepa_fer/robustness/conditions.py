"""Cache folders go in; encoders come out, each with its clean cache and those of perturbed frames, whose clips and recipes are the same."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vjepa_fer.cache import Cache, open_cache
from vjepa_fer.errors import CacheError, RecipeMismatchError
from vjepa_fer.folds import shortlist
from vjepa_fer.manifest import leave_out
from vjepa_fer.recipe import Recipe, parse_step, recipe_differences, require_same_recipe

CLEAN = "clean"


@dataclass(frozen=True, eq=False)
class Condition:
    """One cache and what was done to its frames.

    Attributes
    ----------
    steps : tuple of str
        ``NAME:SEVERITY``, in order; empty of the clean one.
    cache : Cache
    seed : int
        Of what was drawn.
    """

    steps: tuple[str, ...]
    cache: Cache
    seed: int = 0

    @property
    def name(self) -> str:
        """``mouth:3``, ``mouth:3+noise:2``, with the seed where it is not 0; or ``clean``."""
        return ("+".join(self.steps) or CLEAN) + (f" seed {self.seed}" if self.seed else "")

    @property
    def curve(self) -> tuple[str, int]:
        """On which curve it lies, and at which severity: that of its only step, or of the strongest where there are several."""
        parsed = [parse_step(step) for step in self.steps]
        return "+".join(name for name, _ in parsed), max(severity for _, severity in parsed)


@dataclass(frozen=True, eq=False)
class Encoder:
    """One encoder's caches.

    Attributes
    ----------
    name : str
        Of the encoder; with its clean cache's folder where two have one name.
    clean : Cache
    perturbed : tuple of Condition
        At least one.
    """

    name: str
    clean: Cache
    perturbed: tuple[Condition, ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All, the clean one first."""
        return (Condition((), self.clean), *self.perturbed)


def open_conditions(paths: Sequence[str | os.PathLike[str]], *, exclude: str | None = None) -> tuple[Encoder, ...]:
    """Open caches and put each perturbed one to the clean one that was made like it in everything else.

    Parameters
    ----------
    paths : sequence of path
        Of one or several encoders, in any order.
    exclude : str, optional
        Which clips are left out; see :func:`vjepa_fer.manifest.leave_out`.

    Raises
    ------
    CacheError
        An imported cache, two of one condition, none that is clean or perturbed, or other clips than the clean ones.
    RecipeMismatchError
        A perturbed cache that differs from every clean one in more than that; each differing field is named.
    """
    opened = [(leave_out(open_cache(path), exclude), _recipe_of(path)) for path in paths]
    clean = {_plain(recipe): cache for cache, recipe in opened if recipe.preprocessing.perturb is None}
    if not clean:
        raise CacheError("none of these caches is of frames as they are: name the one without --perturb too")
    _refuse_twice(opened)
    groups: dict[Recipe, list[Condition]] = {recipe: [] for recipe in clean}
    for cache, recipe in opened:
        if (asked := recipe.preprocessing.perturb) is not None:
            partner = _partner(cache, recipe, clean)
            require_same_clips(cache, clean[partner])
            groups[partner].append(Condition(asked.steps, cache, asked.seed))
    for recipe, conditions in groups.items():
        _refuse_one_name(conditions)
        if not conditions:
            raise CacheError(
                f"{clean[recipe].root}: no perturbed cache here was made like it: name one, or leave it out"
            )
    first = next(iter(clean.values()))
    for cache in clean.values():
        require_same_clips(cache, first)
    names = _names(clean)
    return tuple(Encoder(names[one], clean[one], tuple(sorted(groups[one], key=lambda c: c.curve))) for one in clean)


def _recipe_of(path: str | os.PathLike[str]) -> Recipe:
    recipe = open_cache(path).recipe
    if not isinstance(recipe, Recipe):
        raise CacheError(
            f"{path}: its features were imported, and say nothing of perturbed frames: use caches of `extract`"
        )
    return recipe


def _plain(recipe: Recipe) -> Recipe:
    return dataclasses.replace(recipe, preprocessing=dataclasses.replace(recipe.preprocessing, perturb=None))


def _refuse_twice(opened: Sequence[tuple[Cache, Recipe]]) -> None:
    seen: dict[Recipe, Path] = {}
    for cache, recipe in opened:
        if recipe in seen:
            raise CacheError(f"{cache.root} and {seen[recipe]} hold the same features: name one of them")
        seen[recipe] = cache.root


def _refuse_one_name(conditions: Sequence[Condition]) -> None:
    """Frames coded by two versions of a library have one name, and would be taken for one another."""
    seen: dict[str, Path] = {}
    for one in conditions:
        if one.name in seen:
            raise CacheError(f"{one.cache.root} and {seen[one.name]} are both of {one.name}: name one of them")
        seen[one.name] = one.cache.root


def _partner(cache: Cache, recipe: Recipe, clean: dict[Recipe, Cache]) -> Recipe:
    plain = _plain(recipe)
    if plain in clean:
        return plain
    nearest = min(clean, key=lambda one: len(recipe_differences(plain, one)))
    try:
        require_same_recipe(plain, nearest, f"{cache.root}, its perturbation aside,")
    except RecipeMismatchError as error:
        error.add_note(f"The clean cache that it was compared with is {clean[nearest].root}.")
        raise
    raise AssertionError("two recipes that differ were found to be the same")


def require_same_clips(cache: Cache, clean: Cache) -> None:
    """Refuse other clips, or other labels, subjects or films of these."""
    mine, theirs = ({clip.clip_id: clip for clip in one.clips} for one in (cache, clean))
    for here, there, lacks in ((mine, theirs, cache.root), (theirs, mine, clean.root)):
        missing = sorted(there.keys() - here.keys())
        if missing:
            raise CacheError(
                f"{lacks}: lacks {len(missing):,} of the clips that {clean.root if lacks == cache.root else cache.root} has: "
                f"{shortlist(missing, 3)}; extract both from one manifest, and see failed.csv"
            )
    for what in ("label", "subject"):
        odd = [name for name, clip in mine.items() if getattr(clip, what) != getattr(theirs[name], what)]
        if odd:
            raise CacheError(
                f"{cache.root}: {len(odd):,} clips have another {what} than in {clean.root}: {shortlist(odd, 3)}; they were not "
                "asked the same question"
            )
    _require_same_films(cache, clean)


def _require_same_films(cache: Cache, clean: Cache) -> None:
    films = {one.clip.clip_id: one.source_sha256 for one in clean}
    odd = [one.clip.clip_id for one in cache if one.source_sha256 != films[one.clip.clip_id]]
    if odd:
        raise CacheError(
            f"{cache.root}: {len(odd):,} clips are of other video files than in {clean.root}: {shortlist(odd, 3)}; extract both "
            "from the same files"
        )


def _names(clean: dict[Recipe, Cache]) -> dict[Recipe, str]:
    names = [recipe.encoder.name for recipe in clean]
    return {
        recipe: recipe.encoder.name
        if names.count(recipe.encoder.name) == 1
        else f"{recipe.encoder.name} ({cache.root.name})"
        for recipe, cache in clean.items()
    }
