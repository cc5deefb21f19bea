"""A cache goes in; its card for a notebook comes out, from what is in memory: no level is read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from vjepa_fer.cache import layout
from vjepa_fer.disk import bytes_for_people
from vjepa_fer.doors import Column, Sheet, card
from vjepa_fer.recipe import AnyRecipe, ImportedRecipe, SoundRecipe

_LEVELS = (
    Column(("level",), "level"),
    Column(("shape",), "shape of a window"),
    Column(("dtype",), "dtype"),
    Column(("bytes",), "on disk"),
)


def cache_card(cache: Any) -> str:
    """The card of a :class:`vjepa_fer.cache.Cache`: clips by label, levels, what is missing or failed."""
    recipe, rows = cache.recipe, sum(len(shard) for shard in cache.shards)
    subjects = len({clip.subject for clip in cache.clips})
    left = len(cache.manifest) - len(cache)
    return card(
        "Cache",
        f"{cache.root} · {_source(recipe)} · fingerprint {cache.fingerprint[:16]}",
        warnings=[f"{left:,} of {len(cache.manifest):,} clips are not in it; `vjepa-fer cache info` says why"]
        * (left > 0),
        figures={
            "clips": f"{len(cache):,}",
            "subjects": f"{subjects:,}",
            "windows × views": f"{rows:,}",
        },
        bars=dict(sorted(Counter(clip.label for clip in cache.clips).items())),
        bars_of="clips of each label",
        sheet=Sheet(_LEVELS, tuple(_level(recipe, name, rows) for name in recipe.storage.levels)),
    )


def _source(recipe: AnyRecipe) -> str:
    if isinstance(recipe, ImportedRecipe):
        return recipe.source
    return recipe.title if isinstance(recipe, SoundRecipe) else recipe.encoder.name


def _level(recipe: Any, name: str, rows: int) -> tuple[str, ...]:
    dataset = layout.level_dataset(recipe, name)
    return name, " × ".join(map(str, dataset.row_shape)), dataset.dtype.name, bytes_for_people(rows * dataset.row_bytes)
