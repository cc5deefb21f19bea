"""A model's folder comes in; what a recipe says of its encoder comes out: numbers, cost, whose it is. No weight is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from vjepa_fer.doors import read_object
from vjepa_fer.encoder.baselines.kinds import Kind, kind_of
from vjepa_fer.encoder.baselines.processor import read_preprocessing
from vjepa_fer.encoder.baselines.source import CONFIG, ModelFolder, model_folder
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.errors import CheckpointError, RecipeError
from vjepa_fer.extras import require_extra
from vjepa_fer.recipe import LibraryModel, Preprocessing, check, shown

_LARGEST = 4 << 20  # bytes; a thousand labels of ImageNet take 0.1 million
NO_NUMBERS = (
    "transformers_version",
    "architectures",
    "dtype",
    "id2label",
    "label2id",
    "problem_type",
    "stage_names",
    "out_features",
    "out_indices",
    "_name_or_path",
)
"""Keys of a configuration that change no number."""


def read_baseline(name: str) -> KnownEncoder:
    """The encoder behind ``hf:…``, without its weights.

    Raises
    ------
    RecipeError
        Neither a folder nor a repository, an architecture that is not known, or one whose tokens lie on no grid.
    CheckpointError
        A folder without configuration or processor, or with code of its own.
    MissingExtraError
        ``transformers`` is not installed.
    """
    require_extra("extract,baselines", ("torch", "transformers"), f"--model {name}")
    folder = model_folder(name)
    preprocessing = read_preprocessing(folder.path)
    text = json.dumps(read_configuration(folder.path), sort_keys=True)
    return _described(folder, text, preprocessing)


def read_configuration(folder: Path) -> dict[str, Any]:
    """The values of a model's ``config.json``; one whose model is code of its own is refused."""
    path = folder / CONFIG
    try:
        values = dict(read_object(path, error=CheckpointError, at_most=_LARGEST).values)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: not here, and so no model of transformers is in this folder") from error
    if "auto_map" in values:
        raise CheckpointError(
            f"{path}: auto_map: the model is code of its own, which is not run; none but the library's is"
        )
    return values


@lru_cache(maxsize=32)
def _described(folder: ModelFolder, text: str, preprocessing: Preprocessing) -> KnownEncoder:
    """Read once, though several places of an extraction ask."""
    values = json.loads(text)
    model_type, kind = kind_of(values.get("model_type"), folder.path / CONFIG)
    config = configuration_of(values, folder.path / CONFIG)
    numbers = _numbers(model_type, kind, config, preprocessing, folder.path / CONFIG)
    library = _library(model_type, kind, config, numbers, folder, preprocessing)
    short = model_type.removesuffix("_vision_model")
    shape = f"{numbers['depth']}x{numbers['embed_dim']}-{preprocessing.crop_size}"
    return KnownEncoder(
        name=folder.repository or f"{short}-{shape}",
        config={**numbers, "library": library},
        state_key="file",
        weights=folder.path,
        preprocessing=preprocessing,
    )


def configuration_of(values: dict[str, Any], source: Path) -> Any:
    """The library's own configuration of the part that sees."""
    import transformers

    with quiet():
        try:
            rest = {key: value for key, value in values.items() if key != "model_type"}
            config = transformers.AutoConfig.for_model(values["model_type"], **rest)
        except Exception as error:  # whatever its checks raise
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{source}: transformers cannot read this configuration: {reason}") from error
    seeing = getattr(config, "vision_config", config)
    if hasattr(seeing, "mask_ratio"):
        seeing.mask_ratio = 0.0  # ViT-MAE hides three of four patches even when nobody trains it
    return seeing


def _numbers(model_type: str, kind: Kind, config: Any, preprocessing: Preprocessing, source: Path) -> dict[str, Any]:
    """The architecture numbers, as :class:`~vjepa_fer.recipe.EncoderSpec` takes them."""
    tubelet, patch = _tubelet(kind, config, source)
    height, width = preprocessing.crop_shape
    trained = _pair(config.image_size)
    if not kind.any_size and trained != (height, width):
        raise RecipeError(
            f"{source}: the model takes {trained[0]} × {trained[1]} pixels, and its processor makes {height} × {width}"
        )
    for side in (height, width):
        check(side % patch == 0, f"{source}: {side} pixels are not a multiple of its patches of {patch}: no grid")
    if model_type == "timesformer":
        attention = config.attention_type
        check(
            attention != "space_only",
            f"{source}: attention_type {attention}: its tokens lie on no grid of time and space",
        )
    depth = getattr(config, "num_hidden_layers", None) or config.num_spatial_layers + config.num_temporal_layers
    hidden = getattr(config, "intermediate_size", None) or config.hidden_size * config.mlp_ratio
    return {
        "family": "library",
        "img_size": trained[0],
        "patch_size": patch,
        "num_frames": 1 if kind.order == "frames" else config.num_frames,
        "tubelet_size": tubelet,
        "embed_dim": config.hidden_size,
        "depth": depth,
        "num_heads": config.num_attention_heads,
        "mlp_ratio": hidden / config.hidden_size,
        "uniform_power": False,
        "layer_norm_eps": config.layer_norm_eps,
    }


def _tubelet(kind: Kind, config: Any, source: Path) -> tuple[int, int]:
    """Frames and pixels along a side that become one token."""
    tubelet = getattr(config, "tubelet_size", 1)
    if isinstance(tubelet, int):
        sides = (1 if kind.order == "frames" else tubelet, *_pair(config.patch_size))
    else:
        sides = tuple(tubelet)
    check(len(sides) == 3 and sides[1] == sides[2], f"{source}: patches of {shown(sides)} are no squares: no grid")
    return sides[0], sides[1]


def _pair(size: Any) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _library(
    model_type: str,
    kind: Kind,
    config: Any,
    numbers: dict[str, Any],
    folder: ModelFolder,
    preprocessing: Preprocessing,
) -> LibraryModel:
    """Whose it is, and what it costs: counted on a model of shapes alone."""
    import torch
    import transformers
    from torch.utils.flop_counter import FlopCounterMode

    from vjepa_fer.encoder.baselines.model import BaselineEncoder

    with quiet(), torch.device("meta"):
        encoder = BaselineEncoder(model_type, kind, config, numbers)
        pixels = torch.empty(1, 3, numbers["num_frames"], *preprocessing.crop_shape)
    with (
        torch.no_grad(),
        FlopCounterMode(display=False) as counter,
    ):  # not on meta by default: BEiT keeps what it makes here for later
        encoder(pixels)
    says = {key: value for key, value in config.to_diff_dict().items() if key not in NO_NUMBERS}
    return LibraryModel(
        library="transformers",
        version=transformers.__version__,
        model_type=model_type,
        by_frame=kind.order == "frames",
        special_tokens=kind.special(config),
        parameters=sum(p.numel() for p in encoder.parameters()),
        flops=counter.get_total_flops(),
        repository=folder.repository,
        revision=folder.revision,
        config=json.dumps(says, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """The library's chatter and bars are held back, and are as they were afterwards: what matters is raised."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
