"""A baseline and its weights come in, or a seed; the encoder that runs goes out. The library builds it, and we look whether it took every weight."""

from __future__ import annotations

import json
from typing import Any

import torch
import transformers

from vjepa_fer.encoder.baselines.kinds import KINDS
from vjepa_fer.encoder.baselines.known import configuration_of, quiet
from vjepa_fer.encoder.baselines.model import BaselineEncoder
from vjepa_fer.encoder.baselines.source import ModelFolder, weights_of
from vjepa_fer.encoder.loading.checkpoint import check_finite
from vjepa_fer.encoder.loading.slim import weights_identity
from vjepa_fer.encoder.loading.untrained import random_tensor
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.recipe import LibraryModel

_SHOWN = 4


def load_baseline(known: KnownEncoder, dtype: torch.dtype) -> tuple[str, BaselineEncoder]:
    """What a recipe calls the weights of a baseline's folder, and the encoder with them.

    Raises
    ------
    CheckpointError
        No safetensors, a damaged file, weights that the architecture lacks or has besides, or NaN among them.
    """
    library, kind, config = _parts(known)
    assert known.weights is not None
    folder = ModelFolder(known.weights)
    path = weights_of(folder)
    identity = weights_identity(path)
    with quiet():
        try:
            model, info = getattr(transformers, kind.model).from_pretrained(
                folder.path,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **kind.built_with,
            )
        except Exception as error:  # safetensors' own, torch's, or the library's
            raise CheckpointError(
                f"{path}: transformers cannot load it: {' '.join(str(error).split())[:300]}"
            ) from error
    check_taken(path, model, info)
    check_finite(model.state_dict(), source=path)
    return identity, BaselineEncoder(library.model_type, kind, config, known.config, model)


def random_baseline(known: KnownEncoder, seed: int, dtype: torch.dtype) -> BaselineEncoder:
    """The same architecture that has learnt nothing; a seed gives the same bits on every machine."""
    library, kind, config = _parts(known)
    with quiet(), torch.random.fork_rng(devices=[]):
        encoder = BaselineEncoder(library.model_type, kind, config, known.config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(encoder.model.named_parameters()):
            parameter.copy_(random_tensor(name, tuple(parameter.shape), generator))
    return encoder.to(dtype)


def _parts(known: KnownEncoder) -> tuple[LibraryModel, Any, Any]:
    library = known.config["library"]
    assert known.weights is not None
    return library, KINDS[library.model_type], configuration_of(json.loads(library.config), known.weights)


def check_taken(path: object, model: Any, info: dict[str, Any]) -> None:
    """Refuse weights that are not exactly this encoder's; what a head or a decoder has beside it is left alone."""
    if info["missing_keys"]:
        raise CheckpointError(f"{path}: {_some(info['missing_keys'])} of the architecture are not in the weights")
    own = {name for name, _ in model.named_children()} | {name for name, _ in model.named_parameters(recurse=False)}
    prefix = f"{model.base_model_prefix}."
    surplus = [name for name in info["unexpected_keys"] if name.removeprefix(prefix).partition(".")[0] in own]
    if surplus:
        raise CheckpointError(
            f"{path}: {_some(surplus)} of the weights have no place in the architecture of its configuration"
        )


def _some(names: Any) -> str:
    names = sorted(map(str, names))
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
