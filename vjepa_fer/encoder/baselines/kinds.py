"""An architecture's name comes in; how the library lays out its tokens comes out: those that are in this table are known, others are refused.

A table, because nothing in a model says which of its tokens are places: a class token too many shifts all of them by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import shown

Order = Literal["frames", "window", "places", "factorised"]
"""How tokens lie: frame by frame, each a pass of its own; time, height, width; height, width, time; or VideoPrism's, which see space then time."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One architecture of the library.

    Attributes
    ----------
    model : str
        The class of transformers that is the encoder alone.
    order : str
    layers : str
        Where its layers are, as an attribute; several with commas between.
    special : callable
        A configuration to its number of class and register tokens, which come first.
    any_size : bool
        Its positions are computed for the input's size; else that is the configuration's.
    built_with : dict
        What its constructor is told.
    """

    model: str
    order: Order = "frames"
    layers: str = "layers"
    special: Callable[[Any], int] = lambda config: 1
    any_size: bool = False
    built_with: dict[str, Any]


def _registers(config: Any) -> int:
    return 1 + int(config.num_register_tokens)


def _none(config: Any) -> int:
    return 0


_NO_POOLER = {"add_pooling_layer": False}

KINDS: dict[str, Kind] = {
    "videomae": Kind(model="VideoMAEModel", order="window", layers="encoder.layer", special=_none, built_with={}),
    "timesformer": Kind(model="TimesformerModel", order="places", layers="encoder.layer", built_with={}),
    "vivit": Kind(model="VivitModel", order="window", built_with=_NO_POOLER),
    "videoprism_vision_model": Kind(
        model="VideoPrismVisionModel",
        order="factorised",
        layers="spatial_layers,temporal_layers",
        special=_none,
        built_with={},
    ),
    "dinov2": Kind(model="Dinov2Model", layers="encoder.layer", any_size=True, built_with={}),
    "dinov2_with_registers": Kind(
        model="Dinov2WithRegistersModel", layers="encoder.layer", special=_registers, any_size=True, built_with={}
    ),
    "dinov3_vit": Kind(model="DINOv3ViTModel", layers="model.layer", special=_registers, any_size=True, built_with={}),
    "clip_vision_model": Kind(model="CLIPVisionModel", layers="encoder.layers", built_with={}),
    "siglip_vision_model": Kind(model="SiglipVisionModel", layers="encoder.layers", special=_none, built_with={}),
    "vit": Kind(model="ViTModel", built_with=_NO_POOLER),
    "vit_mae": Kind(model="ViTMAEModel", built_with={}),
    "beit": Kind(model="BeitModel", built_with=_NO_POOLER),
}

TOWERS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model"}
"""Models of pictures and text: the part that sees."""

_WHY_NOT = {
    "siglip2": "it cuts each picture into as many patches as its shape needs, and so has no one grid; the SigLIP 2 of one size, such as "
    "google/siglip2-base-patch16-224, are called siglip",
    "vjepa2": "V-JEPA 2 has a loader of its own: `--model vjepa2-large-256 --weights FOLDER`",
    "videoprism": "of VideoPrism the encoder alone is taken, such as google/videoprism-base-f16r288, not the one that reads text too",
    "pe_video": "Perception Encoder is computed by another library, timm, which this one calls",
    "timm_wrapper": "its model is computed by another library, timm, which this one calls",
}


def kind_of(model_type: Any, source: object) -> tuple[str, Kind]:
    """The architecture that a configuration names, a tower where it names a model of pictures and text.

    Raises
    ------
    RecipeError
        It is none that is known.
    """
    name = TOWERS.get(model_type, model_type) if isinstance(model_type, str) else "none"
    why = next((why for stem, why in _WHY_NOT.items() if name.startswith(stem)), None)
    if name not in KINDS and why is not None:
        raise RecipeError(f"{source}: model_type {shown(name)}: {why}")
    if name not in KINDS:
        known = ", ".join(sorted({*KINDS, *TOWERS}))
        raise RecipeError(f"{source}: {not_one_of('model_type', name, KINDS, listed=known)}")
    return name, KINDS[name]
