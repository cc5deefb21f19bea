"""What a fitted probe knows goes to a file without pickle; what a file says of one comes back, believed piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.doors import Given
from vjepa_fer.errors import ProbeError

ARRAYS, PROBE_JSON = "arrays.safetensors", "probe.json"


@dataclass(frozen=True, eq=False)
class Learnt:
    """What a fitted probe knows beyond its parameters and classes, in forms that a file can hold without pickle."""

    arrays: dict[str, NDArray] = field(default_factory=dict)
    numbers: dict[str, int | float] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class Held:
    """What a file holds: a probe takes what it knows, each piece once, and :meth:`finish` refuses what is left.

    Raises
    ------
    ProbeError
        By every method: what was asked for is missing, or not of the shape and kind expected.
    """

    def __init__(self, learnt: Learnt) -> None:
        self._arrays, self._texts = dict(learnt.arrays), dict(learnt.texts)
        self._numbers = Given(dict(learnt.numbers), f"{PROBE_JSON}, numbers", ProbeError)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def names(self) -> tuple[str, ...]:
        """Of the arrays that nobody has taken yet."""
        return tuple(self._arrays)

    def floats(self, name: str, *shape: int | None, kinds: tuple[str, ...] = ("float32", "float64")) -> NDArray:
        """An array of finite numbers; a side that is None has any length but 0."""
        array = self._array(name, shape)
        if array.dtype.name not in kinds:
            self.refuse(name, f"holds {array.dtype}, expected {' or '.join(kinds)}")
        if not np.isfinite(array).all():
            self.refuse(name, "holds NaN or infinity")
        return array

    def wholes(self, name: str, *shape: int | None, most: int) -> NDArray[np.intp]:
        """An array of int64 from 0 to `most`."""
        array = self._array(name, shape)
        if array.dtype != np.int64:
            self.refuse(name, f"holds {array.dtype}, expected int64")
        if array.size and not 0 <= array.min() <= array.max() <= most:
            self.refuse(name, f"holds numbers from {array.min()} to {array.max()}, expected 0 to {most}")
        return array.astype(np.intp)

    def whole(self, name: str, *, least: int = 0) -> int:
        """A whole number."""
        value = self._numbers.whole(name, least=least)
        del self._numbers.values[name]
        return value

    def number(self, name: str) -> float:
        """A finite number of at least 0."""
        value = self._numbers.number(name)
        if value < 0:
            self._numbers.refuse(name, "a number of at least 0")
        del self._numbers.values[name]
        return value

    def text(self, name: str) -> str:
        """A text."""
        if name not in self._texts:
            raise ProbeError(f"{name}.txt is missing")
        return self._texts.pop(name)

    def finish(self) -> None:
        """Refuse what nobody asked for."""
        left = [f"{ARRAYS}: {name!r}" for name in self._arrays]
        left += [f"{PROBE_JSON}, numbers: {name!r}" for name in self._numbers]
        left += [f"{name}.txt" for name in self._texts]
        if left:
            raise ProbeError(f"{left[0]} belongs to no probe of this kind")

    def refuse(self, name: str, why: str) -> NoReturn:
        """Raise, naming an array."""
        raise ProbeError(f"{ARRAYS}: {name!r} {why}")

    def _array(self, name: str, shape: tuple[int | None, ...]) -> NDArray:
        if name not in self._arrays:
            self.refuse(name, "is missing")
        array = self._arrays.pop(name)
        fits = len(array.shape) == len(shape) and all(
            have == want if want is not None else have > 0 for have, want in zip(array.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if side is None else str(side) for side in shape)
            self.refuse(name, f"has shape {array.shape}, expected ({wanted})")
        return array
