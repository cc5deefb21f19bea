"""A bar on stderr while something long runs; silent when that is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vjepa_fer import doors

from .terminal import say


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Yield a function to call with a word after each step."""
    with doors.progress_bar(total, what, leave=False) as bar:
        yield lambda word: bar.advance(word=word)


@contextmanager
def byte_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield a function to call with how many bytes are done, of how many if that is known."""
    with doors.progress_bar(None, what, unit="B", unit_scale=True, leave=False) as bar:
        yield bar.reach


@contextmanager
def fit_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a function to call with how many fits of how many are done, wherever they are done."""
    with doors.progress_bar(None, "probe", leave=False) as bar:
        yield bar.reach


def say_beside_bar(line: str) -> None:
    """:func:`say` while a progress bar is shown: above it."""
    with doors.beside_bars():
        say(line)
