"""Sorted class names come in, the order in which equally good classes are preferred goes out.

Of k neighbours often as many vote for one class as for another, and of the pairs of a support vector machine too. Which class then
wins moves a table by up to a point, and published ones number RAVDESS' expressions as the corpus does, 01 neutral to 08 surprised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vjepa_fer.manifest.ravdess import LABELS


def preference(classes: ArrayLike) -> NDArray[np.intp]:
    """Positions of `classes`, the most preferred first: by RAVDESS' numbers where they are its eight, else as they are sorted.

    >>> preference(["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"]).tolist()
    [5, 1, 4, 6, 0, 3, 2, 7]
    >>> preference(["angry", "happy"]).tolist()
    [0, 1]
    """
    names = np.asarray(classes).tolist()
    if set(names) != set(LABELS):
        return np.arange(len(names))
    return np.argsort([LABELS.index(name) for name in names])
