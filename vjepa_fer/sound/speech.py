"""``hf:FOLDER_OR_REPO`` comes in; what a recipe says of the speech encoder behind it goes out. No weight is read, and no code in it is run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.doors import not_one_of, read_object
from vjepa_fer.encoder.baselines.known import NO_NUMBERS, configuration_of, read_configuration
from vjepa_fer.encoder.baselines.source import CONFIG, ModelFolder, model_folder
from vjepa_fer.errors import CheckpointError, RecipeError
from vjepa_fer.extras import require_extra
from vjepa_fer.recipe import SpeechEncoder, shown

KINDS = {"wav2vec2": "Wav2Vec2Model", "hubert": "HubertModel", "wavlm": "WavLMModel"}
"""Architectures that are known → the library's class of the encoder alone."""

_EXTRACTOR = "Wav2Vec2FeatureExtractor"
_NUMBERS = ("preprocessor_config.json", "processor_config.json")
_LARGEST = 1 << 20


@dataclass(frozen=True, eq=False)
class KnownSpeech:
    """A speech encoder without its weights.

    Attributes
    ----------
    folder : ModelFolder
    name : str
        For people: the repository, or architecture and size.
    config : object
        The library's own configuration.
    facts : dict
        What :class:`~vjepa_fer.recipe.SpeechEncoder` takes, but for the weights.
    sampling_rate : int
        Samples a second that it was trained on.
    """

    folder: ModelFolder
    name: str
    config: Any
    facts: dict[str, Any]
    sampling_rate: int

    def described(self, weights: str) -> SpeechEncoder:
        """With the SHA-256 of its weights."""
        return SpeechEncoder(weights=weights, **self.facts)


def read_speech(name: str) -> KnownSpeech:
    """The speech encoder behind ``hf:…``.

    Raises
    ------
    RecipeError
        Neither a folder nor a repository, or an architecture that is not known.
    CheckpointError
        A folder without configuration or feature extractor, or with code of its own.
    MissingExtraError
        ``transformers`` is not installed.
    """
    require_extra("extract,baselines", ("torch", "transformers"), f"--features {name}")
    folder = model_folder(name)
    values, source = read_configuration(folder.path), folder.path / CONFIG
    model_type = values.get("model_type")
    if model_type not in KINDS:
        raise RecipeError(f"{source}: {not_one_of('model_type', model_type, KINDS)}")
    config = configuration_of(values, source)
    if getattr(config, "add_adapter", False):
        raise RecipeError(
            f"{source}: add_adapter: its last layers count other moments than the others; take the model without"
        )
    numbers = _Numbers.read(folder.path)
    strides, kernels = list(config.conv_stride), list(config.conv_kernel)
    says = {key: value for key, value in config.to_diff_dict().items() if key not in NO_NUMBERS}
    facts = {
        "model_type": model_type,
        "embed_dim": config.hidden_size,
        "depth": config.num_hidden_layers,
        "hop_samples": math.prod(strides),
        "least_samples": _seen(strides, kernels),
        "normalised": numbers.normalised,
        "masked": numbers.masked and config.feat_extract_norm == "layer",
        "repository": folder.repository,
        "revision": folder.revision,
        "config": json.dumps(says, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
    }
    short = f"{model_type}-{config.num_hidden_layers}x{config.hidden_size}"
    return KnownSpeech(folder, folder.repository or short, config, facts, numbers.sampling_rate)


def _seen(strides: list[int], kernels: list[int]) -> int:
    """Samples that one moment is made of.

    >>> _seen([5, 2, 2, 2, 2, 2, 2], [10, 3, 3, 3, 3, 2, 2])
    400
    """
    samples = 1
    for stride, kernel in zip(reversed(strides), reversed(kernels), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def moments_of(num_samples: int, strides: list[int], kernels: list[int]) -> int:
    """Moments that so many samples become: each convolution keeps to what is whole.

    >>> moments_of(16000, [5, 2, 2, 2, 2, 2, 2], [10, 3, 3, 3, 3, 2, 2])
    49
    """
    for stride, kernel in zip(strides, kernels, strict=True):
        num_samples = (num_samples - kernel) // stride + 1
    return num_samples


@dataclass(frozen=True)
class _Numbers:
    """What a feature extractor does to samples, with the library's own values where the file is silent."""

    sampling_rate: int
    normalised: bool
    masked: bool

    @classmethod
    def read(cls, folder: Path) -> _Numbers:
        path = next((folder / name for name in _NUMBERS if (folder / name).is_file()), None)
        if path is None:
            raise CheckpointError(
                f"{folder}: no feature extractor is beside the model: none of {', '.join(_NUMBERS)}; get it as well, since it says "
                "which samples the model was trained on"
            )
        values = read_object(path, error=CheckpointError, at_most=_LARGEST).values
        own = values.get("feature_extractor")
        return cls._of(path, own if isinstance(own, dict) else values)

    @classmethod
    def _of(cls, path: Path, values: Mapping[str, Any]) -> _Numbers:
        name = values.get("feature_extractor_type", _EXTRACTOR)
        if name != _EXTRACTOR or "auto_map" in values or values.get("feature_size", 1) != 1:
            raise CheckpointError(
                f"{path}: feature_extractor_type {shown(name)}, feature_size {shown(values.get('feature_size', 1))}: expected "
                f"{_EXTRACTOR} of samples as they are (1), and no code of its own"
            )
        rate = values.get("sampling_rate", 16_000)
        if not isinstance(rate, int) or isinstance(rate, bool):
            raise CheckpointError(f"{path}: sampling_rate {shown(rate)} is not a whole number of samples a second")
        flags = {key: values.get(key, default) for key, default in _FLAGS.items()}
        wrong = next((key for key, value in flags.items() if not isinstance(value, bool)), None)
        if wrong is not None:
            raise CheckpointError(f"{path}: {wrong} {shown(flags[wrong])} is not true or false")
        return cls(rate, flags["do_normalize"], flags["return_attention_mask"])


_FLAGS = {"do_normalize": True, "return_attention_mask": False}
