"""Small labelled feature tables for tests: a few people show a few classes several times."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from typer.testing import CliRunner, Result

from vjepa_fer.cli.main import app
from vjepa_fer.manifest import Clip, Manifest


class Drawn(NamedTuple):
    """Clips with features `x`, float64 (N, D)."""

    ids: tuple[str, ...]
    y: np.ndarray
    subjects: np.ndarray
    x: np.ndarray

    def manifest(self, **columns) -> Manifest:
        """The clips; `columns` hold a value a clip."""
        extra = [dict(zip(columns, map(str, row), strict=True)) for row in zip(*columns.values(), strict=True)]
        rows = zip(self.ids, self.y.tolist(), self.subjects.tolist(), extra or [{}] * len(self.ids), strict=True)
        return Manifest(clips=tuple(Clip(clip_id, "", label, person, more) for clip_id, label, person, more in rows))

    def codes(self, what: str) -> np.ndarray:
        """Labels (``y``) or ``subjects`` as numbers."""
        return np.unique(getattr(self, what), return_inverse=True)[1]


def call(*arguments, status=0) -> Result:
    """Run a command in this process; what it refuses is raised, as the main program prints it."""
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == status, outcome.output
    return outcome


def draw(*, people=6, classes=("angry", "happy", "sad"), times=4, dim=6, separation=1.0, seed=0) -> Drawn:
    """``people × classes × times`` clips, each a class' mean, a person's offset and noise; `separation` 0 is noise alone."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(classes), dim)) * separation
    person, label = (a.ravel() for a in np.mgrid[:people, : len(classes), :times][:2])
    offsets = rng.normal(size=(people, dim)) * 0.3
    x = centres[label] + offsets[person] + rng.normal(size=(len(label), dim))
    y, subjects = np.array(classes)[label], np.array([f"s{n:02d}" for n in person])
    ids = tuple(f"{s}_{c}_{n % times}" for n, (s, c) in enumerate(zip(subjects, y, strict=True)))
    return Drawn(ids, y, subjects, x)


def write_features(path: Path, ids, columns: dict[str, np.ndarray], *, first: str = "clip_id") -> Path:
    """A CSV with the ids and a column each; every digit."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([first, *columns])
        writer.writerows(
            [clip, *map(repr, values)]
            for clip, *values in zip(ids, *(c.tolist() for c in columns.values()), strict=True)
        )
    return path
