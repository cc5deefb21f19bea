"""A name out of a closed list that stands in no such list goes in; how a message says so, with the nearest that does, comes out."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

LONGEST_COMPARED = 100
"""Characters of names that are looked for among others like them: it takes the square, and nobody mistypes longer ones."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 2 * LONGEST_COMPARED


def not_one_of(what: str, given: object, known: Iterable[object], *, listed: str | None = None) -> str:
    """A message that names what was given, all that there is, and the nearest of these.

    Parameters
    ----------
    what : str
        What the name is of: ``"scale"``.
    given : object
        As it was given.
    known : iterable
        The closed list.
    listed : str, optional
        The list in other words, where it is long or tells a form.

    Examples
    --------
    >>> not_one_of("scale", "standrad", ["none", "standard", "minmax"])
    "scale 'standrad' is not one of none, standard, minmax; did you mean 'standard'?"
    """
    names = [str(one) for one in known]
    near = nearest(given, names) if isinstance(given, str) else ""
    return f"{what} {_SHORT.repr(given)} is not one of {', '.join(names) if listed is None else listed}{near}"


def nearest(word: str, words: Iterable[str]) -> str:
    """``"; did you mean 'happy'?"`` when one of `words` is close to `word`, otherwise ""."""
    near = nearest_of(word, words)
    return f"; did you mean {near!r}?" if near else ""


def nearest_of(word: str, words: Iterable[str]) -> str:
    """The one of `words` that is closest to `word`, letter case aside; "" where none is close."""
    if len(word) > LONGEST_COMPARED:
        return ""
    spelt = {w.casefold(): w for w in words if len(w) <= LONGEST_COMPARED}
    close = difflib.get_close_matches(word.casefold(), spelt, n=1)
    return spelt[close[0]] if close else ""
