"""What carries a label is found by taking it away: on drawn faces whose mouth, or whose motion alone, tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vjepa_fer.demo import Expression, Face, draw_face, write_film
from vjepa_fer.encoder import load_encoder
from vjepa_fer.experiment import Cell, Experiment, Protocol
from vjepa_fer.extract import ExtractSettings, extract_manifest, make_recipe
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.perturb import perturbation
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.robustness import robustness_of

SUBJECTS, TIMES, FRAMES = 9, 1, 12
ASKED = Experiment(
    cells=(Cell(probe="logreg", level="grid", scale="none"),),
    protocol=Protocol(folds="subject-kfold:3", seed=0),
)


def draw(expression: Expression, amounts: np.ndarray, face: Face, rng: np.random.Generator) -> np.ndarray:
    shift = rng.normal(0, 0.01, 2)
    frames = np.stack([draw_face(face, expression, amount=a, shift=shift, side=64) for a in amounts])
    return ((frames + rng.normal(0, 0.01, (len(frames), 64, 64, 1))).clip(0, 1) * 255).round().astype(np.uint8)


def films(folder: Path, kinds: dict[str, tuple[Expression, np.ndarray]]) -> Manifest:
    rng = np.random.default_rng(0)
    clips = []
    for subject in range(SUBJECTS):
        face = Face.random(rng)
        for label, (expression, amounts) in kinds.items():
            for time in range(TIMES):
                name = f"{subject}-{label}-{time}"
                write_film(folder / f"{name}.mp4", draw(expression, amounts, face, rng))
                clips.append(Clip(name, str(folder / f"{name}.mp4"), label, f"s{subject}"))
    return Manifest(clips=tuple(clips))


def caches(manifest: Manifest, folder: Path, *conditions: str) -> list[Path]:
    """The clean cache, then one a condition: mean colours of an 8 × 8 grid at four moments."""
    encoder, paths = load_encoder("pixels:8"), []
    for steps in ([], *([condition] for condition in conditions)):
        recipe = make_recipe(
            encoder,
            sampling=Sampling(frames_per_window=4, frame_step=3, num_segments=1),
            storage=Storage(levels=("mean", "grid:8")),
            perturb=perturbation(steps),
        )
        paths.append(folder / ("+".join(steps).replace(":", "") or "clean"))
        extract_manifest(manifest, paths[-1], encoder, recipe, settings=ExtractSettings(workers=1), progress=False)
    return paths


@pytest.fixture(scope="module")
def mouths(tmp_path_factory):
    folder, still = tmp_path_factory.mktemp("mouths"), np.ones(FRAMES)
    kinds = {"open": (Expression(mouth_open=0.8), still), "shut": (Expression(), still)}
    return caches(films(folder, kinds), folder, "mouth:5", "eyes:5")


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    """A smile that comes and one that goes: the same frames in another order, and the same in the middle."""
    folder = tmp_path_factory.mktemp("motions")
    smile = Expression(smile=0.3, mouth_open=0.9)
    comes = np.clip(0.5 + (np.arange(FRAMES) - (FRAMES - 1) // 2) / FRAMES, 0, 1)
    kinds = {"comes": (smile, comes), "goes": (smile, 1 - comes)}
    return caches(films(folder, kinds), folder, "freeze:5", "dark:2", "reverse:5")


def named(found, name: str):
    return next(one for one in found.encoders[0]["conditions"] if one["name"] == name)


def wars(found) -> dict[str, float]:
    (encoder,) = found.encoders
    return {one["name"]: one["war"]["value"] for one in encoder["conditions"]}


def test_hiding_the_mouth_that_carries_the_label_leaves_chance_and_hiding_the_eyes_does_not(mouths):
    found = robustness_of(ASKED, mouths)
    war = wars(found)
    assert war["clean"] == 100
    assert war["eyes:5"] > 85
    assert named(found, "eyes:5")["war"]["change"]["interval"][1] >= 0
    assert 25 <= war["mouth:5"] <= 75
    change = named(found, "mouth:5")["war"]["change"]
    assert change["value"] == pytest.approx(war["mouth:5"] - 100)
    assert change["real"]


def test_a_label_of_motion_alone_dies_when_time_stands_still_and_survives_the_dark(motions):
    war = wars(robustness_of(ASKED, motions))
    assert war["clean"] == 100
    assert war["dark:2"] > 85
    assert 25 <= war["freeze:5"] <= 75
    assert war["reverse:5"] < 25  # what comes, goes
