"""A published confusion matrix as a table goes in; its classes and counts come out, rows = truth."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

import numpy as np

from vjepa_fer.doors import as_number
from vjepa_fer.errors import RunError
from vjepa_fer.judging.predictions import MOST_CLASSES
from vjepa_fer.manifest import (
    MOST_SHOWN,
    Table,
    abridged,
    common_names,
    nearest,
    read_table,
    refuse_spelled_twice,
    require_other_names,
    rows_of,
)

TRUTH = "true_label"


def read_confusion(
    path: str | os.PathLike[str], *, foreign: bool = False, names: Mapping[str, str] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Read a table with one row a true class and one column a predicted class.

    Parameters
    ----------
    path
        A table as :func:`vjepa_fer.manifest.read_table` takes it, with a column ``true_label``; all others are predicted
        classes. Counts need not be whole: a mean over folds has none.
    foreign
        The classifier was trained on another corpus: call all classes by their common names, and accept true ones that are no
        column.
    names
        Label to common name, before the built-in ones; for `foreign`.

    Returns
    -------
    tuple
        All classes, those of the columns first; those of the columns; counts, float64 (C, C) over all classes.

    Raises
    ------
    ManifestError
        Not a readable table, or two columns with one common name.
    RunError
        No column ``true_label``, a true class twice or without a column, counts that are none, or not one clip.
    """
    table = read_table(path, check=_require_columns)
    columns, spelt = [name for name in table.header if name != TRUTH], [row[TRUTH] for _, row in table.rows]
    refuse_spelled_twice("classes", dict.fromkeys(columns, ""), f"{table.path}, row 1: ", error=RunError)
    refuse_spelled_twice(
        "classes", rows_of((n, row[TRUTH]) for n, row in table.rows), f"{table.path}: ", error=RunError
    )
    called = common_names([*columns, *spelt], names) if foreign else {name: name for name in [*columns, *spelt]}
    require_other_names(columns, called)
    said, truths = tuple(called[name] for name in columns), [called[name] for name in spelt]
    position = {name: place for place, name in enumerate(dict.fromkeys([*said, *truths]))}
    if len(position) > MOST_CLASSES:
        raise RunError(f"{table.path}: {len(position):,} classes, over {MOST_CLASSES:,}; is it a confusion matrix?")
    classes, known, seen = tuple(position), set(said), set[str]()
    counts = np.zeros((len(classes), len(classes)))
    for (number, row), truth in zip(table.rows, truths, strict=True):
        where = f"{table.path}, row {number}"
        if not truth or truth in seen:
            raise RunError(f"{where}: {TRUTH} {row[TRUTH]!r} is empty or has a row already; one row a true class")
        seen.add(truth)
        if not foreign and truth not in known:
            raise RunError(
                f"{where}: {TRUTH} {row[TRUTH]!r} is not one of the columns {abridged(said, MOST_SHOWN)}{nearest(truth, said)}"
            )
        counts[position[truth], : len(said)] = [_count(row[name], f"{where}, column {name!r}") for name in columns]
    if not counts.sum():
        raise RunError(f"{table.path}: not one clip in this confusion matrix")
    return classes, said, counts


def _require_columns(table: Table) -> None:
    if TRUTH not in table.header or len(table.header) < 3:
        raise RunError(
            f"{table.path}, row 1: a confusion matrix has a column {TRUTH} and a column a predicted class; "
            f"the columns are {abridged(table.header, MOST_SHOWN)}"
        )


def _count(text: str, where: str) -> float:
    value = as_number(text)
    if not 0 <= value < math.inf:
        raise RunError(f"{where}: {text!r} is not a count of clips")
    return value
