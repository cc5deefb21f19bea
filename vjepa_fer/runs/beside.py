"""A result as ``run.json`` has it goes in; what it says beside the figures of its predictions, which do not tell it, comes out."""

from __future__ import annotations

from typing import Any

from vjepa_fer.doors import Given
from vjepa_fer.evaluation import AGAINST, SOURCES
from vjepa_fer.runs.encoders import read_encoder
from vjepa_fer.runs.fusions import read_fusion

VOTES = ("vote_cross_entropy", "vote_entropy")
PEOPLE = {"votes": tuple(SOURCES), "against": AGAINST}
"""What raters' figures say of themselves."""


def read_beside(result: Given) -> dict[str, Any]:
    """What counted as right, what raters said, what no audit could look at, of which control, encoder or streams its features are, and which classes were
    trained on; each where the run has it.

    See :meth:`vjepa_fer.evaluation.reference.VoteBook.beside` for the words.

    Raises
    ------
    RunError
        A value of another type.
    """
    said: dict[str, Any] = {}
    if "labels" in result:
        said["labels"] = result.text("labels")
    if "human" in result:
        said["human"] = None if result.raw("human") is None else _ceiling(result.object("human"))
    if "agreement" in result:
        said["agreement"] = result.number("agreement")
    if any(name in result for name in VOTES):
        said |= {name: result.number(name) for name in VOTES}
    if "unaudited" in result:
        said["unaudited"] = list(result.texts("unaudited"))
    if "control" in result:
        said["control"] = result.text("control")
    if "encoder" in result:
        said["encoder"] = read_encoder(result.object("encoder"))
    if "fusion" in result:
        said["fusion"] = read_fusion(result.object("fusion"))
    if "trained_classes" in result:
        said["trained_classes"] = list(result.texts("trained_classes"))
    return said


def _ceiling(human: Given) -> dict[str, Any]:
    figures = {name: None if human.raw(name) is None else human.number(name) for name in ("rater", "majority")}
    said = {name: human.text(name) for name in PEOPLE if name in human}  # an older version did not say
    for name, text in said.items():
        if text not in PEOPLE[name]:
            human.refuse(name, f"one of {', '.join(PEOPLE[name])}")
    return {**figures, "clips": human.whole("clips"), **said}
