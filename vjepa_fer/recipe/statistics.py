"""A level's name goes in, such as ``frames:mean+std``; the level, and the statistics over its time axis that are asked for, come out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError
from vjepa_fer.recipe.checks import shown
from vjepa_fer.recipe.levels import KINDS, parse_level

STATISTICS = ("mean", "std", "min", "max", "p10", "p90", "delta")
"""What papers pool frames by; any other percentile is ``pN``, N from 1 to 99."""

_PERCENTILE = re.compile(r"p([1-9][0-9]?)")


def split_statistics(level: str) -> tuple[str, tuple[str, ...]]:
    """Split a name into the level and the statistics of it, () for the level itself.

    >>> split_statistics("frames:mean+p90"), split_statistics("grid:4")
    (('frames', ('mean', 'p90')), ('grid:4', ()))

    Raises
    ------
    RecipeError
        No such statistic, one twice, or a level that has no time axis.
    """
    plain, colon, said = level.rpartition(":")
    is_level = re.split("[:@]", plain, maxsplit=1)[0] in KINDS  # what is none is refused by its whole name
    if not colon or not said or said[0].isdigit() or not is_level:
        return level, ()
    return plain, _checked(plain, said.split("+"))


def with_statistics(level: str, statistics: Sequence[str]) -> str:
    """The name of a level's statistics; with none, the level itself.

    >>> with_statistics("frames", ["mean", "std"])
    'frames:mean+std'

    Raises
    ------
    RecipeError
        As :func:`split_statistics`; or the name says statistics already.
    """
    if not statistics:
        return level
    if split_statistics(level)[1]:
        raise RecipeError(f"level {shown(level)} says its statistics already: leave pool out, or those")
    return f"{level}:{'+'.join(_checked(level, statistics))}"


def percentile_of(statistic: str) -> int | None:
    """Which percentile: ``"p90"`` → 90; None for what is none."""
    found = _PERCENTILE.fullmatch(statistic)
    return int(found[1]) if found else None


def _checked(level: str, statistics: Sequence[str]) -> tuple[str, ...]:
    for number, one in enumerate(statistics):
        if one not in STATISTICS and percentile_of(one) is None:
            listed = f"{', '.join(STATISTICS)}, or another percentile from p1 to p99"
            raise RecipeError(not_one_of("statistic", one, STATISTICS, listed=listed))
        if one in statistics[:number]:
            raise RecipeError(f"statistic {one} stands twice; leave one out")
    if parse_level(level)[0] == "mean":
        raise RecipeError(
            f"level {level} has no time axis to take {', '.join(statistics)} over; frames, grid and tokens have"
        )
    return tuple(statistics)
