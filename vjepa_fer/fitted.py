"""A cell and all clips go in; one fitted probe comes out that knows which features it may be shown, and goes to a folder and back.

::

    fitted/
      probe/         as vjepa_fer.probes.saving writes it: JSON, safetensors, LightGBM's text
      recipe.json    how the features were made, whole, so that a new video can be treated alike
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.errors import ProbeError, RecipeError, RunError
from vjepa_fer.evaluate import Targets, check_features, fit_cells
from vjepa_fer.probes.saving import SavedProbe, load_probe, save_probe
from vjepa_fer.protocol import Cell
from vjepa_fer.recipe import AnyRecipe, fingerprint, recipe_from_json, recipe_to_json, require_same_recipe

PROBE, RECIPE_JSON = "probe", "recipe.json"
LARGEST_RECIPE = 2**20
"""Bytes; the largest ``recipe.json`` that is read."""


@dataclass(frozen=True, eq=False)
class FittedProbe:
    """A probe fitted on all clips, ready for new ones.

    Attributes
    ----------
    probe : SavedProbe
        With its scaling.
    level : str
        The level that it reads.
    recipe : Recipe or ImportedRecipe
        Of the features that it was fitted on.
    """

    probe: SavedProbe
    level: str
    recipe: AnyRecipe

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return tuple(map(str, self.probe.probe.classes_))

    def predict_proba(self, X: np.ndarray, *, level: str, recipe: AnyRecipe) -> np.ndarray:
        """Probabilities (num_rows, num_classes) of features (num_rows, dim) of this level, made with this recipe.

        Raises
        ------
        ProbeError
            Another level.
        RecipeMismatchError
            Another recipe; each differing field is named with both values.
        """
        require_same_recipe(recipe, self.recipe, "the cache of these features")
        return self.probe.predict_proba(X, level=level, recipe=fingerprint(recipe))


def fit_on_all(
    features: Features, cell: Cell, *, recipe: AnyRecipe, seed: int = 0, targets: Targets | None = None
) -> FittedProbe:
    """Fit a cell on every clip, test parts and all: for new clips, not for figures."""
    check_features(features)
    scaler, probes = fit_cells(features, np.arange(len(features.y)), [cell], cell.scale, seed, targets)
    expects = {"level": cell.level, "recipe": fingerprint(recipe)}
    return FittedProbe(SavedProbe(probes[0], scaler, expects), cell.level, recipe)


def save_fitted(folder: Path, fitted: FittedProbe) -> None:
    """Write the folder, whole or not at all.

    Raises
    ------
    RunError
        It cannot be written.
    """
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        saved = fitted.probe
        save_probe(saved.probe, partial / PROBE, scaler=saved.scaler, expects=saved.expects)
        (partial / RECIPE_JSON).write_text(recipe_to_json(fitted.recipe), encoding="utf-8")
        partial.chmod(0o755)
        partial.rename(folder)
    except OSError as error:
        raise RunError(f"{folder}: the fitted probe cannot be written ({error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_fitted(folder: Path) -> FittedProbe:
    """Read what :func:`save_fitted` wrote.

    Raises
    ------
    RunError
        Damaged, or put together from two folders.
    ProbeError
        The probe's own files were changed; see :func:`vjepa_fer.probes.saving.load_probe`.
    """
    path = folder / RECIPE_JSON
    try:
        if path.stat().st_size > LARGEST_RECIPE:
            raise RunError(f"{path}: larger than any recipe")
        recipe = recipe_from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecipeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); fit again with --refit") from error
    saved = load_probe(folder / PROBE)
    if saved.expects.get("recipe") != fingerprint(recipe):
        raise RunError(f"{path}: not the recipe that the probe was fitted with; fit again with --refit")
    if "level" not in saved.expects:
        raise ProbeError(f"{folder / PROBE}: it does not say which level it reads")
    return FittedProbe(saved, saved.expects["level"], recipe)
