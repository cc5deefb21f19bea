"""A run folder goes in; its fitted probe with exactly the encoder that its features came from comes out, or a reason why not."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from vjepa_fer.errors import RecipeError, RunError
from vjepa_fer.extras import require_extra
from vjepa_fer.fitted import FittedProbe
from vjepa_fer.predict.predictor import Predictor
from vjepa_fer.recipe import FaceCrop, Recipe, require_same_recipe
from vjepa_fer.runs import FITTED, load_fitted


def load_predictor(
    run: str | os.PathLike[str],
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    face_crop: bool | None = None,
) -> Predictor:
    """Load the probe that ``probe --refit`` left in a run, and exactly the encoder that its features came from.

    Parameters
    ----------
    run : path
        A run folder.
    weights : str or Path, optional
        The encoder's weights file, by default the one that ``models fetch`` brought. Its hash must be the recipe's.
    device : str
        As torch spells it, or ``auto``.
    face_crop : bool, optional
        Follow the largest face, or use the whole frame; by default as the run's recipe says. Otherwise than there, the probe
        sees other pictures than it was fitted on: for wide shots, where the whole frame would be worse.

    Raises
    ------
    RunError
        No run, no fitted probe in it, or one of features that another program made.
    RecipeMismatchError
        Other weights, or another encoder of this name; each differing field is named with both values.
    CheckpointError
        A weights file that is not this encoder's, or none that was fetched.
    """
    fitted = _load_fitted(Path(run))
    recipe = fitted.recipe
    if not isinstance(recipe, Recipe):
        raise RunError(
            f"{run}: its features were imported from {recipe.source}; a new video needs the program that made them, "
            "`cache import`, and the probe of `load_fitted`"
        )
    require_extra("extract", ("torch", "av"), "prediction on a video")
    used = _with_face_crop(recipe, face_crop)
    if used.preprocessing.face_crop is not None:
        from vjepa_fer.video.faces import require_faces

        require_faces()
    from vjepa_fer.encoder import load_encoder, pick_device
    from vjepa_fer.extract import make_recipe

    spec = recipe.encoder
    if weights is None and spec.weights.startswith("random:"):
        weights = spec.weights
    try:
        encoder = load_encoder(
            spec.name,
            weights=weights,
            state_key=None if str(weights).startswith("random:") else spec.state_key,
            device=pick_device(device),
            precision=recipe.precision,
            resolution=recipe.preprocessing.crop_shape,
        )
    except RecipeError as error:
        error.add_note(f"The probe of {run} reads features of {spec.name}, weights {spec.weights}.")
        raise
    loaded = make_recipe(
        encoder,
        sampling=recipe.sampling,
        storage=recipe.storage,
        num_views=recipe.preprocessing.num_views,
        face_crop=recipe.preprocessing.face_crop,
    )
    require_same_recipe(loaded, recipe, f"the encoder at hand for {run}")
    return Predictor(fitted, encoder, used)


def _load_fitted(run: Path) -> FittedProbe:
    """The run's probe; where there is none, those inside the folder or beside it are named."""
    try:
        return load_fitted(run)
    except RunError as error:
        if not (run / FITTED).exists():
            places = [*sorted(run.glob(f"*/{FITTED}")), *sorted(run.resolve().parent.glob(f"*/{FITTED}"))]
            if places:
                error.add_note(f"There is a fitted probe in {places[0].parent}: --run takes that folder.")
        raise


def _with_face_crop(recipe: Recipe, wanted: bool | None) -> Recipe:
    """The recipe, with or without a face crop as `wanted` says; None leaves it."""
    own = recipe.preprocessing.face_crop
    crop = own if wanted is None else (own or FaceCrop()) if wanted else None
    return dataclasses.replace(recipe, preprocessing=dataclasses.replace(recipe.preprocessing, face_crop=crop))
