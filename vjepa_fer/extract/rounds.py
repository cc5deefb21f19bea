"""Caches with clips to do go in; all of them are done, given up or left to other processes when it returns, which may be several rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from vjepa_fer.extract.sharing import Patience
from vjepa_fer.extract.taking import Taking
from vjepa_fer.manifest import Clip

T = TypeVar("T", bound=Taking[Any])


def in_rounds(
    takings: Sequence[T],
    do_all: Callable[[], None],
    do_alone: Callable[[T, Clip], None],
    *,
    wait_seconds: float,
    count: Callable[[], None],
    tell: Callable[[int], None],
) -> None:
    """Do what no other process is at, over and over, until everything is done or nobody gets on.

    Parameters
    ----------
    takings : sequence of Taking
        Entered already.
    do_all : callable
        Takes what is free of every cache's ``todo``, and does it.
    do_alone : callable
        Does one clip of one cache, which some process has died in the middle of, with nothing else at stake.
    wait_seconds : float
        As :class:`~vjepa_fer.extract.sharing.Patience` takes it.
    count : callable
        Called with each clip that is given up because too many processes died of it.
    tell : callable
        Called with how many clips are left, when the waiting for others begins.
    """
    patience = Patience(wait_seconds)
    while any(one.todo for one in takings):
        for one in takings:
            one.begin_share()
        do_all()
        _do_suspects(takings, do_alone, count)
        taken = sum(one.end_share() for one in takings)
        left = sum(len(one.todo) for one in takings)
        if left and not taken and not patience.wait(left, tell):
            return


def _do_suspects(takings: Sequence[T], do_alone: Callable[[T, Clip], None], count: Callable[[], None]) -> None:
    suspects = [(one, clip) for one in takings for clip in one.share.suspects]
    for one in takings if suspects else ():
        one.settle()
    for one, clip in suspects:
        if one.gives_up(clip):
            count()
            continue
        do_alone(one, clip)
        one.settle()
