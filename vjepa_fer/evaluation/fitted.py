"""A cell and all clips go in; one fitted probe comes out that knows which features it may be shown, and goes to a folder and back.

::

    fitted/
      probe/         as vjepa_fer.probes.saving writes it: JSON, safetensors, LightGBM's text
      recipe.json    how the features were made, whole, so that a new video can be treated alike
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.cache import Features
from vjepa_fer.disk import new_folder, refuse_link
from vjepa_fer.doors import parse_object, read_text
from vjepa_fer.errors import ProbeError, RecipeError, RunError
from vjepa_fer.evaluation.evaluate import Targets, check_features, fit_cells
from vjepa_fer.experiment import DECISIONS, MEAN_FEATURE, Cell, Row, row_of, rule_of
from vjepa_fer.features import Windowed
from vjepa_fer.probes.attentive.token_probe import TokenProbe
from vjepa_fer.probes.saving import SavedProbe, load_probe, save_probe
from vjepa_fer.recipe import (
    AnyRecipe,
    fingerprint,
    parse_level,
    recipe_from_dict,
    recipe_to_json,
    require_same_recipe,
    split_statistics,
)

PROBE, RECIPE_JSON = "probe", "recipe.json"
ADVICE = "fit again with --refit"
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
    decision : str
        How a clip's windows become one decision, of :data:`vjepa_fer.experiment.DECISIONS`.
    """

    probe: SavedProbe
    level: str
    recipe: AnyRecipe
    decision: str = MEAN_FEATURE

    @property
    def row(self) -> Row:
        """What it sees at once; rows of "view" are tokens (num_views, num_tokens, dim)."""
        return row_of(self.decision)

    @property
    def windowed(self) -> bool:
        """It judges windows or views, and its answers about a clip's are joined by `rule`."""
        return self.row != "clip"

    @property
    def rule(self) -> str:
        """How these are joined, of :data:`vjepa_fer.features.RULES`."""
        return rule_of(self.decision)

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
        return self.probe.predict_proba(X, **self._described(level))

    def predict(self, X: np.ndarray, *, level: str, recipe: AnyRecipe) -> np.ndarray:
        """The class that the probe decides for, row by row: its number in `classes`, int64 (num_rows,).

        Raises
        ------
        As :meth:`predict_proba`.
        """
        require_same_recipe(recipe, self.recipe, "the cache of these features")
        labels = np.asarray(self.probe.predict(X, **self._described(level)), str)
        number_of = {name: number for number, name in enumerate(self.classes)}
        return np.array([number_of[label] for label in labels.tolist()])

    def attention(self, X: np.ndarray, *, level: str, recipe: AnyRecipe) -> np.ndarray:
        """How much a probe on tokens looks at each token of features (num_rows, dim): float32 (num_rows, num_heads, num_tokens).

        Raises
        ------
        ProbeError
            Another kind of probe, or another level.
        RecipeMismatchError
            Another recipe.
        """
        probe = self.probe.probe
        if not isinstance(probe, TokenProbe):
            raise ProbeError(
                f"{type(probe).__name__} looks at no tokens; `probe --probe attentive --refit` fits one that does"
            )
        require_same_recipe(recipe, self.recipe, "the cache of these features")
        self.probe.check(self._described(level))
        return probe.attention(self.probe.scaled(X))

    def _described(self, level: str) -> dict[str, str]:
        return _expectations(level, self.recipe, self.decision)


def _expectations(level: str, recipe: AnyRecipe, decision: str) -> dict[str, str]:
    """What a probe expects of its features, in words; the decision only where it is not the usual one."""
    said = {"level": level, "recipe": fingerprint(recipe)}
    return said if decision == MEAN_FEATURE else {**said, "decision": decision}


def fit_on_all(
    features: Features | Windowed, cell: Cell, *, recipe: AnyRecipe, seed: int = 0, targets: Targets | None = None
) -> FittedProbe:
    """Fit a cell on every clip, test parts and all: for new clips, not for figures."""
    check_features(features)
    scaler, probes = fit_cells(features, np.arange(len(features.y)), [cell], cell.scale, seed, targets)
    expects = _expectations(cell.level, recipe, cell.decision)
    return FittedProbe(SavedProbe(probes[0], scaler, expects), cell.level, recipe, cell.decision)


def save_fitted(folder: Path, fitted: FittedProbe) -> None:
    """Write the folder, whole or not at all.

    Raises
    ------
    RunError
        It cannot be written.
    """
    saved = fitted.probe
    try:
        with new_folder(folder) as partial:
            save_probe(saved.probe, partial / PROBE, scaler=saved.scaler, expects=saved.expects)
            (partial / RECIPE_JSON).write_text(recipe_to_json(fitted.recipe), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{folder}: the fitted probe cannot be written ({error})") from error


def read_fitted(folder: Path) -> FittedProbe:
    """Read what :func:`save_fitted` wrote.

    Raises
    ------
    RunError
        Damaged, or put together from two folders.
    ProbeError
        The probe's own files were changed; see :func:`vjepa_fer.probes.saving.load_probe`.
    VjepaFerError
        The folder, or something in it, is a link.
    """
    for path in (folder, folder / PROBE, folder / RECIPE_JSON):
        refuse_link(path)
    recipe, text = _read_recipe(folder / RECIPE_JSON)
    saved = load_probe(folder / PROBE)
    if saved.expects.get("recipe") != fingerprint(recipe) or text != recipe_to_json(recipe):
        raise RunError(f"{folder / RECIPE_JSON}: not the recipe that the probe was fitted with; {ADVICE}")
    level, decision = saved.expects.get("level", ""), saved.expects.get("decision", MEAN_FEATURE)
    try:
        stored, _ = split_statistics(level)
        parse_level(recipe.storage.find(stored) or stored)
    except RecipeError as error:
        raise ProbeError(f"{folder / PROBE}: which level it reads cannot be told ({error}); {ADVICE}") from error
    if decision not in DECISIONS:
        raise ProbeError(f"{folder / PROBE}: decides by {decision!r}, which this version does not know")
    return FittedProbe(saved, level, recipe, decision)


def _read_recipe(path: Path) -> tuple[AnyRecipe, str]:
    """The recipe, and its text, to be compared with how that recipe is written."""
    try:
        text = read_text(path, error=RunError, advice=ADVICE, at_most=LARGEST_RECIPE, follow=False)
        return recipe_from_dict(parse_object(text, str(path), error=RunError, advice=ADVICE).values), text
    except (FileNotFoundError, RecipeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); {ADVICE}") from error
