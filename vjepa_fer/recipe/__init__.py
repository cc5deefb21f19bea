"""Everything that decides what a token is, as one frozen value: it is stored in every shard, and its fingerprint decides reuse.

A recipe covers what may change a number (weights, frames, pixels, precision, stored levels). It does not cover what must
not change one: batch size, device, number of workers, decoder back end.
"""

from __future__ import annotations

from vjepa_fer.recipe.checks import check, shown
from vjepa_fer.recipe.encoders import NO_WEIGHTS, PROVENANCE, EncoderSpec, Family, hierarchical_layers
from vjepa_fer.recipe.levels import (
    SMALL,
    PooledFrom,
    Storage,
    TokenDtype,
    layer_at_depth,
    layer_of,
    level_key,
    level_shape,
    levels_of_layers,
    parse_level,
)
from vjepa_fer.recipe.libraries import LibraryModel
from vjepa_fer.recipe.perturbations import CODECS, SEVERITIES, Perturbation, codings_of, parse_step
from vjepa_fer.recipe.pixels import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    FaceCrop,
    FaceDetector,
    Interpolation,
    Mode,
    Preprocessing,
    Processor,
    Rule,
    Sampling,
    parse_resolution,
)
from vjepa_fer.recipe.sound import SoundRecipe, SpeechEncoder
from vjepa_fer.recipe.statistics import STATISTICS, percentile_of, split_statistics, with_statistics
from vjepa_fer.recipe.texts import (
    fingerprint,
    flat_recipe,
    recipe_differences,
    recipe_from_dict,
    recipe_from_json,
    recipe_to_dict,
    recipe_to_json,
    require_same_recipe,
)
from vjepa_fer.recipe.whole import SEMANTICS, AnyRecipe, Clock, ImportedRecipe, Precision, Recipe

__all__ = [
    "CODECS",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "NO_WEIGHTS",
    "PROVENANCE",
    "SEMANTICS",
    "SEVERITIES",
    "SMALL",
    "STATISTICS",
    "AnyRecipe",
    "Clock",
    "EncoderSpec",
    "FaceCrop",
    "FaceDetector",
    "Family",
    "ImportedRecipe",
    "Interpolation",
    "LibraryModel",
    "Mode",
    "Perturbation",
    "PooledFrom",
    "Precision",
    "Preprocessing",
    "Processor",
    "Recipe",
    "Rule",
    "Sampling",
    "SoundRecipe",
    "SpeechEncoder",
    "Storage",
    "TokenDtype",
    "check",
    "codings_of",
    "fingerprint",
    "flat_recipe",
    "hierarchical_layers",
    "layer_at_depth",
    "layer_of",
    "level_key",
    "level_shape",
    "levels_of_layers",
    "parse_level",
    "parse_resolution",
    "parse_step",
    "percentile_of",
    "recipe_differences",
    "recipe_from_dict",
    "recipe_from_json",
    "recipe_to_dict",
    "recipe_to_json",
    "require_same_recipe",
    "shown",
    "split_statistics",
    "with_statistics",
]
