"""The number of a class, a fold or a person goes in; a colour and a shape that nobody takes for another's come out, for page and paper.

Colours alone fail one man in twelve. These are Petroff's ten (arXiv 2107.02270), in his order, chosen so that any first few of them
stay apart in full vision and in the three dichromacies. On a dark ground they are moved, each near its own hue, to where all stand out from
the ground (3 : 1) and the nearest two are farthest apart. Beside each colour goes a shape.
"""

from __future__ import annotations

from typing import NamedTuple

LIGHT = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
DARK = ("#32a6e2", "#ffc33a", "#c14200", "#abd2ce", "#a02fe5", "#d27d81", "#f9620d", "#f2ecac", "#646e7c", "#9ffdfc")


class Shape(NamedTuple):
    """A mark around the point where an SVG path stands, about 6 units wide, and matplotlib's name for it."""

    path: str
    matplotlib: str


SHAPES = (
    Shape("m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0", "o"),
    Shape("m0-3.6l3.4 6h-6.8z", "^"),
    Shape("m-2.6-2.6h5.2v5.2h-5.2z", "s"),
    Shape("m0-3.9l3.9 3.9l-3.9 3.9l-3.9-3.9z", "D"),
    Shape("m0 3.6l3.4-6h-6.8z", "v"),
    Shape("m-1.2-3.6h2.4v2.4h2.4v2.4h-2.4v2.4h-2.4v-2.4h-2.4v-2.4h2.4z", "P"),
    Shape("m-3.6-1.3h7.2v2.6h-7.2z", "_"),
)
"""Seven, so that with ten colours the first seventy differ in one of the two."""


def colour(number: int) -> str:
    """On white."""
    return LIGHT[number % len(LIGHT)]


def shape(number: int) -> Shape:
    """The shape that goes with the colour of the same number."""
    return SHAPES[number % len(SHAPES)]


def style() -> str:
    """The colours as properties ``--k0`` … of a style sheet, for light and dark, and a class for each."""
    light, dark = (" ".join(f"--k{n}: {one};" for n, one in enumerate(row)) for row in (LIGHT, DARK))
    classes = " ".join(f".k{n} {{ fill: var(--k{n}); stroke: var(--k{n}); }}" for n in range(len(LIGHT)))
    return f":root {{ {light} }} @media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }} {classes}"
