"""An encoder, and what is asked for beside it, go in; the recipe of the extraction comes out."""

from __future__ import annotations

from vjepa_fer.encoder import LoadedEncoder
from vjepa_fer.recipe import FaceCrop, Interpolation, Perturbation, Recipe, Sampling, Storage


def make_recipe(
    encoder: LoadedEncoder,
    *,
    sampling: Sampling | None = None,
    storage: Storage | None = None,
    num_views: int = 1,
    face_crop: FaceCrop | None = None,
    square_pixels: bool = False,
    interpolation: Interpolation | None = None,
    perturb: Perturbation | None = None,
) -> Recipe:
    """The recipe of an extraction with this encoder and its own preprocessing, its own interpolation too unless another is named."""
    return Recipe(
        encoder=encoder.spec,
        sampling=sampling or Sampling(),
        preprocessing=encoder.preprocessing.asked(
            num_views=num_views,
            interpolation=interpolation,
            face_crop=face_crop,
            square_pixels=square_pixels,
            perturb=perturb,
        ),
        storage=storage or Storage(),
        precision=encoder.precision,
    )
