"""Robustness figures go in; what the page draws of them comes out: a curve a perturbation with a line an encoder, and drift beside loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vjepa_fer.robustness import Robustness

Condition = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One encoder's way along one perturbation.

    Attributes
    ----------
    number : int
        Of the encoder.
    points : sequence of mapping
        Its conditions by severity, the clean one first.
    """

    number: int
    name: str
    points: Sequence[Condition]


@dataclass(frozen=True)
class Curve:
    """One perturbation."""

    name: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Moved:
    """One level of one encoder: each condition's mean drift and what it costs, and how the two go together."""

    number: int
    name: str
    level: str
    points: Sequence[tuple[str, float, float]]
    clips: Mapping[str, Any] | None
    conditions: Mapping[str, Any] | None


@dataclass(frozen=True)
class Curves:
    """The section of a page."""

    encoders: Sequence[Mapping[str, Any]]
    curves: Sequence[Curve]
    moved: Sequence[Moved]


def curves_of(found: Robustness) -> Curves:
    """What the page draws of robustness figures."""
    names = dict.fromkeys(name for encoder in found.encoders for name in encoder["curves"])
    curves = [Curve(name, list(_lines(found.encoders, name))) for name in names]
    return Curves(found.encoders, curves, list(_moved(found.encoders)))


def _lines(encoders: Sequence[Mapping[str, Any]], curve: str) -> Iterator[Line]:
    for number, encoder in enumerate(encoders):
        wanted = encoder["curves"].get(curve, [])
        if wanted:
            points = [one for one in encoder["conditions"] if one["name"] in ("clean", *wanted)]
            yield Line(number, encoder["name"], sorted(points, key=lambda one: one["severity"]))


def _moved(encoders: Sequence[Mapping[str, Any]]) -> Iterator[Moved]:
    for number, encoder in enumerate(encoders):
        clean = encoder["conditions"][0]["war"]["value"]
        for level, said in encoder["correlation"].items():
            points = [
                (one["name"], one["drift"][level]["value"], clean - one["war"]["value"])
                for one in encoder["conditions"]
                if one["drift"]
            ]
            yield Moved(number, encoder["name"], level, points, said["clips"], said["conditions"])
