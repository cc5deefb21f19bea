"""A signal to stop comes in while caches are filled; what is done stays, how to go on is said, and an exit status goes out."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from .terminal import say


class _StopSignal(KeyboardInterrupt):
    """Ctrl-C or a polite kill; a second one is not held up."""


@contextmanager
def stoppable(caches: Sequence[Path]) -> Iterator[None]:
    """Answer Ctrl-C and SIGTERM: the open shards are written, how to go on is said, and the status is 130 or 143."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise _StopSignal(number)

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except _StopSignal as stopped:
        _say_what_is_there(caches)
        raise typer.Exit(128 + stopped.args[0]) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say_what_is_there(caches: Sequence[Path]) -> None:
    from vjepa_fer.cache import open_cache
    from vjepa_fer.remote import place_of

    places = [place_of(str(cache)) for cache in caches]  # as they are now
    begun = [place for place in places if (place / "cache.json").exists()]
    done = ", ".join(f"{len(open_cache(place).done):,} clips are in {place}" for place in begun)
    say(f"stopped: {done or 'nothing done yet'}; the same command goes on from there")
