"""A run goes in; the commands that make its numbers again come out, ready to paste."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from vjepa_fer.recipe import (
    NO_WEIGHTS,
    AnyRecipe,
    EncoderSpec,
    ImportedRecipe,
    Preprocessing,
    Recipe,
    Sampling,
    SoundRecipe,
    Storage,
    layer_of,
)
from vjepa_fer.runs import EXPERIMENT, FOLDS_JSON, Run

MANIFEST = "manifest.csv"
"""How the commands call the manifest: the cache keeps a copy of it under this name."""


MOST_COLUMNS = 40
"""Names of columns that a command spells out."""


def commands(run: Run) -> tuple[str, ...]:
    """The ``probe`` line that makes the run again; empty for one that was kept without its experiment."""
    if run.experiment is None:
        return ()
    words = ["vjepa-fer", "probe", "--config", str(run.path / EXPERIMENT)]
    if run.experiment.protocol.folds.startswith("file:"):
        words += ["--folds", f"file:{run.path / FOLDS_JSON}"]
    return (shlex.join(words),)


def feature_commands(recipe: AnyRecipe, cache: str) -> tuple[str, ...]:
    """The line that makes the cache: ``extract`` with every setting of its recipe, or the import of another program's table."""
    if isinstance(recipe, SoundRecipe):
        return (shlex.join(_sound_words(recipe, cache)),)
    if not isinstance(recipe, Recipe):
        return (_import_line(recipe, cache),)
    storage = recipe.storage
    if storage.pooled_from == "output":
        return (shlex.join(_extract_words(recipe, cache)),)
    tokens = Storage(levels=("tokens",), token_dtype=storage.pooled_from)
    first = feature_commands(dataclasses.replace(recipe, storage=tokens), f"{cache}-tokens")
    pooled = ["vjepa-fer", "cache", "pool", f"{cache}-tokens", cache, "--levels", ",".join(storage.levels)]
    return (*first, shlex.join([*pooled, "--token-dtype", storage.token_dtype]))


def _import_line(recipe: ImportedRecipe, cache: str) -> str:
    """The ``cache import`` of another program's table, with its columns where they are few enough to spell out."""
    words = ["vjepa-fer", "cache", "import", recipe.source, cache, "--manifest", MANIFEST]
    few = len(recipe.columns) <= MOST_COLUMNS
    line = shlex.join([*words, *(_repeated("--columns", recipe.columns) if few else ())])
    rest = "" if few else f" the {len(recipe.columns):,} columns of the recipe, if the file has others, and"
    return f"{line}  # with{rest} --id-column, if the clips' names are not in clip_id"


def _extract_words(recipe: Recipe, cache: str) -> list[str]:
    """The ``extract`` of a cache that an encoder's output was stored in."""
    storage = recipe.storage
    return [
        *("vjepa-fer", "extract", MANIFEST, cache, "--model", _model(recipe.encoder)),
        *_weights_words(recipe.encoder),
        *("--precision", recipe.precision),
        *_repeated("--level", storage.levels),
        *("--token-dtype", storage.token_dtype),
        *_sampling_words(recipe.sampling),
        *_preprocessing_words(recipe.preprocessing),
    ]


def _weights_words(spec: EncoderSpec) -> list[str]:
    """Random weights by their seed, those of a file by their state dict; whose model's name says enough needs neither."""
    if spec.library is None and (spec.weights == NO_WEIGHTS or spec.plugin):
        return []
    if spec.weights.startswith("random:"):
        return ["--weights", spec.weights]
    return ["--state-key", spec.state_key] if spec.library is None else []


def _sampling_words(sampling: Sampling) -> list[str]:
    rate = sampling.frames_per_second
    return [
        *("--mode", sampling.mode, "--rule", sampling.rule, "--frames", str(sampling.frames_per_window)),
        *(("--frame-step", str(sampling.frame_step)) if rate is None else ("--fps", repr(rate))),
        *("--segments", str(sampling.num_segments), "--stride", str(sampling.stride)),
    ]


def _preprocessing_words(preprocessing: Preprocessing) -> list[str]:
    own = preprocessing.processor is not None  # says its size and interpolation itself
    words = ["--views", str(preprocessing.num_views)]
    words += [] if own else ["--resolution", str(preprocessing.crop_size)]
    if preprocessing.face_crop is not None:
        words.append("--face-crop")
    if not own and preprocessing.interpolation != Preprocessing.interpolation:
        words += ["--interpolation", preprocessing.interpolation]
    if preprocessing.square_pixels:
        words.append("--square-pixels")
    if (worse := preprocessing.perturb) is not None:
        words += [*_repeated("--perturb", worse.steps), "--perturb-seed", str(worse.seed)]
    return words


def _sound_words(recipe: SoundRecipe, cache: str) -> list[str]:
    """The ``extract-audio`` of a cache of sound; of an encoder that came from a folder, a folder."""
    speech, features = recipe.speech, recipe.features
    if speech is not None:
        at = f"{speech.repository}@{speech.revision}" if speech.repository else f"FOLDER-of-{features}"
        features = f"hf:{at}"
    words = ["vjepa-fer", "extract-audio", MANIFEST, cache, "--features", features]
    if speech is None:
        return words
    layers = [speech.depth - 1 if layer_of(level) is None else layer_of(level) for level in recipe.storage.levels]
    return [*words, "--level", recipe.storage.levels[0].partition("@")[0], "--layers", ",".join(map(str, layers))]


def _model(spec: EncoderSpec) -> str:
    """What `--model` takes; of another library's encoder that came from a folder, whose name is nobody's to know, a folder."""
    if spec.library is None:
        return spec.name
    at = f"{spec.library.repository}@{spec.library.revision}" if spec.library.repository else f"FOLDER-of-{spec.name}"
    return f"hf:{at}"


def _repeated(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]
