"""Run folders with a fitted probe for tests, made without a video; and such as somebody else might send, with every digest right."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from vjepa_fer.encoder.model.zoo import TINY, encoder_spec
from vjepa_fer.evaluation import FittedProbe, save_fitted
from vjepa_fer.probes import make_probe
from vjepa_fer.probes.saving import SavedProbe
from vjepa_fer.recipe import Preprocessing, Recipe, Sampling, Storage, fingerprint, level_shape
from vjepa_fer.runs import FITTED, FOLDS_JSON, PREDICTIONS_CSV
from vjepa_fer.runs.description import write_description


def tiny_recipe(**changes: Any) -> Recipe:
    """Of the tiny encoder with random weights: three windows of 16 frames that follow one another, 64 pixels, level mean."""
    parts = {
        "encoder": encoder_spec(TINY, weights="random:3"),
        "sampling": Sampling(frame_step=1, num_segments=3),
        "preprocessing": Preprocessing(crop_size=64),
        "storage": Storage(levels=("mean", "grid:2", "tokens")),
    }
    return Recipe(**{**parts, **changes})


def write_fitted_run(folder: Path, recipe: Recipe | None = None, *, level: str = "mean") -> Path:
    """A run with a logistic regression on noise, which reads `level`."""
    recipe = recipe or tiny_recipe()
    stored = recipe.storage.find(level) or level
    X = np.random.default_rng(0).standard_normal((12, math.prod(level_shape(stored, recipe.token_grid, 48))))
    probe = make_probe("logreg", {}).fit(X.astype(np.float32), ["happy", "sad"] * 6)
    expects = {"level": level, "recipe": fingerprint(recipe)}
    folder.mkdir()
    for name in (FOLDS_JSON, PREDICTIONS_CSV):
        (folder / name).touch()
    write_description(folder, {})
    save_fitted(folder / FITTED, FittedProbe(SavedProbe(probe, None, expects), level, recipe))
    return folder


def forge(run: Path, recipe: dict[str, Any], **expects: Any) -> Path:
    """Put another recipe's JSON, and other expectations, into a run: fingerprint and digests are made to fit."""
    canonical = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    text = json.dumps(recipe, **canonical)
    (run / FITTED / "recipe.json").write_text(text)
    path = run / FITTED / "probe" / "probe.json"
    facts = json.loads(path.read_text())
    facts["expects"] |= {"recipe": hashlib.sha256(text.encode()).hexdigest(), **expects}
    del facts["sha256"]
    facts["sha256"] = hashlib.sha256(json.dumps(facts, **canonical).encode()).hexdigest()
    path.write_text(json.dumps(facts))
    return run
