"""A recipe comes in, the licence of the weights, or of the program, behind its numbers goes out: what was made with them may carry its terms."""

from __future__ import annotations

from vjepa_fer.recipe import AnyRecipe, Family, Recipe, SoundRecipe

WEIGHTS_LICENCES: dict[Family, str] = {
    "v1": "CC-BY-NC-4.0 (non-commercial)",
    "v2": "MIT (code); model cards say MIT or Apache-2.0",
    "v21": "MIT",
}
"""Of each family's official weights, and so of whatever was tuned from them."""


OPENSMILE_LICENCE = "openSMILE: audEERING Research License (non-commercial)"
"""Of the program: whoever computes with it is bound by it."""


def weights_licence(recipe: AnyRecipe) -> str | None:
    """The licence of the family's official weights, or of openSMILE; None for random weights, mean colours, and what is known of nobody."""
    if isinstance(recipe, SoundRecipe):
        return OPENSMILE_LICENCE if recipe.library == "opensmile" else None
    if not isinstance(recipe, Recipe) or recipe.encoder.weights.startswith("random:"):
        return None
    return WEIGHTS_LICENCES.get(recipe.encoder.family)
