"""The values of an axis go in; where they stand and what is written beneath come out: powers of ten, and no more labels than fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

DECADES = 3
"""Positive numbers that span so many are shown on a logarithmic axis."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_logarithmic(values: Sequence[Any]) -> bool:
    """Whether the values are positive numbers over three decades or more."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < len(values) or len(numbers) < 2 or min(numbers) <= 0:
        return False
    return max(numbers) / min(numbers) >= 10**DECADES * (1 - 1e-9)


def places(values: Sequence[Any]) -> list[float]:
    """Where ascending values stand between 0 and 1: by their logarithm on such an axis, evenly on any other."""
    if is_logarithmic(values):
        logs = [math.log10(value) for value in values]
        return [(one - logs[0]) / (logs[-1] - logs[0]) for one in logs]
    return [number / max(len(values) - 1, 1) for number in range(len(values))]


def ticks(values: Sequence[Any], most: int = 8) -> list[tuple[float, str]]:
    """At most so many labels and where they stand: the powers of ten within a logarithmic axis, else the values themselves, thinned.

    >>> ticks([0.00001, 0.0021, 1, 10], 4)
    [(0.0, '10⁻⁵'), (0.333…, '10⁻³'), (0.666…, '10⁻¹'), (1.0, '10¹')]
    """
    if is_logarithmic(values):
        low, high = math.log10(values[0]), math.log10(values[-1])
        powers = range(math.ceil(low - 1e-6), math.floor(high + 1e-6) + 1)
        return [((power - low) / (high - low), power_of_ten(power)) for power in _thinned(powers, most)]
    stand = places(values)
    return [(stand[number], short(values[number])) for number in _thinned(range(len(values)), most)]


def _thinned(numbers: range, most: int) -> range:
    step = max(1, math.ceil(len(numbers) / most))
    return numbers[::step]


def power_of_ten(power: int) -> str:
    """``10⁻⁵``."""
    return f"10{str(power).translate(_RAISED)}"


def short(value: Any) -> str:
    """A value as people write it: ``0.1``, ``10⁻⁵``, ``1.8·10⁻⁴``, ``standard``.

    >>> short(0.1), short(1e-05), short(0.000183298), short(300), short("standard")
    ('0.1', '10⁻⁵', '1.8·10⁻⁴', '300', 'standard')
    """
    if isinstance(value, bool) or not isinstance(value, float) or not math.isfinite(value) or value == 0:
        return str(value)
    if 0.001 <= abs(value) < 100_000:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, power = f"{value:.1e}".split("e")
    raised = power_of_ten(int(power))
    return raised if mantissa == "1.0" else f"{mantissa.removesuffix('.0')}·{raised}"


def signed(value: float, digits: int = 2) -> str:
    """A difference with its sign, a minus as long as the plus: ``+1.20``, ``−0.35``, and ``0.00`` without.

    >>> signed(1.2), signed(-0.351), signed(-0.001)
    ('+1.20', '−0.35', '0.00')
    """
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def scale(reach: float) -> list[float]:
    """Round numbers on both sides of 0 that cover `reach`, five of them.

    >>> scale(3.7), scale(0.4)
    ([-4, -2, 0, 2, 4], [-0.4, -0.2, 0, 0.2, 0.4])
    """
    power = 10.0 ** math.floor(math.log10(max(reach, 1e-9) / 2))
    step = next(one * power for one in (1, 2, 2.5, 5, 10) if 2 * one * power >= reach * (1 - 1e-9))
    return [round(number * step, 10) + 0 for number in (-2, -1, 0, 1, 2)]
