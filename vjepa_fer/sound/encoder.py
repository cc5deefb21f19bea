"""Sounds go in; the hidden layers of a speech encoder come out, a row every 20 ms. The library computes them.

Sounds of several lengths go through together only where that changes nothing: a mask keeps their ends out of each other's attention, and no norm
is taken over time. Of a model with such a norm (``feat_extract_norm: group``, as wav2vec 2.0 base) each goes through alone, or what it is beside
would show in its numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers

from vjepa_fer.encoder.baselines.known import quiet
from vjepa_fer.encoder.baselines.loaded import check_taken
from vjepa_fer.encoder.baselines.source import weights_of
from vjepa_fer.encoder.loading.checkpoint import check_finite
from vjepa_fer.encoder.loading.load import usable_device
from vjepa_fer.encoder.loading.slim import weights_identity
from vjepa_fer.errors import CheckpointError, VideoError
from vjepa_fer.recipe import SoundRecipe, Storage, layer_of, parse_level
from vjepa_fer.sound.heard import Heard
from vjepa_fer.sound.reading import Sound
from vjepa_fer.sound.speech import KINDS, KnownSpeech, moments_of

MOST_SECONDS = 120
"""Of one sound: attention takes memory by the square of it."""

_AT_ONCE = 8
_TINY = 1e-7  # as the library adds it to a variance


class SpeechExtractor:
    """A speech encoder with its weights.

    Parameters
    ----------
    known : KnownSpeech
    levels : sequence of str
        ``mean`` or ``frames``, each maybe after a layer: ``frames@5``.
    device : str

    Raises
    ------
    CheckpointError
        No safetensors, a damaged file, weights that the architecture lacks or has besides, or NaN among them.
    RecipeError
        A level that it does not have.
    """

    def __init__(self, known: KnownSpeech, levels: Sequence[str], device: str = "cpu") -> None:
        path = weights_of(known.folder)
        self._config, self._device = known.config, usable_device(device)
        self.speech = known.described(weights_identity(path))
        self.recipe = SoundRecipe(
            features=known.name,
            library="transformers",
            version=transformers.__version__,
            speech=self.speech,
            sampling_rate=known.sampling_rate,
            storage=Storage(levels=tuple(levels)),
        )
        self.at_once = _AT_ONCE if self.speech.masked and self._device.type != "cpu" else 1
        self._model = _loaded(known).to(self._device).eval()

    def check(self, sound: Sound) -> None:
        """Refuse what is shorter than a moment, or longer than fits."""
        least = self.speech.least_samples
        if len(sound.samples) < least:
            message = f"has {len(sound.samples)} samples of sound; the encoder's first moment takes {least}"
            raise VideoError("too_short", sound.path, message)
        if sound.seconds > MOST_SECONDS:
            message = f"has {sound.seconds:,.0f} s of sound, more than the {MOST_SECONDS} that are encoded at once: cut it into utterances"
            raise VideoError("too_long", sound.path, message)

    def hear(self, sounds: Sequence[Sound]) -> list[Heard]:
        """The layers of each sound; those of one do not depend on the others, but for rounding."""
        waves = [self._normalised(sound.samples) for sound in sounds]
        batches = [waves] if self.speech.masked else [[wave] for wave in waves]
        return [heard for batch in batches for heard in self._encode(batch)]

    def _normalised(self, samples: np.ndarray) -> np.ndarray:
        if not self.speech.normalised:
            return samples
        return (samples - samples.mean()) / np.sqrt(samples.var() + _TINY)

    def _encode(self, waves: Sequence[np.ndarray]) -> list[Heard]:
        longest = max(map(len, waves))
        values = torch.zeros(len(waves), longest)
        mask = torch.zeros(len(waves), longest, dtype=torch.long)
        for number, wave in enumerate(waves):
            values[number, : len(wave)] = torch.from_numpy(wave)
            mask[number, : len(wave)] = 1
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")  # WavLM's, of a mask's type
            out = self._model(
                values.to(self._device),
                attention_mask=mask.to(self._device) if self.speech.masked else None,
                output_hidden_states=True,
            )
        return [self._heard(out, number, len(wave)) for number, wave in enumerate(waves)]

    def _heard(self, out: Any, number: int, num_samples: int) -> Heard:
        num = moments_of(num_samples, list(self._config.conv_stride), list(self._config.conv_kernel))
        layers = {level: _layer(out, level)[number, :num].float().cpu().numpy() for level in self.recipe.storage.levels}
        if not self.recipe.is_over_time:
            means = {level: values.mean(axis=0, keepdims=True, dtype=np.float64) for level, values in layers.items()}
            return Heard({level: values.astype(np.float32) for level, values in means.items()}, np.zeros(1))
        hop = self.recipe.hop_seconds
        assert hop is not None
        return Heard(layers, np.arange(num) * hop)


def _layer(out: Any, level: str) -> torch.Tensor:
    """(B, T, D) after a level's layer; the first of the library's is what goes into layer 0."""
    assert parse_level(level)[0] in ("mean", "frames")
    layer = layer_of(level)
    return out.last_hidden_state if layer is None else out.hidden_states[layer + 1]


def _loaded(known: KnownSpeech) -> Any:
    path = weights_of(known.folder)
    with quiet():
        try:
            model, info = getattr(transformers, KINDS[known.facts["model_type"]]).from_pretrained(
                known.folder.path,
                config=known.config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
        except Exception as error:  # safetensors' own, torch's, or the library's
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path}: transformers cannot load it: {reason}") from error
    check_taken(path, model, info)
    check_finite(model.state_dict(), source=path)
    return model
