"""What was asked for by name comes in, ``egemaps`` or ``hf:…`` with levels and layers; the extractor that is ready to hear goes out."""

from __future__ import annotations

from collections.abc import Sequence

from vjepa_fer.doors import not_one_of
from vjepa_fer.encoder.baselines.source import is_baseline
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe import levels_of_layers
from vjepa_fer.sound.heard import Extractor
from vjepa_fer.sound.smile import SETS, SmileExtractor

FEATURES = ("egemaps", "egemaps-lld", "hf:FOLDER", "hf:OWNER/NAME@REVISION")


def load_extractor(
    features: str, *, level: str | None = None, layers: Sequence[int] | None = None, device: str = "cpu"
) -> Extractor:
    """The extractor that a name means.

    Parameters
    ----------
    features : str
        ``egemaps``, ``egemaps-lld``, or ``hf:`` and a folder or a repository of the hub.
    level : {"frames", "mean"}, optional
        Of a speech encoder: a row every 20 ms, or the mean over all. ``frames`` by default.
    layers : sequence of int, optional
        Of a speech encoder, from 0, or from -1 backwards; the last one by default.
    device : str
        Of a speech encoder.

    Raises
    ------
    RecipeError
        No such features, or a level or layer that they do not have.
    CheckpointError, DownloadError
        The encoder cannot be had.
    MissingExtraError
        The library that computes them is not installed.
    """
    if is_baseline(features):
        return _speech(features, level or "frames", layers, device)
    if features not in SETS:
        raise RecipeError(not_one_of("features", features, SETS, listed=", ".join(FEATURES)))
    own = SETS[features][1]
    if layers is not None:
        raise RecipeError(f"layers: {features} has none; a speech encoder has, such as hf:facebook/wav2vec2-large-lv60")
    if level not in (None, own):
        raise RecipeError(f"level {level}: {features} is {own}, and nothing else{_other(features)}")
    return SmileExtractor(features)


def _other(features: str) -> str:
    return (
        "; egemaps-lld has frames"
        if features == "egemaps"
        else "; a clip's mean is read from them: probe --features mean"
    )


def _speech(features: str, level: str, layers: Sequence[int] | None, device: str) -> Extractor:
    from vjepa_fer.sound.speech import read_speech

    known = read_speech(features)
    if level not in ("frames", "mean"):
        raise RecipeError(not_one_of("level", level, ("frames", "mean")))
    from vjepa_fer.sound.encoder import SpeechExtractor  # loads torch and transformers

    levels = [level] if layers is None else levels_of_layers([level], layers, known.facts["depth"])
    return SpeechExtractor(known, levels, device)
