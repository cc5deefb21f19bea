"""A bar on stderr while something long runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[str], None]]:
    """Yield a function to call with a word after each step; silent when stderr is no terminal."""
    from tqdm import tqdm

    with tqdm(total=total, desc=what, disable=None, leave=False) as bar:

        def advance(word: str) -> None:
            bar.set_postfix_str(word, refresh=False)
            bar.update()

        yield advance
