"""Predictions of several tables go in; the same with each clip, subject and class spelled in one way, and what was united, come out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.judging.predictions import Predictions
from vjepa_fer.manifest import UNIFY, respelled, shown


def spelled_alike(predictions: Mapping[str, Predictions]) -> tuple[dict[str, Predictions], dict[str, str]]:
    """The predictions with names as the first that has them spells them; each other spelling, and what it was taken for.

    Raises
    ------
    RunError
        Two clips or classes of one table would be one.
    """
    known: dict[str, dict[str, None]] = {"clip": {}, "subject": {}, "class": {}}
    united: dict[str, str] = {}
    alike = {}
    for name, one in predictions.items():
        said = {
            "clip": one.clip_ids.tolist(),
            "subject": [subject for subject in one.subjects.tolist() if subject],
            "class": one.classes,
        }
        spelt = {kind: respelled(names, known[kind]) for kind, names in said.items()}
        for kind in ("clip", "class"):
            _refuse_two_in_one(name, kind, said[kind], spelt[kind])
        alike[name] = _respelled(one, spelt)
        for kind, names in said.items():
            known[kind] |= dict.fromkeys(spelt[kind].get(text, text) for text in names)
            united |= spelt[kind]
    return alike, united


def _refuse_two_in_one(name: str, kind: str, said: Sequence[str], spelt: Mapping[str, str]) -> None:
    for theirs, ours in spelt.items():
        if ours in said or list(spelt.values()).count(ours) > 1:
            told, other = shown([theirs, ours])
            raise RunError(f"{name}: with {UNIFY} two of its {kind} names are one: {told} beside {other}; rename one")


def _respelled(one: Predictions, spelt: Mapping[str, Mapping[str, str]]) -> Predictions:
    def column(kind: str, values: np.ndarray) -> np.ndarray:
        return np.array([spelt[kind].get(text, text) for text in values.tolist()], dtype=str)

    return dataclasses.replace(
        one,
        clip_ids=column("clip", one.clip_ids),
        subjects=column("subject", one.subjects),
        classes=tuple(spelt["class"].get(text, text) for text in one.classes),
    )
