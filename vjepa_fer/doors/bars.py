"""Steps of something long go in; a bar on stderr comes out, and lines above it, whose words the terminal only shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from vjepa_fer.doors.shown import printable


class Bar:
    """What is told to a bar; nothing of it is shown where stderr is no terminal, but for :meth:`say`."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def advance(self, steps: int = 1, *, word: str | None = None) -> None:
        """So many steps more; `word` says which was the last."""
        if word is not None:
            self.note(word)
        self._bar.update(steps)

    def reach(self, done: int, total: int | None) -> None:
        """So many steps in all, of so many."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def note(self, words: str) -> None:
        """Words behind the bar, from its next move on."""
        self._bar.set_postfix_str(printable(words), refresh=False)

    def say(self, line: str) -> None:
        """A line above the bar."""
        self._bar.write(printable(line), file=sys.stderr)


@contextmanager
def progress_bar(total: int | None, what: str = "", *, show: bool | None = None, **options: Any) -> Iterator[Bar]:
    """A bar of `total` steps, as long as the context lasts; by default only where stderr is a terminal.

    `options` are tqdm's own: ``unit``, ``unit_scale``, ``leave``.
    """
    from tqdm import tqdm

    with tqdm(total=total, desc=printable(what), disable=None if show is None else not show, **options) as bar:
        yield Bar(bar)


def beside_bars() -> AbstractContextManager[None]:
    """While it lasts, bars are out of the way of what is written to stderr."""
    from tqdm import tqdm

    return tqdm.external_write_mode(file=sys.stderr)
