"""A folder of Hugging Face's ``VJEPA2ForVideoClassification`` comes in, the same classifier as an attentive probe goes out."""

from __future__ import annotations

from pathlib import Path

from vjepa_fer.doors import Given, read_object
from vjepa_fer.errors import ProbeError
from vjepa_fer.probes.attentive.files import read_official_probe
from vjepa_fer.probes.attentive.probe import AttentiveProbe

TRAINED_HEADS = 16
"""Of all classifiers that Meta trained, whatever their encoder has."""

_CONFIG = "config.json"


def read_hub_classifier(folder: str | Path, *, num_heads: int | None = None) -> AttentiveProbe:
    """The pooler and classifier of a folder that ``save_pretrained`` wrote, or that was fetched from Hugging Face, as a fitted probe.

    The classes are those of ``config.json``. Layer norms have V-JEPA's own 1e-5, where Hugging Face has 1e-6: logits move by rounding.

    Parameters
    ----------
    folder : path
    num_heads : int, optional
        Attention heads. By default those of ``config.json``, if they are the 16 of Meta's training. The two of V-JEPA 2 giant are
        computed by transformers with the encoder's 22, but were trained with 16: which of the two is meant must be said.

    Raises
    ------
    ProbeError
        No such classifier, classes that are not numbered from 0, or heads that must be said.
    """
    try:
        config = read_object(Path(folder) / _CONFIG, error=ProbeError, at_most=1 << 20)
    except FileNotFoundError as error:
        raise ProbeError(
            f"{folder}: no {_CONFIG} in it, which says the classes; read_official_probe needs none"
        ) from error
    said = config.whole("num_attention_heads", least=1)
    if num_heads is None and said != TRAINED_HEADS:
        raise ProbeError(
            f"{config.source}: says {said} heads, as transformers computes it; Meta's classifiers were trained with {TRAINED_HEADS}: "
            f"give num_heads={said} for the former, num_heads={TRAINED_HEADS} for the latter"
        )
    parameters = read_official_probe(folder)
    return AttentiveProbe.from_parameters(parameters, _classes(config), num_heads=num_heads or said)


def _classes(config: Given) -> list[str]:
    labels = config.mapping("id2label")
    numbers = {str(number) for number in range(len(labels))}
    if set(labels) != numbers or len(set(labels.values())) < len(labels):
        config.refuse("id2label", "classes numbered from 0, no name twice")
    return [labels[str(number)] for number in range(len(labels))]
