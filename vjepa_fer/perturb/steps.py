"""The steps of a recipe and a clip's frames go in; the frames after all steps come out, all at once or one by one as they are decoded.

A later place of a frame in the film depends on the steps that move frames, so the way is followed from the end: of each frame that is
wanted, its place before every step, and the decoded frame that it is at last::

    wanted 0 4 8 … ──reverse──► 23 19 15 … ──noise (drawn for these numbers)──► decoded frames 23 19 15 …
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vjepa_fer.perturb import blur, codecs, light, occlusion, order
from vjepa_fer.perturb.draws import Shot, seed_of
from vjepa_fer.perturb.noise import noise
from vjepa_fer.recipe import FaceCrop, Perturbation, Preprocessing, codings_of

Pictures = Callable[[np.ndarray, int, Shot], np.ndarray]
"""Frames (T, H, W, 3) uint8, a severity from 1, where they come from → frames."""
Order = Callable[[int, int, int], np.ndarray]
"""The number of a film's frames, a severity from 1, a seed → which frame is shown at each place, int64 (num_frames,)."""

PICTURES: dict[str, Pictures] = {
    "mouth": occlusion.mouth,
    "eyes": occlusion.eyes,
    "half": occlusion.half,
    "blocks": occlusion.blocks,
    "moving": occlusion.moving,
    "dark": light.dark,
    "bright": light.bright,
    "gamma": light.gamma,
    "flicker": light.flicker,
    "cast": light.cast,
    "blur": blur.blur,
    "motion": blur.motion,
    "noise": noise,
    "downscale": blur.downscale,
    "jpeg": codecs.jpeg,
    "flip": order.flip,
}
FILMS = {"h264": codecs.h264}
"""What needs frames before and after."""
ORDERS: dict[str, Order] = {
    "drop": order.drop,
    "rate": order.rate,
    "freeze": order.freeze,
    "shuffle": order.shuffle,
    "reverse": order.reverse,
}

FACE = 1 / FaceCrop().margin
"""Of whole frames: a face in their middle, as large as in a crop that follows it."""


@dataclass(frozen=True)
class Step:
    """One perturbation of one clip."""

    name: str
    severity: int
    seed: int


@dataclass(frozen=True, eq=False)
class Traced:
    """Where the K wanted frames come from.

    Attributes
    ----------
    sources : ndarray, shape (K,), int64
        The decoded frame that each is of.
    places : ndarray, shape (num_steps, K), int64
        Its place in the film before each step.
    """

    sources: np.ndarray
    places: np.ndarray


def perturb(
    frames: np.ndarray, steps: Sequence[str], *, seed: int = 0, clip_id: str = "", face: float = FACE
) -> np.ndarray:
    """All frames of a clip after all steps.

    Parameters
    ----------
    frames : ndarray, shape (T, H, W, 3), uint8
        Not changed.
    steps : sequence of str
        ``NAME:SEVERITY``, done in this order.
    seed : int
        Of everything that is drawn, with the clip's id.
    clip_id : str
    face : float
        Side of the face in units of the short side; it is taken to lie in the middle.

    Returns
    -------
    ndarray, shape (T, H, W, 3), uint8

    Raises
    ------
    RecipeError
        No such perturbation or severity.
    """
    asked = perturbation(steps, seed=seed)
    done = steps_of(asked, clip_id) if asked else []
    traced = trace(done, np.arange(len(frames)), len(frames))
    return np.array(on_film(done, list(frames[traced.sources]), traced.places, face), np.uint8).reshape(frames.shape)


def perturbation(steps: Sequence[str], *, seed: int = 0) -> Perturbation | None:
    """The value that a recipe holds, with the library that codes, where one does; None where nothing is done.

    Raises
    ------
    RecipeError
        No such perturbation or severity.
    MissingExtraError
        A step needs PyAV.
    """
    if not steps:
        return None
    coded = codings_of(steps)
    asked = Perturbation(steps=tuple(steps), seed=seed, library=codecs.library(coded) if coded else "")
    return asked if asked.steps else None


def steps_of(asked: Perturbation, clip_id: str) -> list[Step]:
    """The steps of a recipe for one clip, each with its own draws."""
    return [
        Step(name, severity, seed_of(asked.seed, clip_id, number))
        for number, (name, severity) in enumerate(asked.parsed)
    ]


def face_of(preprocessing: Preprocessing) -> float:
    """Side of the face in the pictures that are perturbed, of their short side."""
    crop = preprocessing.face_crop
    return FACE if crop is None else 1 / crop.margin


def trace(steps: Sequence[Step], numbers: np.ndarray, num_frames: int) -> Traced:
    """Follow wanted frames, by their numbers (K,), back to those that are decoded."""
    places = []
    for step in reversed(steps):
        if step.name in ORDERS:
            numbers = ORDERS[step.name](num_frames, step.severity, step.seed)[numbers]
        places.append(numbers)
    return Traced(numbers, np.array(places[::-1], np.int64).reshape(len(steps), len(numbers)))


def needs_film(steps: Sequence[Step]) -> bool:
    """Whether some step has to see all frames at once."""
    return any(step.name in FILMS for step in steps)


def on_picture(steps: Sequence[Step], picture: np.ndarray, places: np.ndarray, face: float) -> np.ndarray:
    """One frame (H, W, 3) after all steps, none of which needs the film; `places` (num_steps,) are its own."""
    frames = picture[None]
    for step, place in zip(steps, places, strict=True):
        if step.name in PICTURES:
            frames = PICTURES[step.name](frames, step.severity, Shot(step.seed, place[None], face))
    return frames[0]


def on_film(steps: Sequence[Step], pictures: list[np.ndarray], places: np.ndarray, face: float) -> list[np.ndarray]:
    """All K frames after all steps; a face crop may have given them different sizes."""
    for step, place in zip(steps, places, strict=True):
        if step.name in FILMS:
            pictures = _as_film(step, pictures, place)
        elif step.name in PICTURES:
            shots = (Shot(step.seed, place[at : at + 1], face) for at in range(len(place)))
            pictures = [
                PICTURES[step.name](picture[None], step.severity, shot)[0]
                for picture, shot in zip(pictures, shots, strict=True)
            ]
    return pictures


def _as_film(step: Step, pictures: list[np.ndarray], places: np.ndarray) -> list[np.ndarray]:
    """Coded in the order of the film, each place once; smaller pictures lie in the corner of the largest, and go on beyond their edge."""
    _, first, where = np.unique(places, return_index=True, return_inverse=True)
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    film = np.stack([_widened(pictures[number], height, width) for number in first])
    coded = FILMS[step.name](film, step.severity)
    return [coded[number, : one.shape[0], : one.shape[1]] for number, one in zip(where, pictures, strict=True)]


def _widened(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(picture, ((0, height - picture.shape[0]), (0, width - picture.shape[1]), (0, 0)), mode="edge")
