"""A run goes in; the commands that make its numbers again come out, ready to paste."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

from vjepa_fer.protocol import Nest
from vjepa_fer.recipe import AnyRecipe, Recipe, Storage
from vjepa_fer.runs import FOLDS_JSON, Run

MANIFEST = "manifest.csv"
"""How the commands call the manifest: the cache keeps a copy of it under this name."""


MOST_COLUMNS = 40
"""Names of columns that a command spells out."""


def commands(run: Run) -> tuple[str, ...]:
    """The ``probe`` line with the very folds of the run; empty where one line cannot say it (two corpora, uneven sweeps)."""
    evaluation = run.evaluation
    if not run.cache or evaluation.folds.name.startswith("test-on:"):
        return ()
    plan = evaluation.cell
    cells = plan.cells if isinstance(plan, Nest) else (plan,)
    scales, decisions = (list(dict.fromkeys(getattr(c, name) for c in cells)) for name in ("scale", "decision"))
    params = _values([dict(cell.params) for cell in cells])
    if len(cells) != len(scales) * len(decisions) * _product(params):
        return ()
    words = ["vjepa-fer", "probe", run.cache, "--probe", plan.probe, "--features", plan.level]
    words += ["--scale", ",".join(scales), "--decision", ",".join(decisions)]
    for name, values in params.items():
        words += ["--param", f"{name}={','.join(map(_spelled, values))}"]
    words += ["--folds", f"file:{run.path / FOLDS_JSON}", "--seed", str(evaluation.seed)]
    words += _labels(str(run.settings.get("labels", "intended")))
    if "exclude" in run.settings:
        words += ["--exclude", str(run.settings["exclude"])]
    if isinstance(plan, Nest):
        words += ["--inner-folds", str(plan.inner_folds)]
    if evaluation.leaks:
        words.append("--allow-leak")
    return (shlex.join(words),)


def feature_commands(recipe: AnyRecipe, cache: str) -> tuple[str, ...]:
    """The line that makes the cache: ``extract`` with every setting of its recipe, or the import of another program's table."""
    if not isinstance(recipe, Recipe):
        words = ["vjepa-fer", "cache", "import", recipe.source, cache, "--manifest", MANIFEST]
        few = len(recipe.columns) <= MOST_COLUMNS
        line = shlex.join([*words, *(_repeated("--columns", recipe.columns) if few else ())])
        rest = "" if few else f" the {len(recipe.columns):,} columns of the recipe, if the file has others, and"
        return (f"{line}  # with{rest} --id-column, if the clips' names are not in clip_id",)
    spec, sampling, preprocessing, storage = recipe.encoder, recipe.sampling, recipe.preprocessing, recipe.storage
    if storage.pooled_from != "output":
        tokens = Storage(levels=("tokens",), token_dtype=storage.pooled_from)
        first = feature_commands(dataclasses.replace(recipe, storage=tokens), f"{cache}-tokens")
        pooled = ["vjepa-fer", "cache", "pool", f"{cache}-tokens", cache, "--levels", ",".join(storage.levels)]
        return (*first, shlex.join([*pooled, "--token-dtype", storage.token_dtype]))
    words = ["vjepa-fer", "extract", MANIFEST, cache, "--model", spec.name]
    words += ["--weights", spec.weights] if spec.weights.startswith("random:") else ["--state-key", spec.state_key]
    words += [
        "--precision",
        recipe.precision,
        *_repeated("--level", storage.levels),
        "--token-dtype",
        storage.token_dtype,
    ]
    words += ["--mode", sampling.mode, "--rule", sampling.rule, "--frames", str(sampling.frames_per_window)]
    rate = sampling.frames_per_second
    words += ["--frame-step", str(sampling.frame_step)] if rate is None else ["--fps", repr(rate)]
    words += ["--segments", str(sampling.num_segments)]
    words += ["--stride", str(sampling.stride), "--views", str(preprocessing.num_views)]
    words += ["--resolution", str(preprocessing.crop_size)]
    if preprocessing.face_crop is not None:
        words.append("--face-crop")
    return (shlex.join(words),)


def _repeated(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def _values(params: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for one in params:
        for name, value in one.items():
            if value not in values.setdefault(name, []):
                values[name].append(value)
    return values


def _product(params: dict[str, list[Any]]) -> int:
    number = 1
    for values in params.values():
        number *= len(values)
    return number


def _spelled(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_spelled, value))})"
    return (
        {True: "true", False: "false", None: "none"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _labels(name: str) -> list[str]:
    """``perceived:face:skip`` as options."""
    kind, _, rest = name.partition(":")
    if kind == "intended":
        return []
    source, _, ties = rest.partition(":")
    return ["--labels", f"{kind}:av" if source == "av" else kind, *(["--ties", ties] if ties else [])]
