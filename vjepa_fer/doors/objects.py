"""A JSON file from anywhere comes in; its values go out one by one, each of the type that was asked for, or an error that names it.

The text is read strictly: one object, no key twice, no NaN or infinity, no half of a Unicode pair. A value of another type than
expected is refused with file, key, what stands there and what was expected, so that no caller has to expect the unexpected.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from vjepa_fer.doors.bounded import TooLargeError, read_bytes
from vjepa_fer.errors import VjepaFerError

LARGEST_OBJECT = 64 << 20
LARGEST_NUMBER = 2**63 - 1
"""Whole numbers beyond fit into no array and no file's size."""

DEEPEST = 64
"""Objects and lists in each other: what is within can be compared, printed and written without a look at the stack."""


@dataclass(frozen=True, eq=False)
class Given:
    """A JSON object from outside, with where it stands; its methods give values of one type, or raise `error`.

    Attributes
    ----------
    values : dict
    source : str
        What messages call it: the file, and the keys that lead to it.
    error : type of VjepaFerError
        Raised for a value that is missing or of another type.
    advice : str
        What to do about a damaged file, for the end of every message.
    """

    values: dict[str, Any]
    source: str
    error: type[VjepaFerError] = VjepaFerError
    advice: str = ""

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __iter__(self) -> Iterator[str]:
        return iter(self.values)

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        return self._of(key, (str,), "a text", default)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """true or false."""
        return self._of(key, (bool,), "true or false", default)

    def whole(self, key: str, default: int | None = None, *, least: int = 0, most: int = LARGEST_NUMBER) -> int:
        """A whole number within bounds."""
        value = self._of(key, (int,), "a whole number", default)
        if value is not default and not least <= value <= most:
            self.refuse(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self._of(key, (int, float), "a number", default)
        try:
            return float(value)
        except OverflowError:
            self.refuse(key, "a number that is not too large")

    def object(self, key: str, *, optional: bool = False) -> Given:
        """An object; an empty one where there is none and that is allowed."""
        value = self._of(key, (dict,), "an object", {} if optional else None)
        return Given(value, self._name(key), self.error, self.advice)

    def objects(self, key: str, *, optional: bool = False) -> list[Given]:
        """A list of objects."""
        values = self.list(key, optional=optional)
        for number, value in enumerate(values):
            if not isinstance(value, dict):
                self.refuse(key, f"a list of objects (entry {number} is none)")
        named = ((f"{self._name(key)}[{number}]", value) for number, value in enumerate(values))
        return [Given(value, name, self.error, self.advice) for name, value in named]

    def texts(self, key: str, *, optional: bool = False) -> tuple[str, ...]:
        """A list of texts."""
        values = self.list(key, optional=optional)
        if not all(isinstance(value, str) for value in values):
            self.refuse(key, "a list of texts")
        return tuple(values)

    def list(self, key: str, *, optional: bool = False) -> list[Any]:
        """A list of anything."""
        return self._of(key, (list,), "a list", [] if optional else None)

    def mapping(self, key: str, *, optional: bool = False) -> dict[str, str]:
        """An object of texts."""
        values = self.object(key, optional=optional).values
        if not all(isinstance(value, str) for value in values.values()):
            self.refuse(key, "an object of texts")
        return values

    def raw(self, key: str) -> Any:
        """Whatever stands there, for a reader that checks by itself."""
        if key not in self.values:
            raise self.error(self._message(f"{key!r} is missing"))
        return self.values[key]

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise, saying what stands at `key` and what was expected."""
        shown = json.dumps(self.values.get(key), ensure_ascii=False)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        raise self.error(self._message(f"{key!r} is {shown}, expected {expected}"))

    def _of(self, key: str, types: tuple[type, ...], expected: str, default: Any) -> Any:
        if key not in self.values and default is not None:
            return default
        value = self.raw(key)
        if type(value) not in types:
            self.refuse(key, expected)
        return value

    def _name(self, key: str) -> str:
        return f"{self.source}, {key}"

    def _message(self, what: str) -> str:
        return f"{self.source}: {what}" + (f"; {self.advice}" if self.advice else "")


def read_object(
    path: str | os.PathLike[str],
    *,
    error: type[VjepaFerError] = VjepaFerError,
    advice: str = "",
    at_most: int = LARGEST_OBJECT,
    follow: bool = True,
) -> Given:
    """Read a JSON file that holds one object.

    Parameters
    ----------
    path : path
    error : type of VjepaFerError
        Raised by this function and by what it returns.
    advice : str
        For the end of every message.
    at_most : int
        Bytes.
    follow : bool
        False refuses a link.

    Raises
    ------
    FileNotFoundError
        No such file: what that means, the caller knows.
    VjepaFerError
        `error`: it cannot be read, is too large, or is not one JSON object.
    """
    text = read_text(path, error=error, advice=advice, at_most=at_most, follow=follow)
    return parse_object(text, str(path), error=error, advice=advice)


def read_text(
    path: str | os.PathLike[str],
    *,
    error: type[VjepaFerError] = VjepaFerError,
    advice: str = "",
    at_most: int = LARGEST_OBJECT,
    follow: bool = True,
) -> str:
    """The UTF-8 text of a file, for a reader that compares it with what it should be; otherwise as :func:`read_object`."""
    try:
        data = read_bytes(path, at_most=at_most, follow=follow)
    except FileNotFoundError:
        raise
    except (OSError, TooLargeError) as fault:
        raise error(_said(f"{path}: cannot be read ({fault})", advice)) from fault
    return _decoded(data, str(path), error, advice)


def parse_object(
    text: str | bytes, source: str, *, error: type[VjepaFerError] = VjepaFerError, advice: str = ""
) -> Given:
    """A JSON text that is one object; see :func:`read_object`."""
    text = text if isinstance(text, str) else _decoded(text, source, error, advice)
    try:
        values = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant, parse_float=_finite)
        text.encode()  # a lone surrogate in the text itself …
        json.dumps(values, ensure_ascii=False).encode()  # … or escaped in it
        _refuse_deep(values)
    except (ValueError, RecursionError, MemoryError) as fault:
        raise error(_said(f"{source}: cannot be read as JSON ({_reason(fault)})", advice)) from fault
    if not isinstance(values, dict):
        kind = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(values), "a number")
        raise error(_said(f"{source}: holds {kind}, expected one JSON object", advice))
    return Given(values, source, error, advice)


def canonical_json(value: Any) -> str:
    """JSON that equal values have in common: keys in order, no blanks.

    Raises
    ------
    ValueError
        A number that is NaN or infinite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _decoded(data: bytes, source: str, error: type[VjepaFerError], advice: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise error(_said(f"{source}: byte {fault.start:,} is not UTF-8", advice)) from fault


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        (repeated, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {repeated!r} stands twice")
    return values


def _refuse_deep(value: Any) -> None:
    inside = [value]
    for _ in range(DEEPEST):
        parts = [one.values() if isinstance(one, dict) else one for one in inside if isinstance(one, dict | list)]
        if not parts:
            return
        inside = [value for part in parts for value in part]
    raise ValueError("nested too deeply")


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _reason(fault: BaseException) -> str:
    return "nested too deeply" if isinstance(fault, RecursionError) else str(fault)[:200]


def _said(what: str, advice: str) -> str:
    return f"{what}; {advice}" if advice else what
