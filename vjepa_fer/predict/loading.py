"""A run folder goes in; its fitted probe with exactly the encoder that its features came from comes out, or a reason why not."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from vjepa_fer.disk import bytes_for_people
from vjepa_fer.errors import RecipeError, RunError
from vjepa_fer.evaluation import FittedProbe
from vjepa_fer.extras import require_extra
from vjepa_fer.predict.features import level_read
from vjepa_fer.predict.plan import default_memory
from vjepa_fer.predict.predictor import Predictor
from vjepa_fer.recipe import SEMANTICS, EncoderSpec, FaceCrop, Recipe, SoundRecipe, require_same_recipe
from vjepa_fer.runs import FITTED, load_fitted

if TYPE_CHECKING:
    from vjepa_fer.encoder import LoadedEncoder


def load_predictor(
    run: str | os.PathLike[str],
    *,
    weights: str | Path | None = None,
    device: str = "cpu",
    face_crop: bool | None = None,
    memory_bytes: int | None = None,
    accept_truncated: bool = False,
    accept_resize: bool = False,
) -> Predictor:
    """Load the probe that ``probe --refit`` left in a run, and exactly the encoder that its features came from.

    Everything that the run says is compared with the encoder of that name at hand before a weight is loaded: the numbers of a
    run that somebody else made build nothing.

    Parameters
    ----------
    run : path
        A run folder.
    weights : str or Path, optional
        The encoder's weights file, by default the one that ``models fetch`` brought. Its hash must be the recipe's. Of an encoder of
        another library its folder, or ``hf:OWNER/NAME@COMMIT``: none is looked for, since the run may be a stranger's.
    device : str
        As torch spells it, or ``auto``.
    face_crop : bool, optional
        Follow the largest face, or use the whole frame; by default as the run's recipe says. Otherwise than there, the probe
        sees other pictures than it was fitted on: for wide shots, where the whole frame would be worse.
    memory_bytes : int, optional
        What a prediction may take beside the encoder's weights; by default half of the machine's memory.
    accept_truncated, accept_resize : bool
        As attributes of :class:`Predictor`.

    Raises
    ------
    RunError
        No run, no fitted probe in it, one of features that another program made, or whose recipe has a value beyond its bound; or
        random weights that would fill the memory.
    ProbeError
        The probe reads a level that its recipe does not store.
    RecipeError
        No encoder has the name that the recipe says.
    RecipeMismatchError
        Other weights, or another encoder of this name; each differing field is named with both values.
    CheckpointError
        A weights file that is not this encoder's, or none that was fetched.
    """
    fitted = _load_fitted(Path(run))
    recipe = fitted.recipe
    if isinstance(recipe, SoundRecipe):
        raise RunError(
            f"{run}: its features are of sound ({recipe.title}), which `predict` does not read from a video: `extract-audio` of a manifest "
            "with the new clips, and the probe of `load_fitted`"
        )
    if not isinstance(recipe, Recipe):
        raise RunError(
            f"{run}: its features were imported from {recipe.source}; a new video needs the program that made them, "
            "`cache import`, and the probe of `load_fitted`"
        )
    if recipe.preprocessing.perturb is not None:
        raise RunError(
            f"{run}: its features are of frames perturbed by {recipe.preprocessing.perturb.in_words}, which no new video is; "
            "predict with a probe that was fitted on frames as they are"
        )
    require_extra("extract", ("torch", "av"), "prediction on a video")
    level_read(fitted)
    used = _with_face_crop(recipe, face_crop)
    if used.preprocessing.face_crop is not None:
        from vjepa_fer.video.faces import require_faces

        require_faces()
    limit = default_memory() if memory_bytes is None else memory_bytes
    encoder = _load_encoder(run, recipe, weights, device, limit)
    return Predictor(fitted, encoder, used, limit, accept_truncated=accept_truncated, accept_resize=accept_resize)


def _load_encoder(
    run: str | os.PathLike[str], recipe: Recipe, weights: str | Path | None, device: str, memory_bytes: int
) -> LoadedEncoder:
    from vjepa_fer.encoder import load_encoder, pick_device

    spec = recipe.encoder
    if weights is None and spec.library is None and spec.weights.startswith("random:"):
        weights = spec.weights
    name = spec.name
    if spec.library is not None:
        name, weights = _baseline_of(run, spec, weights)
    is_random = str(weights).startswith("random:")
    try:
        require_same_recipe(_recipe_at_hand(recipe, name), recipe, f"the encoder at hand for {run}")
        if is_random:
            _check_room(run, spec, memory_bytes)
        encoder = load_encoder(
            name,
            weights=weights,
            state_key=None if is_random else spec.state_key,
            device=pick_device(device),
            precision=recipe.precision,
            resolution=recipe.preprocessing.crop_shape,
        )
    except RecipeError as error:
        error.add_note(f"The probe of {run} reads features of {spec.name}, weights {spec.weights}.")
        raise
    require_same_recipe(_recipe_of_loaded(encoder, recipe), recipe, f"the encoder at hand for {run}")
    return encoder


def _recipe_of_loaded(encoder: LoadedEncoder, recipe: Recipe) -> Recipe:
    """What `recipe` is with this encoder."""
    from vjepa_fer.extract import make_recipe

    return make_recipe(
        encoder,
        sampling=recipe.sampling,
        storage=recipe.storage,
        num_views=recipe.preprocessing.num_views,
        face_crop=recipe.preprocessing.face_crop,
        square_pixels=recipe.preprocessing.square_pixels,
        interpolation=recipe.preprocessing.interpolation,
    )


def _baseline_of(run: str | os.PathLike[str], spec: EncoderSpec, weights: str | Path | None) -> tuple[str, str | None]:
    """What an encoder of another library is loaded by: the folder that is given, since the run does not say where one lies here."""
    assert spec.library is not None
    if weights is None:
        at = f"{spec.library.repository}@{spec.library.revision}" if spec.library.repository else "OWNER/NAME@COMMIT"
        raise RunError(
            f"{run}: {spec.library.title} computed its features with {spec.name}: say where that is, --weights FOLDER or hf:{at}"
        )
    name = str(weights) if str(weights).startswith("hf:") else f"hf:{weights}"
    return name, spec.weights if spec.weights.startswith("random:") else None


def _recipe_at_hand(recipe: Recipe, name: str) -> Recipe:
    """What extraction makes here of the encoder of this name, with the recipe's settings and, untested yet, its weights."""
    from vjepa_fer.encoder.loading.registry import find_encoder, named_encoder, preprocessing_for

    known = named_encoder(name) if recipe.encoder.library is None else find_encoder(name)
    own, weights, key = recipe.preprocessing, recipe.encoder.weights, recipe.encoder.state_key
    spec = EncoderSpec(name=known.name, weights=weights, state_key=key, plugin=known.origin, **known.config)
    pixels = preprocessing_for(known, own.crop_shape).asked(
        num_views=own.num_views,
        face_crop=own.face_crop,
        square_pixels=own.square_pixels,
        interpolation=own.interpolation,
        perturb=own.perturb,
    )
    return dataclasses.replace(recipe, encoder=spec, preprocessing=pixels, semantics=SEMANTICS)


def _check_room(run: str | os.PathLike[str], spec: EncoderSpec, memory_bytes: int) -> None:
    """Refuse random weights that would fill the memory; those of a file stay on the disk until they are used."""
    needed = 4 * spec.num_parameters
    if needed > memory_bytes:
        raise RunError(
            f"{run}: random weights of {spec.name} take {bytes_for_people(needed)}; at most {bytes_for_people(memory_bytes)} "
            "are taken: raise --memory"
        )


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
