"""All that an extraction asks for comes in as plain values; they can go to another process, which loads the encoder and does it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from vjepa_fer.encoder import LoadedEncoder, load_encoder, pick_device
from vjepa_fer.engines import Desk
from vjepa_fer.extract.asked_recipe import make_recipe
from vjepa_fer.extract.job import extract_manifest
from vjepa_fer.extract.precision import AskedPrecision, settle_precision
from vjepa_fer.extract.settings import ExtractSettings, ExtractSummary
from vjepa_fer.manifest import Manifest
from vjepa_fer.recipe import FaceCrop, Interpolation, Perturbation, Recipe, Sampling, Storage


@dataclass(frozen=True, kw_only=True)
class Order:
    """An extraction before its encoder is loaded.

    Attributes
    ----------
    manifest, cache, sampling, storage, num_views, face_crop, square_pixels, interpolation, perturb, settings
        As :func:`~vjepa_fer.extract.extract_manifest` and :func:`~vjepa_fer.extract.make_recipe` take them.
    model, weights, state_key, resolution
        As :func:`~vjepa_fer.encoder.load_encoder` takes them; a plug-in or ``hf:…`` is found by its name where it is done.
    places : tuple of str
        Devices as torch spells them, or ``auto``, of the machine where it is done.
    precision : {"auto", "float32", "bfloat16", "float16"}
    """

    manifest: Manifest
    cache: Path
    model: str
    weights: str | None = None
    state_key: str | None = None
    resolution: tuple[int, int] | None = None
    places: tuple[str, ...] = ("auto",)
    precision: AskedPrecision = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    storage: Storage = field(default_factory=Storage)
    num_views: int = 1
    face_crop: FaceCrop | None = None
    square_pixels: bool = False
    interpolation: Interpolation | None = None
    perturb: Perturbation | None = None
    settings: ExtractSettings = field(default_factory=ExtractSettings)

    def load(self) -> tuple[list[LoadedEncoder], Recipe]:
        """The encoder on each device, and the recipe of what it will see.

        Raises
        ------
        VjepaFerError
            As :func:`~vjepa_fer.encoder.load_encoder`.
        """
        precision = settle_precision(self.precision, self.places, self.cache).precision
        encoders = [
            load_encoder(
                self.model,
                weights=self.weights,
                state_key=self.state_key,
                device=pick_device(place),
                precision=precision,
                resolution=self.resolution,
            )
            for place in self.places
        ]
        recipe = make_recipe(
            encoders[0],
            sampling=self.sampling,
            storage=self.storage,
            num_views=self.num_views,
            face_crop=self.face_crop,
            square_pixels=self.square_pixels,
            interpolation=self.interpolation,
            perturb=self.perturb,
        )
        return encoders, recipe

    def __call__(self, desk: Desk) -> ExtractSummary:
        """Do it in this process, and say how far it is."""
        encoders, recipe = self.load()
        return extract_manifest(
            self.manifest,
            self.cache,
            encoders,
            recipe,
            settings=self.settings,
            progress=False,
            report=lambda ids: desk.keep(len(ids)),
            outlook=lambda done, seconds: desk.reach(done),
        )
