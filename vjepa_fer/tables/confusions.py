"""Published confusion matrices go in, one or one a fold; results in the words of ``probe --json`` come out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vjepa_fer.errors import RunError
from vjepa_fer.judging import (
    ConfusionTable,
    Rows,
    Unit,
    apply_policy_to_counts,
    find_policy,
    in_words_of,
    read_confusions,
)
from vjepa_fer.manifest import MOST_SHOWN, abridged, natural_order
from vjepa_fer.tables.counted import figures_of_matrices
from vjepa_fer.tables.several import names_of_files


def judge_confusion(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    rows: Rows | None = None,
    sizes: Mapping[str, float] | Sequence[Mapping[str, float]] = (),
    columns: Mapping[str, str] | None = None,
    classes: Sequence[str] = (),
    policies: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Score published confusion matrices, as they are or by each policy.

    Parameters
    ----------
    path : path, or sequence of paths
        Several files are the folds of one evaluation, called like the files; so are the matrices of one file with a column ``fold``.
    sizes : mapping, or sequence of mappings
        How many clips each true class has, for tables in percent: one for all files that hold one matrix, or one each.
    rows, columns, classes
        As in :func:`vjepa_fer.judging.confusion_csv.read_confusions`.
    policies, names
        As in :func:`vjepa_fer.tables.judge.judge_table`.

    Returns
    -------
    list of dict
        A result a policy, or one: figures (:func:`vjepa_fer.tables.counted.figures_of_matrices`), ``columns`` (what was taken as what),
        ``reworded`` (pairs of a true class and the predicted one that it is in other words), with policies also ``policy``,
        ``definition`` and ``coverage``.

    Raises
    ------
    ManifestError, RunError
        Not confusion matrices, matrices that are no folds of one evaluation, or a policy that cannot be applied to them.
    """
    for name in policies:
        find_policy(name)
    paths = [Path(one) for one in ([path] if isinstance(path, str | os.PathLike) else path)]
    how: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "classes": classes,
        "foreign": bool(policies),
        "names": names,
    }
    read = [
        read_confusions(one, sizes=of_file, **how)
        for one, of_file in zip(paths, _sizes(sizes, len(paths)), strict=True)
    ]
    folds = _as_folds(read, paths)
    taken = {
        "columns": {what: list(found) for what, found in folds.columns.items()},
        "reworded": [list(pair) for pair in folds.reworded],
    }
    if not policies:
        return [figures_of_matrices(folds.classes, folds.matrices, folds.unit, folds.names) | taken]
    if folds.unit != "counts":
        raise RunError(
            f"{paths[0]}: a policy leaves clips out, and of percentages nobody knows how many; --class-sizes gives them"
        )
    scored = [apply_policy_to_counts(name, folds.classes, folds.matrices, folds.known) for name in policies]
    return [
        {**figures_of_matrices(one.classes, one.confusion, "counts", folds.names), **one.to_dict(), **taken}
        for one in scored
    ]


def _sizes(sizes: Mapping[str, float] | Sequence[Mapping[str, float]], num_files: int) -> Sequence[Mapping[str, float]]:
    given = [sizes] if isinstance(sizes, Mapping) else list(sizes)
    if not given:
        return [{}] * num_files
    if len(given) != num_files:
        raise RunError(
            f"{len(given)} lists of class sizes for {num_files} files: each fold has its own clips; give --class-sizes once a file, in "
            "their order"
        )
    return given


class _Folds(NamedTuple):
    """Matrices over the same classes, float64 (num_folds, C, C), rows = truth; in the natural order of their names."""

    classes: tuple[str, ...]
    known: frozenset[str]
    matrices: np.ndarray
    unit: Unit
    names: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    reworded: tuple[tuple[str, str], ...]


def _as_folds(read: Sequence[Sequence[ConfusionTable]], paths: Sequence[Path]) -> _Folds:
    files = names_of_files(paths)
    named: dict[str, ConfusionTable] = {}
    for file, path, tables in zip(files, paths, read, strict=True):
        for table in tables:
            name = " ".join(filter(None, (file if len(paths) > 1 else "", table.fold)))
            named[name] = _in_words_of_first(table, read[0][0], path)
    order = natural_order(named)
    parts = [named[name] for name in order]
    classes = tuple(dict.fromkeys(name for table in (read[0][0], *parts) for name in table.classes))
    return _Folds(
        classes,
        frozenset(read[0][0].known),
        np.stack([_over(table, classes) for table in parts]),
        read[0][0].unit,
        tuple(order),
        _united_columns(parts),
        tuple(sorted({pair for table in parts for pair in table.reworded})),
    )


def _in_words_of_first(table: ConfusionTable, first: ConfusionTable, path: Path) -> ConfusionTable:
    words = in_words_of(table.classes, first.classes)
    known, classes = (tuple(words.get(name, name) for name in names) for names in (table.known, table.classes))
    if set(known) != set(first.known):
        raise RunError(
            f"{path}: its predicted classes are {abridged(known, MOST_SHOWN)}, those of the first matrix "
            f"{abridged(first.known, MOST_SHOWN)}; the folds of one evaluation have the same"
        )
    if table.unit != first.unit:
        in_words = {"counts": "counts", "shares": "percent of each true class", "parts": "percent of all clips"}
        raise RunError(
            f"{path}: it is in {in_words[table.unit]}, the first matrix in {in_words[first.unit]}; all as counts, or all in percent"
        )
    return table._replace(known=known, classes=classes, reworded=(*table.reworded, *words.items()))


def _over(table: ConfusionTable, classes: tuple[str, ...]) -> np.ndarray:
    """The matrix over all of these classes, in their order."""
    place = [classes.index(name) for name in table.classes]
    matrix = np.zeros((len(classes), len(classes)))
    matrix[np.ix_(place, place)] = table.counts
    return matrix


def _united_columns(tables: Sequence[ConfusionTable]) -> dict[str, tuple[str, ...]]:
    return {
        what: tuple(dict.fromkeys(name for table in tables for name in table.columns[what]))
        for what in tables[0].columns
    }
