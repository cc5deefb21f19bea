"""A value of a recipe goes in; nothing comes out, or an error that names it."""

from __future__ import annotations

from typing import Any, get_args

from vjepa_fer.errors import RecipeError


def check(condition: bool, message: str) -> None:
    """Raise :class:`RecipeError` with `message` unless `condition` holds."""
    if not condition:
        raise RecipeError(message)


def check_choice(name: str, value: str, choices: Any) -> None:
    """Refuse a value that is none of a ``Literal``'s."""
    allowed = get_args(choices)
    check(value in allowed, f"{name} {value!r} is not one of {', '.join(allowed)}")


def check_positive(owner: object, *names: str) -> None:
    """Refuse attributes that are no whole numbers above 0."""
    for name in names:
        value = getattr(owner, name)
        whole = isinstance(value, int) and not isinstance(value, bool)
        check(whole and value > 0, f"{name} {value!r} must be a whole number above 0")
