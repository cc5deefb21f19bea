"""Sorted class names come in, the order in which equally good classes are preferred goes out.

Of k neighbours often as many vote for one class as for another, and of the pairs of a support vector machine too. Which class then
wins moves a table by up to a point, and published ones number RAVDESS' expressions as the corpus does, 01 neutral to 08 surprised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.manifest import RAVDESS_LABELS, common_names

_BY_NUMBER = tuple(common_names(RAVDESS_LABELS).values())


def preference(classes: ArrayLike) -> NDArray[np.intp]:
    """Positions of `classes`, the most preferred first: by RAVDESS' numbers where they are its own, else as they are sorted.

    They are RAVDESS' own if calm is among them, which it alone has, and nothing that it lacks; however they are spelt.

    >>> preference(["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"]).tolist()
    [5, 1, 4, 6, 0, 3, 2, 7]
    >>> preference(["Calm", "anger", "neutral"]).tolist()
    [2, 0, 1]
    >>> preference(["angry", "happy"]).tolist()
    [0, 1]
    """
    labels = [str(label) for label in np.asarray(classes).tolist()]
    names = [common_names([label])[label] for label in labels]
    if "calm" not in names or not set(names) <= set(_BY_NUMBER):
        return np.arange(len(names))
    return np.argsort([_BY_NUMBER.index(name) for name in names], kind="stable")
