"""How frames are made worse on purpose, as a value: which perturbations, how strong, in which order; ``mouth:3``, ``noise:5``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe.bounds import take_fields
from vjepa_fer.recipe.checks import check, shown

SEVERITIES = {
    **dict.fromkeys(("mouth", "eyes", "half", "blocks", "moving"), 5),
    **dict.fromkeys(("dark", "bright", "gamma", "flicker", "cast"), 5),
    **dict.fromkeys(("blur", "motion", "noise", "downscale", "jpeg", "h264"), 5),
    "flip": 1,
    **dict.fromkeys(("drop", "rate", "freeze", "shuffle", "reverse"), 5),
}
"""Every perturbation, and its highest severity; 0 is none at all. :mod:`vjepa_fer.perturb` says what each does."""

CODECS = ("jpeg", "h264")
"""Those whose pixels are a library's, and may be others with its next version: the recipe says which it was."""


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What is done to a clip's frames between decoding and resizing.

    Attributes
    ----------
    steps : tuple of str
        ``NAME:SEVERITY``, done in this order; those of severity 0 are left out.
    seed : int
        Of everything that is drawn; each clip has its own draws, by its id.
    library : str
        Which library has coded the frames, where a step is of :data:`CODECS`; else "".
    """

    steps: tuple[str, ...]
    seed: int = 0
    library: str = ""

    def __post_init__(self) -> None:
        take_fields(self, "perturb.")
        parsed = [parse_step(step) for step in self.steps]
        kept = tuple(f"{name}:{severity}" for name, severity in parsed if severity)
        object.__setattr__(self, "steps", kept)
        check(
            bool(self.library) == any(name in CODECS for name, severity in parsed if severity),
            f"perturb.library {shown(self.library)}: said where a step is {' or '.join(CODECS)}, and only there",
        )

    @property
    def parsed(self) -> tuple[tuple[str, int], ...]:
        """Name and severity of each step."""
        return tuple(map(parse_step, self.steps))

    @property
    def in_words(self) -> str:
        """``mouth:3, then noise:5 (seed 0)``."""
        by = f", by {self.library}" if self.library else ""
        return f"{', then '.join(self.steps)} (seed {self.seed}{by})"


def parse_step(step: str) -> tuple[str, int]:
    """Split ``"mouth:3"`` into name and severity; a perturbation of one severity may go without it.

    Raises
    ------
    RecipeError
        No such perturbation, or no such severity of it.
    """
    name, colon, text = step.partition(":")
    if name not in SEVERITIES:
        raise RecipeError(not_one_of("perturbation", name, tuple(SEVERITIES)))
    most = SEVERITIES[name]
    if not colon and most == 1:
        return name, 1
    plain = len(text) == 1 and text.isascii() and text.isdigit() and int(text) <= most
    check(
        plain, f"perturbation {shown(step)}: expected {name}:SEVERITY, {_range(most)}; 0 leaves the frames as they are"
    )
    return name, int(text)


def _range(most: int) -> str:
    return "which has only 1" if most == 1 else f"from 1 (hardly) to {most} (most)"


def codings_of(steps: Sequence[str]) -> frozenset[str]:
    """The steps among :data:`CODECS`: a library's version has a part in the pixels."""
    return frozenset(name for name, severity in map(parse_step, steps) if severity and name in CODECS)
