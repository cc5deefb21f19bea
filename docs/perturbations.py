"""A drawn face goes in; the contact sheet of every perturbation comes out: ``python docs/perturbations.py docs/pictures/perturbations.png``.

A row a perturbation: the middle of the film at severities 1 to 5; of those of time, the film at severity 5, whose mouth opens as it runs.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

from vjepa_fer.demo import Expression, Face, draw_face
from vjepa_fer.perturb import perturb
from vjepa_fer.perturb.steps import ORDERS
from vjepa_fer.recipe import SEVERITIES

SIDE, SHOWN, GAP, NAMES = 192, 84, 4, 78
NUM_FRAMES, PLACES = 30, (0, 7, 14, 21, 29)
NUM_ROWS = 12


def drawn_film() -> np.ndarray:
    """A mouth that opens, uint8 (T, SIDE, SIDE, 3)."""
    face, opens = Face.random(np.random.default_rng(3)), Expression(smile=0.7, mouth_open=1.0)
    amounts = np.linspace(0, 1, NUM_FRAMES)
    frames = [draw_face(face, opens, amount=amount, shift=np.zeros(2), side=SIDE) for amount in amounts]
    return (np.stack(frames) * 255).round().astype(np.uint8)


def row_of(film: np.ndarray, name: str) -> list[np.ndarray]:
    """Six pictures: one as it is, five perturbed."""
    if name in ORDERS:
        shown = perturb(film, [f"{name}:5"])
        return [film[PLACES[-1]], *(shown[place] for place in PLACES)]
    middle, last = film[10:21], SEVERITIES[name]
    return [middle[5], *(perturb(middle, [f"{name}:{severity}"])[5] for severity in range(1, last + 1))]


def sheet(film: np.ndarray) -> Image.Image:
    """All rows, in two columns."""
    cell, width = SHOWN + GAP, NAMES + 6 * (SHOWN + GAP) + 12
    page = Image.new("RGB", (2 * width, NUM_ROWS * cell + 18), "white")
    pen = ImageDraw.Draw(page)
    for number, name in enumerate(SEVERITIES):
        left, top = number // NUM_ROWS * width, number % NUM_ROWS * cell + 16
        pen.text((left + 4, top + SHOWN // 2 - 6), name, fill="black")
        for place, picture in enumerate(row_of(film, name)):
            small = Image.fromarray(picture).resize((SHOWN, SHOWN), Image.Resampling.LANCZOS)
            page.paste(small, (left + NAMES + place * cell, top))
    for left in (0, width):
        for place, word in enumerate(("as it is", *"12345")):
            pen.text((left + NAMES + place * cell + 4, 2), word, fill="black")
    return page


if __name__ == "__main__":
    sheet(drawn_film()).quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        sys.argv[1], optimize=True
    )
