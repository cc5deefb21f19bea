"""Numbers of runs go in; each picture of their features in the plane comes out once, with what every run said of its points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vjepa_fer.report.numbers import RunNumbers
from vjepa_fer.report.palette import SHAPES, shape
from vjepa_fer.report.projection import Projection

SIDE, MARGIN = 416, 12
"""Units of the picture."""


@dataclass(frozen=True, eq=False)
class Plane:
    """A projection, and the runs that were made from its features.

    Attributes
    ----------
    projection : Projection
    of : tuple of int
        Numbers of these runs on the page.
    points : mapping
        The points as small numbers, with the names that these stand for; ``said`` has the predicted and ``folds`` the fold of each
        point, run by run.
    """

    projection: Projection
    of: tuple[int, ...]
    points: dict[str, Any]


def planes_of(runs: Sequence[RunNumbers]) -> list[Plane]:
    """One plane for each projection; runs that share one have the same clips in the same order."""
    shared: dict[int, list[int]] = {}
    for number, numbers in enumerate(runs):
        if numbers.projection is not None:
            shared.setdefault(id(numbers.projection), []).append(number)
    return [_plane(tuple(of), [runs[number] for number in of]) for of in shared.values()]


def _plane(of: tuple[int, ...], runs: Sequence[RunNumbers]) -> Plane:
    shown, first = runs[0].projection, runs[0].predictions
    assert shown is not None  # planes_of looked
    rows, subjects = shown.rows, sorted(set(first.subjects.tolist()))
    number_of = {name: number for number, name in enumerate(subjects)}
    classes = list(dict.fromkeys(label for one in runs for label in one.predictions.classes))
    renamed = [[classes.index(label) for label in one.predictions.classes] for one in runs]
    points = {
        "classes": classes,
        "subjects": subjects,
        "clips": first.clip_ids[rows].tolist(),
        "true": [renamed[0][true] for true in first.truth[rows].tolist()],
        "subject": [number_of[name] for name in first.subjects[rows].tolist()],
        "fold": first.fold[rows].tolist(),
        "folds": list(first.fold_names),
        "runs": [one.title for one in runs],
        "predicted": [
            [names[said] for said in one.predictions.predicted[rows].tolist()]
            for one, names in zip(runs, renamed, strict=True)
        ],
    }
    return Plane(shown, of, points | drawn(shown.xy))


def drawn(xy: np.ndarray) -> dict[str, Any]:
    """Where the points (num_points, 2) lie in the picture, and the shapes of marks, for the page's script."""
    places = (np.array([MARGIN, MARGIN + SIDE]) + xy * np.array([SIDE, -SIDE])).round(1).tolist()
    return {"xy": places, "shapes": [one.path for one in SHAPES]}


def paths_of(points: Mapping[str, Any]) -> list[tuple[int, str]]:
    """One SVG path a class, with all marks of its clips: few nodes for many points."""
    paths: dict[int, str] = dict.fromkeys(sorted(set(points["true"])), "")
    for (x, y), own in zip(points["xy"], points["true"], strict=True):
        paths[own] += f"M{x:g} {y:g}{shape(own).path}"
    return list(paths.items())
