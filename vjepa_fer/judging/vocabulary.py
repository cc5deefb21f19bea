"""Labels of two sides in different words go in; which of them are the same class comes out, or that nobody can tell.

A clip labelled ``anger`` that was called ``ANG`` was recognised. Compared letter by letter it would be an error, and a whole table 0 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from vjepa_fer.errors import RunError
from vjepa_fer.manifest import MOST_SHOWN, SPELLINGS, abridged, common_names


def in_words_of(theirs: Iterable[str], ours: Iterable[str], names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Those of their labels that are none of ours, but one of ours in other words → ours.

    Parameters
    ----------
    theirs, ours : iterable of str
    names : mapping, optional
        Label to common name, before the built-in ones; see :func:`vjepa_fer.manifest.label_names.common_names`.

    >>> in_words_of(["ANG", "happy", "bored"], ["anger", "happy", "joy"])
    {'ANG': 'anger'}
    """
    known = dict.fromkeys(ours)
    strangers = [label for label in dict.fromkeys(theirs) if label not in known]
    called = common_names([*known, *strangers], names)
    times = Counter(
        called[label] for label in known
    )  # where two of ours have one common name, nobody knows which is meant
    of_name = {called[label]: label for label in known if times[called[label]] == 1}
    return {label: of_name[called[label]] for label in strangers if called[label] in of_name}


def one_vocabulary(
    truths: Sequence[str], said: Sequence[str], names: Mapping[str, str] | None = None, *, where: str
) -> dict[str, str]:
    """Predicted labels in the words of the true ones, where there are no class columns to say which classes there are.

    Parameters
    ----------
    truths, said : sequence of str
        The true and the predicted labels that occur.
    names : mapping, optional
        As in :func:`in_words_of`.
    where : str
        The file, for messages.

    Raises
    ------
    RunError
        A true label is never predicted and a predicted one never true, and they are not both names of expressions: they may be one
        class in two words, and would count as errors.
    """
    words = in_words_of(said, truths, names)
    united = {words.get(label, label) for label in said}
    unsaid, untrue = sorted(set(truths) - united), sorted(united - set(truths))
    called, settled = common_names([*unsaid, *untrue], names), set(names or ())
    strange = [label for label in (*unsaid, *untrue) if called[label] not in SPELLINGS and label not in settled]
    if unsaid and untrue and strange:
        raise RunError(
            f"{where}: true labels that are never predicted ({abridged(unsaid, MOST_SHOWN)}) and predicted ones that are never true "
            f"({abridged(untrue, MOST_SHOWN)}): is one the other in other words? --label-map TABLE (label, name) gives both one name, or "
            "each its own"
        )
    return words
