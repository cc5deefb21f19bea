"""A value of a recipe goes in; nothing comes out, or an error that names it."""

from __future__ import annotations

import reprlib
from typing import Any, get_args

from vjepa_fer.doors import not_one_of
from vjepa_fer.errors import RecipeError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


def check(condition: bool, message: str) -> None:
    """Raise :class:`RecipeError` with `message` unless `condition` holds."""
    if not condition:
        raise RecipeError(message)


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Refuse a value that is none of a ``Literal``'s."""
    allowed = get_args(choices)
    if value not in allowed:
        raise RecipeError(not_one_of(name, value, allowed))


def shown(value: Any) -> str:
    """A value as a message shows it: on a line, however long or deep it is."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"of {value.bit_length():,} bits"
    return _SHORT.repr(value)
