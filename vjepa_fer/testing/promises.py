"""Promises go in, each with a function that tries it; those that are kept come out, or one error with all that are broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vjepa_fer.doors import Plugin
from vjepa_fer.errors import BehaviourError


@dataclass(frozen=True)
class InHand(Plugin):
    """A plug-in that is not installed: the object itself."""

    held: Any = None

    def load(self) -> Any:
        """The object."""
        return self.held

    @property
    def origin(self) -> str:
        """It has no package yet."""
        return f"{self.package} (in hand)"

    def __str__(self) -> str:
        return f"{self.package} (in hand)"


def in_hand(group: Any, held: Any) -> InHand:
    """`held` as a plug-in of a group, called like itself."""
    name = getattr(held, "__qualname__", type(held).__name__)
    return InHand(group, name, f"{getattr(held, '__module__', '')}:{name}", name, "0", held)


def expect(kept: bool, otherwise: str) -> None:
    """Say what was done in place of a promise."""
    if not kept:
        raise BehaviourError(otherwise)


def all_kept(who: str, promises: Mapping[str, Callable[[], None]]) -> tuple[str, ...]:
    """Try every promise of `who`; the promises, where all are kept.

    Raises
    ------
    BehaviourError
        Some are broken: a line each.
    """
    broken = [f"  {promise}: {why}" for promise, check in promises.items() if (why := _why_broken(check))]
    if broken:
        raise BehaviourError(f"{who} breaks {len(broken)} of {len(promises)} promises:", *broken)
    return tuple(promises)


def _why_broken(check: Callable[[], None]) -> str:
    try:
        check()
    except BehaviourError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
